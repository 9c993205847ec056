"""Clicks on a picture that has a mask already: what they find is added to the mask or taken away from it. Plain.

Each excluding click that falls on the mask asks what lies under it, by itself, so that two of them are two things and
not everything between them. Including clicks and the box ask for one object, as they do where there is no mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from models.cutout import Point
from models.pixels import Box
from models.regions import combine, grow, shrink

Labels = Sequence[int]
Ask = Callable[[Sequence[Point], Labels, Box | None], tuple[np.ndarray, np.ndarray]]  # as `Masker.mask`
LEFT = 0.1  # of the mask that one excluding click leaves at least: nobody drops a mask to click it away
BITE = 0.012  # of the picture's longer side: what is taken where nothing smaller than the mask is found
RIM = 0.008  # the same; how far the outlines of a mask and of what is taken from it may lie apart


@dataclass(frozen=True, eq=False)
class Proposal:
    """A mask (uint8 HxW) that is to be added to what there was, or taken away, and how sure the model is of it."""

    mask: np.ndarray
    score: float
    adds: bool


def proposals(request: Any, ask: Ask) -> list[Proposal]:
    """What a `SegmentRequest` with clicks or a box asks of a model, in the order in which it is applied: what is
    taken first, so that an included object is whole."""
    included, excluded = (
        [p for p, label in zip(request.points, request.labels, strict=True) if label == wanted] for wanted in (1, 0)
    )
    added = []
    if included or request.box is not None:
        masks, scores = ask(request.points, request.labels, request.box)
        added = [Proposal(masks[0], float(scores[0]), adds=True)]
    if request.start is None:
        return added
    whole = applied(request.start, added, request.start.shape) >= 128
    taken = []
    for point in (p for p in excluded if _at(request.start, p) >= 128):
        masks, scores = ask([point, *included], [1, *(0 for _ in included)], None)
        taken.append(_taken(whole, point, masks, scores))
    return taken + added


def applied(start: np.ndarray | None, found: Sequence[Proposal], size: tuple[int, int]) -> np.ndarray:
    """The mask, uint8 HxW of `size`, after everything that was found."""
    mask = np.zeros(size, np.uint8) if start is None else start
    for proposal in found:
        mask = combine(mask, proposal.mask, "add") if proposal.adds else _without(mask, proposal.mask)
    return mask


def _taken(whole: np.ndarray, point: Point, masks: np.ndarray, scores: np.ndarray) -> Proposal:
    """The likeliest candidate that leaves something of the whole; a bite around the click where there is none."""
    for mask, score in zip(masks, scores, strict=True):
        if _at(mask, point) >= 128 and (whole & (mask < 128)).sum() >= LEFT * whole.sum():
            return Proposal(mask, float(score), adds=False)
    bite = np.zeros(whole.shape, np.uint8)
    x, y = (int(v) for v in point)
    cv2.circle(bite, (x, y), max(2, round(BITE * max(whole.shape))), 255, thickness=-1)
    return Proposal(bite, float(scores[0]), adds=False)


def _without(mask: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """The mask less what is taken, and less the thin rim that two outlines of one object leave between them."""
    reach = max(1.0, RIM * max(mask.shape))
    rest = combine(mask, taken, "subtract")
    solid = grow(shrink(rest, reach), reach + 1)
    return np.where((grow(taken, reach) >= 128) & (solid < rest // 2), np.uint8(0), rest)


def _at(mask: np.ndarray, point: Point) -> int:
    height, width = mask.shape
    return int(mask[min(int(point[1]), height - 1), min(int(point[0]), width - 1)])
