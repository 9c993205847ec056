"""The ladder as one picture to look at: the paste, every rung and the result, side by side. Plain."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from models.lettering import PAPER, line

NAMES = {
    "paste": "The paste",
    "gh": "GH: as one",
    "gh+ca": "+ CA: words in place",
    "gh+ca+ti": "+ TI: learned looks",
    "all": "+ noise per layer",
}
SIDE, GAP, HEAD, LETTERS = 384, 12, 44, 28  # pixels: a longer side at most, between pictures, the line above one
COLUMNS = 3  # more in a row, and nobody could read on a page what stands above them


def side_by_side(pictures: Mapping[str, np.ndarray]) -> np.ndarray:
    """Pictures of one size (H, W, 3) by the names of rungs, in order, each under its name; uint8."""
    tiles = [_tile(NAMES[name], picture) for name, picture in pictures.items()]
    blank = np.full_like(tiles[0], PAPER)
    tiles += [blank] * (-len(tiles) % COLUMNS)
    rows = [np.concatenate(tiles[n : n + COLUMNS], axis=1) for n in range(0, len(tiles), COLUMNS)]
    return np.concatenate(rows)


def _tile(name: str, picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    factor = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    shown = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    row = np.full((size[1], size[0] + GAP, 3), PAPER, np.uint8)
    row[:, : size[0]] = shown
    return np.concatenate([line(name, size[0] + GAP, HEAD, LETTERS), row])
