"""The contact sheet: one line per case, its pictures side by side with their numbers written under them."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw

from benchmarks.contract import Measured

TILE, TEXT, GAP = 96, 12, 4  # pixels
COLUMNS = 2  # lines of cases stand in two columns
LARGEST = 700_000  # bytes of the committed file
QUALITIES = (90, 80, 70, 60, 50, 40, 30, 20)


def draw(measured: Sequence[Measured]) -> Image.Image:
    """All cases in their order, none left out."""
    headings = list(measured[0].pictures)
    per_column = -(-len(measured) // COLUMNS)
    width, height = len(headings) * (TILE + GAP) + 2 * GAP, TILE + TEXT + GAP
    canvas = Image.new("RGB", (COLUMNS * width, TEXT + GAP + per_column * height), "white")
    pen = ImageDraw.Draw(canvas)
    for column in range(COLUMNS):
        for k, heading in enumerate(headings):
            pen.text((column * width + k * (TILE + GAP), 0), heading, "black")
    for i, one in enumerate(measured):
        column, line = divmod(i, per_column)
        top = TEXT + GAP + line * height
        for k, heading in enumerate(headings):
            left = column * width + k * (TILE + GAP)
            picture = Image.fromarray(one.pictures[heading]).convert("RGB")
            picture.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
            canvas.paste(picture, (left, top))
            pen.text((left, top + TILE), one.captions.get(heading, "")[:16], "black")
    return canvas


def write(measured: Sequence[Measured], path: Path) -> int:
    """Save the sheet as WebP within `LARGEST` bytes at the best quality that fits; returns the bytes written."""
    canvas = draw(measured)
    path.parent.mkdir(parents=True, exist_ok=True)
    for quality in QUALITIES:
        encoded = BytesIO()
        canvas.save(encoded, "WEBP", quality=quality, method=4)
        if encoded.tell() <= LARGEST:
            return path.write_bytes(encoded.getvalue())
    raise ValueError(f"{len(measured)} cases do not fit into {LARGEST} bytes; draw fewer.")
