"""Every method and every preset. `python -m models.catalog` prints the table of the README."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models import segment
from models.cat.spec import SPEC as cat
from models.collage.spec import SPEC as collage
from models.contract import Preset, Spec
from models.dit4edit.spec import SPEC as dit4edit
from models.dreamfuse.spec import SPEC as dreamfuse
from models.facediffuser.spec import SPEC as facediffuser

SPECS: dict[str, Spec] = {spec.key: spec for spec in (dreamfuse, collage, cat, facediffuser, dit4edit)}


@dataclass(frozen=True)
class Shelf:
    """Something with weights of its own: a method, or the masks that all methods share."""

    key: str
    verb: str
    title: str
    presets: Mapping[str, Preset]


def shelves() -> list[Shelf]:
    """The methods in order, then the masks."""
    methods = [Shelf(spec.key, spec.verb, spec.title, spec.presets) for spec in SPECS.values()]
    return [*methods, Shelf("masks", "segment", "Masks", segment.PRESETS)]


def table() -> str:
    """The methods as a Markdown table."""
    rows = ["| task | paper | presets | licence of the full weights |", "|---|---|---|---|"]
    for spec in SPECS.values():
        paper = f"[{spec.paper}](https://arxiv.org/abs/{spec.arxiv})"
        presets = "; ".join(_cost(p) for p in spec.presets.values())
        licence = spec.presets["full"].licence if "full" in spec.presets else ""
        rows.append(f"| {spec.title} (`{spec.verb}`) | {paper} | {presets} | {licence} |")
    pocket, smallest, *_, largest = segment.PRESETS.values()
    presets = f"{_cost(pocket)}; {_cost(smallest)}, up to {_cost(largest)}"
    paper = "[SAM 2: Segment Anything in Images and Videos](https://arxiv.org/abs/2408.00714)"
    rows.append(f"| Masks in every tab (`segment`) | {paper} | {presets} | {largest.licence} |")
    return "\n".join(rows)


def _cost(preset: Preset) -> str:
    if all(w.local for w in preset.components.values()):
        return f"`{preset.name}`: ships here"
    if any(w.own for w in preset.components.values()) and not preset.files:
        return f"`{preset.name}`: a checkpoint of your own"
    size = preset.download_gigabytes
    return f"`{preset.name}`: {f'{size:.0f} GB' if size >= 1 else f'{1000 * size:.0f} MB'} to fetch"


if __name__ == "__main__":
    print(table())
