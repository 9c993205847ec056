"""Which presets can run on this machine, what the others need, and whether the files are sound. Plain at import."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models import catalog, loading
from models.contract import BadRequest, MissingWeights, Preset, Weights

LEAST_OVERLAP = 0.5  # of a disc with its mask: far below any trained model, far above chance
State = Literal["ready", "missing", "gated"]


@dataclass(frozen=True)
class Entry:
    """One preset of one method, as `models list`, the Models tab and `/models` show it."""

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
    sources: tuple[str, ...]  # hub repositories; empty = ships with the repository
    own: bool  # whether a checkpoint of the user's own has to be converted before it is ready
    made_by: str  # by which command, "models convert-cat FILE"; empty = there is nothing to convert


def survey() -> list[Entry]:
    """Every preset of every method and of the masks, in the order of the catalogue."""
    return [_entry(shelf, preset) for shelf in catalog.shelves() for preset in shelf.presets.values()]


def _entry(shelf: catalog.Shelf, preset: Preset) -> Entry:
    absent = missing(preset)
    gated = any(w.gated for w in absent)
    return Entry(
        method=shelf.key,
        verb=shelf.verb,
        title=shelf.title,
        preset=preset.name,
        label=preset.label,
        state="gated" if gated else "missing" if absent else "ready",
        download_gigabytes=round(preset.download_gigabytes, 2),
        needs_gigabytes=round(sum(w.gigabytes for w in absent), 2),
        memory_gigabytes={mode: float(preset.memory_gigabytes.get(mode, 0)) for mode in preset.memory_modes},
        licence=preset.licence,
        sources=tuple(dict.fromkeys(w.source for w in preset.components.values() if not w.local and not w.own)),
        own=any(w.own for w in absent),
        made_by=next((w.made_by for w in absent if w.own), ""),
    )


def missing(preset: Preset) -> list[Weights]:
    """The components that are not on this disk."""
    return [w for w in preset.components.values() if not loading.present(w)]


def find(name: str, preset: str = "full") -> Preset:
    """The preset of a method (or "masks") given by key or verb; raises `BadRequest` with the names there are."""
    shelves = catalog.shelves()
    for shelf in shelves:
        if name in (shelf.key, shelf.verb):
            if preset in shelf.presets:
                return shelf.presets[preset]
            raise BadRequest(f"{shelf.key} has no preset “{preset:.40}”; choose one of {', '.join(shelf.presets)}.")
    raise BadRequest(f"There is no method “{name:.40}”; choose one of {', '.join(s.key for s in shelves)}.")


# --- whether the files are what they should be


def pocket_damage(name: str = "") -> Iterator[str]:
    """One sentence per fault of the shipped weights (of one folder, or of all): files, sha256 and parents."""
    shipped = {w.source for s in catalog.shelves() for p in s.presets.values() for w in missing(p) if w.local}
    wanted = {f"assets/pocket/{name}"} if name else shipped
    for source in sorted(wanted):
        if not (loading.ROOT / source / "MANIFEST.json").exists():
            yield f"{source} is not there; fetch the repository again with its assets."
    for path in sorted(loading.POCKET.glob(f"{name or '*'}/MANIFEST.json")):
        try:
            loading.verify_folder(path.parent)
        except MissingWeights as error:
            yield str(error)
        yield from _orphaned(path)


def _orphaned(path: Path) -> Iterator[str]:
    """Parents that are not the ones these weights were trained on; "world" is code, and no user's concern."""
    child = path.parent.name
    for parent, trained_on in json.loads(path.read_bytes()).get("parents", {}).items():
        if parent != "world" and snapshot_digest(parent) != trained_on:
            yield f"assets/pocket/{child} was trained on another assets/pocket/{parent}; train it again."


def snapshot_digest(name: str) -> str:
    """One sha256 for a shipped folder: over the names and hashes that its manifest lists."""
    files = loading.manifest(name).get("files", {})
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def full_damage(preset: Preset) -> Iterator[str]:
    """One sentence per component of a hub preset that is absent, or whose safetensors files are cut short."""
    for weights in preset.components.values():
        where = f"{weights.source}/{weights.subfolder}".rstrip("/")
        if not loading.present(weights):
            yield f"{where} is not on this machine."
        elif not weights.local:
            yield from (f"{where}: {p.name} is cut short; delete it and get it again." for p in _cut_short(weights))


def _cut_short(weights: Weights) -> Iterator[Path]:
    from huggingface_hub import snapshot_download

    where = loading.folder(weights)
    if not weights.own:
        root = snapshot_download(weights.source, revision=weights.revision or None, local_files_only=True)
        where = Path(root) / weights.subfolder
    for path in sorted(where.glob("*.safetensors")):
        if not whole_safetensors(path):
            yield path


def whole_safetensors(path: Path) -> bool:
    """Whether a file is as long as its own header says: 8 bytes, the header, then the tensors."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                return False
            header = json.loads(file.read(length))
    except (OSError, ValueError):
        return False
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return bool(path.stat().st_size == 8 + length + max(ends, default=0))


def mask_faults(preset: Preset) -> Iterator[str]:
    """One sentence if mask weights that are here do not load, or miss a bright disc on a dark ground when clicked."""
    (weights,) = preset.components.values()
    if weights.local and not (loading.folder(weights) / "MANIFEST.json").exists():
        return  # not here: `pocket_damage` says so
    try:
        model = loading.load_component(weights)
    except MissingWeights as error:
        yield str(error)
        return
    from models.masks import overlap_on_a_disc

    if (found := overlap_on_a_disc(model)) < LEAST_OVERLAP:
        yield f"{weights.source} finds a disc with an IoU of {found:.2f}; its weights are not what they should be."


# --- fetching


def to_fetch(preset: Preset) -> list[Weights]:
    """The missing components; raises `MissingWeights` if those made from files of the user's are not made yet.

    Of these some may stay away: a run that does not need them is no worse for it.
    """
    absent = missing(preset)
    own = [w for w in preset.components.values() if w.own]
    if own and all(w in absent for w in own):
        raise loading.absent(own[0])
    return [w for w in absent if not w.own]


def fetch(preset: Preset) -> None:
    """Download what is missing into the hub's cache, whose `refs` then hold the commit that was resolved.

    Raises `GatedWeights` with the three steps, or `MissingWeights` when the hub cannot be reached or has no room.
    """
    for weights in to_fetch(preset):
        if weights.local:
            raise MissingWeights(f"{weights.source} ships with Easel; fetch the repository again with its assets.")
        _fetch(weights)


def _fetch(weights: Weights) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    only, never = (f"{weights.subfolder}/*", None) if weights.subfolder else (None, ["*/*", "*.pt"])
    revision = weights.revision or None
    try:
        snapshot_download(weights.source, revision=revision, allow_patterns=only, ignore_patterns=never)
    except GatedRepoError as error:
        raise loading.gated(weights) from error
    except (OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        raise MissingWeights(f"{weights.source} cannot be fetched: the hub cannot be reached from here.") from error
    except HfHubHTTPError as error:
        refused = error.response is not None and error.response.status_code in (401, 403)
        if refused and weights.gated:
            raise loading.gated(weights) from error
        raise MissingWeights(f"{weights.source} cannot be fetched: {' '.join(str(error).split()):.160}") from error
    except OSError as error:
        full = error.errno == errno.ENOSPC
        why = "the disk is full" if full else "the hub cannot be reached from here"
        raise MissingWeights(f"{weights.source} cannot be fetched: {why}.") from error
