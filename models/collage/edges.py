"""What a ControlNet is shown of a collage, and how much each place heeds it (section 4.3). Plain."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

LOW, HIGH = 100, 200  # the authors' thresholds, of a gradient in grey levels


def canny(flat: np.ndarray, low: float = LOW, high: float = HIGH) -> np.ndarray:
    """(H, W) uint8, 255 on the edges of a flat collage (H, W, 3) uint8 and 0 elsewhere.

    The outlines of cut-outs and the border to a canvas that shows are edges too. An edge starts where the gradient is
    over `high` and goes on while it is over `low`.
    """
    found: np.ndarray = cv2.Canny(np.ascontiguousarray(flat), low, high)
    return found


def strength_map(visible: np.ndarray, canny: Sequence[float]) -> np.ndarray:
    """(H, W) float32 in 0..1: each layer's strength by what is seen of it, 0 where the canvas shows; not blurred.

    visible: (L, H, W) in 0..1; canny: (L,) strengths. Soft edges count once. The authors' web app pastes 8-bit values
    that have the mask in them already through the same mask, so that there a half covered pixel counts a quarter.
    """
    strengths = np.asarray(canny, np.float64)
    found: np.ndarray = np.tensordot(strengths, visible.astype(np.float64), axes=1).astype(np.float32)
    return found
