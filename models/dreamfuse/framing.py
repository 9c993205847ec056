"""From a request to the pictures that the network sees: the object on its own canvas, and the background."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.dreamfuse.buckets import choose_bucket, fit
from models.dreamfuse.placement import Affine, from_matrices
from models.dreamfuse.spec import DreamFuseRequest, object_matrix
from models.pixels import Size, alpha_box, flatten, resize, warp

OCCUPANCY = (0.4, 0.8)  # of the canvas's nearer side, as in the published samples (0.43 and 0.79)


@dataclass(frozen=True, eq=False)
class Framing:
    """Network inputs at bucket size (uint8): pictures HxWx3, the placed object's alpha HxW, and the placement."""

    foreground: np.ndarray
    background: np.ndarray
    placed_mask: np.ndarray
    affine: Affine


def frame(request: DreamFuseRequest, resolution: int) -> Framing:
    """Fit, turn, whiten and stretch both pictures to the bucket of the background.

    Turning and mirroring change the object's pixels, since the positional affine knows scale and shift only.
    A part of the object outside the scene is taken off the picture: squeezing the clipped box, or giving
    tokens ids beyond the canvas, would deform or misplace what is left.
    """
    height, width = request.background.shape[:2]
    bucket = choose_bucket(width, height, resolution)
    size = (bucket[1], bucket[0])
    stretch = np.diag([bucket[0] / width, bucket[1] / height])
    to_background = stretch @ object_matrix(request)
    placed = warp(request.foreground, size, to_background)
    if request.variant == "direct-transform":  # the pixels move instead of the ids
        own, affine = placed, Affine()
    else:
        to_canvas = stretch @ _fitted(request, object_matrix(request)[:, :2])
        if request.enlarge:
            to_canvas = _enlarged(request, to_canvas, to_background, size)
        affine = from_matrices(to_canvas, to_background)
        own = _visible(warp(request.foreground, size, to_canvas), affine)
    return Framing(flatten(own), resize(request.background, size), placed[..., 3], affine)


def _enlarged(request: DreamFuseRequest, to_canvas: np.ndarray, to_background: np.ndarray, size: Size) -> np.ndarray:
    """`to_canvas` with what is visible of the object in the canvas's middle, at 40 to 80 % of its nearer side."""
    canvas = _visible(warp(request.foreground, size, to_canvas), from_matrices(to_canvas, to_background))
    box = alpha_box(canvas[..., 3])
    if box is None:  # less than a pixel of it is visible: leave it where it is
        return to_canvas
    left, top, right, bottom = box
    occupancy = max((right - left) / size[1], (bottom - top) / size[0])
    factor = min(max(occupancy, OCCUPANCY[0]), OCCUPANCY[1]) / occupancy
    moved: np.ndarray = factor * to_canvas
    moved[:, 2] += (np.array(size[::-1]) - factor * np.array([left + right, top + bottom])) / 2
    return moved


def _fitted(request: DreamFuseRequest, linear: np.ndarray) -> np.ndarray:
    """The foreground, turned and mirrored like `linear`, fitted to the canvas by the published rule."""
    rows, columns = request.foreground.shape[:2]
    height, width = request.background.shape[:2]
    turned = linear / math.sqrt(abs(np.linalg.det(linear)))
    corners = turned @ np.array([[0, columns, 0, columns], [0, 0, rows, rows]], float)
    low, high = corners.min(axis=1), corners.max(axis=1)
    frame_size = (max(1, round(high[0] - low[0])), max(1, round(high[1] - low[1])))
    (new_width, new_height), padding = fit(frame_size, (width, height))
    scales = np.array([new_width / frame_size[0], new_height / frame_size[1]])
    shift = np.array(padding[:2]) - scales * low
    return np.column_stack([scales[:, None] * turned, shift])


def _visible(canvas: np.ndarray, affine: Affine) -> np.ndarray:
    """The RGBA canvas without what the placement puts outside the scene (a canvas of the same size)."""
    height, width = canvas.shape[:2]
    left, right = -affine.tx / affine.a, (width - affine.tx) / affine.a
    top, bottom = -affine.ty / affine.e, (height - affine.ty) / affine.e
    kept = np.zeros_like(canvas)
    rows = slice(max(0, round(top)), max(0, round(bottom)))
    columns = slice(max(0, round(left)), max(0, round(right)))
    kept[rows, columns] = canvas[rows, columns]
    return kept
