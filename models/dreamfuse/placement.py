"""Positional affine (section 3.2): the placement of the object as fractional position ids of its tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.pixels import Box, alpha_box

TOKEN = 16  # pixels per token: 8x8 of the autoencoder times 2x2 of the packing


@dataclass(frozen=True)
class Affine:
    """x -> a x + tx, y -> e y + ty from the foreground's canvas to the background, both of bucket size (pixels)."""

    a: float = 1.0
    tx: float = 0.0
    e: float = 1.0
    ty: float = 0.0

    def stretched(self, across: float, down: float) -> Affine:
        """The same placement after both canvases are stretched by these factors: only the translation changes."""
        return Affine(self.a, self.tx * across, self.e, self.ty * down)


def from_boxes(new: tuple[float, ...], original: tuple[float, ...]) -> Affine:
    """The map that takes the `original` box to the `new` one; boxes are (left, top, right, bottom), exclusive."""
    a = (new[2] - new[0]) / (original[2] - original[0])
    e = (new[3] - new[1]) / (original[3] - original[1])
    return Affine(a, new[0] - a * original[0], e, new[1] - e * original[1])


def from_masks(new: np.ndarray, original: np.ndarray, threshold: int = 128) -> Affine:
    """`from_boxes` of two HxW masks; the identity if one is empty. The authors' threshold is 1, which lets one
    faint speck blow a box up; ours is 128."""
    boxes: list[Box | None] = [
        alpha_box(mask, threshold) if (mask >= threshold).any() else None for mask in (new, original)
    ]
    return Affine() if boxes[0] is None or boxes[1] is None else from_boxes(boxes[0], boxes[1])


def from_matrices(to_canvas: np.ndarray, to_background: np.ndarray) -> Affine:
    """The map between two 2x3 placements of one foreground that differ by scale and translation only.

    Needs no raster, so it has neither the rounding of boxes nor the halo of resized masks.
    """
    canvas, background = (np.vstack([m, [0, 0, 1]]) for m in (to_canvas, to_background))
    between = background @ np.linalg.inv(canvas)
    assert abs(between[0, 1]) + abs(between[1, 0]) < 1e-6 * abs(between[0, 0]), "the placements differ by a turn"
    return Affine(*(float(v) for v in (between[0, 0], between[0, 2], between[1, 1], between[1, 2])))


def grid_ids(rows: int, columns: int) -> Tensor:
    """Plain ids of noisy and background tokens: float32 (rows * columns, 3) of (0, row, column)."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([torch.zeros_like(row), row, column], dim=-1).reshape(-1, 3).float()


def affine_ids(affine: Affine, rows: int, columns: int) -> Tensor:
    """Ids of the foreground tokens, float32 (rows * columns, 3), exactly as the published weights saw them.

    The paper resamples the grid of ids bilinearly through the map: sample points at pixel centres, but pulled
    apart as if the corners were aligned, and zero outside. So the identity does not give the plain grid, a
    one-token rim is drawn towards 0, and what lands outside has the id (0, 0, 0). Keep the ids in float32:
    in bfloat16 they are off by up to a quarter token.
    """
    u, v = _sample_points(affine.a, affine.tx, columns), _sample_points(affine.e, affine.ty, rows)
    row = _value(v, rows)[:, None] * _coverage(u, columns)[None]
    column = _coverage(v, rows)[:, None] * _value(u, columns)[None]
    return _stacked(row, column)


def centred_ids(affine: Affine, rows: int, columns: int) -> Tensor:
    """An experiment of ours: token centres mapped to token centres, without shift, rim or limit."""
    u = affine.a * (torch.arange(columns, dtype=torch.float64) + 0.5) - 0.5 + affine.tx / TOKEN
    v = affine.e * (torch.arange(rows, dtype=torch.float64) + 0.5) - 0.5 + affine.ty / TOKEN
    return _stacked(v[:, None].expand(rows, columns), u[None].expand(rows, columns))


def _sample_points(scale: float, shift: float, count: int) -> Tensor:
    places = torch.arange(count, dtype=torch.float64) + 0.5
    return scale * places * (count - 1) / count + shift / TOKEN


def _coverage(x: Tensor, count: int) -> Tensor:
    """How much of a bilinear sample at x lies inside 0..count-1: 1 inside, 0 from one token outside."""
    return torch.minimum(1 + x, count - x).clamp(0, 1)


def _value(x: Tensor, count: int) -> Tensor:
    """The bilinear sample of 0, 1, .. count-1 at x, with zeros outside."""
    return torch.where(x <= count - 1, x.clamp(min=0), (count - 1) * (count - x).clamp(min=0))


def _stacked(row: Tensor, column: Tensor) -> Tensor:
    return torch.stack([torch.zeros_like(row), row, column], dim=-1).reshape(-1, 3).float()
