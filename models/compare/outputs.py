"""What a comparison leaves in its folder beside the cells: the sheet, the page and the table. Plain."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from models import pictures, pixels
from models.compare import page, report, sheet
from models.compare.arranging import arrange
from models.compare.grid import Grid
from models.compare.notes import notes
from models.compare.outcome import Outcome
from models.contract import BadRequest

LARGEST = 768  # pixels on the longer side of a picture on the page; the cells' own files have them all


def write(grid: Grid, outcomes: Sequence[Outcome], folder: Path) -> None:
    """Write all three of what is finished; raises `BadRequest` where the disk refuses."""
    arranged, by_id = arrange(grid), {one.id: one for one in outcomes}
    shown = {one.id: picture for one in outcomes if (picture := _shown(grid, one, folder)) is not None}
    said = notes(grid)
    file = BytesIO()
    sheet.draw(arranged, by_id, shown, said).save(file, "PNG")
    report.put(folder / report.SHEET, file.getvalue())
    report.put(folder / report.PAGE, page.html(arranged, by_id, shown, said))
    report.put(folder / report.TABLE, report.table(grid, outcomes))


def _shown(grid: Grid, outcome: Outcome, folder: Path) -> np.ndarray | None:
    """A cell's picture as it is looked at, None where it stayed empty or its file is gone."""
    if not outcome.file:
        return None
    try:
        picture = pictures.decode(folder / report.CELLS / Path(outcome.file).name, "rgb", outcome.title)
    except BadRequest:
        return None
    whole = grid.cases[outcome.case].shown(picture)
    return pixels.resize(whole, pixels.fit_within((whole.shape[0], whole.shape[1]), LARGEST))
