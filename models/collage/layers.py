"""A collage as data: a prompt, and layers from back to front, each with words of the prompt. Plain.

What exists can be drawn: everything is checked when it is made, and refused with one sentence.
"""

from __future__ import annotations

import dataclasses
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from models.collage.alignment import find
from models.collage.dials import Dials
from models.contract import BadRequest, Placed
from models.pixels import Size, alpha_box

GREY = (150, 150, 150)  # the authors' canvas
SIZE = (512, 512)
MULTIPLE, SMALLEST, LARGEST = 8, 64, 2048  # of the canvas's sides in pixels
MOST_LAYERS = 75  # the words that CLIP has room for
MOST_PIXELS = 300_000_000  # of all layers' pictures together: 1.2 GB; one small file may name one huge picture often
REACH = 4.0  # canvases that a layer's centre may be away from the canvas


@dataclass(frozen=True, eq=False)
class Layer:
    """A placed cut-out, whose `prompt` is words of the collage's prompt, with its dials.

    A hidden layer takes no part at all. A locked one is not to be moved or changed by hand. `key` names the layer for
    those who keep something about it, such as what was learned of its look.
    Raises `BadRequest` if nothing of it could be seen.
    """

    placed: Placed
    dials: Dials = field(default_factory=Dials)
    visible: bool = True
    locked: bool = False
    key: str = ""

    def __post_init__(self) -> None:
        text = unicodedata.normalize("NFC", " ".join(self.placed.prompt.split()))
        image = np.asarray(self.placed.image)
        named = f"The layer “{text[:60]}”"
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 4 or 0 in image.shape:
            raise BadRequest(f"{named} must be an 8-bit picture with transparency; it was {image.dtype} {image.shape}.")
        if alpha_box(image[..., 3]) is None:
            raise BadRequest(f"{named} is fully transparent; please give a cut-out with something in it.")
        limits = {
            "x": (-REACH, 1 + REACH),
            "y": (-REACH, 1 + REACH),
            "scale": (1e-3, 2 * REACH),
            "angle": (-3600, 3600),
        }
        for name, (low, high) in limits.items():
            value = getattr(self.placed, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise BadRequest(f"{named}: “{name}” must lie between {low:g} and {high:g}; it was {value:g}.")
        image = image.copy()
        image.setflags(write=False)
        object.__setattr__(self, "placed", dataclasses.replace(self.placed, prompt=text, image=image))

    @property
    def text(self) -> str:
        """Its words, with single spaces."""
        return self.placed.prompt

    def replace(self, **changes: Any) -> Self:
        """The same layer with some of its own fields or those of `placed` changed, checked again."""
        geometry = {f.name for f in dataclasses.fields(Placed)}
        placed = dataclasses.replace(self.placed, **{k: v for k, v in changes.items() if k in geometry})
        own = {k: v for k, v in changes.items() if k not in geometry}
        return dataclasses.replace(self, **({"placed": placed} | own))


@dataclass(frozen=True, eq=False)
class Collage:
    """Layers from back to front on a canvas of `size` (height, width) in one colour.

    settings: what else a person chose for the run, such as steps and seed; numbers, texts and truths only.
    Raises `BadRequest` for no layer, or none that is shown, more than the prompt can name, a canvas that no model
    takes, and layers whose words are missing from the prompt or overlap in it.
    """

    prompt: str
    layers: tuple[Layer, ...]
    size: Size = SIZE
    background: tuple[int, int, int] = GREY
    settings: Mapping[str, float | int | str | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", unicodedata.normalize("NFC", self.prompt))
        object.__setattr__(self, "layers", tuple(self.layers))
        _check_canvas(self.size, self.background)
        if not self.layers:
            raise BadRequest("A collage needs at least one layer; please add a picture.")
        if not self.shown:
            raise BadRequest("Every layer is hidden; please show at least one.")
        if len(self.layers) > MOST_LAYERS:
            raise BadRequest(f"The collage has {len(self.layers)} layers; the prompt has words for {MOST_LAYERS}.")
        find(self.prompt, [layer.text for layer in self.shown])

    @property
    def shown(self) -> tuple[Layer, ...]:
        """The layers that are not hidden, back to front."""
        return tuple(layer for layer in self.layers if layer.visible)

    def replace(self, **changes: Any) -> Self:
        """The same collage with some fields changed, checked again."""
        return dataclasses.replace(self, **changes)


def within(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Layers as they are read, one after the other, so that no more is held than they may have together.

    Raises `BadRequest` at the first one beyond that.
    """
    held, pixels = [], 0
    for layer in layers:
        pixels += layer.placed.image.shape[0] * layer.placed.image.shape[1]
        if pixels > MOST_PIXELS:
            raise BadRequest(
                f"The layers' pictures have more than {MOST_PIXELS // 1_000_000} million pixels together; "
                "please make some of them smaller."
            )
        held.append(layer)
    return tuple(held)


def prompt_of(texts: Sequence[str]) -> str:
    """A prompt that names every layer, from front to back: "a, b and c"."""
    named = [" ".join(text.split()) for text in reversed(texts)]
    return f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else "".join(named)


def _check_canvas(size: Size, background: tuple[int, int, int]) -> None:
    height, width = size
    for side in (height, width):
        if not SMALLEST <= side <= LARGEST or side % MULTIPLE:
            raise BadRequest(
                f"The canvas is {width}x{height} pixels; its sides must be multiples of {MULTIPLE} "
                f"between {SMALLEST} and {LARGEST}."
            )
    if len(background) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in background):
        raise BadRequest("The canvas's colour must be three whole numbers between 0 and 255.")
