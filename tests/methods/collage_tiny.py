"""Every component of Collage Diffusion at toy size with random weights, as its presets name them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from models.cache import ModelCache
from models.collage import method
from models.collage.conditions import Parts
from models.collage.dials import Dials
from models.collage.layers import Layer
from models.collage.presets import PRESETS
from models.collage.spec import CollageRequest
from models.contract import Placed, Preset
from tests import tiny
from tests.methods import cat_parts
from tests.methods.dreamfuse_tiny import clip_tokenizer

SIDE = 64
TEXTS = ("green wall", "red box", "ball")
LOOK = {"steps": 4, "batch": 1, "learning_rate": 1e-2, "every": 2, "at_once": 8}


def _small(name: str) -> Preset:
    """The preset at toy size, in float32."""
    preset = PRESETS[name]
    components = {n: dataclasses.replace(w, dtype=w.dtype and "float32") for n, w in preset.components.items()}
    settings = {**preset.settings, "multiple": 16, "look": LOOK, "prediction": "epsilon"}
    return dataclasses.replace(preset, components=components, size=SIDE, steps=5, settings=settings)


POCKET, FULL = _small("pocket"), _small("full")


def components() -> dict[str, Any]:
    """By the presets' names; the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return {
            "tokenizer": clip_tokenizer(),
            "text_encoder": cat_parts.text_encoder(),
            "vae": cat_parts.vae(),
            "unet": tiny.unet(),
            "controlnet": tiny.controlnet(),
        }


@contextmanager
def parts(preset: Preset = POCKET, made: dict[str, Any] | None = None) -> Iterator[Parts]:
    """What the runtime would hand to `run`."""
    made = made or components()
    by_weights = {weights: made[name] for name, weights in preset.components.items()}
    with ModelCache(by_weights.__getitem__).lease(preset.components) as lease:
        yield method.load(lease, preset, "cpu")


def layer(text: str, x: float, y: float, scale: float, colour: tuple[int, int, int], **dials: float) -> Layer:
    """A rectangle of one colour, half as high as the canvas where it is as wide."""
    image = np.full((24, 32, 4), 255, np.uint8)
    image[..., :3] = colour
    return Layer(Placed(image, x, y, scale, prompt=text), Dials(**dials))


def request(**changes: Any) -> CollageRequest:
    """A green wall over the whole canvas of 64 pixels, a red box on the left and a ball on the right."""
    layers = (
        layer(TEXTS[0], 0.5, 0.5, 1.4, (30, 120, 40), noise=0.8),
        layer(TEXTS[1], 0.3, 0.5, 0.4, (200, 20, 20), noise=0.4),
        layer(TEXTS[2], 0.75, 0.6, 0.25, (20, 40, 220), noise=0.2),
    )
    fields: dict[str, Any] = {"layers": layers, "width": SIDE, "height": SIDE, "seed": 5, "steps": 5}
    fields |= {"guidance_scale": 4.0, "prompt": "a red box and a ball in front of a green wall", "blur": 0.0}
    return CollageRequest(**(fields | changes))
