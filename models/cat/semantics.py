"""What the semantic inpainter did, as a picture: cosines of features with those of the finished picture."""

from __future__ import annotations

import cv2
import numpy as np
import torch.nn.functional as F
from torch import Tensor

from models.cat.preprocess import resized

SIDE, GAP, HEAD = 320, 12, 34  # pixels: of a panel's longer side, between the panels, of the line above them
INK, PAPER = (38, 38, 48), (250, 250, 252)


def similarity(features: Tensor, truth: Tensor) -> np.ndarray:
    """Cosine of each token of (1, N, C) with the same token of (1, N, C): float32 (N,) in -1..1."""
    found: np.ndarray = F.cosine_similarity(features[0].float(), truth[0].float(), dim=1).cpu().numpy()
    return found


def heat_maps(picture: np.ndarray, patch_mask: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Two panels, uint8: patches of the hole (`patch_mask` gxg) coloured by cosines (g*g,), over a gray picture."""
    height, width = picture.shape[:2]
    factor = SIDE / max(height, width)
    small = resized(picture, (max(1, round(height * factor)), max(1, round(width * factor))))
    panels = [_panel(small, patch_mask, values, name) for name, values in (("before", before), ("after", after))]
    gap = np.full((panels[0].shape[0], GAP, 3), PAPER, np.uint8)
    return np.concatenate([panels[0], gap, panels[1]], axis=1)


def _panel(picture: np.ndarray, patch_mask: np.ndarray, values: np.ndarray, name: str) -> np.ndarray:
    size = picture.shape[1], picture.shape[0]
    gray = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    levels = (255 * values.reshape(patch_mask.shape).clip(0, 1)).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    colours, hole = (cv2.resize(x, size, interpolation=cv2.INTER_NEAREST) for x in (colours, patch_mask))
    shown = np.where(hole[..., None] > 0, colours, (0.6 * gray + 100).clip(0, 255).astype(np.uint8))
    head = np.full((HEAD, size[0], 3), PAPER, np.uint8)
    mean = float(values[patch_mask.ravel() > 0].mean()) if patch_mask.any() else 0.0
    cv2.putText(head, f"{name}: {mean:.2f}", (4, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.6, INK, 1, cv2.LINE_AA)
    return np.concatenate([head, shown])
