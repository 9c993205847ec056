"""The README's tables of what there is: the papers with what ships, and what the full presets cost."""

from __future__ import annotations

from benchmarks.tables import markdown
from models import catalog, costs
from models.catalog import Shelf
from models.loading import ROOT

SAM2 = ("[SAM 2: Segment Anything in Images and Videos](https://arxiv.org/abs/2408.00714)", "itself")


def papers() -> str:
    """The methods and the masks: paper, base model, what ships and what there is to fetch."""
    head = ["task", "paper", "base model", "pocket, ships here", "full", "licence of the full weights"]
    machines = sorted({one.machine for times in costs.published().values() for one in times})
    told = f"Seconds are for a later picture, without a GPU ({'; '.join(machines)})."
    return f"{markdown(head, [_paper(shelf) for shelf in catalog.shelves()])}\n\n{told}"


def weights() -> str:
    """The full presets: what holds on every machine."""
    head = ["preset", "to fetch", "memory", "licence", "gated", "seconds a picture", "weights"]
    found = [costs.cost(shelf, preset, {}) for shelf in catalog.shelves() for preset in shelf.presets.values()]
    lines = [_weights(one) for one in found if one.sources]
    return f"{markdown(head, lines)}\n\nMemory is estimated from the sizes of the weights, for each memory mode."


def _paper(shelf: Shelf) -> list[str]:
    if spec := catalog.SPECS.get(shelf.key):
        title, paper, base = spec.title, f"[{spec.paper}](https://arxiv.org/abs/{spec.arxiv})", spec.base
    else:
        title, (paper, base) = "Masks in every tab", SAM2
    full = [preset for name, preset in shelf.presets.items() if name != "pocket"]
    licence = next((preset.licence for preset in full if preset.name.startswith("full")), "")
    offered = "; ".join(f"`{one.name}`: {costs.download(costs.cost(shelf, one, {}))}" for one in full)
    return [f"{title} (`{shelf.verb}`)", paper, base, _pocket(shelf), offered, licence]


def _pocket(shelf: Shelf) -> str:
    preset = shelf.presets["pocket"]
    folders = {ROOT / weights.source / weights.subfolder for weights in preset.components.values()}
    files = {path for folder in folders for path in folder.rglob("*.safetensors")}
    size = f"{sum(path.stat().st_size for path in files) / 1e6:.0f} MB"
    what = "a picture" if shelf.key in catalog.SPECS else "a first click"
    times = costs.published().get((shelf.key, preset.name), ())
    return f"{size}, {f'{times[0].seconds:.1f} s {what}' if times else costs.NOT_MEASURED}"


def _weights(found: costs.Cost) -> list[str]:
    pages = ", ".join(f"[{source}]({costs.page_of(source)})" for source in found.sources)
    gate = "yes" if found.gated else "no"
    name = f"`{found.verb}/{found.preset}`"
    return [name, costs.download(found), costs.memory(found), found.licence, gate, costs.seconds(found), pages]
