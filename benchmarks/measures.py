"""What is measured on pictures: PSNR within a region, boxes and how well they agree. Pictures are uint8 HxWx3."""

from __future__ import annotations

import math

import cv2
import numpy as np

from models.regions import drop_small

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels; edges, not pixel indices
PEAK = 255.0
IDENTICAL = 100.0  # dB reported where two regions do not differ at all; an infinite mean says nothing


def psnr(a: np.ndarray, b: np.ndarray, region: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB over all channels of `region` (bool HxW), or of the whole picture.

    Raises ValueError if the shapes differ or the region is empty.
    """
    if a.shape != b.shape:
        raise ValueError(f"Pictures of one size are needed; these are {a.shape} and {b.shape}.")
    squared = (a.astype(np.float64) - b) ** 2
    if region is not None:
        squared = squared[region]
    if not squared.size:
        raise ValueError("The region has no pixel.")
    error = float(squared.mean())
    return IDENTICAL if error == 0 else min(IDENTICAL, 10 * math.log10(PEAK**2 / error))


def scaled(box: Box, factor: float) -> Box:
    """The box grown about its centre by `factor`; it may leave the picture."""
    left, top, right, bottom = box
    across, down = (right - left) * (factor - 1) / 2, (bottom - top) * (factor - 1) / 2
    return left - across, top - down, right + across, bottom + down


def clipped(box: Box, size: tuple[int, int]) -> Box:
    """The part of the box inside a picture of (height, width)."""
    height, width = size
    left, top, right, bottom = box
    return max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))


def inside(box: Box, size: tuple[int, int]) -> np.ndarray:
    """Bool HxW: the pixels of a picture of (height, width) whose centres lie in the box."""
    left, top, right, bottom = box
    rows, columns = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    return ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))


def mask_box(mask: np.ndarray) -> Box | None:
    """The tight box of the non-zero pixels of a mask HxW, None if there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def box_iou(a: Box | None, b: Box | None) -> float:
    """Intersection over union of two boxes in 0..1; 0 if either is missing or empty."""
    if a is None or b is None:
        return 0.0
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    union = _area(a) + _area(b) - width * height
    return width * height / union


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


STRONG, WEAK = 24.0, 12.0  # grey levels: a piece of change must reach the one and extends down to the other
DARKEST = 0.35  # the deepest shadow, as a factor
FINE = 0.004  # of the shorter side: sigma of the smoothing that hides a decoder's noise, at least one pixel
FLOOR = 8.0  # added to both pictures, so that ratios of near-blacks stay calm


def changed_box(before: np.ndarray, after: np.ndarray) -> Box | None:
    """The box of what is new in `after`, blind to shadows, which only multiply what was there; None if nothing is.

    Per pixel the best darkening factor is taken out, what remains counts (with hysteresis, small pieces dropped).
    The constants were chosen on true fusions of the world's training half: there this box agrees with the object's
    box by IoU 0.87, plain differences by 0.74, since they take a cast shadow for part of the object.
    """
    sigma = max(1.0, FINE * min(before.shape[:2]))
    old, new = (cv2.GaussianBlur(p.astype(np.float32), (0, 0), sigma) + FLOOR for p in (before, after))
    shade = np.clip((new * old).sum(axis=2) / (old * old).sum(axis=2), DARKEST, 1.0)
    rest = np.abs(new - shade[..., None] * old).max(axis=2)
    rest = np.maximum(rest - np.median(rest), 0)
    _, pieces = cv2.connectedComponents((rest > WEAK).astype(np.uint8), connectivity=8)
    kept = np.isin(pieces, np.unique(pieces[rest > STRONG])) & (pieces > 0)
    return mask_box(drop_small(np.where(kept, np.uint8(255), np.uint8(0)), 4 * sigma * sigma))
