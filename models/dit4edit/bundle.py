"""Prompt edit and the bundle that all tabs share. Plain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models import bundles
from models.contract import BadRequest, Bundle, Taken

if TYPE_CHECKING:
    from models.dit4edit.spec import EditRequest

TITLE = "Prompt edit"
WORDS = ("source_prompt", "target_prompt", "negative_prompt")


def take(bundle: Bundle) -> Taken:
    """The picture, its mask and the prompts; a prompt of another tab is the target. Raises `BadRequest`."""
    if bundle.placed is not None or bundle.layers:
        raise BadRequest(f"{TITLE} changes a picture by its words; it cannot place an object.")
    told = {name: bundle.prompts.get(name, "") for name in WORDS}
    target = told["target_prompt"].strip() or bundle.prompts.get("prompt", "").strip()
    if not target:
        raise BadRequest(f"{TITLE} needs words for what the picture shall show, the target prompt.")
    if bundle.scene is None and not told["source_prompt"].strip():
        raise BadRequest(f"{TITLE} needs a picture, or a source prompt to draw one from.")
    known = WORDS if told["target_prompt"].strip() else (*WORDS, "prompt")
    left = bundles.left_out(TITLE, bundle, {"scene", "mask"}, known)
    if not told["source_prompt"].strip():
        left += (f"{TITLE}: nothing says what the picture shows now; a source prompt would hold the rest better.",)
    return {"image": bundle.scene, "mask": bundle.mask, **told, "target_prompt": target}, left


def give(request: EditRequest) -> Bundle:
    """The picture, its mask and the prompts."""
    return Bundle(request.image, mask=request.mask, prompts={name: getattr(request, name) for name in WORDS})
