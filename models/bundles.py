"""What methods share when they take or give a bundle: the object's place, what may change, the words. Plain."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from models import pixels, regions
from models.contract import BadRequest, Bundle, Placed, Request, Spec
from models.pixels import Box, Size

GROWTH, LEAST_GROWTH = 0.04, 2.0  # room around a placed object: of its longer side, and in pixels
LEAST_CROP = 64  # pixels on a side of a crop
SEEN = 128  # alpha from which a pixel belongs to the object
PARTS = {
    "scene": "The scene",
    "placed": "The object's picture",
    "mask": "The mask",
    "layers": "The layers",
    "references": "The reference pictures",
}
PROMPTS = ("prompt", "negative_prompt", "source_prompt", "target_prompt", "scene_prompt")


# --- from a bundle to a method and back


def request_of(spec: Spec, bundle: Bundle, **fields: Any) -> tuple[Request, tuple[str, ...]]:
    """A method's request for a bundle, and a sentence for each part that it leaves out; `fields` win over the bundle's.

    Raises `BadRequest` where the method cannot answer the bundle.
    """
    if spec.take is None:
        raise BadRequest(f"{spec.title} takes no input from elsewhere.")
    taken, left = spec.take(bundle)
    return spec.request(**{**taken, **fields}), left


def left_out(
    title: str, bundle: Bundle, used: Collection[str], prompts: Collection[str] = ("prompt",)
) -> tuple[str, ...]:
    """A sentence for each part, and each prompt, that a method does not use."""
    parts = [name for name in PARTS if name in bundle.parts() and name not in used]
    words = [name for name, text in bundle.prompts.items() if text.strip() and name not in prompts]
    said = [f"{PARTS[name]} {'are' if name in ('layers', 'references') else 'is'} not used" for name in parts]
    said += [f"The {name.replace('_', ' ')} is not used" for name in words]
    return tuple(f"{title}: {one[0].lower()}{one[1:]}." for one in said)


def object_words(title: str, bundle: Bundle) -> str:
    """The words of the placed object, else the whole prompt; raises `BadRequest` where there are none."""
    placed = bundle.placed or (bundle.layers[-1] if bundle.layers else None)
    own = placed.prompt if placed is not None else ""
    words = own.strip() or bundle.prompts.get("prompt", "").strip() or bundle.prompts.get("target_prompt", "").strip()
    if not words:
        raise BadRequest(f"{title} draws what words name; please say what the object is, in the object's words.")
    return words


def with_top_placed(title: str, bundle: Bundle) -> tuple[Bundle, tuple[str, ...]]:
    """A bundle with a scene and a placed object: of layers the top one is placed on the others.

    Raises `BadRequest` where there is no object, or no scene for it.
    """
    if bundle.placed is None and not bundle.layers:
        raise BadRequest(f"{title} needs an object; please give a cut-out and where it stands.")
    if bundle.placed is not None:
        if bundle.scene is None:
            raise BadRequest(f"{title} needs a scene; please give a picture that the object goes into.")
        return bundle, ()
    if bundle.scene is None:
        raise BadRequest(f"{title} needs a scene; please give a picture that the layers lie on.")
    *below, top = bundle.layers
    ground = over(bundle.scene, below)
    said = (f"{title}: the top layer is the object and everything below it the scene.",)
    return dataclasses.replace(bundle, scene=ground, placed=top, layers=()), said


# --- the object in the scene


def matrix(placed: Placed, size: Size) -> np.ndarray:
    """The 2x3 map from the object's pixels to those of a scene of `size` (height, width); raises `BadRequest`."""
    box = pixels.alpha_box(placed.image[..., 3])
    if box is None:
        raise BadRequest("The object is fully transparent; please give a cut-out with something in it.")
    return pixels.placement_matrix(box, size, placed.x, placed.y, placed.scale, placed.angle, placed.flip)


def object_mask(placed: Placed, size: Size) -> np.ndarray:
    """Where the object stands in a scene of `size`, grown a little: uint8 HxW of 0 and 255; raises `BadRequest`."""
    alpha = pixels.warp(placed.image, size, matrix(placed, size))[..., 3]
    solid = np.where(alpha >= SEEN, np.uint8(255), np.uint8(0))
    box = pixels.alpha_box(solid)
    if box is None:
        raise BadRequest("The object lies outside the scene; please move it in.")
    longer = max(box[2] - box[0], box[3] - box[1])
    return regions.grow(solid, max(LEAST_GROWTH, GROWTH * longer))


def over(scene: np.ndarray, layers: Sequence[Placed]) -> np.ndarray:
    """The scene with placed objects over it, back to front, uint8 HxWx3."""
    for placed in layers:
        scene, _ = pixels.paste(scene, placed.image, matrix(placed, _size(scene)))
    return scene


def plain(scene: np.ndarray) -> bool:
    """Whether a scene is a canvas of one colour."""
    return bool((scene == scene[0, 0]).all())


def change_region(bundle: Bundle) -> np.ndarray | None:
    """What may change of the scene, uint8 HxW: the mask, or where the object stands; None where nothing says so."""
    if bundle.scene is None:
        return None
    if bundle.mask is not None:
        return bundle.mask
    return object_mask(bundle.placed, _size(bundle.scene)) if bundle.placed is not None else None


def cropped(bundle: Bundle, padding: float = 0.75) -> Bundle:
    """The bundle with only the surroundings of what may change: `padding` of its longer side is left around it.

    A bundle that does not say what may change comes back as it is.
    """
    region = change_region(bundle)
    box = pixels.alpha_box(region) if region is not None else None
    if box is None or bundle.scene is None:
        return bundle
    height, width = _size(bundle.scene)
    across, down = box[2] - box[0], box[3] - box[1]
    side = max(round(max(across, down) * (1 + 2 * padding)), LEAST_CROP)
    around = (box[0] - (side - across) // 2, box[1] - (side - down) // 2)
    wanted = (around[0], around[1], around[0] + side, around[1] + side)
    left, top, right, bottom = crop = pixels.context_box(wanted, (height, width), 0, multiple=1)
    inside = slice(top, bottom), slice(left, right)
    return dataclasses.replace(
        bundle,
        scene=np.ascontiguousarray(bundle.scene[inside]),
        mask=None if bundle.mask is None else np.ascontiguousarray(bundle.mask[inside]),
        placed=None if bundle.placed is None else _moved(bundle.placed, crop, (height, width)),
    )


def _moved(placed: Placed, box: Box, size: Size) -> Placed:
    """The same place in a crop of a scene of `size`."""
    (height, width), (left, top, right, bottom) = size, box
    x, y = (placed.x * width - left) / (right - left), (placed.y * height - top) / (bottom - top)
    return dataclasses.replace(placed, x=x, y=y, scale=placed.scale * width / (right - left))


def _size(picture: np.ndarray) -> Size:
    return picture.shape[0], picture.shape[1]
