"""Mask inpaint and the bundle that all tabs share. Plain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models import bundles
from models.contract import BadRequest, Bundle, Taken

if TYPE_CHECKING:
    from models.cat.spec import InpaintRequest

TITLE = "Mask inpaint"


def take(bundle: Bundle) -> Taken:
    """The mask and its words; without a mask the place of the object, which is then drawn anew from its words.

    Raises `BadRequest` where there is nothing to fill, or no words for it.
    """
    said: tuple[str, ...] = ()
    if bundle.mask is None and bundle.placed is None and bundle.layers:
        bundle, said = bundles.with_top_placed(TITLE, bundle)
    if bundle.scene is None:
        raise BadRequest(f"{TITLE} needs a picture to fill something into.")
    mask = bundles.change_region(bundle)
    if mask is None:
        raise BadRequest(f"{TITLE} needs a mask, or an object whose place is filled.")
    if bundle.placed is not None:
        said += (f"{TITLE}: the object is drawn from its words in its place; its picture is not used.",)
    fields = {
        "image": bundle.scene,
        "mask": mask,
        "prompt": bundles.object_words(TITLE, bundle),
        "negative_prompt": bundle.prompts.get("negative_prompt", ""),
    }
    known = ("prompt", "negative_prompt", "target_prompt") if bundle.placed is None else ("prompt", "negative_prompt")
    return fields, said + bundles.left_out(TITLE, bundle, {"scene", "mask", "placed"}, known)


def give(request: InpaintRequest) -> Bundle:
    """The picture, the mask and the words."""
    words = {"prompt": request.prompt, "negative_prompt": request.negative_prompt}
    return Bundle(request.image, mask=request.mask, prompts=words)
