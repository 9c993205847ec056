"""The cut-outs that ship with the repository, to pick from by name: things and animals, no people.

The browser shows them from the one sheet they are packed in, which it asks for when the picker is opened; here the
sheet is decoded when the first one is picked.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
import numpy as np

from demos.canvas.parts import Quiet, small_parts
from models import pictures
from models.contract import BadRequest
from models.pixels import alpha_box

HERE = Path(__file__).parent
FOLDER = HERE.parent / "assets" / "sprites"
SHEET = FOLDER / "objects.webp"
TILE, COLUMNS = 160, 16  # pixels of a sprite's side, sprites in a row


class Sprites(gr.HTML, metaclass=Quiet):  # type: ignore[misc]
    """A button that opens the picker. Its event `pick` comes with the `number` of a sprite."""

    def __init__(self, **more: Any) -> None:
        super().__init__(
            **small_parts(HERE, "sprites"),
            sheet=f"gradio_api/file={quote(SHEET.as_posix())}",  # relative: a proxy may serve us under a path
            columns=COLUMNS,
            names=names(),
            **more,
        )


@lru_cache(maxsize=1)
def names() -> list[str]:
    """What each sprite shows, in the order of the sheet: "red apple"."""
    rows = json.loads((FOLDER / "names.json").read_text(encoding="utf-8"))
    return [" ".join(filter(None, (row["colour"], row["noun"]))) for row in rows]


def sprite(number: Any) -> tuple[np.ndarray, str]:
    """A sprite cut to what is seen of it, uint8 HxWx4, and its name. Raises `BadRequest` for a number of none."""
    if not isinstance(number, int) or not 0 <= number < len(names()):
        raise BadRequest("There is no such cut-out; please pick one of those that are shown.")
    top, left = TILE * (number // COLUMNS), TILE * (number % COLUMNS)
    tile = _sheet()[top : top + TILE, left : left + TILE]
    left, top, right, bottom = alpha_box(tile[..., 3], 1) or (0, 0, TILE, TILE)
    return np.ascontiguousarray(tile[top:bottom, left:right]), names()[number]


@lru_cache(maxsize=1)
def _sheet() -> np.ndarray:
    return pictures.decode(SHEET, "rgba", "The sheet of cut-outs")
