"""Which device does the work, and the one lock that guards it. Plain at import."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from models import zerogpu
from models.contract import BadRequest, Stopped

POLL = 0.05  # seconds between two looks at a stop flag


def pick(wanted: str = "auto") -> str:
    """`wanted`, or the best of cuda, mps and cpu that is there; raises `BadRequest` for one that is not."""
    if wanted == "cpu":
        return wanted
    import torch

    cuda = torch.cuda.is_available() and not zerogpu.outside()  # where GPUs are lent, torch says yes in every process
    have = ["cuda"] if cuda else ["mps"] if torch.backends.mps.is_available() else []
    if wanted == "auto":
        return (*have, "cpu")[0]
    if wanted not in have:
        raise BadRequest(f"There is no device “{wanted:.40}” here; choose one of {', '.join(['auto', *have, 'cpu'])}.")
    return wanted


def cuda_driver() -> bool:
    """Whether a CUDA driver sees a GPU, asked of the driver itself so that a page can ask before torch is imported."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int(0)
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except OSError:
        return False


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def total_gigabytes(device: str) -> float:
    """Memory that a run on `device` can hope for, in GB: the GPU's own, or the machine's."""
    if device == "cuda":
        import torch

        return float(torch.cuda.get_device_properties(0).total_memory) / 1e9
    import psutil

    return float(psutil.virtual_memory().total) / 1e9


class DeviceLock:
    """A first-come first-served lock whose queue can be left at any time by raising a stop flag."""

    def __init__(self) -> None:
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def busy(self) -> bool:
        """Whether somebody holds the lock."""
        return bool(self._queue)

    @contextmanager
    def hold(self, stop: threading.Event, waiting: Callable[[int], None]) -> Iterator[None]:
        """Hold the lock. `waiting(n)` hears how many are ahead when that changes; raises `Stopped`."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
        try:
            self._wait(ticket, stop, waiting)
            yield
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _wait(self, ticket: object, stop: threading.Event, waiting: Callable[[int], None]) -> None:
        told = 0
        while True:
            if stop.is_set():
                raise Stopped
            with self._changed:
                ahead = self._queue.index(ticket)
                if ahead == 0:
                    return
                if ahead == told:
                    self._changed.wait(POLL)
                    continue
            told = ahead
            waiting(ahead)
