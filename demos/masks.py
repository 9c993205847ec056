"""Masks in any tab: a canvas's value -> `runtime.segment` -> what the canvas shows, and what a tab reads from it.

canvas = MaskCanvas(inline=True)
masks.attach(canvas)
run.click(lambda value: masks.mask_of(value), canvas, ...)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import gradio as gr
import numpy as np
from gradio.data_classes import FileData

from demos.canvas.mask import MaskCanvas, MaskValue, answer, mask_file, opened, refusal
from demos.canvas.parts import stored
from demos.widgets import QUIET
from models import cutout, pictures, pixels, runtime
from models.contract import BadRequest, Kind, MissingWeights, OutOfMemory
from models.segment import Segmented, SegmentRequest, finish, grounded, picture_digest

log = logging.getLogger(__name__)
SHAPE = 0.01  # by how much the aspect of a dropped mask may differ from the picture's
AT_ONCE = 4  # questions that may be under way; the clicks' own lock lets one compute
FIELDS = ("box", "grow", "feather", "fill_holes", "keep_largest", "invert", "soft_edges", "model")
CLICKS: Mapping[str, Any] = {"concurrency_id": "masks", "concurrency_limit": AT_ONCE, **QUIET}


Restore = Callable[[str], dict[Any, Any] | None]


def attach(canvas: MaskCanvas, restore: Restore | None = None, restores: Sequence[Any] = ()) -> None:
    """Wire the canvas's own events: clicks get masks, files become pictures or masks, masks become files.

    `restore` is asked first about a file that is dropped: the updates of the components `restores`, or None if the
    file is no result.
    """

    def received(value: MaskValue) -> Any:
        put_back = restore and _restored(canvas, value, restore)
        return put_back or {canvas: _received(value)}

    canvas.segment(_segmented, canvas, canvas, trigger_mode="always_last", **CLICKS)
    canvas.prepare(_prepared, canvas, canvas, trigger_mode="always_last", **CLICKS)
    canvas.receive(received, canvas, list(dict.fromkeys([canvas, *restores])), **CLICKS)
    canvas.save(_saved, canvas, canvas, **CLICKS)


# --- what a tab reads


def mask_of(value: MaskValue) -> np.ndarray:
    """The mask as the user sees it, uint8 HxW of the picture's full size; raises `BadRequest` if there is none."""
    if value.mask is None or value.answered != value.revision:
        return _segment(value).mask
    mask = _decoded(value.mask.path, "mask", "The mask")
    if mask.shape != picture_of(value).shape[:2]:
        raise BadRequest("The mask is not of this picture; please click on the object again.")
    return mask


def cutout_of(value: MaskValue) -> np.ndarray:
    """The masked object in a picture of the original's size, RGBA; raises `BadRequest` for an empty mask."""
    mask = mask_of(value)
    if not (mask >= 128).any():
        raise BadRequest("There is nothing in the mask; please click on the object or draw a box around it.")
    return cutout.lifted(picture_of(value), mask)


def picture_of(value: MaskValue) -> np.ndarray:
    """The picture, uint8 HxWx3; raises `BadRequest`."""
    if value.image is None:
        raise BadRequest("Please choose a picture first.")
    return _decoded(value.image.path, "rgb", value.title or "The picture")


def request_of(value: MaskValue) -> SegmentRequest:
    """What the value asks of a model; raises `BadRequest`."""
    picture = picture_of(value)
    return SegmentRequest(
        image=picture,
        points=tuple((x, y) for x, y, _ in value.points),
        labels=tuple(label for _, _, label in value.points),
        paint=_paint(value.paint, picture) if value.paint else None,
        start=_decoded(value.start.path, "mask", "The mask") if value.start else None,
        **{name: getattr(value, name) for name in FIELDS},
    )


def _segment(value: MaskValue) -> Segmented:
    """The mask of a value. Brush, sliders and switches do not ask the model again: they work on what it found."""
    request = grounded(request_of(value))
    if not request.prompted:
        return runtime.segment(request)
    assert value.image is not None  # `request_of` refused that
    begun = None if request.start is None else _Begun(request.start)
    asked = {name: getattr(request, name) for name in ("points", "labels", "box", "soft_edges", "model")}
    found = _found(value.image.path, begun, **asked)
    return replace(found, mask=finish(request, found.mask))


class _Begun:
    """The mask to start from, as part of a key: masks of the same pixels are one."""

    def __init__(self, mask: np.ndarray) -> None:
        self.mask, self._digest = mask, picture_digest(mask)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Begun) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)


