"""Computed tensors that are kept under a byte budget, and how many bytes things have. Plain."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any


def nbytes(thing: Any) -> int:
    """Bytes of a component or a value: its parameters and buffers, its tensors, or 0 for tokenizers and such."""
    if hasattr(thing, "parameters"):
        return sum(t.nbytes for t in (*thing.parameters(), *thing.buffers()))
    if isinstance(thing, Mapping):
        return sum(nbytes(v) for v in thing.values())
    if isinstance(thing, tuple | list):
        return sum(nbytes(v) for v in thing)
    return int(getattr(thing, "nbytes", 0))


class Values:
    """An LRU of computed tensors; a value larger than the whole budget is not kept."""

    def __init__(self, budget: int) -> None:
        self._budget, self.bytes = budget, 0  # both in bytes
        self._kept: OrderedDict[tuple[Any, ...], tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def forked(self) -> None:
        """Make it usable in a process that was forked while another thread may have held the lock."""
        self._lock = threading.Lock()

    def find(self, key: tuple[Any, ...]) -> Any:
        """What is kept under this key, or None."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def get(self, key: tuple[Any, ...], compute: Callable[[], Any]) -> Any:
        """What is kept under this key, else `compute()`, kept while there is room."""
        if (known := self.find(key)) is not None:
            return known
        value = compute()  # outside the lock: may take seconds
        size = nbytes(value)
        with self._lock:
            if key not in self._kept and size <= self._budget:
                self._kept[key] = (value, size)
                self.bytes += size
            while self.bytes > self._budget:
                self.bytes -= self._kept.popitem(last=False)[1][1]
        return value

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()
            self.bytes = 0
