"""How pictures become layers of a collage: uploads cut out or as they are, cut-outs that ship, objects of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from demos import cutting, masks
from demos.canvas import LayerScene, MaskValue, PlacedLayer, remove_incoming, replaced, with_layer
from demos.canvas.layers import FITTING
from demos.collage_scene import ordered, plain_words
from demos.cutting import AS_IS, CUT
from models import cutout, pictures
from models.contract import BadRequest

BACKDROP = "As it is (a backdrop)"
REFINE = cutting.REFINE + " "  # and the layer's id: what the mask is for


@dataclass(frozen=True)
class Added:
    """The scene with a new picture in it, and what to say. `id` is the layer's whose picture had no transparency of its
    own, and is asked about: `picture` (uint8 HxWx4) is what it became, by `choice`."""

    scene: LayerScene
    said: str = ""
    id: str = ""
    picture: np.ndarray | None = None
    choice: str = CUT


def opened(scene: LayerScene) -> Added:
    """The file that came is another layer, or the selected one's picture. Raises `BadRequest`."""
    assert scene.incoming is not None
    name = scene.incoming.orig_name or "The picture"
    picture = pictures.decode(scene.incoming.path, "rgba", name)
    former = scene.selected if scene.role == "replace" else None
    if picture[..., 3].min() < 255:
        return Added(_put(scene, former, picture, name, None))
    try:
        cut, choice, said = cutout.cut_out(picture[..., :3]), CUT, "Cut out of its background; check the outline."
    except BadRequest:
        cut, choice, said = picture, AS_IS, "No object stands out in it, so the whole picture is used, as a backdrop."
    changed = _put(scene, former, cut, name, scene.incoming)
    id = changed.selected or ""
    return Added(_laid(changed, id, cut) if choice == AS_IS else changed, said, id, cut, choice)


def _put(scene: LayerScene, former: str | None, picture: np.ndarray, name: str, source: Any) -> LayerScene:
    if former is None:
        return with_layer(scene, picture, plain_words(name), source)
    return replaced(scene, former, picture, source)


def chosen(scene: LayerScene, id: str, choice: str, mask: MaskValue) -> tuple[LayerScene, np.ndarray]:
    """The layer as a backdrop that fills the canvas behind all others, or cut out, as a new one on top of them; and its
    picture. Raises `BadRequest`."""
    _, picture = cutting.outlined(find(scene, id), choice, mask)
    put = _laid if choice == AS_IS else _lifted
    return put(scene, id, picture), picture


def _laid(scene: LayerScene, id: str, picture: np.ndarray) -> LayerScene:
    """The layer behind all others, its whole picture covering the canvas."""
    layer = find(scene, id)
    height, width = picture.shape[:2]
    covers = max(1.0, scene.height / scene.width * width / height)
    room = {"box": (0, 0, width, height), "scale": covers, "x": 0.5, "y": 0.5, "angle": 0.0, "z": -1}
    return replaced(_with(scene, layer.model_copy(update=room)), id, picture, layer.source)


def _lifted(scene: LayerScene, id: str, picture: np.ndarray) -> LayerScene:
    """The layer above all others, as large as a new one is."""
    layer = find(scene, id)
    room = {"box": (0, 0, scene.width, scene.height), "scale": FITTING, "z": len(scene.layers)}
    return replaced(_with(scene, layer.model_copy(update=room)), id, picture, layer.source)


def _again(scene: LayerScene, layer: PlacedLayer, cut: np.ndarray) -> LayerScene:
    """Another cut-out of the same upload: what both have stays where it is on the canvas."""
    changed = replaced(scene, layer.id, cut, layer.source)
    new = find(changed, layer.id)
    return _with(changed, new.model_copy(update=cutting.stays(scene, layer, new)))


def refining(scene: LayerScene, id: str, mask: MaskValue) -> MaskValue:
    """The mask canvas, open on what a layer was cut from."""
    return cutting.refined(find(scene, id), mask, REFINE + id)


def extracting(mask: MaskValue) -> MaskValue:
    """The mask canvas, open for a picture to take something out of; the last one is there still."""
    told = {"opened": True, "title": "Take an object from a picture", "purpose": cutting.EXTRACT}
    if mask.purpose.startswith(REFINE):
        mask = MaskValue()
    changed: MaskValue = mask.model_copy(update=told)
    return changed


def used(scene: LayerScene, mask: MaskValue) -> Added:
    """What was masked is another layer, or the outline of the one that it was opened for. Raises `BadRequest`."""
    cut = masks.cutout_of(mask)
    if mask.purpose.startswith(REFINE):
        layer = find(scene, mask.purpose.removeprefix(REFINE))
        return Added(_again(scene, layer, cut), "", layer.id, cut)
    said = "Taken from the picture; give it words, and put it where it should go."
    return Added(with_layer(scene, cutting.cropped(cut)), said)


def find(scene: LayerScene, id: str) -> PlacedLayer:
    """The layer of this id; raises `BadRequest` if it is gone."""
    found = next((layer for layer in scene.layers if layer.id == id), None)
    if found is None:
        raise BadRequest("That layer is gone; please add its picture again.")
    return found


def _with(scene: LayerScene, layer: PlacedLayer) -> LayerScene:
    """The scene with this layer in place of its namesake."""
    changed: LayerScene = remove_incoming(
        scene, layers=[layer if other.id == layer.id else other for other in ordered(scene)]
    )
    return changed
