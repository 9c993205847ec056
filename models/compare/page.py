"""One HTML file with everything in it: cells with linked zoom, a slider, blink, and a map of differences. Plain."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from models import pictures
from models.compare.arranging import Arranged
from models.compare.outcome import Outcome
from models.compare.sheet import caption

HERE = Path(__file__).parent


def html(
    arranged: Arranged, outcomes: Mapping[str, Outcome], shown: Mapping[str, np.ndarray], notes: Sequence[str] = ()
) -> str:
    """The page of what is finished; `shown` are pictures (uint8 HxWx3) by cell id. It needs no other file."""
    cells = []
    for row in range(len(arranged.rows)):
        for column in range(len(arranged.columns)):
            key = arranged.ids[row, column]
            outcome = outcomes.get(key)
            reason = "Not drawn yet." if outcome is None else outcome.reason
            cells.append(
                {
                    "row": row,
                    "column": column,
                    "picture": key if key in shown else "",
                    "caption": caption(outcome) if outcome is not None else "",
                    "reason": reason if key not in shown else "",
                    "file": outcome.file if outcome is not None else "",
                }
            )
    data = {
        "heading": arranged.heading,
        "columns": list(arranged.columns),
        "rows": list(arranged.rows),
        "cells": cells,
        "pictures": {key: _address(picture) for key, picture in shown.items()},
        "notes": list(notes),
    }
    told = json.dumps(data, ensure_ascii=True).replace("<", "\\u003c")  # no text of a user's can end the script
    parts = {"STYLE": _read("page.css"), "SCRIPT": _read("page.js"), "DATA": told}
    page = _read("page.html")
    for name, part in parts.items():
        page = page.replace(f"/*{name}*/", part, 1)
    return page


def _address(picture: np.ndarray) -> str:
    data = pictures.encode(np.ascontiguousarray(picture), compress_level=4)
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
