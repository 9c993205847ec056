"""The request that is timed for each method: pictures of an ordinary size, drawn by arithmetic, nothing to load."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from models.cat.spec import InpaintRequest
from models.collage.dials import Dials
from models.collage.layers import Layer
from models.collage.spec import CollageRequest
from models.contract import Placed, Request
from models.dit4edit.spec import EditRequest
from models.dreamfuse.spec import DreamFuseRequest
from models.facediffuser.spec import FaceRequest


def scene(width: int = 768, height: int = 576) -> np.ndarray:
    """A wall above a floor, uint8 RGB."""
    rows, columns = np.mgrid[:height, :width]
    wall = np.stack([200 - rows // 8, 190 - columns // 16, 150 + 0 * rows], axis=-1)
    floor = np.stack([120 + 20 * (columns // 48 % 2), 90 + rows // 16, 60 + 0 * rows], axis=-1)
    return np.where((rows < height * 0.55)[..., None], wall, floor).astype(np.uint8)


def cutout(side: int = 320) -> np.ndarray:
    """A shaded ball with a soft edge, uint8 RGBA."""
    rows, columns = (np.mgrid[:side, :side] + 0.5) / side * 2 - 1
    distance = np.hypot(rows, columns)
    light = np.clip(1.2 - np.hypot(rows + 0.4, columns + 0.4), 0.2, 1)
    alpha = np.clip((0.9 - distance) * side / 4, 0, 1)
    return (np.stack([light, light * 0.4, light * 0.2, alpha], axis=-1) * 255).astype(np.uint8)


def portrait(hair: tuple[int, int, int], skin: tuple[int, int, int], side: int = 384) -> np.ndarray:
    """A head with hair on shoulders, before a plain wall, uint8 RGB."""
    rows, columns = (np.mgrid[:side, :side] + 0.5) / side * 2 - 1
    found = np.full((side, side, 3), (200, 205, 210), np.uint8)
    for (x, y, wide, tall), colour in (
        ((0.0, 1.1, 0.7, 0.6), (60, 90, 140)),
        ((0.0, -0.2, 0.45, 0.6), hair),
        ((0.0, 0.0, 0.36, 0.5), skin),
        ((-0.14, -0.05, 0.05, 0.04), (30, 30, 30)),
        ((0.14, -0.05, 0.05, 0.04), (30, 30, 30)),
        ((0.0, 0.27, 0.12, 0.03), (150, 60, 60)),
    ):
        found[np.hypot((columns - x) / wide, (rows - y) / tall) < 1] = colour
    return found


def _dreamfuse() -> Request:
    return DreamFuseRequest(background=scene(), foreground=cutout(), x=0.5, y=0.65, scale=0.3, seed=1)


def _cat() -> Request:
    room = scene()
    mask = np.zeros(room.shape[:2], np.uint8)
    mask[300:480, 280:480] = 255
    return InpaintRequest(image=room, mask=mask, prompt="a red teapot", seed=1)


def _dit4edit() -> Request:
    words = "on a brown floor in front of a white wall"
    return EditRequest(image=scene(), source_prompt=f"a red teapot {words}", target_prompt=f"a red car {words}", seed=1)


def _collage() -> Request:
    room = scene(512, 512)
    backdrop = np.concatenate([room, np.full((512, 512, 1), 255, np.uint8)], axis=2)
    layers = [Layer(Placed(backdrop, scale=1.0, prompt="brown floor in front of a white wall"))]
    for text, x in (("basketball", 0.2), ("tangerine", 0.5), ("red apple", 0.8)):
        layers.append(Layer(Placed(cutout(), x, 0.7, 0.25, prompt=text), Dials(noise=0.5)))
    words = "a basketball, a tangerine and a red apple on a brown floor in front of a white wall"
    return CollageRequest(layers=tuple(layers), prompt=words, seed=1)


def _facediffuser() -> Request:
    people = (portrait((40, 30, 30), (160, 110, 80)), portrait((220, 190, 110), (245, 215, 195)))
    words = "a man <|image|> and a woman <|image|> on a brown floor in front of a white wall"
    return FaceRequest(references=people, prompt=words, seed=1)


EXAMPLES: Mapping[str, Callable[[], Request]] = {
    "dreamfuse": _dreamfuse,
    "collage": _collage,
    "cat": _cat,
    "facediffuser": _facediffuser,
    "dit4edit": _dit4edit,
}


def example(method: str) -> Request:
    """What a person would press the button with: every control at its default, the seed fixed."""
    return EXAMPLES[method]()