@lru_cache(maxsize=4)
def _found(path: str, begun: _Begun | None, **asked: Any) -> Segmented:
    picture = _decoded(path, "rgb", "The picture")
    return runtime.segment(SegmentRequest(image=picture, start=None if begun is None else begun.mask, **asked))


def _paint(file: FileData, picture: np.ndarray) -> np.ndarray:
    """The strokes at the picture's size: a browser may have had to draw them smaller."""
    strokes = _decoded(file.path, "mask", "The brush strokes")
    return pixels.resize(strokes, (picture.shape[0], picture.shape[1]))


@lru_cache(maxsize=4)
def _decoded(path: str, kind: Kind, name: str) -> np.ndarray:
    """A file of the cache, whose path contains its hash; every click asks for the same ones again."""
    picture = pictures.decode(path, kind, name)
    picture.setflags(write=False)
    return picture


# --- the canvas's own events: each answers in words where something is wrong, and takes nothing away


def _segmented(value: MaskValue) -> Any:
    try:
        return gr.update(answer=answer(value, _segment(value)))
    except Exception as error:
        return gr.update(answer=refusal(value, sentence(error)))


def _prepared(value: MaskValue) -> Any:
    """The picture's embedding is made before the first click asks for it."""
    try:
        runtime.embed(picture_of(value))
    except Exception as error:
        return tell(value, note=sentence(error), bad=True, prepared=True)
    return tell(value, prepared=True)


def _restored(canvas: MaskCanvas, value: MaskValue, restore: Restore) -> dict[Any, Any] | None:
    """What a dropped result puts back. Another method's is a picture like any other where there is none yet."""
    if value.incoming is None or value.role != "any":
        return None
    try:
        return restore(value.incoming.path)
    except BadRequest as error:
        return None if value.image is None else {canvas: tell(value, note=str(error), bad=True)}


def _received(value: MaskValue) -> Any:
    """A file was chosen or dropped: a picture to mask, or a mask for the picture."""
    if value.incoming is None:
        return gr.skip()
    name, path = value.incoming.orig_name or "The file", value.incoming.path
    try:
        if value.role == "picture" or value.image is None:
            picture = pictures.decode(path, "rgb", name)
            return opened(MaskValue(), picture, title=value.title, purpose=value.purpose)
        mask = pictures.decode(path, "mask", name)
        fitted = _fitted(mask, picture_of(value), name)
        (h, w), (height, width) = mask.shape, fitted.shape
        note = "" if (h, w) == (height, width) else f"“{name}” was {w} × {h} pixels; resized to {width} × {height}."
        return tell(value, start=mask_file(fitted).model_dump(), note=note)
    except Exception as error:
        return tell(value, note=sentence(error), bad=True)


def _fitted(mask: np.ndarray, picture: np.ndarray, name: str) -> np.ndarray:
    """A mask at the size of its picture; raises `BadRequest` where it has another shape."""
    (h, w), (height, width) = mask.shape, picture.shape[:2]
    if abs(w * height / (h * width) - 1) > SHAPE:
        raise BadRequest(
            f"“{name}” is {w} × {h} pixels; a mask for this picture has {width} × {height}, or the same shape smaller."
        )
    return pixels.resize(mask, (height, width))


def _saved(value: MaskValue, event: gr.EventData) -> Any:
    """A file for the download button: the mask, the cut-out, or the overlay."""
    try:
        kind = event.kind if event.kind in ("mask", "cutout") else "overlay"
        made = {"mask": mask_of, "cutout": cutout_of}.get(kind)
        picture = made(value) if made else _tinted(value, event.tint)
        return tell(value, file=stored(pictures.encode(picture, compress_level=3), "png", kind).model_dump())
    except Exception as error:
        return tell(value, note=sentence(error), bad=True)


def _tinted(value: MaskValue, tint: Sequence[float]) -> np.ndarray:
    """The picture with the mask in the tint over it, RGB."""
    colour = np.clip(np.array(tint, np.float32), 0, 255).reshape(3)
    picture, weight = picture_of(value), mask_of(value)[..., None] / np.float32(510)
    return pixels.to_bytes(picture * (1 - weight) + colour * weight)


def tell(value: MaskValue, **told: Any) -> Any:
    """A message to the canvas that is no mask: a `note` (`bad` or not), a `file` to save, a `start` to begin with."""
    # `at` makes every message another one: the browser hears of changes only.
    return gr.update(news={"image": value.image.path if value.image else None, "at": time.time_ns(), **told})


def sentence(error: Exception) -> str:
    """What the widget says of it; errors that are not the user's are logged."""
    if isinstance(error, BadRequest | MissingWeights | OutOfMemory):
        return str(error)
    log.error("A mask failed", exc_info=error)
    return "Something failed inside the app; its log says what. Your clicks are kept."
