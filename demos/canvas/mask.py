"""MaskCanvas: say by clicks, a box or a brush what belongs to a mask, see it at once, correct it, keep it.

The value is small JSON and files, in pixels of the picture, so neither the size on the screen nor the zoom reaches
Python. The browser draws previews; the mask that Python keeps has the picture's full size and eight bits.
"""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Mapping
from typing import Any

import gradio as gr
import numpy as np
from gradio.data_classes import FileData, GradioModel
from pydantic import Field

from demos.canvas.parts import Quiet, Valued, joined, picture_files, stored
from models import pictures
from models.pixels import alpha_box, fit_within, resize
from models.segment import MODELS, MOST_POINTS, OPTIONS, Segmented

SCRIPTS = (
    "view.js",
    "history.js",
    "stage.js",
    "mask_draw.js",
    "mask_gestures.js",
    "mask_state.js",
    "mask.js",
    "mask_life.js",
)
OVERLAY = 1536  # longest side of the mask that a browser is sent: a few kB, and sharp on the screen
DOUBT = 0.6  # a predicted IoU under this offers another way
SLIDERS = {"grow": (-40, 40), "feather": (0, 80)}  # pixels


class MaskValue(GradioModel):  # type: ignore[misc]
    """What is known of a mask. `points` are (x, y, 1 to include or 0 to exclude) and `box` is (left, top, right,
    bottom), all in pixels of `image`; `paint` holds the brush strokes and `start` a mask that was dropped, both 8-bit
    and of the picture's size. `mask` answers revision `answered`; it is of this value only if that is `revision`."""

    image: FileData | None = None
    preview: FileData | None = None
    width: int = 0
    height: int = 0
    title: str = ""
    purpose: str = ""  # what the host does with the mask
    opened: bool = False
    begun: int = 0  # another number begins afresh, also on the same picture
    points: list[tuple[float, float, int]] = Field(default_factory=list)
    box: tuple[float, float, float, float] | None = None
    paint: FileData | None = None
    start: FileData | None = None
    grow: float = 0.0
    feather: float = 0.0
    fill_holes: bool = False
    keep_largest: bool = False
    invert: bool = False
    soft_edges: bool = True
    model: str = "auto"
    revision: int = 0
    answered: int = -1
    mask: FileData | None = None
    score: float | None = None
    incoming: FileData | None = None
    role: str | None = None


class MaskCanvas(Valued, gr.HTML, metaclass=Quiet):  # type: ignore[misc]
    """A canvas for one picture's mask. Its own events - `segment`, `prepare`, `receive`, `save` - are wired by
    `demos.masks.attach`; the host wires `use`, which comes when the user is content with the mask.

    `inline` shows it empty, with a button for a picture; without, it is not there until a picture is opened in it.
    Without a `verb` there is no button for `use`, only Ctrl+Enter. `told` replaces what is said: "empty" where there
    is no picture, "idle" while there is no mask, and "remove" adds a button of this name that takes the picture away.
    """

    data_model = MaskValue

    def __init__(
        self,
        value: MaskValue | None = None,
        *,
        inline: bool = False,
        verb: str = "Use it",
        told: Mapping[str, str] | None = None,
        answer: dict[str, Any] | None = None,
        news: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(
            value,
            html_template=joined("mask.html"),
            css_template=joined("board.css", "mask.css"),
            js_on_load=joined(*SCRIPTS),
            apply_default_css=False,
            inline=inline,
            verb=verb,
            told=dict(told or {}),
            answer=answer,
            news=news,
            doubt=DOUBT,
            sliders={name: list(ends) for name, ends in SLIDERS.items()},
            **more,
        )
        # What handlers send back: the value itself stays as the user has it by then.
        self.answer, self.news = answer, news
        # Under a name that the script mentions and the component lacks, Gradio would put a listener into the page's
        # settings, and copy everything it hangs on for each visitor.
        self.inline, self.verb, self.told = inline, verb, dict(told or {})

    def preprocess(self, payload: MaskValue | None) -> MaskValue:
        """The value with every number finite and inside its range: anyone can post anything."""
        value: MaskValue = payload or MaskValue()
        finite = [p for p in value.points if all(map(math.isfinite, p))][-MOST_POINTS:]
        box = value.box if value.box and all(map(math.isfinite, value.box)) else None
        numbers = {name: _clamped(getattr(value, name), name) for name in SLIDERS}
        model = value.model if value.model in MODELS else "auto"
        kept: MaskValue = value.model_copy(update={"points": finite, "box": box, "model": model, **numbers})
        return kept


def _clamped(value: float, name: str) -> float:
    low, high = OPTIONS[name].low, OPTIONS[name].high
    assert low is not None
    assert high is not None
    return min(max(value, low), high) if math.isfinite(value) else 0.0


def opened(
    value: MaskValue,
    picture: np.ndarray,
    files: tuple[FileData, FileData | None] | None = None,
    start: np.ndarray | None = None,
    **told: str,
) -> MaskValue:
    """The canvas with this picture (uint8 HxWx3) open; clicks on the same file are still there.

    `files` are the picture's own and the one to draw, if they exist already; `start` (uint8 HxW) is the mask to begin
    with on a new picture; `told` are the `title` and the host's `purpose`.
    """
    image, preview = files or picture_files(picture)
    if value.image is not None and value.image.path == image.path:
        same: MaskValue = value.model_copy(update={**told, "opened": True})
        return same
    height, width = picture.shape[:2]
    begun = mask_file(start) if start is not None else None
    size = {"width": width, "height": height, "begun": time.time_ns() // 1_000_000}
    return MaskValue(image=image, preview=preview, opened=True, start=begun, **size, **told)


def closed(value: MaskValue) -> MaskValue:
    """The canvas put away, with everything that was done on it."""
    shut: MaskValue = value.model_copy(update={"opened": False})
    return shut


def mask_file(mask: np.ndarray) -> FileData:
    """A mask (uint8 HxW) as an 8-bit PNG that the canvas can name."""
    return stored(pictures.encode(mask, compress_level=1), "png", "mask")


def answer(value: MaskValue, found: Segmented) -> dict[str, Any]:
    """What the canvas is told of a mask: a small copy to draw, the file of full size, how sure, and around what."""
    mask = found.mask
    small = resize(mask, fit_within((mask.shape[0], mask.shape[1]), OVERLAY))
    return {
        **_address(value),
        "overlay": "data:image/png;base64," + base64.b64encode(pictures.encode(small)).decode(),
        "mask": mask_file(mask).model_dump(),
        "score": found.score,
        "model": found.facts.get("model", ""),
        "box": alpha_box(mask),
        "part": round(float(mask.mean()) / 255, 4),
        "note": "" if (mask >= 128).any() else "There is nothing in the mask; click on the object or draw a box.",
    }


def refusal(value: MaskValue, sentence: str) -> dict[str, Any]:
    """What the canvas is told when there can be no mask; whatever the user did stays."""
    return {**_address(value), "overlay": None, "mask": None, "score": None, "box": None, "note": sentence, "bad": True}


def _address(value: MaskValue) -> dict[str, Any]:
    return {"image": value.image.path if value.image else None, "revision": value.revision}
