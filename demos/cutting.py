"""From a picture to a cut-out on the scene: an object that came without transparency, or one of the background."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from demos import masks
from demos.canvas import Layer, MaskValue, Scene, remove_incoming, with_object
from demos.canvas.mask import opened
from demos.canvas.parts import drawable
from models import cutout, pictures
from models.contract import BadRequest
from models.pixels import alpha_box

CUT, AS_IS = "Cut out", "As it is"
REFINE, EXTRACT = "refine", "extract"  # what the mask is for


@dataclass(frozen=True)
class Outline:
    """Where an object without transparency of its own is seen cut out, or used as it is."""

    row: Any
    preview: Any
    choice: Any
    refine: Any

    def updates(self, picture: np.ndarray | None, choice: str = CUT) -> dict[Any, Any]:
        """Show an object that came without transparency, or nothing."""
        if picture is None:
            return {self.row: gr.update(visible=False)}
        return {self.row: gr.update(visible=True), self.preview: picture, self.choice: choice}


def outline(key: str, as_is: str = AS_IS) -> Outline:
    """Build the row inside the current column; `as_is` is how it calls the picture that is not cut out."""
    with gr.Row(visible=False, equal_height=True, elem_id=f"{key}-outline", elem_classes="easel-under") as row:
        preview = gr.Image(
            interactive=False,
            show_label=False,
            container=False,
            buttons=[],
            format="png",
            image_mode="RGBA",
            height=72,
            width=96,
            min_width=96,
            scale=0,
            elem_classes="checker",
        )
        asked = [(CUT, CUT), (as_is, AS_IS)]
        choice = gr.Radio(asked, value=CUT, label="The object has no transparency of its own", scale=1)
        refine = gr.Button("Refine the outline", elem_id=f"{key}-refine", scale=0, min_width=190, size="md")
    return Outline(row, preview, choice, refine)


def chosen(scene: Scene, choice: str, mask: MaskValue) -> tuple[Scene, np.ndarray]:
    """The object cut out again or used as it is, its pixels where and as large as they were; and its picture.

    A mask that was made for it by hand is what "cut out" means then. Raises `BadRequest`.
    """
    layer, cut = outlined(_object(scene), choice, mask)
    return _replaced(scene, layer, cut), cut


def outlined(layer: Layer | None, choice: str, mask: MaskValue) -> tuple[Layer, np.ndarray]:
    """A layer, and its upload cut out or as it is, uint8 HxWx4 of the upload's size; see `chosen`."""
    layer, picture = _uploaded(layer)
    if choice == AS_IS:
        return layer, picture
    by_hand = mask.mask is not None and mask.image is not None and mask.image.path == _path(layer)
    return layer, masks.cutout_of(mask) if by_hand else cutout.cut_out(picture[..., :3])


def refining(scene: Scene, mask: MaskValue) -> MaskValue:
    """The mask canvas, open on the object's upload, beginning with the outline that it has."""
    return refined(_object(scene), mask, REFINE)


def refined(layer: Layer | None, mask: MaskValue, purpose: str) -> MaskValue:
    """The same for any layer."""
    layer, picture = _uploaded(layer)
    alpha = pictures.decode(layer.image.path, "rgba", "The object")[..., 3]
    start = alpha if alpha.shape == picture.shape[:2] and alpha.min() < 128 else None
    files = (layer.source, drawable(picture[..., :3]))
    return opened(mask, picture[..., :3], files, start, title="Refine the outline", purpose=purpose)


def extracting(scene: Scene, mask: MaskValue) -> MaskValue:
    """The mask canvas, open on the background."""
    if scene.background is None:
        raise BadRequest("Please choose a scene first; then take an object out of it.")
    picture = pictures.decode(scene.background.path, "rgb", "Background")
    files = (scene.background, scene.preview)
    return opened(mask, picture, files, title="Take an object from the background", purpose=EXTRACT)


def used(scene: Scene, mask: MaskValue) -> tuple[Scene, np.ndarray]:
    """The scene with what was masked as its object, and the cut-out (uint8 HxWx4); raises `BadRequest`."""
    cut = masks.cutout_of(mask)
    if mask.purpose == REFINE:
        layer, _ = _uploaded(_object(scene))
        return _replaced(scene, layer, cut), cut
    return _taken(scene, cut), cut


def cropped(cut: np.ndarray) -> np.ndarray:
    """A cut-out (uint8 HxWx4) without what is transparent all around it."""
    left, top, right, bottom = alpha_box(cut[..., 3], 1) or (0, 0, cut.shape[1], cut.shape[0])
    return np.ascontiguousarray(cut[top:bottom, left:right])


def _taken(scene: Scene, cut: np.ndarray) -> Scene:
    """An object of the background, cropped, exactly where it stands there."""
    box = alpha_box(cut[..., 3]) or (0, 0, cut.shape[1], cut.shape[0])
    height, width = cut.shape[:2]
    place = {
        "x": (box[0] + box[2]) / 2 / width,
        "y": (box[1] + box[3]) / 2 / height,
        "scale": (box[2] - box[0]) / width,
    }
    return with_object(scene, cropped(cut), **place, angle=0.0, flip=False)


def _replaced(scene: Scene, layer: Layer, cut: np.ndarray) -> Scene:
    """Another cut-out of the same upload: the pixels that both have stay where they are on the scene."""
    changed = with_object(scene, cut, layer.source)
    (new,) = changed.layers
    return remove_incoming(changed, layers=[new.model_copy(update=stays(scene, layer, new))])


def stays(scene: Scene, layer: Layer, new: Layer) -> dict[str, float]:
    """The x, y and scale with which another cut-out of a layer's upload leaves its pixels where they are."""
    zoom = layer.scale * scene.width / (layer.box[2] - layer.box[0])  # scene pixels per pixel of the upload
    dx, dy = (zoom * (new.box[k] + new.box[k + 2] - layer.box[k] - layer.box[k + 2]) / 2 for k in (0, 1))
    dx = -dx if layer.flip else dx
    cos, sin = math.cos(math.radians(layer.angle)), math.sin(math.radians(layer.angle))
    return {
        "x": layer.x + (cos * dx - sin * dy) / max(1, scene.width),
        "y": layer.y + (sin * dx + cos * dy) / max(1, scene.height),
        "scale": layer.scale * (new.box[2] - new.box[0]) / (layer.box[2] - layer.box[0]),
    }


def _object(scene: Scene) -> Layer | None:
    return scene.layers[0] if scene.layers else None


def _uploaded(layer: Layer | None) -> tuple[Layer, np.ndarray]:
    """The object's layer and the upload it was cut from, RGBA."""
    if layer is None or layer.source is None:
        raise BadRequest("The object is gone; please choose it again.")
    return layer, pictures.decode(layer.source.path, "rgba", "The object")


def _path(layer: Layer) -> str | None:
    return layer.source.path if layer.source else None
