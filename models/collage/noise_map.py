"""How free each place of the picture is: one noise level per pixel, made of the layers' own (section 4.1). Plain."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

BLUR = 10.0  # standard deviation in pixels of a canvas of 512, the authors' default; 20 in their toy box
CELL = 8  # pixels a side that one latent stands for


def noise_map(visible: np.ndarray, noise: Sequence[float], strength: float, blur: float = BLUR) -> np.ndarray:
    """(H, W) float32 in 0..1: every pixel's noise level, the layers' levels by what is seen of them.

    visible: (L, H, W) in 0..1; noise: (L,) levels. The canvas, where it is seen, gets `strength`. The edges are
    blurred, which makes neighbours come free at different steps; `blur` 0 leaves them hard.
    """
    levels = np.asarray(noise, np.float64)
    covered = visible.sum(axis=0, dtype=np.float64)
    mixed: np.ndarray = np.tensordot(levels, visible.astype(np.float64), axes=1) + (1 - covered) * strength
    return blurred(mixed, blur).astype(np.float32)


def blurred(levels: np.ndarray, blur: float) -> np.ndarray:
    """A Gaussian over the picture, whose own border is no edge; what is even stays as it is."""
    if blur <= 0:
        return levels
    soft = cv2.GaussianBlur(levels, (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
    within: np.ndarray = np.clip(soft, levels.min(), levels.max())
    return within


def cells(levels: np.ndarray, cell: int = CELL, lowest: bool = False) -> np.ndarray:
    """One value per latent: (H, W) -> (H / cell, W / cell). Its middle pixel's, as published; or the lowest one (ours),
    so that a latent is held as long as any pixel in it is, which matters where a layer is few latents wide."""
    if lowest:
        height, width = (side // cell for side in levels.shape)
        least: np.ndarray = levels.reshape(height, cell, width, cell).min(axis=(1, 3))
        return least
    return np.ascontiguousarray(levels[cell // 2 :: cell, cell // 2 :: cell])
