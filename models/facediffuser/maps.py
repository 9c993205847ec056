"""How the two models shared the picture: both saliencies and the mask of every step that both ran."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from models import latents
from models.facediffuser.denoising import State

SIDE = 96  # pixels of a tile
SHADE = 0.35  # of the brightness that the scene model's places keep under the mask


class Maps:
    """Columns of one picture's strip, added as its steps come by.

    `steps` are the iterations that both models ran, from 0, and `areas` the subject model's share of the places in
    each. basis: colours of latents, `latents.fit_preview`'s.
    """

    def __init__(self, basis: Tensor) -> None:
        self._basis = basis
        self._columns: list[np.ndarray] = []
        self.steps: list[int] = []
        self.areas: list[float] = []

    def add(self, state: State) -> None:
        """A state of the loop, of which the first picture counts; one that a single model made adds nothing."""
        if state.mask is None or state.saliency_t is None or state.saliency_s is None:
            return
        self.steps.append(state.step)
        self.areas.append(round(float(state.mask[0].float().mean()), 4))
        maps = _comparable(state.saliency_t[0], state.saliency_s[0])
        estimate = latents.preview(state.denoised, self._basis, SIDE)
        tiles = [*(_coloured(one) for one in maps), _masked(estimate, state.mask[0].cpu().numpy())]
        self._columns.append(np.concatenate([_square(tile) for tile in tiles]))

    def strip(self) -> np.ndarray | None:
        """uint8 (3 * SIDE, F * SIDE, 3): a column for each of `steps`; rows are the scene model's saliency, the subject
        model's, and the clean estimate, bright where the subject model drew. None where both never ran."""
        return np.concatenate(self._columns, axis=1) if self._columns else None


def _comparable(*maps: Tensor) -> list[np.ndarray]:
    """Saliencies (h, w) as the fusion compares them, logarithms of their softmax, together in 0..1."""
    logarithms = torch.stack([one.float() - one.float().flatten().logsumexp(0) for one in maps])
    low, high = logarithms.min(), logarithms.max()
    scaled: np.ndarray = ((logarithms - low) / (high - low).clamp_min(1e-9)).cpu().numpy()
    return list(scaled)


def _coloured(found: np.ndarray) -> np.ndarray:
    levels = np.rint(255 * found).astype(np.uint8)
    tile: np.ndarray = cv2.cvtColor(cv2.applyColorMap(_scaled(levels), cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    return tile


def _masked(estimate: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The estimate, gray and dim where the scene model drew."""
    own = _scaled(mask.astype(np.uint8))[..., None].astype(bool)
    picture = _scaled(estimate)
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
    return np.where(own, picture, np.rint(SHADE * gray).astype(np.uint8))


def _scaled(tile: np.ndarray) -> np.ndarray:
    """The longer side as `SIDE`, whole cells."""
    factor = SIDE / max(tile.shape[:2])
    size = max(1, round(tile.shape[1] * factor)), max(1, round(tile.shape[0] * factor))
    scaled: np.ndarray = cv2.resize(tile, size, interpolation=cv2.INTER_NEAREST)
    return scaled


def _square(tile: np.ndarray) -> np.ndarray:
    """Between black bars."""
    height, width = tile.shape[:2]
    above, left = (SIDE - height) // 2, (SIDE - width) // 2
    return np.pad(tile, ((above, SIDE - height - above), (left, SIDE - width - left), (0, 0)))
