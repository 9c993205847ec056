"""The labelled sheet: pictures in rows and columns, their numbers under them, what to know at the foot. Plain."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models import pixels
from models.compare.arranging import Arranged
from models.compare.outcome import Outcome

TILE, GAP, LINE, SIZE = 256, 8, 16, 12  # pixels: a picture's longest side, around it, a line of text, its letters
LABEL = 150  # of a row's label
CAPTION_LINES, ROW_LINES, REASON_LINES = 2, 6, 8
INK, PALE, PAPER, EMPTY = (24, 24, 27), (96, 96, 104), (255, 255, 255), (238, 238, 240)
LARGEST = 16_000  # pixels on a side of the sheet; tiles become smaller to fit


@dataclass(frozen=True)
class Layout:
    """Where things stand, in pixels."""

    columns: int
    rows: int
    tile: int
    label: int
    top: int
    foot: int  # lines of text

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet."""
        width = self.label + GAP + self.columns * (self.tile + GAP)
        return width, self.top + self.rows * self.row_height + self.foot * LINE + GAP

    @property
    def row_height(self) -> int:
        return self.tile + CAPTION_LINES * LINE + GAP

    def place(self, row: int, column: int) -> tuple[int, int]:
        """Left and top of a picture's square."""
        return self.label + GAP + column * (self.tile + GAP), self.top + row * self.row_height


def layout(arranged: Arranged, foot: int, tile: int = TILE) -> Layout:
    """The largest tiles up to `tile` with which the sheet stays within `LARGEST` pixels a side."""
    columns, rows = len(arranged.columns), len(arranged.rows)
    label = LABEL if any(arranged.rows) else 0
    fixed = rows * (CAPTION_LINES * LINE + GAP) + foot * LINE + 4 * LINE
    fitting = min(tile, (LARGEST - label) // columns - GAP - 1, (LARGEST - fixed) // rows)
    return Layout(columns, rows, max(16, fitting), label, 2 * LINE + 2 * GAP, foot)


def draw(
    arranged: Arranged,
    outcomes: Mapping[str, Outcome],
    shown: Mapping[str, np.ndarray],
    notes: Sequence[str] = (),
    tile: int = TILE,
) -> Image.Image:
    """The sheet of what is finished; `shown` are pictures (uint8 HxWx3) by cell id. Cells that failed say why, cells
    that are to come say so."""
    columns = len(arranged.columns)
    width = (LABEL if any(arranged.rows) else 0) + GAP + columns * (tile + GAP)
    foot = [line for note in notes for line in _wrapped(note, max(width, 400) - 2 * GAP)]
    plan = layout(arranged, len(foot) + 1 if foot else 0, tile)
    canvas = Image.new("RGB", (max(plan.size[0], 400), plan.size[1]), PAPER)
    pen = ImageDraw.Draw(canvas)
    _text(pen, (GAP, GAP), _wrapped(arranged.heading, canvas.width - 2 * GAP)[:1], INK)
    for column, name in enumerate(arranged.columns):
        left, top = plan.place(0, column)
        _text(pen, (left, top - LINE - 2), _wrapped(name, plan.tile)[:1], INK)
    for row, name in enumerate(arranged.rows):
        _text(pen, (GAP, plan.place(row, 0)[1]), _wrapped(name, plan.label - GAP)[:ROW_LINES], INK)
        for column in range(columns):
            key = arranged.ids[row, column]
            _cell(canvas, pen, plan, plan.place(row, column), outcomes.get(key), shown.get(key))
    _text(pen, (GAP, plan.top + plan.rows * plan.row_height), foot, PALE)
    return canvas


def _cell(
    canvas: Image.Image,
    pen: ImageDraw.ImageDraw,
    plan: Layout,
    at: tuple[int, int],
    outcome: Outcome | None,
    picture: np.ndarray | None,
) -> None:
    left, top = at
    if picture is None:
        pen.rectangle((left, top, left + plan.tile - 1, top + plan.tile - 1), fill=EMPTY, outline=PALE)
        why = "Not drawn yet." if outcome is None else outcome.reason or "Its file is gone."
        _text(pen, (left + GAP, top + GAP), _wrapped(why, plan.tile - 2 * GAP)[:REASON_LINES], INK)
        return
    height, width = _fitted((picture.shape[0], picture.shape[1]), plan.tile)
    small = Image.fromarray(pixels.resize(np.ascontiguousarray(picture), (height, width)))
    canvas.paste(small, (left + (plan.tile - width) // 2, top + (plan.tile - height) // 2))
    if outcome is not None:
        _text(pen, (left, top + plan.tile + 2), _wrapped(caption(outcome), plan.tile)[:CAPTION_LINES], PALE)


def caption(outcome: Outcome) -> str:
    """The numbers under a picture."""
    said = [f"{outcome.seconds:.1f} s"] if outcome.preset and outcome.seconds is not None else []
    said += [f"kept error {outcome.kept_error:.2f}"] if outcome.kept_error is not None else []
    said += [f"CLIP {outcome.similarity:.2f}"] if outcome.similarity is not None else []
    return ", ".join([*said, *([outcome.note] if outcome.note and not outcome.preset else [])])


def _fitted(size: pixels.Size, tile: int) -> pixels.Size:
    """The size that fills a tile, its shape kept; small pictures are enlarged."""
    factor = tile / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


@cache
def _font() -> Any:
    return ImageFont.load_default(SIZE)


def _wrapped(text: str, width: int) -> list[str]:
    """Lines no wider than `width` pixels; a word that is longer alone is cut."""
    letters = max(4, int(width / (0.52 * SIZE)))
    lines = textwrap.wrap(" ".join(text.split()), letters, max_lines=40, placeholder=" ...")
    font = _font()
    fitting = []
    for line in lines:
        while len(line) > 1 and font.getlength(line) > width:
            line = line[:-2] + "…"
        fitting.append(line)
    return fitting


def _text(pen: ImageDraw.ImageDraw, at: tuple[int, int], lines: Sequence[str], colour: tuple[int, int, int]) -> None:
    for number, line in enumerate(lines):
        pen.text((at[0], at[1] + number * LINE), line, colour, font=_font())
