"""Answering clicks: which model, on which device, behind which lock. Plain at import.

On a CPU clicks have a lock of their own, so they do not wait behind a run; on a GPU they take the device's turn.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from models import device, loading, runtime
from models.corrections import Ask, applied, proposals
from models.cutout import GrabCut, Point, softened
from models.pixels import Box
from models.segment import GRABCUT, PRESETS, Segmented, SegmentRequest, finish, grounded, hard, picture_digest

lock = device.DeviceLock()


def segment(request: SegmentRequest, stop: threading.Event) -> Segmented:
    """See `runtime.segment`. Facts: "model" (which one answered, or "none"), "device", "seconds"."""
    started = time.perf_counter()
    request = grounded(request)
    name, where, found = choose(request.model), "cpu", []
    if not request.prompted:
        name = "none"
    elif name == GRABCUT:
        masker = GrabCut()
        with lock.hold(stop, _unheard):
            found = proposals(request, partial(masker.mask, masker.embed(request.image)))
    else:
        with _masker(name, stop) as (sam2, where):
            found = proposals(request, _asking(sam2, request))
    edged = [replace(p, mask=_edged(request, p.mask, name)) for p in found]
    mask = finish(request, applied(request.start, edged, request.image.shape[:2]))
    seconds = round(time.perf_counter() - started, 3)
    score = min((p.score for p in found), default=None)
    return Segmented(mask, score, {"model": name, "device": where, "seconds": seconds})


def _asking(sam2: Any, request: SegmentRequest) -> Ask:
    """The masker as a function of the prompt; where nothing is taken away, only its best candidate is drawn."""
    embedding = sam2.embed(request.image, request.digest())
    candidates = 1 if request.start is None else None

    def ask(points: Sequence[Point], labels: Sequence[int], box: Box | None) -> tuple[np.ndarray, np.ndarray]:
        answer = sam2.answer(embedding, points, labels, box)
        return sam2.masks(embedding, answer.logits[:candidates]), answer.scores[:candidates].cpu().numpy()

    return ask


def _edged(request: SegmentRequest, mask: np.ndarray, name: str) -> np.ndarray:
    """With the edges that are wanted: GrabCut's own are soft, a network's mask is hard."""
    if name == GRABCUT:
        return mask if request.soft_edges else hard(mask)
    return softened(request.image, mask) if request.soft_edges else mask


def embed(image: np.ndarray, model: str, stop: threading.Event) -> None:
    """See `runtime.embed`; GrabCut has nothing to get ready."""
    name = choose(model)
    if name != GRABCUT:
        with _masker(name, stop) as (masker, _):
            masker.embed(image, picture_digest(image))


def warm_up() -> None:
    """Load the model that answers clicks to host memory, importing its library; nothing runs."""
    name = choose("auto")
    if name != GRABCUT:
        with runtime.cache.lease(PRESETS[name].components):
            pass


@contextlib.contextmanager
def _masker(name: str, stop: threading.Event) -> Iterator[tuple[Any, str]]:
    """A SAM 2 on its device, and that device; on a CPU behind the clicks' own lock, on a GPU behind the runs'."""
    preset, where = PRESETS[name], device.pick(runtime.settings.device)
    turn = lock if where == "cpu" else runtime.lock
    try:
        with runtime.cache.lease(preset.components, stop) as lease, turn.hold(stop, _unheard):
            torch, maker = loading.first_alone(_libraries)
            if where == "cpu":  # the number is each thread's own
                torch.set_num_threads(runtime.threads_for(preset))
            lease.to(where)
            yield maker(lease["sam2"], lambda key, compute: lease.remember(("sam2", *key), compute)), where
    except Exception as error:
        told = runtime.explained(error, preset)
        if told is error:
            raise
        raise told from error


def _libraries() -> tuple[Any, Any]:
    import torch

    from models.masks import Sam2Masker

    return torch, Sam2Masker


def choose(wanted: str) -> str:
    """`wanted`, or for "auto" the best that is here: `full` on a GPU, else `pocket`, else GrabCut."""
    if wanted != "auto":
        return wanted
    gpu = runtime.settings.device in ("auto", "cuda") and device.cuda_driver()
    if gpu and runtime.settings.preset != "pocket" and _here("full"):
        return "full"
    return "pocket" if _here("pocket") else GRABCUT


def _here(name: str) -> bool:
    return all(loading.present(w) for w in PRESETS[name].components.values())


def _unheard(_: int) -> None:
    """Nobody is told how many clicks are ahead: it is a matter of tenths of a second."""
