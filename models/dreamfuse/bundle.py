"""Drag & place and the bundle that all tabs share. Plain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models import bundles
from models.contract import Bundle, Placed, Taken

if TYPE_CHECKING:
    from models.dreamfuse.spec import DreamFuseRequest

TITLE = "Drag & place"


def take(bundle: Bundle) -> Taken:
    """The placed object, or the top layer on those below it; raises `BadRequest` where there is none."""
    found, said = bundles.with_top_placed(TITLE, bundle)
    placed = found.placed
    assert placed is not None  # `with_top_placed` refused that
    fields = {
        "background": found.scene,
        "foreground": placed.image,
        "x": placed.x,
        "y": placed.y,
        "scale": placed.scale,
        "angle": placed.angle,
        "flip": placed.flip,
        "prompt": found.prompts.get("prompt", ""),
    }
    return fields, said + bundles.left_out(TITLE, found, {"scene", "placed"})


def give(request: DreamFuseRequest) -> Bundle:
    """The scene, the object and its place; the prompt tells of the fused picture, so the object has no words yet."""
    place = {name: getattr(request, name) for name in ("x", "y", "scale", "angle", "flip")}
    return Bundle(request.background, Placed(request.foreground, **place), prompts={"prompt": request.prompt})
