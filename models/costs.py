"""What every preset costs: download, memory, licence, seconds. The one table behind the command line, `/models`, the
Models page, the cards in the tabs and the README. Plain at import.

Seconds are measured or absent: a guess is never among them.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from models import catalog, fetching, inventory
from models.compare import pace
from models.contract import Preset
from models.loading import ROOT

RESULTS = ROOT / "benchmarks" / "results"  # committed with the machine that they were measured on
HERE = "this machine"
NOT_MEASURED = "not measured"
State = Literal["ready", "missing", "gated"]


@dataclass(frozen=True)
class Timing:
    """Seconds for one picture with the preset's own number of steps, models loaded; masks: for a first click."""

    seconds: float
    machine: str


@dataclass(frozen=True)
class Cost:
    """One preset of one method."""

    method: str
    verb: str
    title: str
    preset: str
    label: str
    state: State  # gated: missing, and a licence has to be accepted before they can be fetched
    download_gigabytes: float  # of everything
    needs_gigabytes: float  # of what is not here yet
    memory_gigabytes: dict[str, float]  # estimate per memory mode
    licence: str
    gated: tuple[str, ...]  # hub repositories whose licence has to be accepted, be the weights here or not
    sources: tuple[str, ...]  # hub repositories; empty = ships with the repository
    own: bool  # whether a file of the user's own has to be converted before it is ready
    made_by: str  # by which command, "models convert-cat FILE"; empty = there is nothing to convert
    timings: tuple[Timing, ...]  # measured; empty where nobody has


def table() -> list[Cost]:
    """Every preset of every method and of the masks, in the order of the catalogue."""
    paces = pace.known()
    return [cost(shelf, preset, paces) for shelf in catalog.shelves() for preset in shelf.presets.values()]


def of(method: str, preset: str) -> Cost:
    """One line of the table, by the method's key and the preset's name; raises `KeyError`."""
    shelf = next(shelf for shelf in catalog.shelves() if shelf.key == method)
    return cost(shelf, shelf.presets[preset], pace.known())


def cost(shelf: catalog.Shelf, preset: Preset, paces: pace.Paces) -> Cost:
    """What a preset costs, by what lies on this disk and what was measured."""
    absent = inventory.missing(preset)
    parts, own = preset.components.values(), [w for w in absent if w.own]
    files = preset.files if fetching.unmade(preset) else ()
    wanted = sum(f.gigabytes for f in files if not fetching.local(f)) + sum(w.gigabytes for w in absent)
    sources = [w.source for w in parts if not w.local and not w.own] + [f.source for f in preset.files]
    here = [Timing(seconds, HERE) for seconds in _measured_here(shelf.key, preset, paces)]
    return Cost(
        method=shelf.key,
        verb=shelf.verb,
        title=shelf.title,
        preset=preset.name,
        label=preset.label,
        state="gated" if any(w.gated for w in absent) else "missing" if absent else "ready",
        download_gigabytes=round(preset.download_gigabytes, 2),
        needs_gigabytes=round(wanted, 2),
        memory_gigabytes={mode: float(preset.memory_gigabytes.get(mode, 0)) for mode in preset.memory_modes},
        licence=preset.licence,
        gated=tuple(dict.fromkeys(w.source for w in parts if w.gated)),
        sources=tuple(dict.fromkeys(sources)),
        own=bool(own) and not preset.files,
        made_by=next((w.made_by for w in own), ""),
        timings=(*published().get((shelf.key, preset.name), ()), *here),
    )


def _measured_here(key: str, preset: Preset, paces: pace.Paces) -> list[float]:
    """Seconds for a picture by the paces that comparisons on this machine left, on each device."""
    found = [paces[name] for name in sorted(paces) if name.split("/")[:2] == [key, preset.name] and paces[name]]
    return [round(statistics.median(one) * preset.steps, 2) for one in found]


@cache
def published() -> Mapping[tuple[str, str], tuple[Timing, ...]]:
    """Timings from the committed results, by method and preset; the first machine's first."""
    found: dict[tuple[str, str], tuple[Timing, ...]] = {}
    for path in sorted(RESULTS.glob("speed-*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        for key, timing in _timings(result).items():
            known = found.get(key, ())
            if timing.machine not in [one.machine for one in known]:
                found[key] = (*known, timing)
    return found


def _timings(result: Mapping[str, Any]) -> dict[tuple[str, str], Timing]:
    """What one file of results measured: a second picture in the same process, and a click where masks were timed."""
    where = result["machine"]
    machine, method, preset = f"{where['cpu']}, {where['cores']} cores", result["method"], result["preset"]
    shelf = next((one for one in catalog.shelves() if one.key == method), None)
    threads = shelf.presets[preset].settings.get("threads") if shelf and preset in shelf.presets else None
    clicks = {one["threads"]: one["second_click_s"] for one in result.get("clicks") or ()}
    found = {}
    if clicks:
        found[method, preset] = Timing(round(clicks.get(threads, next(iter(clicks.values()))), 2), machine)
    if masks := result.get("masks"):
        idle = masks["idle"]
        found["masks", masks["model"]] = Timing(round(idle["embed_s"] + idle["click_s"], 2), machine)
    return found


# --- in words, the same everywhere


def gigabytes(size: float) -> str:
    """ "34 GB", "1.9 GB", "160 MB"."""
    return f"{size:.0f} GB" if size >= 10 else f"{size:.2g} GB" if size >= 1 else f"{1000 * size:.0f} MB"


def download(found: Cost) -> str:
    """What there is to fetch when nothing is here."""
    if not found.sources:
        return "ships with Easel"
    return gigabytes(found.download_gigabytes) if found.download_gigabytes else "a file of your own"


def memory(found: Cost) -> str:
    """The estimate for each memory mode, "full 38 GB, offload 27 GB"; "" where nobody has estimated."""
    modes = {mode: size for mode, size in found.memory_gigabytes.items() if size}
    if len(modes) == 1:
        return gigabytes(next(iter(modes.values())))
    return ", ".join(f"{mode} {gigabytes(size)}" for mode, size in modes.items())


def seconds(found: Cost) -> str:
    """Each measured time with the machine, or that nobody measured it."""
    each = [f"{one.seconds:.1f} s ({one.machine})" for one in found.timings]
    return "; ".join(each) or NOT_MEASURED


def page_of(source: str) -> str:
    """The page of a hub repository, where its licence stands."""
    return f"https://huggingface.co/{source}"
