"""A drawn scene taken apart: the empty place, and each thing in it unlit and without shadow, as layers of a collage."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.collage import dials
from models.collage.layers import Collage, Layer
from models.contract import Placed
from models.pixels import alpha_box, to_bytes
from training.world import Size, captioned, compose, grammar
from training.world.plan import Plan, Scene, Thing
from training.world.words import join_list


def collage(scene: Scene, things: Sequence[Thing], size: Size, seed: int) -> Collage:
    """Layers back to front, the place first and `things` in their order, on a canvas of `size` in pixels.

    Everything lies where the scene has it; the dials follow the automatic rule. The prompt names the things from front
    to back and then the place, in the world's grammar; `seed` decides whether textures are told.
    """
    where = grammar.scene_phrase(random.Random(seed), scene)
    named = join_list([grammar.thing_phrase(thing) for thing in reversed(things)])
    place = _pixels(compose.draw([Plan(scene, ())], size).plate[0])
    opaque = np.full((*size, 1), 255, np.uint8)
    placed = [Placed(np.concatenate([place, opaque], axis=2), 0.5, 0.5, 1.0, prompt=place_text(where))]
    drawn = captioned.straighten(compose.draw_unlit(list(things), size, torch.device("cpu")))
    placed += [_cut_out(_pixels(one), grammar.thing_text(t)) for one, t in zip(drawn, things, strict=True)]
    return Collage(f"{named} {where}", tuple(_dialled(one, size, one is placed[-1]) for one in placed), size)


def place_text(phrase: str) -> str:
    """What a place is called: "on a blue floor in front of a red wall" -> "blue floor in front of a red wall"."""
    return re.sub(r"^(on|in) (an?|the) ", "", phrase)


def _pixels(picture: Tensor) -> np.ndarray:
    """(C, H, W) in 0..1 -> uint8 HxWxC."""
    return to_bytes(255 * picture.permute(1, 2, 0).numpy())


def _cut_out(canvas: np.ndarray, text: str) -> Placed:
    """What is not empty of an RGBA canvas (H, W, 4), placed so that every pixel comes to lie on its own."""
    alpha, (height, width) = canvas[..., 3], canvas.shape[:2]
    solid, whole = alpha_box(alpha), alpha_box(alpha, threshold=1)
    assert solid is not None
    assert whole is not None
    left, top, right, bottom = whole
    x, y = (solid[0] + solid[2]) / 2 / width, (solid[1] + solid[3]) / 2 / height
    return Placed(canvas[top:bottom, left:right], x, y, (solid[2] - solid[0]) / width, prompt=text)


def _dialled(placed: Placed, size: Size, topmost: bool) -> Layer:
    return Layer(placed, dials.auto(dials.extent(placed, size), topmost))
