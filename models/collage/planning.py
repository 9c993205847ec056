"""From a request to what is denoised: where the run starts, how free each place is, and at which size. Plain.

Lengths in a request are pixels of a canvas of 512; here they are brought to the canvas's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models import pixels
from models.collage import editing
from models.collage.composing import Stack, compose
from models.collage.layers import SIZE
from models.collage.noise_map import cells, noise_map
from models.collage.spec import CollageRequest
from models.contract import Preset
from models.pixels import Size
from models.sizes import near_square


@dataclass(frozen=True, eq=False)
class Course:
    """One run.

    stack: the layers at the canvas's size; base: (H, W, 3) uint8, what the run starts from; levels: (H, W) float32,
    the noise level of every pixel; strength: the one that the run starts at. edit: for a change of a finished picture.
    size: (height, width) that is worked at.
    """

    stack: Stack
    base: np.ndarray
    levels: np.ndarray
    strength: float
    edit: editing.Plan | None
    size: Size
    lowest: bool = False  # whether a latent that holds a kept pixel is kept whole

    @property
    def working(self) -> np.ndarray:
        """`base` at working size."""
        return pixels.resize(self.base, self.size)

    @property
    def visible(self) -> np.ndarray:
        """(L, h, w) float32: what is seen of each layer at working size."""
        return np.stack([pixels.resize(mask, self.size) for mask in self.stack.visible])

    @property
    def latent_levels(self) -> np.ndarray:
        """(h / 8, w / 8) float32: the noise level of every latent."""
        return cells(pixels.resize(self.levels, self.size), lowest=self.lowest)


def course(request: CollageRequest, preset: Preset) -> Course:
    """The run of a request that has passed its checks."""
    collage = request.collage
    stack = compose(collage)
    side = preset.size if request.resolution == "auto" else int(request.resolution)
    size = near_square(collage.size, side, int(preset.settings["multiple"]))
    lowest = bool(preset.settings.get("hold_whole_latents"))
    unit = math.sqrt(math.prod(collage.size) / math.prod(SIZE))
    if request.previous is not None:
        edit = _edit(request, request.previous, stack, unit)
        return Course(stack, edit.base, edit.levels, edit.strength, edit, size, lowest)
    noise = [layer.dials.noise for layer in collage.shown]
    strength = request.strength or max(noise)
    levels = noise_map(stack.visible, noise, strength, request.blur * unit)
    return Course(stack, stack.flat, levels, strength, None, size, lowest)


def _edit(request: CollageRequest, previous: np.ndarray, stack: Stack, unit: float) -> editing.Plan:
    return editing.plan(
        previous,
        stack,
        request.chosen,
        request.change,
        request.edit_mode,  # type: ignore[arg-type]
        request.keep,
        request.uncovered,  # type: ignore[arg-type]
        request.blur * unit,
        request.reach * unit,
    )
