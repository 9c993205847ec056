"""Every method and every preset. `python -m models.catalog` prints the table of the README."""

from __future__ import annotations

from models.contract import Preset, Spec
from models.dreamfuse.spec import SPEC as dreamfuse

SPECS: dict[str, Spec] = {spec.key: spec for spec in (dreamfuse,)}


def table() -> str:
    """The methods as a Markdown table."""
    rows = ["| task | paper | presets | licence of the full weights |", "|---|---|---|---|"]
    for spec in SPECS.values():
        paper = f"[{spec.paper}](https://arxiv.org/abs/{spec.arxiv})"
        presets = "; ".join(_cost(p) for p in spec.presets.values())
        licence = spec.presets["full"].licence if "full" in spec.presets else ""
        rows.append(f"| {spec.title} (`{spec.verb}`) | {paper} | {presets} | {licence} |")
    return "\n".join(rows)


def _cost(preset: Preset) -> str:
    if all(w.local for w in preset.components.values()):
        return f"`{preset.name}`: ships here"
    return f"`{preset.name}`: {preset.download_gigabytes:.0f} GB to fetch"


if __name__ == "__main__":
    print(table())
