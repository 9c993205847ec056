"""The collage of three rectangles that the published numbers are about, and networks small enough to run it on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.collage.dials import Dials
from models.collage.layers import Collage, Layer
from models.contract import Placed

Box = tuple[int, int, int, int]  # rows from, to; columns from, to
BOXES: tuple[Box, ...] = ((0, 512, 0, 512), (100, 300, 50, 250), (200, 400, 150, 350))
COLOURS = ((10, 20, 30), (200, 0, 0), (0, 200, 0))
TEXTS = ("sky", "red box", "ball")
PROMPT = "a sky, a red box and a ball"


def layer(box: Box, colour: Sequence[int] = (9, 9, 9), alpha: int = 255, text: str = "", side: int = 512) -> Layer:
    """A rectangle on a picture as large as the canvas, placed so that every pixel falls on its own."""
    top, bottom, left, right = box
    image = np.zeros((side, side, 4), np.uint8)
    image[top:bottom, left:right] = (*colour, alpha)
    placed = Placed(image, (left + right) / 2 / side, (top + bottom) / 2 / side, (right - left) / side, prompt=text)
    return Layer(placed)


def collage(top_alpha: int = 255, noise: Sequence[float] = (0.8, 0.5, 0.2)) -> Collage:
    """Three rectangles, back to front; the top one may be translucent."""
    alphas = (255, 255, top_alpha)
    made = [
        layer(box, colour, alpha, text).replace(dials=Dials(noise=level))
        for box, colour, alpha, text, level in zip(BOXES, COLOURS, alphas, TEXTS, noise, strict=True)
    ]
    return Collage(PROMPT, tuple(made))
