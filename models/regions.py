"""Masks as pictures: uint8 HxW, 0 = keep, 255 = may change, soft values between. Every function returns a new mask."""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np


def _disc(radius: float) -> np.ndarray:
    reach = math.floor(radius)
    axis = np.arange(-reach, reach + 1)
    return (axis[:, None] ** 2 + axis[None, :] ** 2 <= radius * radius).astype(np.uint8)


def grow(mask: np.ndarray, radius: float) -> np.ndarray:
    """Dilate by a disc of `radius` pixels; a negative radius shrinks. Soft edges stay as soft as they were."""
    if radius < 0:
        return shrink(mask, -radius)
    if radius < 1:
        return mask.copy()
    grown: np.ndarray = cv2.dilate(mask, _disc(radius))
    return grown


def shrink(mask: np.ndarray, radius: float) -> np.ndarray:
    """Erode by a disc of `radius` pixels; the picture's own border does not erode."""
    if radius < 0:
        return grow(mask, -radius)
    if radius < 1:
        return mask.copy()
    shrunk: np.ndarray = cv2.erode(mask, _disc(radius))
    return shrunk


def feather(mask: np.ndarray, radius: float) -> np.ndarray:
    """Soften the edge both ways: a Gaussian whose reach (two sigma) is `radius` pixels; 0 changes nothing."""
    if radius <= 0:
        return mask.copy()
    soft: np.ndarray = cv2.GaussianBlur(mask, (0, 0), radius / 2, borderType=cv2.BORDER_REPLICATE)
    return soft


def feather_inward(mask: np.ndarray, radius: float) -> np.ndarray:
    """Float32 HxW weights in 0..1 that rise from the mask's edge inward over `radius` pixels.

    Exactly 0 wherever the mask is 0, so nothing outside is touched; the picture's own border is no edge.
    """
    weights = mask.astype(np.float32) / 255
    if radius <= 0:
        return weights
    inside = (mask > 0).astype(np.uint8)
    depth: np.ndarray = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return weights * np.clip(depth / (radius + 1), 0, 1).astype(np.float32)


def invert(mask: np.ndarray) -> np.ndarray:
    """255 - mask."""
    inverse: np.ndarray = 255 - mask
    return inverse


def combine(a: np.ndarray, b: np.ndarray, how: Literal["add", "subtract", "intersect"]) -> np.ndarray:
    """Two masks of one size as fuzzy sets: max(a, b), min(a, 255 - b) or min(a, b)."""
    if how == "add":
        return np.where(a > b, a, b)
    other = invert(b) if how == "subtract" else b
    return np.where(a < other, a, other)


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Set to 255 every hole: pixels below 128 that no path of such pixels joins to the picture's border."""
    # A rim of background joins everything outside, so that one flood from the corner reaches all of it.
    outside = cv2.copyMakeBorder((mask < 128).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    holes = (outside == 1) & (labels != labels[0, 0])
    return np.where(holes[1:-1, 1:-1], np.uint8(255), mask)


def keep_largest(mask: np.ndarray) -> np.ndarray:
    """Keep the largest connected piece (8-neighbours, pixels >= 128) with its soft rim; drop the others."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask >= 128).astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask.copy()
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    # Soft rim pixels lie below 128: they belong to whichever piece is nearest.
    _, nearest = cv2.distanceTransformWithLabels(
        (mask < 128).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(int(nearest.max()) + 1, np.int32)
    owner[nearest[mask >= 128]] = labels[mask >= 128]
    return np.where(owner[nearest] == largest, mask, np.uint8(0))


def drop_small(mask: np.ndarray, area: float) -> np.ndarray:
    """Drop connected pieces (8-neighbours, pixels > 0) of fewer than `area` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= area
    keep[0] = False
    return np.where(keep[labels], mask, np.uint8(0))
