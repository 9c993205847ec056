"""What a number means to each method, where it is not the same thing. Plain."""

from __future__ import annotations

from collections.abc import Sequence

from models import catalog
from models.compare.grid import Grid, title

STEPS = {
    "dreamfuse": "a step is one call of the transformer on the way from noise to the picture",
    "collage": "steps are of the whole way, of which a run makes the part that its strength leaves",
    "cat": "a step is one call of the U-Net with and one without the words",
    "facediffuser": "in the middle stage a step asks both models",
    "dit4edit": "the picture is first turned into noise, with as many steps again",
}
FIXED = (
    "Every cell has the same seed unless it is an axis; each method makes noise of its own from it.",
    "Methods with a mask work on the whole picture they are given and put the rest back with a seam of 8 pixels.",
)


def notes(grid: Grid) -> tuple[str, ...]:
    """What to know when cells are compared: steps, sizes, what is put back, what was left out and by whom."""
    drawn = [key for key in grid.methods if key in catalog.SPECS]
    said = list(FIXED) if drawn else []
    if len(drawn) > 1:
        meant = "; ".join(f"{title(key)}: {STEPS[key]}" for key in drawn if key in STEPS)
        said.append(f"Steps differ in meaning. {meant}.")
        said.append("Pictures are worked on at each preset's own size and shown at the scene's.")
    if any(case.paste_back for case in grid.cases):
        said.append("Shown pictures have the rest of the scene put back by one mask; the files of cells do not.")
    said += grid.notes
    said += [f"Left out: {reason}" for reason in grid.left_out.values()]
    return tuple(said)


def varying(grid: Grid) -> Sequence[str]:
    """The axes that have more than one value."""
    return [axis.name for axis in grid.axes if len(axis.values) > 1]
