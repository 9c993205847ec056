"""Canvases: `gr.HTML` components drawn by plain JavaScript, with files as values and no dependency."""

from demos.canvas.layers import LayerCanvas, LayerScene, PlacedLayer, replaced, with_layer
from demos.canvas.mask import MaskCanvas, MaskValue
from demos.canvas.scene import Layer, Scene, SceneCanvas, remove_incoming, with_background, with_object

__all__ = [
    "Layer",
    "LayerCanvas",
    "LayerScene",
    "MaskCanvas",
    "MaskValue",
    "PlacedLayer",
    "Scene",
    "SceneCanvas",
    "remove_incoming",
    "replaced",
    "with_background",
    "with_layer",
    "with_object",
]
