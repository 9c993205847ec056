"""One field of a request: how it is shown, which values it takes, and the sentences that refuse others. Plain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

Kind = Literal["text", "number", "integer", "choice", "flag", "rgb", "rgba", "mask", "layers", "pictures"]
PICTURES: tuple[Kind, ...] = ("rgb", "rgba", "mask")
MEMORY_MODES = ("auto", "full", "offload", "fp8", "4bit")
CHANNELS: dict[Kind, str] = {"rgb": "HxWx3", "rgba": "HxWx4", "mask": "HxW"}


class BadRequest(ValueError):
    """One sentence for the user that names what to change."""


@dataclass(frozen=True)
class Option:
    """How one request field is shown, checked and named: on a page, as a flag and as an endpoint argument."""

    kind: Kind
    label: str
    tip: str = ""
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    required: bool = False
    inert: bool = False  # cannot change a pixel (a memory mode), so it stays out of `digest`
    private: bool = False  # pictures of people: a recipe names them by their sha256 and they are stored nowhere
    max_length: int = 4000  # characters of a text; longer ones are refused
    parse: Callable[[Any, Callable[[Any], np.ndarray]], Any] | None = None  # of "layers" and "pictures": from what a
    #   caller gives, and what reads a file in it as RGBA

    @property
    def span(self) -> str:
        """The allowed range in words, "" where there is none."""
        low, high = (math.inf * sign if x is None else x for x, sign in ((self.low, -1), (self.high, 1)))
        return "" if (low, high) == (-math.inf, math.inf) else f"{low:.12g} and {high:.12g}"


def option(kind: Kind, default: Any, label: str, tip: str = "", **more: Any) -> Any:
    """A request field with its `Option` in the metadata; `more` are the other fields of `Option`."""
    return field(default=default, metadata={"option": Option(kind, label, tip, **more)})


def checked(spec: Option, value: Any) -> Any:
    """`value` as the option's kind; raises `BadRequest` with one sentence."""
    if value is None and spec.kind not in ("text", "flag"):
        if spec.required:
            raise BadRequest(f"Please give a picture for “{spec.label}”.")
        return None
    if spec.kind in PICTURES:
        return _picture(spec, value)
    if spec.kind in ("number", "integer"):
        return _number(spec, value)
    if spec.kind == "flag":
        return _flag(spec, value)
    if spec.kind == "layers":
        return tuple(value)
    if spec.kind == "pictures":
        return _pictures(spec, value)
    text = "" if value is None else str(value)
    if spec.kind == "choice" and spec.choices and text not in spec.choices:
        raise BadRequest(f"“{spec.label}” must be one of {', '.join(spec.choices)}; it was “{text[:40]}”.")
    if spec.kind == "text" and len(text) > spec.max_length:
        raise BadRequest(f"“{spec.label}” has {len(text)} characters; the limit is {spec.max_length}.")
    return text


def _flag(spec: Option, value: Any) -> bool:
    if isinstance(value, str) or value not in (None, True, False):  # the text "false" is true to `bool`
        raise BadRequest(f"“{spec.label}” must be true or false; it was “{str(value)[:40]}”.")
    return bool(value)


def _number(spec: Option, value: Any) -> float | int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise BadRequest(f"“{spec.label}” must be a number; it was “{str(value)[:40]}”.") from None
    if not math.isfinite(number):
        raise BadRequest(f"“{spec.label}” must be a finite number.")
    low, high = spec.low, spec.high
    if (low is not None and number < low) or (high is not None and number > high):
        raise BadRequest(f"“{spec.label}” must lie between {spec.span}; it was {number:.12g}.")
    if spec.kind == "number":
        return number
    if number != int(number):
        raise BadRequest(f"“{spec.label}” must be a whole number; it was {number:.12g}.")
    return int(number)


def _picture(spec: Option, value: Any) -> np.ndarray:
    array = np.asarray(value)
    want = CHANNELS[spec.kind]
    fits = array.ndim == want.count("x") + 1 and (spec.kind == "mask" or array.shape[2] == int(want[-1]))
    if array.dtype != np.uint8 or not fits or 0 in array.shape:
        raise BadRequest(f"“{spec.label}” must be 8-bit {want}; it was {array.dtype} {array.shape}.")
    if min(array.shape[:2]) < 8:
        height, width = array.shape[:2]
        raise BadRequest(f"“{spec.label}” is {width}x{height} pixels; please use one of at least 8x8.")
    array = array.copy()
    array.setflags(write=False)
    return array


def _pictures(spec: Option, value: Any) -> tuple[np.ndarray, ...]:
    """Any number of RGB pictures of any sizes, named by their places in what they refuse."""
    given = [value] if isinstance(value, np.ndarray) and value.ndim == 3 else list(value)
    if not given and spec.required:
        raise BadRequest(f"Please give a picture for “{spec.label}”.")
    return tuple(_picture(replace(spec, kind="rgb", label=f"{spec.label}, {k}"), one) for k, one in enumerate(given, 1))


def same_size(mask: str, mask_value: Any, picture: str, picture_value: Any) -> None:
    """Raise `BadRequest` if a mask has not the size of its picture; nothing is compared with nothing."""
    if mask_value is None or picture_value is None or mask_value.shape == picture_value.shape[:2]:
        return
    (h, w), (hp, wp) = mask_value.shape, picture_value.shape[:2]
    raise BadRequest(f"The {mask} is {w}x{h} pixels but the {picture} is {wp}x{hp}; please make them the same size.")
