"""LayerCanvas: a collage of many cut-outs on a plain canvas, each with its words and its dials.

The value is a scene's, with the canvas's size and colour in place of a background. The editor draws, orders and
undoes in the browser; Python hears of finished gestures and of new files.
"""

from __future__ import annotations

import dataclasses
import math
import re
import uuid
from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np
from gradio.data_classes import FileData
from pydantic import Field

from demos.canvas.parts import Quiet, Valued, joined, picture_files
from demos.canvas.scene import MAX_LAYERS, Layer, Scene, remove_incoming
from models.collage.dials import MOST, NEGATIVE, POSITIVE, PRESETS, Dials, auto
from models.collage.layers import LARGEST, MULTIPLE, SMALLEST
from models.contract import BadRequest
from models.pixels import alpha_box

SHARED = ("view.js", "geometry.js", "history.js", "stage.js", "draw.js", "gestures.js")
PARTS = ("dials", "order", "draw", "list", "panel", "life")
SCRIPTS = (*SHARED, *(f"layers_{part}.js" for part in PARTS[:3]), "layers.js", *(f"layers_{p}.js" for p in PARTS[3:]))
COLOUR = "#969696"
RANGES = {"x": (-1.0, 2.0), "y": (-1.0, 2.0), "scale": (0.01, 4.0)}  # the canvas keeps 1/8 of a layer inside
DIALS = {"positive": MOST, "negative": MOST, "noise": 1.0, "canny": 1.0}  # each from 0
FORMATS = {  # width, height: areas near 512x512 whose sides every model of the family takes
    "1:1": (512, 512),
    "3:2": (624, 416),
    "2:3": (416, 624),
    "16:9": (688, 384),
    "9:16": (384, 688),
}
LONGEST_WORDS = 200  # characters
FITTING = 0.4  # the part of the canvas that a new layer fits
SPOTS = [(0.5, 0.5), (0.24, 0.24), (0.76, 0.24), (0.24, 0.76), (0.76, 0.76), (0.5, 0.16), (0.5, 0.84)]  # of new layers
TAKEN = 0.15  # of the canvas: a spot this near to a layer's centre is not free


class PlacedLayer(Layer):
    """A layer with its dials, see `models.collage.dials.Dials`; `prompt` are its words.

    auto: the dials follow the layer's size; what they are now is written in them all the same.
    """

    positive: float = Dials.positive
    negative: float = Dials.negative
    noise: float = Dials.noise
    canny: float = Dials.canny
    auto: bool = True


class LayerScene(Scene):
    """The editor's value: layers back to front by `z` on a canvas of `width` x `height` pixels in one `colour`.

    `incoming` is a file just chosen, for `role` layer (another one), replace (the selected layer's picture) or collage;
    `dropped` says that it came by drop or paste, so that it may be something to restore. `background` and `preview`
    are not used.
    """

    width: int = 512
    height: int = 512
    layers: list[PlacedLayer] = Field(default_factory=list)
    colour: str = COLOUR
    dropped: bool = False


class LayerCanvas(Valued, gr.HTML, metaclass=Quiet):  # type: ignore[misc]
    """An editor of layers. Events: `input` after each gesture, `upload` for a new file, and `extract` when somebody
    wants to take an object out of a picture; an event's value is the whole scene."""

    data_model = LayerScene

    def __init__(self, value: LayerScene | None = None, **more: Any) -> None:
        super().__init__(
            value,
            html_template=joined("layers.html"),
            css_template=joined("board.css", "layers.css"),
            js_on_load=joined(*SCRIPTS),
            apply_default_css=False,
            limits={name: list(ends) for name, ends in RANGES.items()},
            most=MAX_LAYERS,
            dials={"ends": DIALS, "plain": {"positive": POSITIVE, "negative": NEGATIVE}},
            presets={name: dataclasses.asdict(dials) for name, dials in PRESETS.items()},
            formats={name: list(size) for name, size in FORMATS.items()},
            **more,
        )

    def preprocess(self, payload: LayerScene | None) -> LayerScene:
        """The value with every number inside its range: anyone can post anything."""
        scene: LayerScene = payload or LayerScene()
        clamped: LayerScene = scene.model_copy(
            update={
                "layers": [_clamped(layer) for layer in _ordered(scene.layers)[:MAX_LAYERS]],
                "width": _side(scene.width),
                "height": _side(scene.height),
                "colour": scene.colour.lower() if re.fullmatch(r"#[0-9a-fA-F]{6}", scene.colour) else COLOUR,
            }
        )
        return clamped


