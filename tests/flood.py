"""A click model without weights whose answer anyone can work out: what has the colour of a click, and touches it.

It goes through the real request, arithmetic, page and canvas; `grabcut` stays the real one. For browser tests.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np

from models import runtime
from models.corrections import applied, proposals
from models.cutout import Point
from models.pixels import Box
from models.segment import GRABCUT, Segmented, SegmentRequest, finish, grounded

SLOW = 0.6  # seconds for a single click, so that a second one overtakes it
QUICK = 0.05
EMBED = 0.4  # seconds to get a picture ready
TOLERANCE = 12
UNSURE = 0.35


def flooded(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """uint8 HxW: 255 where the colour is within 12 levels of the one at (x, y) and a path of such leads there."""
    seen = np.zeros((image.shape[0] + 2, image.shape[1] + 2), np.uint8)
    seed = (min(int(x), image.shape[1] - 1), min(int(y), image.shape[0] - 1))
    flags = 4 | (255 << 8) | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY
    cv2.floodFill(image.copy(), seen, seed, 0, (TOLERANCE,) * 3, (TOLERANCE,) * 3, flags)
    return seen[1:-1, 1:-1]


def found(
    image: np.ndarray, points: Sequence[Point], labels: Sequence[int], box: Box | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """One candidate, as a `Masker` gives it: the union of the included floods, or the box, less the excluded floods."""
    mask = np.zeros(image.shape[:2], np.uint8)
    if box is not None:
        left, top, right, bottom = box
        mask[top:bottom, left:right] = 255
    for wanted in (1, 0):
        for (x, y), label in zip(points, labels, strict=True):
            if label == wanted:
                mask[flooded(image, x, y) > 0] = 255 * wanted
    return mask[None], np.array([UNSURE if mask.mean() > 100 else 0.93])


def install() -> None:
    """Answer clicks with floods; a mask of most of the picture is one that the model is unsure of."""
    real = runtime.segment

    def segment(request: SegmentRequest, stop: threading.Event | None = None) -> Segmented:
        if request.model == GRABCUT:
            return real(request, stop)
        time.sleep(SLOW if len(request.points) == 1 and request.paint is None else QUICK)
        request = grounded(request)
        steps = proposals(request, partial(found, request.image))
        mask = finish(request, applied(request.start, steps, request.image.shape[:2]))
        score = min((step.score for step in steps), default=None)
        return Segmented(mask, score, {"model": "pocket", "device": "cpu", "seconds": 0.0})

    runtime.segment = segment
    runtime.embed = lambda image, model="auto", stop=None: time.sleep(EMBED)
