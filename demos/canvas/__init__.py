"""Canvases: `gr.HTML` components drawn by plain JavaScript, with files as values and no dependency."""

from demos.canvas.mask import MaskCanvas, MaskValue
from demos.canvas.scene import Layer, Scene, SceneCanvas, remove_incoming, with_background, with_object

__all__ = [
    "Layer",
    "MaskCanvas",
    "MaskValue",
    "Scene",
    "SceneCanvas",
    "remove_incoming",
    "with_background",
    "with_object",
]
