"""Where the words of a prompt act, as one picture to look at. Plain."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from models.lettering import PAPER, line

SIDE, GAP, HEAD, COLUMNS = 160, 8, 28, 4  # pixels of a tile, between tiles, of the line above one; tiles in a row
LETTERS = 18  # pixels: a phone shows the sheet at half its size

Named = Sequence[tuple[str, np.ndarray]]


def word_sheet(picture: np.ndarray, rows: Sequence[tuple[str, Named]]) -> np.ndarray:
    """Tiles of words in titled rows, uint8: each word's map (h, w) in 0..1 in colours over the gray picture."""
    height, width = picture.shape[:2]
    factor = SIDE / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    gray = cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    strips = [strip for title, named in rows for strip in _row(gray, title, named)]
    return np.concatenate(strips) if strips else np.full((HEAD, SIDE, 3), PAPER, np.uint8)


def _row(gray: np.ndarray, title: str, named: Named) -> list[np.ndarray]:
    width = COLUMNS * (gray.shape[1] + GAP)
    strips = [line(title, width, HEAD, LETTERS)]
    for start in range(0, len(named), COLUMNS):
        tiles = [_tile(gray, word, found) for word, found in named[start : start + COLUMNS]]
        strip = np.concatenate(tiles, axis=1)
        missing = ((0, 0), (0, width - strip.shape[1]), (0, 0))
        strips.append(np.stack([np.pad(strip[..., c], missing[:2], constant_values=PAPER[c]) for c in range(3)], -1))
    return strips


def _tile(gray: np.ndarray, word: str, found: np.ndarray) -> np.ndarray:
    size = gray.shape[1], gray.shape[0]
    levels = cv2.resize(np.ascontiguousarray(found, np.float32), size, interpolation=cv2.INTER_CUBIC).clip(0, 1)
    colours = cv2.cvtColor(cv2.applyColorMap((255 * levels).astype(np.uint8), cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    weight = 0.35 + 0.45 * levels[..., None]
    shown = np.rint(gray[..., None] * (1 - weight) + colours * weight).astype(np.uint8)
    tile = np.full((HEAD + size[1] + GAP, size[0] + GAP, 3), PAPER, np.uint8)
    tile[:HEAD, : size[0]] = line(word, size[0], HEAD, LETTERS)
    tile[HEAD : HEAD + size[1], : size[0]] = shown
    return tile
