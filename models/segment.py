"""What a click asks for and what it answers: the request of a mask, and the arithmetic after the model. Plain."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.contract import BadRequest, Preset, Weights, option
from models.cutout import Point
from models.fields import Option, checked, same_size
from models.pixels import Box
from models.regions import combine, feather, fill_holes, grow, invert, keep_largest

UNTOUCHED = 128  # of a paint map: above is painted in, below is erased
MOST_POINTS = 100


def _full(name: str, size: str, gigabytes: float, memory: float) -> Preset:
    licence = "Apache-2.0"
    source = f"facebook/sam2.1-hiera-{size}"
    return Preset(
        name=name,
        label=f"SAM 2.1 {size}, {gigabytes:.2f} GB",
        components={"sam2": Weights(source, "models.masks.Sam2", licence=licence, gigabytes=gigabytes)},
        steps=0,
        size=1024,
        licence=licence,
        memory_gigabytes={"full": memory},
    )


PRESETS: dict[str, Preset] = {
    "pocket": Preset(
        name="pocket",
        label="Pocket - offline, a small SAM 2",
        components={"sam2": Weights("assets/pocket/sam2", "models.masks.Sam2")},
        steps=0,
        size=256,
        licence="Apache-2.0",
        settings={"threads": 1},  # as for the other pocket models
    ),
    "full": _full("full", "tiny", 0.16, 1.0),
    "full-small": _full("full-small", "small", 0.18, 1.0),
    "full-base-plus": _full("full-base-plus", "base-plus", 0.32, 1.5),
    "full-large": _full("full-large", "large", 0.90, 2.5),
}
GRABCUT = "grabcut"
MODELS = ("auto", *PRESETS, GRABCUT)


@dataclass(frozen=True, eq=False, kw_only=True)
class SegmentRequest:
    """Clicks, a box and brush strokes on a uint8 HxWx3 picture, and what is done to the mask after the model.

    Points are (x, y) in pixels of the picture, labels 1 (include) or 0 (exclude); without labels all include.
    The box is (left, top, right, bottom) in pixels. Raises `BadRequest` on construction.
    """

    image: np.ndarray = option("rgb", None, "Picture", "What the object is in", required=True)
    points: tuple[Point, ...] = field(default=())
    labels: tuple[int, ...] = field(default=())
    box: Box | None = field(default=None)
    paint: np.ndarray | None = option(
        "mask", None, "Brush strokes", "128 = untouched, 255 = painted in, 0 = erased, softer values between"
    )
    start: np.ndarray | None = option(
        "mask", None, "A mask to start from", "Clicks and the box add to it; an excluding click on it takes away"
    )
    grow: float = option("number", 0.0, "Grow", "Pixels; negative shrinks", low=-100, high=100, step=1)
    feather: float = option("number", 0.0, "Feather", "Pixels over which the edge fades", low=0, high=200, step=1)
    fill_holes: bool = option("flag", False, "Fill holes", "What the object encloses belongs to it")
    keep_largest: bool = option("flag", False, "Keep the largest piece", "Drop what is not joined to it")
    invert: bool = option("flag", False, "Invert", "Everything but the object")
    soft_edges: bool = option("flag", True, "Soft edges", "Edges follow the picture's own (guided filter)")
    model: str = option(
        "choice", "auto", "Model", "auto = the best SAM 2 that is here; grabcut = by colour alone", choices=MODELS
    )

    def __post_init__(self) -> None:
        for name, told in OPTIONS.items():
            object.__setattr__(self, name, checked(told, getattr(self, name)))
        size = self.image.shape[:2]
        for name in ("paint", "start"):
            same_size(f"mask “{OPTIONS[name].label}”", getattr(self, name), "picture", self.image)
        object.__setattr__(self, "points", _points(self.points, size))
        object.__setattr__(self, "labels", _labels(self.labels, len(self.points)))
        object.__setattr__(self, "box", _box(self.box, size))
        self._check()

    def _check(self) -> None:
        painted = self.paint is not None and bool((self.paint != UNTOUCHED).any())
        if self.only_excludes and self.start is None and not painted:
            raise BadRequest("Only excluding clicks were given; please click on the object first, or draw a box.")
        if not self.prompted and not painted and self.start is None:
            raise BadRequest("Please click on the object, draw a box around it, or paint it.")

    @property
    def prompted(self) -> bool:
        """Whether there is something for a model to find: a point or a box."""
        return bool(self.points) or self.box is not None

    @property
    def only_excludes(self) -> bool:
        """Whether there are clicks and all of them exclude."""
        return self.box is None and bool(self.points) and 1 not in self.labels

    def digest(self) -> str:
        """sha256 of the picture: what its embedding is remembered by."""
        return picture_digest(self.image)


OPTIONS: dict[str, Option] = {
    f.name: f.metadata["option"] for f in dataclasses.fields(SegmentRequest) if "option" in f.metadata
}
PROMPTS: dict[str, Option] = {  # words only: what these hold is checked here and not by kind
    "points": Option("text", "Clicks", "A list of [x, y] in pixels of the picture"),
    "labels": Option("text", "What each click means", "A list: 1 = include, 0 = exclude; all include if left out"),
    "box": Option("text", "Box", "[left, top, right, bottom] in pixels"),
}


@dataclass(frozen=True, eq=False)
class Segmented:
    """The mask, uint8 HxW of the picture's size; how sure the model is of it (0..1, None without a model); facts."""

    mask: np.ndarray
    score: float | None
    facts: Mapping[str, Any] = field(default_factory=dict)


