"""Layer collage and the bundle that all tabs share. Plain.

The scene of a collage's bundle is its canvas, one colour; a scene that is a picture becomes the layer at the back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from models import bundles, pixels
from models.collage.alignment import find
from models.collage.dials import Dials, auto, extent
from models.collage.layers import LARGEST, MULTIPLE, SIZE, SMALLEST, Layer
from models.contract import BadRequest, Bundle, Placed, Taken
from models.pixels import Size

if TYPE_CHECKING:
    from models.collage.spec import CollageRequest

TITLE = "Layer collage"
BACKDROP = "background"  # what a scene without words is called in the prompt
HELD = Dials(0.5, 0.5, 0.0, 0.8)  # of a scene that something is laid on: it is kept


def take(bundle: Bundle) -> Taken:
    """The layers on their canvas, or the object as one layer over the scene, which is kept.

    Raises `BadRequest` where there is nothing to lay on the scene, or a layer has no words.
    """
    over = bundle.layers if bundle.placed is None else (bundle.placed,)
    if not over:
        raise BadRequest(f"{TITLE} needs layers, or an object to lay on the scene.")
    size = SIZE if bundle.scene is None else canvas_of((bundle.scene.shape[0], bundle.scene.shape[1]))
    words = [_words(bundle, placed) for placed in over]
    layers = [_layer(placed, text, size, placed is over[-1]) for placed, text in zip(over, words, strict=True)]
    fields: dict[str, Any] = {"width": size[1], "height": size[0]}
    used, known, said = {"scene", "layers", "placed"}, ["prompt", "negative_prompt"], []
    if bundle.placed is not None and bundle.layers:
        used.discard("layers")
    if bundle.scene is not None and bundles.plain(bundle.scene):
        fields["colour"] = "#{:02x}{:02x}{:02x}".format(*(int(v) for v in bundle.scene[0, 0]))
    elif bundle.scene is not None:
        text = bundle.prompts.get("scene_prompt", "").strip()
        if not text:
            said.append(f"{TITLE}: the scene has no words of its own, so the prompt calls it “{BACKDROP}”.")
        layers.insert(0, _backdrop(bundle.scene, size, text or BACKDROP))
        known.append("scene_prompt")
    if bundle.scene is not None and size != bundle.scene.shape[:2]:
        said.append(f"{TITLE}: the canvas is {size[1]}x{size[0]} pixels, since its sides are multiples of {MULTIPLE}.")
    prompt = bundle.prompts.get("prompt", "")
    if prompt.strip() and not _names(prompt, [layer.text for layer in layers]):
        said.append(f"{TITLE}: the prompt does not name every layer, so theirs is used: their words, front to back.")
        prompt = ""
    fields |= {"layers": tuple(layers), "prompt": prompt}
    if bundle.prompts.get("negative_prompt", "").strip():
        fields["negative_prompt"] = bundle.prompts["negative_prompt"]
    return fields, (*said, *bundles.left_out(TITLE, bundle, used, known))


def give(request: CollageRequest) -> Bundle:
    """The canvas, the layers that are shown, and the prompts; how strongly each is held is the collage's own."""
    collage = request.collage
    canvas = np.empty((*collage.size, 3), np.uint8)
    canvas[:] = collage.background
    prompts = {"prompt": collage.prompt, "negative_prompt": request.negative_prompt}
    return Bundle(canvas, layers=tuple(layer.placed for layer in collage.shown), prompts=prompts)


def canvas_of(size: Size) -> Size:
    """The canvas (height, width) nearest to a scene's size that the method takes."""
    factor = min(1.0, LARGEST / max(size))
    factor = max(factor, SMALLEST / min(size))
    sides = [min(max(round(side * factor / MULTIPLE) * MULTIPLE, SMALLEST), LARGEST) for side in size]
    return sides[0], sides[1]


def _words(bundle: Bundle, placed: Placed) -> str:
    if placed.prompt.strip():
        return placed.prompt
    if bundle.placed is None:
        raise BadRequest(f"{TITLE} needs words for every layer; please write what each of them shows.")
    return bundles.object_words(TITLE, bundle)


def _layer(placed: Placed, text: str, size: Size, topmost: bool) -> Layer:
    layer = Layer(placed, auto(extent(placed, size), topmost))
    return layer.replace(prompt=text)


def _backdrop(scene: np.ndarray, size: Size, text: str) -> Layer:
    """The scene as a layer that covers the canvas exactly."""
    ground = pixels.resize(scene, size)
    whole = np.dstack([ground, np.full(size, 255, np.uint8)])
    return Layer(Placed(whole, scale=1.0, prompt=text), HELD)


def _names(prompt: str, texts: Sequence[str]) -> bool:
    try:
        find(prompt, texts)
    except BadRequest:
        return False
    return True
