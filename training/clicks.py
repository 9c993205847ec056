"""What a user would click: points inside a region, boxes drawn by a not quite steady hand, corrections.

Masks may be on any device; what is drawn comes from a CPU generator, so that it is the same on all of them.
"""

from __future__ import annotations

import torch
from torch import Tensor


def spots_in(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices (N, count) of pixels of maps (N, H, W), drawn in proportion to their values; anywhere in an empty map."""
    flat = weights.flatten(1).float()
    reached = (flat + (flat.amax(1, keepdim=True) <= 0)).cumsum(1)
    # Ten times sooner on a CPU than `multinomial` with as many outcomes as there are pixels.
    drawn = torch.rand(len(flat), count, generator=generator).to(flat.device) * reached[:, -1:]
    return torch.searchsorted(reached, drawn, right=True).clamp_max(flat.shape[1] - 1)


def points_in(regions: Tensor, generator: torch.Generator) -> Tensor:
    """One pixel of each region (N, H, W), drawn evenly: (N, 2) float x, y. An empty region gives one from anywhere."""
    chosen = spots_in(regions, 1, generator)[:, 0]
    width = regions.shape[2]
    return torch.stack([chosen % width, chosen // width], 1).float()


def boxes_of(regions: Tensor) -> Tensor:
    """Tight boxes (N, 4) float x0, y0, x1, y1 of regions (N, H, W), right and bottom exclusive; zeros if empty."""
    solid = regions > 0
    sides = []
    for occupied in (solid.any(1), solid.any(2)):
        length = occupied.shape[1]
        index = torch.arange(length, device=occupied.device)
        low = torch.where(occupied, index, length).amin(1)
        high = torch.where(occupied, index + 1, 0).amax(1)
        sides.append((torch.where(high > 0, low, 0), high))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], 1).float()


def shaken(boxes: Tensor, size: int, generator: torch.Generator, amount: float = 0.1) -> Tensor:
    """Boxes (N, 4) as SAM is trained on them: each side off by a normal share of the box's length, a fiftieth of the
    picture's `size` at most, and inside the picture."""
    lengths = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    noise = torch.randn(boxes.shape, generator=generator).to(boxes.device) * amount * lengths
    return (boxes + noise.clamp(-size / 50, size / 50)).clamp(0, size)


def corrections(wanted: Tensor, found: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A point (N, 2) in what is wrong between boolean masks (N, H, W), and its label (N,): 1 where something is
    missing, 0 where there is too much. Where nothing is wrong it is a point inside what is wanted, labelled 1."""
    wrong = wanted ^ found
    right = ~wrong.flatten(1).any(1)
    points = points_in(torch.where(right[:, None, None], wanted, wrong), generator)
    x, y = points.long().unbind(1)
    missing = wanted[torch.arange(len(wanted), device=wanted.device), y, x]
    return points, (missing | right).long()
