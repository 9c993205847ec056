"""SceneCanvas: place cut-outs on a background by mouse, touch, keyboard or number.

The value is small JSON and files. All geometry is relative to the background, so neither the size on the
screen nor its pixel ratio reaches Python; the canvas draws previews while Python reads the files as they came.
"""

from __future__ import annotations

import math
import uuid
from typing import Any

import gradio as gr
import numpy as np
from gradio.data_classes import FileData, GradioModel
from pydantic import Field

from demos.canvas.parts import Quiet, Valued, joined, kept_upload, picture_files
from models.pixels import alpha_box

SCRIPTS = ("view.js", "geometry.js", "history.js", "stage.js", "draw.js", "gestures.js", "scene.js")
MAX_LAYERS = 16
RANGES = {"x": (-0.5, 1.5), "y": (-0.5, 1.5), "scale": (0.02, 2.0)}  # the canvas keeps 1/8 of an object inside


class Layer(GradioModel):  # type: ignore[misc]
    """A cut-out and its placement: x, y = centre of its tight alpha box, scale = that box's unrotated width,
    both as fractions of the scene; angle in degrees clockwise; `box` in pixels of `image`."""

    id: str
    image: FileData
    width: int
    height: int
    box: tuple[int, int, int, int]
    source: FileData | None = None  # the upload it was cut from
    preview: FileData | None = None
    x: float = 0.5
    y: float = 0.5
    scale: float = 0.3
    angle: float = 0.0
    flip: bool = False
    opacity: float = 1.0
    z: int = 0
    visible: bool = True
    locked: bool = False
    prompt: str = ""


class Scene(GradioModel):  # type: ignore[misc]
    """The canvas's value. `incoming` is a file just chosen or dropped, for `role` scene, object or any."""

    background: FileData | None = None
    preview: FileData | None = None
    width: int = 0
    height: int = 0
    layers: list[Layer] = Field(default_factory=list)
    selected: str | None = None
    incoming: FileData | None = None
    role: str | None = None


class SceneCanvas(Valued, gr.HTML, metaclass=Quiet):  # type: ignore[misc]
    """A canvas for a background and its layers. Events: `input` after each gesture, `upload` for a new file."""

    data_model = Scene

    def __init__(self, value: Scene | None = None, **more: Any) -> None:
        super().__init__(
            value,
            html_template=joined("scene.html"),
            css_template=joined("board.css", "scene.css"),
            js_on_load=joined(*SCRIPTS),
            apply_default_css=False,
            limits={name: list(ends) for name, ends in RANGES.items()},
            **more,
        )

    def preprocess(self, payload: Scene | None) -> Scene:
        """The value with every number inside its range: anyone can post anything."""
        scene: Scene = payload or Scene()
        clamped: Scene = scene.model_copy(update={"layers": [_clamped(a) for a in scene.layers[:MAX_LAYERS]]})
        return clamped


def _clamped(layer: Layer) -> Layer:
    inside = {
        name: min(max(value, low), high) if math.isfinite(value := getattr(layer, name)) else (low + high) / 2
        for name, (low, high) in RANGES.items()
    }
    angle = math.remainder(layer.angle, 360) if math.isfinite(layer.angle) else 0.0
    clamped: Layer = layer.model_copy(update={**inside, "angle": angle})
    return clamped


def with_background(scene: Scene, picture: np.ndarray, upload: FileData | None = None) -> Scene:
    """The scene with another background (uint8 HxWx3); layers keep their relative placement."""
    height, width = picture.shape[:2]
    image, preview = picture_files(picture, kept_upload(upload))
    changes = {"background": image, "preview": preview, "width": width, "height": height}
    return remove_incoming(scene, **changes)


def with_object(scene: Scene, cutout: np.ndarray, source: FileData | None = None, **placement: Any) -> Scene:
    """The scene with one object (uint8 HxWx4) in place of whatever layers it had.

    It takes over the former object's placement, or starts in the middle, fitted to 40 % of the scene.
    """
    box = alpha_box(cutout[..., 3]) or (0, 0, cutout.shape[1], cutout.shape[0])
    image, preview = picture_files(cutout)
    former = scene.layers[0] if scene.layers else None
    if former is not None:
        kept = {name: getattr(former, name) for name in ("x", "y", "scale", "angle", "flip")}
    else:
        kept = {"scale": _fitting(box, scene)}
    layer = Layer(
        id=uuid.uuid4().hex[:8],
        image=image,
        preview=preview,
        source=source,
        width=cutout.shape[1],
        height=cutout.shape[0],
        box=box,
        **{**kept, **placement},
    )
    return remove_incoming(scene, layers=[layer], selected=layer.id)


def remove_incoming(scene: Scene, **changes: Any) -> Scene:
    """The scene once its incoming file has been dealt with, with other changes."""
    changed: Scene = scene.model_copy(update={"incoming": None, "role": None, **changes})
    return changed


def _fitting(box: tuple[int, int, int, int], scene: Scene, part: float = 0.4) -> float:
    """The scale at which a box fits `part` of the scene on both axes."""
    left, top, right, bottom = box
    if not scene.background:
        return part
    return round(min(part, part * scene.height / scene.width * (right - left) / (bottom - top)), 4)