def with_layer(
    scene: LayerScene, cutout: np.ndarray, words: str = "", source: FileData | None = None, **placement: Any
) -> LayerScene:
    """The scene with another layer (uint8 HxWx4) on top, selected and fitted to 40 % of the canvas: in the middle, or
    where no other lies that it would hide.

    `source` is the upload it was cut from; `placement` are other fields of `PlacedLayer`. Its dials follow its size
    unless one of them or `auto` is given. Raises `BadRequest` where there are as many layers as the editor holds.
    """
    if len(scene.layers) >= MAX_LAYERS:
        raise BadRequest(f"There are {MAX_LAYERS} layers already; please delete one first.")
    x, y = _free(scene)
    given = {"auto": not DIALS.keys() & placement.keys(), "x": x, "y": y, **placement}
    picture = _picture(cutout)
    layer = PlacedLayer(
        **{
            "id": uuid.uuid4().hex[:8],
            "scale": _fitting(picture["box"], (scene.width, scene.height)),
            "prompt": " ".join(words.split())[:LONGEST_WORDS],
            **picture,
            "source": source,
            **given,
            "z": len(scene.layers),
        }
    )
    return _settled(remove_incoming(scene), [*_ordered(scene.layers), layer], selected=layer.id)


def replaced(scene: LayerScene, id: str, cutout: np.ndarray, source: FileData | None = None) -> LayerScene:
    """The scene in which this layer shows another cut-out (uint8 HxWx4), inside the box that it had.

    Raises `BadRequest` if the layer is gone.
    """
    former = next((layer for layer in scene.layers if layer.id == id), None)
    if former is None:
        raise BadRequest("The layer is gone; please add the picture as a new one.")
    picture = _picture(cutout)
    left, top, right, bottom = former.box
    room = former.scale * scene.width, former.scale * scene.width * (bottom - top) / max(1, right - left)
    scale = _fitting(picture["box"], (scene.width, scene.height), room)
    layer = former.model_copy(update={**picture, "source": source, "scale": scale})
    return _settled(
        remove_incoming(scene), [layer if other is former else other for other in _ordered(scene.layers)], id
    )


def extent_of(layer: PlacedLayer, scene: LayerScene) -> float:
    """The larger of a layer's unrotated width and height, each as a fraction of the canvas's own."""
    left, top, right, bottom = layer.box
    return max(layer.scale, layer.scale * (bottom - top) / (right - left) * scene.width / scene.height)


def _free(scene: LayerScene) -> tuple[float, float]:
    """The first spot for a new layer that no other one has, which a backdrop does not; the middle if all are taken."""
    others = [(layer.x, layer.y) for layer in scene.layers if layer.visible and layer.scale < 1]
    return next((spot for spot in SPOTS if all(math.dist(spot, other) >= TAKEN for other in others)), SPOTS[0])


def _settled(scene: LayerScene, layers: Sequence[PlacedLayer], selected: str | None) -> LayerScene:
    """The scene with these layers from back to front, numbered, with the dials that follow their size."""
    topmost = next((layer.id for layer in reversed(layers) if layer.visible), None)
    settled = []
    for z, layer in enumerate(layers):
        dials = dataclasses.asdict(auto(extent_of(layer, scene), layer.id == topmost)) if layer.auto else {}
        settled.append(layer.model_copy(update={"z": z, **dials}))
    changed: LayerScene = scene.model_copy(update={"layers": settled, "selected": selected, "dropped": False})
    return changed


def _picture(cutout: np.ndarray) -> dict[str, Any]:
    image, preview = picture_files(cutout)
    height, width = cutout.shape[:2]
    box = alpha_box(cutout[..., 3]) or (0, 0, width, height)
    return {"image": image, "preview": preview, "width": width, "height": height, "box": box}


def _fitting(box: Sequence[int], canvas: tuple[int, int], room: tuple[float, float] | None = None) -> float:
    """The scale at which a box fits `room` (width, height in canvas pixels), or 40 % of the canvas on both axes."""
    left, top, right, bottom = box
    width, height = room or (FITTING * canvas[0], FITTING * canvas[1])
    return round(min(width, height * (right - left) / max(1, bottom - top)) / canvas[0], 4)


def _ordered(layers: Sequence[PlacedLayer]) -> list[PlacedLayer]:
    return sorted(layers, key=lambda layer: layer.z)


def _clamped(layer: PlacedLayer) -> PlacedLayer:
    ranges = {**RANGES, "opacity": (0.0, 1.0), **{name: (0.0, most) for name, most in DIALS.items()}}
    usual = {"x": 0.5, "y": 0.5, "scale": FITTING, "opacity": 1.0, **dataclasses.asdict(Dials())}
    numbers = {
        name: min(max(value, low), high) if math.isfinite(value := getattr(layer, name)) else usual[name]
        for name, (low, high) in ranges.items()
    }
    left, top, right, bottom = layer.box
    whole = (0, 0, max(1, layer.width), max(1, layer.height))
    box = layer.box if 0 <= left < right <= whole[2] and 0 <= top < bottom <= whole[3] else whole
    angle = math.remainder(layer.angle, 360) if math.isfinite(layer.angle) else 0.0
    words = " ".join(layer.prompt.split())[:LONGEST_WORDS]
    clamped: PlacedLayer = layer.model_copy(update={**numbers, "angle": angle, "box": box, "prompt": words})
    return clamped


def _side(pixels: int) -> int:
    return min(max(pixels, SMALLEST), LARGEST) // MULTIPLE * MULTIPLE
