"""Layers over each other: the flat picture, and where each of them is seen. Plain.

Alpha is composited once and correctly, "over" in floats: soft edges keep their strength, and at every pixel what is
seen of all layers and of the canvas sums to one. Everything later goes by these visible masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from models.collage.layers import Collage, Layer
from models.contract import Placed
from models.pixels import Size, alpha_box, placement_matrix, to_bytes, warp

SEEN = 0.5 / 255  # of a pixel: less is nothing


@dataclass(frozen=True, eq=False)
class Stack:
    """Layers on a canvas, back to front.

    drawn: (L, H, W, 4) uint8, each alone at its place, straight alpha. flat: (H, W, 3) uint8, all over the canvas.
    visible: (L, H, W) float32 in 0..1, what is seen of each under those above it.
    """

    drawn: np.ndarray
    flat: np.ndarray
    visible: np.ndarray

    @property
    def uncovered(self) -> np.ndarray:
        """(H, W) float32 in 0..1: how much of the canvas is seen."""
        free: np.ndarray = np.clip(1 - self.visible.sum(axis=0), 0, 1)
        return free

    def unseen(self) -> list[int]:
        """The layers of which nothing is seen: they lie outside or are covered by others."""
        return [n for n, mask in enumerate(self.visible) if mask.max() < SEEN]


def compose(collage: Collage) -> Stack:
    """Draw the layers that are shown, back to front, over the collage's colour. Not to be written to: the last stack is
    kept, since a request is checked, resolved, run and recorded with the same layers."""
    return _stack(collage.shown, collage.size, collage.background)


@lru_cache(maxsize=1)  # layers never change, and are told apart by what they are in memory
def _stack(layers: tuple[Layer, ...], size: Size, background: tuple[int, int, int]) -> Stack:
    drawn = np.stack([draw(layer.placed, size) for layer in layers])
    canvas = np.empty((*size, 3), np.uint8)
    canvas[:] = background
    return Stack(drawn, over(canvas, drawn), visible_masks(drawn[..., 3]))


def draw(placed: Placed, size: Size) -> np.ndarray:
    """One placed cut-out alone on a transparent canvas, uint8 RGBA."""
    box = alpha_box(placed.image[..., 3])
    if box is None:
        return np.zeros((*size, 4), np.uint8)
    matrix = placement_matrix(box, size, placed.x, placed.y, placed.scale, placed.angle, placed.flip)
    return warp(placed.image, size, matrix)


def over(canvas: np.ndarray, drawn: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """RGBA pictures (L, H, W, 4) over an RGB one, back to front; uint8, rounded once at the end."""
    mixed = canvas.astype(np.float32)
    for layer in drawn:
        alpha = layer[..., 3:].astype(np.float32) / 255
        mixed = alpha * layer[..., :3] + (1 - alpha) * mixed
    return to_bytes(mixed)


def visible_masks(alphas: np.ndarray) -> np.ndarray:
    """alpha_i times the product of 1 - alpha_j over the layers j above it; uint8 (L, H, W) -> float32 in 0..1."""
    seen = np.empty(alphas.shape, np.float32)
    clear = np.ones(alphas.shape[1:], np.float32)
    for number in range(len(alphas) - 1, -1, -1):
        alpha = alphas[number].astype(np.float32) / 255
        seen[number] = alpha * clear
        clear = clear * (1 - alpha)
    return seen
