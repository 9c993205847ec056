"""Where each cell stands on the sheet: methods side by side, everything else below each other. Plain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from models.compare.grid import Cell, Grid, title
from models.compare.notes import varying


@dataclass(frozen=True)
class Arranged:
    """Labels of columns and rows, and the id of the cell at each (row, column).

    A baseline has one picture for each case, which stands in every row of it.
    """

    columns: tuple[str, ...]
    rows: tuple[str, ...]
    ids: Mapping[tuple[int, int], str]
    heading: str  # what is the same in all cells


def arrange(grid: Grid) -> Arranged:
    """Columns are the methods, or the last axis where there is one method alone; rows are cases and other axes."""
    names = varying(grid)
    alone = len(grid.methods) == 1
    across = names[-1] if alone and names else ""
    values = {axis.name: axis.values for axis in grid.axes}
    down = [name for name in names if name != across]
    fixed = {name: one[0] for name, one in values.items() if len(one) == 1}
    columns: list[tuple[str, dict[str, Any]]] = [(key, {}) for key in grid.methods]
    if across:
        columns = [(grid.methods[0], {across: value}) for value in values[across]]
    rows = [
        (case, dict(zip(down, one, strict=True)))
        for case in range(len(grid.cases))
        for one in product(*(values[name] for name in down))
    ]
    ids = {}
    for (row, (case, below)), (column, (key, beside)) in product(enumerate(rows), enumerate(columns)):
        cell = Cell(case, key)
        fields = {} if cell.baseline else {name: {**fixed, **below, **beside}[name] for name in values}
        ids[row, column] = grid.identify(Cell(case, key, fields))
    return Arranged(
        tuple(_said(beside) if across else title(key) for key, beside in columns),
        tuple(_row(grid, case, below) for case, below in rows),
        ids,
        _heading(grid, fixed, alone),
    )


def _row(grid: Grid, case: int, fields: Mapping[str, Any]) -> str:
    name = [grid.cases[case].name] if len(grid.cases) > 1 else []
    return ", ".join([*name, *([_said(fields)] if fields else [])])


def _said(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in fields.items())


def _short(value: Any) -> str:
    return {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _heading(grid: Grid, fixed: Mapping[str, Any], alone: bool) -> str:
    parts = [title(grid.methods[0])] if alone else []
    parts += [grid.cases[0].name] if len(grid.cases) == 1 else []
    parts += [_said(fixed)] if fixed else []
    parts += [] if "seed" in {axis.name for axis in grid.axes} else [f"seed {grid.seed}"]
    return ", ".join(parts)
