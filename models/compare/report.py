"""The folder of a comparison: `report.json`, `report.csv`, and one PNG per cell. Plain.

References of people are in none of them: a case is told by its name, its size and hashes of its own.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models import replay
from models.compare.grid import Grid, title
from models.compare.notes import notes
from models.compare.outcome import Outcome
from models.compare.plan import Plan
from models.contract import BadRequest

SCHEMA = "easel-compare/1"
REPORT, TABLE, CELLS, SHEET, PAGE = "report.json", "report.csv", "cells", "sheet.png", "index.html"
MOST_BYTES = 50_000_000  # of a report that is read
COLUMNS = (
    "seconds",
    "peak_megabytes",
    "kept_pixels",
    "kept_changed",
    "kept_error",
    "similarity",
    "file",
    "reason",
    "note",
)


def write(plan: Plan, outcomes: Mapping[str, Outcome], folder: Path) -> None:
    """Write `report.json` whole or not at all."""
    put(folder / REPORT, json.dumps(told(plan, outcomes), ensure_ascii=False, indent=1, default=str))


def told(plan: Plan, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """The report as JSON: what was compared, what it was expected to cost, what became of each cell."""
    grid = plan.grid
    return {
        "schema": SCHEMA,
        "cases": [_case(grid, number) for number in range(len(grid.cases))],
        "methods": {key: title(key) for key in grid.methods},
        "axes": {axis.name: list(axis.values) for axis in grid.axes},
        "seed": grid.seed,
        "estimate": {"sentence": plan.estimate.sentence(), **vars(plan.estimate)},
        "finished": len(outcomes) == len(plan.runs),
        "notes": list(notes(grid)),
        "versions": replay.library_versions(),
        "cells": [outcomes[run.id].told() for run in plan.runs if run.id in outcomes],
    }


def read(folder: Path) -> dict[str, Outcome]:
    """The outcomes of an earlier run by their ids, those whose pictures are still there; raises `BadRequest`."""
    file = folder / REPORT
    if not file.exists():
        return {}
    try:
        if file.stat().st_size > MOST_BYTES:
            raise BadRequest(f"{file} is too large to be a comparison's report.")
        found = json.loads(file.read_text(encoding="utf-8"))
        cells = found["cells"] if found.get("schema") == SCHEMA else None
        if not isinstance(cells, list):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise BadRequest(f"{file} is no report of this version; please choose another folder.") from None
    outcomes = [Outcome.read(cell) for cell in cells]
    return {one.id: one for one in outcomes if one.file and (folder / CELLS / Path(one.file).name).is_file()}


def table(grid: Grid, outcomes: Sequence[Outcome]) -> str:
    """The cells as CSV, a column for each axis."""
    text = io.StringIO()
    axes = [axis.name for axis in grid.axes]
    writer = csv.writer(text)
    writer.writerow(["case", "method", *axes, *(["seed"] if "seed" not in axes else []), *COLUMNS])
    for one in outcomes:
        seed = [] if "seed" in axes else [one.seed]
        row = [one.case_name, one.title, *(one.fields.get(name, "") for name in axes), *seed]
        writer.writerow([_safe(value) for value in (*row, *(getattr(one, name) for name in COLUMNS))])
    return text.getvalue()


def put(path: Path, data: str | bytes) -> None:
    """Write a file whole or not at all; raises `BadRequest` where the disk refuses."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "replace"))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BadRequest(f"{path} could not be written: the system says “{error.strerror}”.") from error


def _case(grid: Grid, number: int) -> dict[str, Any]:
    case = grid.cases[number]
    scene = case.bundle.scene
    size = None if scene is None else [scene.shape[1], scene.shape[0]]
    return {
        "name": case.name,
        "digest": case.digest,
        "size": size,
        "prompts": dict(case.bundle.prompts),
        "references": len(case.bundle.references),
        "rest_put_back": case.paste_back,
    }


def _safe(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula gets a mark before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value
