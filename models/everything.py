"""Every object of a picture at once: a click at each point of a grid, and of what overlaps the surest stays."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.masks import INCLUDE, Embedding, Sam2Masker, scaled

AT_ONCE = 64  # clicks in one pass of the decoder


def everything(
    masker: Sam2Masker,
    embedding: Embedding,
    grid: int = 16,
    least_score: float = 0.8,
    least_stability: float = 0.92,
    overlap: float = 0.7,
) -> tuple[np.ndarray, np.ndarray]:
    """Masks of all that is found, uint8 NxHxW of 0 and 255, and their expected IoU (N,), best first.

    `grid` points along each side are clicked. A candidate stays if its expected IoU reaches `least_score`, its
    outline moves little with the threshold (`least_stability`), and its box has no IoU above `overlap` with the
    box of a surer one.
    """
    clicks = grid_points(grid, embedding.size)
    logits, scores = [], []
    for start in range(0, len(clicks), AT_ONCE):
        points = scaled(clicks[start : start + AT_ONCE], embedding.size, masker.side)[:, None]
        found, expected = masker.decode(embedding, points, torch.full(points.shape[:2], INCLUDE), several=True)
        found, expected = found.flatten(0, 1), expected.flatten()
        good = (expected >= least_score) & (stability(found) >= least_stability) & (found > 0).flatten(1).any(1)
        logits.append(found[good])
        scores.append(expected[good])
    every, expected = torch.cat(logits), torch.cat(scores)
    kept = suppressed(boxes_of(every > 0).cpu().numpy(), expected.cpu().numpy(), overlap)
    masks = [masker.masks(embedding, every[k : k + 1]) for k in kept]  # one at a time: photographs are large
    full = np.concatenate(masks) if masks else np.zeros((0, *embedding.size), np.uint8)
    return full, expected.cpu().numpy()[kept]


def grid_points(grid: int, size: tuple[int, int]) -> list[tuple[float, float]]:
    """The middles of `grid` x `grid` equal parts of a picture of `size` (height, width), row by row."""
    height, width = size
    return [((x + 0.5) / grid * width, (y + 0.5) / grid * height) for y in range(grid) for x in range(grid)]


def stability(logits: Tensor, offset: float = 1.0) -> Tensor:
    """IoU (N,) of each mask cut at +offset with itself cut at -offset; 1 where both are empty."""
    inner, outer = ((logits > level).flatten(1).sum(1) for level in (offset, -offset))
    return torch.where(outer > 0, inner / outer.clamp_min(1), 1.0)


def boxes_of(masks: Tensor) -> Tensor:
    """Tight boxes (N, 4) of boolean masks (N, h, w), none of them empty: left, top, right and bottom exclusive."""
    sides = []
    for occupied in (masks.any(1), masks.any(2)):  # columns, rows
        length = occupied.shape[1]
        index = torch.arange(length, device=masks.device)
        low = torch.where(occupied, index, length).amin(1)
        high = torch.where(occupied, index + 1, 0).amax(1)
        sides.append((low, high))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], 1).float()


def suppressed(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> list[int]:
    """Greedy non-maximum suppression of boxes (N, 4): the places of those that stay, best first."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    waiting, kept = np.argsort(-scores, kind="stable"), []
    while waiting.size:
        best, waiting = int(waiting[0]), waiting[1:]
        kept.append(best)
        low = np.maximum(boxes[waiting, :2], boxes[best, :2])
        high = np.minimum(boxes[waiting, 2:], boxes[best, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        waiting = waiting[shared <= overlap * (area[waiting] + area[best] - shared)]
    return kept
