"""Which part of the picture is worked on, and at which size: the whole, a crop around the mask, the paper's square."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.cat.preprocess import resized
from models.contract import BadRequest
from models.pixels import Box, Size, alpha_box, context_box
from models.regions import grow as grown
from models.sizes import near_square

REGIONS = ("auto", "whole", "masked", "squash")
SMALL = 0.5  # of the picture: a crop below that is worth it
SOFT = 2.0  # a crop shrunk more than this comes back visibly soft
LEAST_CROP = 64  # pixels of the picture: below that there is nothing around the mask to go by
LEAST = 12  # working pixels across: a square of them fills a latent cell by half wherever it lies


@dataclass(frozen=True, eq=False)
class Framing:
    """What is worked on: `box` (left, top, right, bottom) in the picture; `picture` uint8 hxwx3 and `mask` uint8
    hxw at working size; `whole_mask` uint8 HxW of the picture, grown as asked."""

    box: Box
    picture: np.ndarray
    mask: np.ndarray
    whole_mask: np.ndarray

    @property
    def shrunk(self) -> float:
        """How many pixels of the picture become one across; below 1 it is enlarged."""
        left, top, right, bottom = self.box
        height, width = self.picture.shape[:2]
        return float(max((right - left) / width, (bottom - top) / height))


def frame(
    image: np.ndarray, mask: np.ndarray, region: str, padding: float, grow: int, size: int, multiple: int
) -> Framing:
    """Frame a uint8 HxWx3 picture and its uint8 HxW mask for a network whose sides are multiples of `multiple`.

    The working picture has about size x size pixels and the crop's shape; "squash" is size x size whatever that is.
    """
    mask = grown(mask, grow)
    box = _box(mask, region, padding)
    left, top, right, bottom = box
    shape = (size, size) if region == "squash" else near_square((bottom - top, right - left), size, multiple)
    inside = slice(top, bottom), slice(left, right)
    return Framing(box, resized(image[inside], shape), resized(mask[inside], shape), mask)


def frame_box(mask: np.ndarray, region: str, padding: float, grow: int) -> Box:
    """The part (left, top, right, bottom) of the picture that is worked on."""
    return _box(grown(mask, grow), region, padding)


def too_small(framing: Framing) -> BadRequest:
    """The sentence for a mask of which nothing is left at working size."""
    least = math.ceil(LEAST * framing.shrunk)
    height, width = framing.whole_mask.shape
    instead = " or work on “masked”" if framing.box == (0, 0, width, height) else ""
    return BadRequest(f"The mask is too small for this size; please mark at least {least}x{least} pixels{instead}.")


def warning(framing: Framing) -> str:
    """What to know before the run is trusted with fine detail; empty if nothing."""
    if framing.shrunk <= SOFT:
        return ""
    height, width = framing.picture.shape[:2]
    left, top, right, bottom = framing.box
    return (
        f"{right - left}x{bottom - top} pixels are drawn at {width}x{height}, so what is filled in will be soft; "
        "mark less or choose a larger resolution."
    )


def _box(mask: np.ndarray, region: str, padding: float) -> Box:
    height, width = mask.shape
    whole = (0, 0, width, height)
    found = alpha_box(mask)
    if region in ("whole", "squash") or found is None:
        return whole
    crop = _square_around(found, (height, width), padding)
    area = (crop[2] - crop[0]) * (crop[3] - crop[1])
    return whole if region == "auto" and area > SMALL * height * width else crop


def _square_around(box: Box, picture: Size, padding: float) -> Box:
    """A square around the box, as far as the picture reaches: `padding` of its longer side is left on each side."""
    left, top, right, bottom = box
    longer = max(right - left, bottom - top)
    side = max(round(longer * (1 + 2 * padding)), LEAST_CROP)
    across, down = side - (right - left), side - (bottom - top)
    square = (left - across // 2, top - down // 2, right + (across + 1) // 2, bottom + (down + 1) // 2)
    return context_box(square, picture, 0, multiple=1)
