"""Answering clicks: which model, on which device, behind which lock. Plain at import.

On a CPU clicks have a lock of their own, so they do not wait behind a run; on a GPU they take the device's turn.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from models import device, loading, runtime
from models.cutout import softened
from models.segment import GRABCUT, PRESETS, Segmented, SegmentRequest, by_colour, finish, picture_digest

lock = device.DeviceLock()


def segment(request: SegmentRequest, stop: threading.Event) -> Segmented:
    """See `runtime.segment`. Facts: "model" (which one answered, or "none"), "device", "seconds"."""
    started = time.perf_counter()
    name, where, score = choose(request.model), "cpu", None
    if not request.prompted:
        name = "none"
        found = np.zeros(request.image.shape[:2], np.uint8) if request.start is None else request.start
    elif name == GRABCUT:
        with lock.hold(stop, _unheard):
            found, score = by_colour(request)
    else:
        with _masker(name, stop) as (masker, where):
            embedding = masker.embed(request.image, request.digest())
            answer = masker.answer(embedding, request.points, request.labels, request.box)
            hard, score = masker.masks(embedding, answer.logits[:1])[0], float(answer.scores[0])
        found = softened(request.image, hard) if request.soft_edges else hard
    mask = finish(request, found)
    return Segmented(mask, score, {"model": name, "device": where, "seconds": round(time.perf_counter() - started, 3)})


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
            import torch

            from models.masks import Sam2Masker

            if where == "cpu":  # the number is each thread's own
                torch.set_num_threads(runtime.threads_for(preset))
            lease.to(where)
            yield Sam2Masker(lease["sam2"], lambda key, compute: lease.remember(("sam2", *key), compute)), where
    except Exception as error:
        told = runtime.explained(error, preset)
        if told is error:
            raise
        raise told from error


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
