"""What the look of a layer is learned from: its picture in the collage, and captions around its words. Plain."""

from __future__ import annotations

import hashlib

import numpy as np

from models.collage.composing import Stack, over
from models.collage.layers import Collage, Layer

TEMPLATES = (  # short captions in the manner of textual inversion (Gal et al., arXiv 2208.01618); {} is the object
    "{}",
    "a photo of {}",
    "a picture of {}",
    "the photo of {}",
    "one photo of {}",
    "a good photo of {}",
    "a clear photo of {}",
    "a plain photo of {}",
    "a close photo of {}",
    "a photo of {}, seen whole",
    "a photo of one {}",
    "a photo of the {}",
    "a photo of my {}",
    "a view of {}",
    "a detail of {}",
    "an image of {}",
    "a picture with {} in it",
    "a scene with {}",
)


def picture(collage: Collage, stack: Stack, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Layer `number` of those shown as it lies on the layers below, with nothing above: RGB (H, W, 3) and its own
    alpha (H, W), uint8. So its look is learned at its place and size, on its backdrop."""
    canvas = np.empty((*collage.size, 3), np.uint8)
    canvas[:] = collage.background
    return over(canvas, stack.drawn[: number + 1]), stack.drawn[number][..., 3]


def captions(placeholder: str, text: str) -> list[str]:
    """Every template around the placeholder and the layer's words."""
    return [template.format(f"{placeholder} {text}") for template in TEMPLATES]


def content_key(layer: Layer, *more: object) -> str:
    """What a learned look belongs to: the cut-out and its words, not its place; `more` are base model and settings."""
    sha = hashlib.sha256(repr((layer.placed.image.shape, layer.text.casefold(), more)).encode())
    sha.update(layer.placed.image.tobytes())
    return sha.hexdigest()
