"""A fusion sample seen through a window about its object: what decides an object's outline and light is near it, and a
third of the tokens costs a quarter of the time."""

from __future__ import annotations

from math import isqrt

import torch
from torch import Tensor

from training.pool import Sample

PARTS = {"fused": 1, "near": 1, "seen": 2, "ids": 3}  # pictures of S tokens each that these rows hold


def window(rows: Sample, side: int, generator: torch.Generator) -> Sample:
    """The rows, of square pictures, with the tokens of a window of `side` x `side` in each of their pictures.

    Every row must be told its place by direct transform, so that its pictures lie on one another; positions stay
    those of the whole picture. The window shakes about the object by a quarter of its side and stays inside.
    """
    chosen = _tokens(rows["near"], side, generator)
    length = rows["near"].shape[1]

    def seen(name: str, values: Tensor) -> Tensor:
        if name not in PARTS:
            return values
        index = torch.cat([chosen + k * length for k in range(PARTS[name])], 1)
        return values[torch.arange(len(values), device=values.device)[:, None], index]

    return {name: seen(name, values) for name, values in rows.items()}


def _tokens(near: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Indices (N, side^2) of the tokens of a window about those that `near` (N, S) marks."""
    whole = isqrt(near.shape[1])
    marks = near.view(-1, whole, whole)
    places = torch.arange(whole, device=near.device) + 0.5
    total = near.sum(1).clamp_min(1)
    corners = []
    for direction in (2, 1):  # rows, then columns
        centre = (marks.sum(direction) * places).sum(1) / total
        shake = (torch.rand(len(near), generator=generator).to(near.device) - 0.5) * side / 2
        corners.append((centre + shake - side / 2).round().clamp(0, whole - side).long())
    ahead = torch.arange(side, device=near.device)
    down, across = (corner[:, None] + ahead for corner in corners)
    return (down[:, :, None] * whole + across[:, None, :]).flatten(1)
