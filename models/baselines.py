"""What results stand beside: the input, the raw paste, Poisson blending, a classical fill. No network. Plain."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from models import bundles, pixels, replay
from models.contract import BadRequest, Bundle, Placed, Preset, Request, option
from models.pixels import Size
from models.recipe import Recipe

FILL_SIDE, FILL_RADIUS, FILL_PADDING = 512, 3, 32  # pixels: of what a fill works on, of what it looks at, around a hole
PRESET = Preset("none", {}, steps=0, label="No network")  # what a recipe says instead of weights


@dataclass(frozen=True, eq=False, kw_only=True)
class BaselineRequest(Request):
    """A scene, the objects on it from back to front, and the mask of what is to be filled."""

    scene: np.ndarray = option("rgb", None, "Scene", "", required=True)
    layers: tuple[Placed, ...] = option("layers", (), "Objects", "Placed cut-outs, from back to front")
    mask: np.ndarray | None = option("mask", None, "Mask", "White = to be filled")

    mask_of: ClassVar[dict[str, str]] = {"mask": "scene"}


@dataclass(frozen=True)
class Baseline:
    """One of them: parts of a bundle that it can take, and how it draws; a note says what it could not do."""

    key: str
    title: str
    accepts: frozenset[str]
    draw: Callable[[BaselineRequest], tuple[np.ndarray, str]]
    needs: str  # "", "layers" or "mask": what of a request must be there
    lack: str  # what is said where it is not

    def take(self, bundle: Bundle) -> BaselineRequest:
        """Its request for a bundle; raises `BadRequest` where it has nothing to show."""
        if bundle.scene is None:
            raise BadRequest(f"{self.title} needs a scene.")
        layers = bundle.layers if bundle.placed is None else (bundle.placed,)
        used = {"scene", self.needs}
        request = BaselineRequest(
            scene=bundle.scene,
            layers=layers if "layers" in used else (),
            mask=bundle.mask if "mask" in used else None,
            seed=0,
        )
        missing = (self.needs == "layers" and not layers) or (self.needs == "mask" and bundle.mask is None)
        if missing or (self.key == "input" and layers and bundles.plain(bundle.scene)):
            raise BadRequest(self.lack)
        return request


def record(key: str, request: BaselineRequest, seconds: float, note: str = "") -> tuple[Recipe, dict[str, np.ndarray]]:
    """The recipe of a baseline's picture and the pictures that it mentions, by name."""
    facts = {"note": note} if note else {}
    return replay.record(key, request, PRESET, {}, device="cpu", threads=1, seconds=seconds, facts=facts)


def again(recipe: Recipe, inputs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, Recipe]:
    """The picture of a baseline's recipe, drawn again, and its recipe now; raises `BadRequest`."""
    request = replay.to_request(recipe, inputs, BaselineRequest)
    started = time.perf_counter()
    picture, note = BASELINES[recipe.method].draw(request)
    return picture, record(recipe.method, request, time.perf_counter() - started, note)[0]


# --- how they draw


def _input(request: BaselineRequest) -> tuple[np.ndarray, str]:
    return request.scene.copy(), ""


def _paste(request: BaselineRequest) -> tuple[np.ndarray, str]:
    return bundles.over(request.scene, request.layers), ""


def _poisson(request: BaselineRequest) -> tuple[np.ndarray, str]:
    picture, plain = request.scene, 0
    for placed in request.layers:
        size: Size = (picture.shape[0], picture.shape[1])
        picture, blended = pixels.poisson(picture, placed.image, bundles.matrix(placed, size))
        plain += not blended
    return picture, "Nothing to solve for: pasted as it is." if plain else ""


def _fill(request: BaselineRequest) -> tuple[np.ndarray, str]:
    """From the rim by fast marching (Telea 2004), at 512 pixels at most."""
    assert request.mask is not None
    size: Size = (request.scene.shape[0], request.scene.shape[1])
    found = pixels.alpha_box(request.mask)
    if found is None:
        return request.scene.copy(), "The mask is empty."
    box = pixels.context_box(found, size, FILL_PADDING, multiple=1)
    left, top, right, bottom = box
    inside = slice(top, bottom), slice(left, right)
    working = pixels.fit_within((bottom - top, right - left), FILL_SIDE)
    hole = (pixels.resize(request.mask[inside], working) > 0).astype(np.uint8)
    if hole.all():
        return request.scene.copy(), "The mask leaves nothing to fill from."
    small = np.ascontiguousarray(pixels.resize(request.scene[inside], working))
    return pixels.stitch(request.scene, cv2.inpaint(small, hole, FILL_RADIUS, cv2.INPAINT_TELEA), box, request.mask), ""


PLACED = frozenset({"scene", "placed", "layers"})
NO_OBJECT = "{} needs an object to place."
BASELINES: dict[str, Baseline] = {
    one.key: one
    for one in (
        Baseline("input", "Input", frozenset({"scene"}), _input, "", "The scene is a plain canvas."),
        Baseline("paste", "Raw paste", PLACED, _paste, "layers", NO_OBJECT.format("Raw paste")),
        Baseline("poisson", "Poisson blending", PLACED, _poisson, "layers", NO_OBJECT.format("Poisson blending")),
        Baseline("fill", "Classical fill", frozenset({"scene", "mask"}), _fill, "mask", "Classical fill needs a mask."),
    )
}
