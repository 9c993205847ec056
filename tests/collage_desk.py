"""Layers, and the request fields that hold them, for the tests of the collage's page."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.collage.dials import Dials
from models.collage.layers import Layer
from models.contract import Placed


def cutout(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    image[..., 3] = 0
    image[5:-8, 7:-3, 3] = 255
    return image


def layer(seed: int, words: str, **more: Any) -> Layer:
    place: dict[str, Any] = {"x": 0.3 + 0.2 * seed, "y": 0.6, "scale": 0.25, "angle": 12.0 * seed, "flip": seed == 1}
    return Layer(Placed(cutout(seed), **place, prompt=words), Dials(0.1 * seed, 0.7, 0.3, 0.2), **more)


def fields(**more: Any) -> dict[str, Any]:
    layers = (
        layer(0, "a table", key="back"),
        layer(1, "a cat", visible=False, key="cat"),
        layer(2, "a red cup", key="cup"),
    )
    return {"layers": layers, "width": 640, "height": 384, "colour": "#102030", "prompt": "", **more}


def same(one: Layer, other: Layer) -> bool:
    alike = np.array_equal(one.placed.image, other.placed.image) and one.dials == other.dials
    names = ("x", "y", "scale", "angle", "flip", "prompt")
    alike &= all(getattr(one.placed, name) == getattr(other.placed, name) for name in names)
    return alike and (one.visible, one.locked) == (other.visible, other.locked)
