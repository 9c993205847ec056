"""Face reference and the bundle that all tabs share. Plain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models import bundles
from models.contract import BadRequest, Bundle, Taken

if TYPE_CHECKING:
    from models.facediffuser.spec import FaceRequest

TITLE = "Face reference"
WORDS = ("prompt", "negative_prompt")


def take(bundle: Bundle) -> Taken:
    """The people's pictures and the prompt that marks them; raises `BadRequest` where one of them is missing."""
    if not bundle.references:
        raise BadRequest(f"{TITLE} needs a reference picture of each person that the prompt marks.")
    if bundle.placed is not None or bundle.layers:
        raise BadRequest(f"{TITLE} draws a whole picture from its prompt; it cannot place an object.")
    if not bundle.prompts.get("prompt", "").strip():
        raise BadRequest(f"{TITLE} needs a prompt that marks each person, as in “a man <|image|> on a beach”.")
    fields = {"references": bundle.references, **{name: bundle.prompts.get(name, "") for name in WORDS}}
    return fields, bundles.left_out(TITLE, bundle, {"references"}, WORDS)


def give(request: FaceRequest) -> Bundle:
    """The people's pictures, which are never stored, and the prompt."""
    return Bundle(references=request.references, prompts={name: getattr(request, name) for name in WORDS})