def picture_digest(image: np.ndarray) -> str:
    """sha256 of a picture's size and pixels."""
    sha = hashlib.sha256(str(image.shape).encode())
    sha.update(np.ascontiguousarray(image).data)
    return sha.hexdigest()


def grounded(request: SegmentRequest) -> SegmentRequest:
    """The same, where only paint is there to be excluded from, with that paint as the mask to start from."""
    if request.paint is None or request.start is not None or not request.only_excludes:
        return request
    painted = _stretched(request.paint.astype(np.float32) - UNTOUCHED)
    return dataclasses.replace(request, start=painted, paint=np.minimum(request.paint, UNTOUCHED))


def hard(mask: np.ndarray) -> np.ndarray:
    """255 where the mask is at least 128, else 0."""
    return np.where(mask >= 128, np.uint8(255), np.uint8(0))


def finish(request: SegmentRequest, found: np.ndarray) -> np.ndarray:
    """What the user asked for on top of the mask that was found: painted, filled, largest, erased, grown,
    feathered, inverted, in this order. Painting joins in before holes are filled, and erased stays erased."""
    mask = found
    if request.paint is not None:
        mask = combine(mask, _stretched(request.paint.astype(np.float32) - UNTOUCHED), "add")
    if request.fill_holes:
        mask = fill_holes(mask)
    if request.keep_largest:
        mask = keep_largest(mask)
    if request.paint is not None:
        mask = combine(mask, _stretched(UNTOUCHED - request.paint.astype(np.float32)), "subtract")
    mask = feather(grow(mask, request.grow), request.feather)
    return invert(mask) if request.invert else mask.copy()


def _stretched(strength: np.ndarray) -> np.ndarray:
    """0 and less to 0, 127 and more to 255."""
    stretched: np.ndarray = np.rint(np.clip(strength, 0, 127) * (255 / 127)).astype(np.uint8)
    return stretched


# --- checks of what cannot be an `Option`


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    """`count` finite numbers, or None if it is anything else."""
    try:
        numbers = tuple(float(v) for v in values)
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def _points(values: Any, size: tuple[int, ...]) -> tuple[Point, ...]:
    given = _listed(values, "points")
    if len(given) > MOST_POINTS:
        raise BadRequest(f"There are {len(given)} points; please give at most {MOST_POINTS}.")
    height, width = size
    points = []
    for value in given:
        numbers = None if isinstance(value, str) else _numbers(value, 2)
        if numbers is None:
            raise BadRequest(f"A point is two numbers, x and y in pixels; it was “{value!s:.40}”.")
        x, y = numbers
        if not (0 <= x <= width and 0 <= y <= height):
            raise BadRequest(f"The point {x:.12g}, {y:.12g} lies outside the picture of {width}x{height} pixels.")
        points.append((x, y))
    return tuple(points)


def _labels(values: Any, count: int) -> tuple[int, ...]:
    given = _listed(values, "labels") or [1] * count
    if len(given) != count:
        raise BadRequest(f"There are {count} points and {len(given)} labels; please give one label for each point.")
    for value in given:
        if isinstance(value, str) or value not in (0, 1):
            raise BadRequest(f"A label is 1 to include or 0 to exclude; it was “{value!s:.40}”.")
    return tuple(int(value) for value in given)


def _listed(values: Any, name: str) -> list[Any]:
    if values is None:
        return []
    if isinstance(values, str | bytes | Mapping):
        raise BadRequest(f"“{name}” must be a list; it was “{values!s:.40}”.")
    try:
        return list(values)
    except TypeError:
        raise BadRequest(f"“{name}” must be a list; it was “{values!s:.40}”.") from None


def _box(values: Any, size: tuple[int, ...]) -> Box | None:
    """Corners in either order, cut to the picture, at whole pixels."""
    if values is None or (isinstance(values, list | tuple) and not values):
        return None
    numbers = None if isinstance(values, str | bytes | Mapping) else _numbers(values, 4)
    if numbers is None:
        raise BadRequest(f"A box is four numbers, left, top, right, bottom in pixels; it was “{values!s:.40}”.")
    height, width = size
    (left, right), (top, bottom) = sorted(numbers[::2]), sorted(numbers[1::2])
    if left == right or top == bottom:
        raise BadRequest("The box has no area; please draw it around the object.")
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        raise BadRequest(f"The box lies outside the picture of {width}x{height} pixels; please draw it in there.")
    return (
        max(0, math.floor(left)),
        max(0, math.floor(top)),
        min(width, math.ceil(right)),
        min(height, math.ceil(bottom)),
    )
