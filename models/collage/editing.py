"""Change some layers of a finished picture and keep the rest, to the pixel (section 5). Plain.

`plan` says where to start from and how free each place is; `Plan.finish` puts what came of it into the picture. The
hard lock is ours: without it what is kept still goes through the autoencoder and the last, free step.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from models.collage.composing import Stack, over
from models.collage.noise_map import BLUR, blurred
from models.contract import BadRequest
from models.pixels import paste_back
from models.regions import grow

Mode = Literal["continue", "restart"]
Uncovered = Literal["keep", "regenerate"]
REACH = 12.0  # pixels around an edited layer that may change with it, its shadow and its edge
FAINT = 0.05  # of a pixel: what is seen less of a layer is not taken for its place


@dataclass(frozen=True, eq=False)
class Plan:
    """An edit of `previous` (H, W, 3) uint8.

    base: (H, W, 3) uint8, the picture to start from. levels: (H, W) float32, every pixel's noise level in 0..1.
    lock: (H, W) uint8, 0 = stays exactly as it was; the seam is blended over `reach` pixels inside it.
    """

    previous: np.ndarray
    base: np.ndarray
    levels: np.ndarray
    lock: np.ndarray
    reach: float

    @property
    def strength(self) -> float:
        """Where to start: the highest level."""
        return float(self.levels.max())

    def idle(self, steps: int) -> bool:
        """Whether so many steps leave nothing to do, and the previous picture is the result."""
        return int(steps * self.strength) < 1

    def finish(self, result: np.ndarray) -> np.ndarray:
        """The new picture inside the lock, the previous one's own pixels everywhere else; uint8 (H, W, 3)."""
        return paste_back(self.previous, result, self.lock, self.reach)


def plan(
    previous: np.ndarray,
    stack: Stack,
    edited: Collection[int],
    change: float,
    mode: Mode = "continue",
    keep: float = 0.0,
    uncovered: Uncovered = "keep",
    blur: float = BLUR,
    reach: float = REACH,
) -> Plan:
    """What to do to change the layers `edited` (their numbers among those shown) of a picture made from `stack`.

    mode: `continue` goes on from what the picture shows, `restart` pastes the layers' sources over it first.
    change, keep: noise levels in 0..1 of the edited layers and of the rest. The canvas where it is seen is kept, or
    made anew at `change`. Pixels farther than two `blur` from what is edited stay at `keep` exactly.
    Raises `BadRequest` for no layer, one that nothing is seen of, and a picture of another size.
    """
    chosen = _seen(previous, stack, edited)
    where = stack.visible[chosen].sum(axis=0)
    base = previous
    if mode == "restart":
        alphas = np.rint(255 * stack.visible[chosen]).astype(np.uint8)[..., None]
        base = over(previous, np.concatenate([stack.drawn[chosen][..., :3], alphas], axis=3))
    if uncovered == "regenerate":
        where = where + stack.uncovered
    where = np.clip(where, 0, 1)
    lock = grow(np.where(where > FAINT, np.uint8(255), np.uint8(0)), reach)
    return Plan(previous, base, _levels(where, change, keep, blur), lock, reach)


def _seen(previous: np.ndarray, stack: Stack, edited: Collection[int]) -> list[int]:
    if previous.shape != stack.flat.shape:
        (height, width), (rows, columns) = stack.flat.shape[:2], previous.shape[:2]
        raise BadRequest(f"The picture is {columns}x{rows} pixels and the collage {width}x{height}; use an equal one.")
    chosen = sorted(set(edited))
    if not chosen:
        raise BadRequest("Please choose at least one layer to change.")
    if strange := [n for n in chosen if not 0 <= n < len(stack.visible)]:
        raise BadRequest(f"The collage shows {len(stack.visible)} layers; there is no layer {strange[0] + 1}.")
    if hidden := [n for n in chosen if stack.visible[n].max() <= FAINT]:
        raise BadRequest(f"Nothing is seen of layer {hidden[0] + 1}; move it, or take away what covers it.")
    return chosen


def _levels(where: np.ndarray, change: float, keep: float, blur: float) -> np.ndarray:
    """From `keep` to `change` over a blurred edge that ends two `blur` outside; (H, W) float32."""
    soft = blurred(where.astype(np.float64), blur)
    if blur > 0:
        away = cv2.distanceTransform((where <= 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        soft = np.where(away <= 2 * blur, soft, 0)
    levels: np.ndarray = keep + (change - keep) * soft
    return levels.astype(np.float32)
