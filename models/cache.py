"""Loaded components, shared between methods: loaded once however many ask, kept within a byte budget.

The unit is the component (`Weights`); on which device it stands is its state. What nobody leases may be moved
from the device to host memory, then dropped, least recently used first. What is leased stays.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from models.contract import Stopped, Weights
from models.device import POLL
from models.values import Values, nbytes as nbytes

Load = Callable[[Weights], Any]
Notify = Callable[[str], None]


def _nothing(_: str) -> None:
    """For callers that do not want to hear of progress."""


@dataclass
class _Entry:
    """One component: being loaded until `ready` is set, then either `thing` or `error`."""

    ready: threading.Event = field(default_factory=threading.Event)
    thing: Any = None
    error: BaseException | None = None
    device: str = "cpu"
    bytes: int = 0
    leases: int = 0

    @property
    def movable(self) -> bool:
        return hasattr(self.thing, "to") and hasattr(self.thing, "parameters")


@dataclass(frozen=True)
class Held:
    """A component that is here, or on its way: on which device, how large, and how many runs use it now."""

    weights: Weights
    device: str
    bytes: int
    users: int
    loading: bool


class ModelCache:
    """Components and computed values under byte budgets (`host_bytes`, `device_bytes`, `value_bytes`)."""

    def __init__(
        self,
        load: Load,
        host_bytes: int = 12 << 30,
        device_bytes: int = 64 << 30,
        value_bytes: int = 512 << 20,
    ) -> None:
        self._load = load
        self._budget = {"host": host_bytes, "device": device_bytes}
        self._entries: OrderedDict[Weights, _Entry] = OrderedDict()  # least recently used first
        self._values = Values(value_bytes)
        self._lock = threading.Lock()

    @contextmanager
    def lease(
        self, wanted: Mapping[str, Weights], stop: threading.Event | None = None, notify: Notify = _nothing
    ) -> Iterator[Lease]:
        """Hold components in host memory, loading what is missing; nothing leased is evicted.

        A raised `stop` ends the wait with `Stopped`; the load itself finishes in the background and stays cached.
        """
        held: list[_Entry] = []
        try:
            for name, weights in wanted.items():
                held.append(self._claim(weights))
                _wait(held[-1], stop, partial(notify, f"Loading {name}"))
            with ExitStack() as patches:
                yield Lease(self, dict(wanted), dict(zip(wanted, held, strict=True)), patches)
        finally:
            with self._lock:
                for entry in held:
                    entry.leases -= 1
                self._shrink("host")

    def resident(self) -> dict[str, int]:
        """Bytes of components per place ("cpu", "cuda", ...) and of remembered values ("values")."""
        with self._lock:
            sums: dict[str, int] = {"values": self._values.bytes}
            for entry in self._entries.values():
                sums[entry.device] = sums.get(entry.device, 0) + entry.bytes
            return sums

    def held(self) -> list[Held]:
        """Every component, the last used first."""
        with self._lock:
            last_first = reversed(self._entries.items())
            return [Held(w, e.device, e.bytes, e.leases, not e.ready.is_set()) for w, e in last_first if not e.error]

    def drop(self, weights: Weights) -> int:
        """Drop a component that nobody leases. Returns how many bytes it had, 0 if it is used or not here."""
        with self._lock:
            entry = self._entries.get(weights)
            if entry is None or entry.leases or not entry.ready.is_set():
                return 0
            del self._entries[weights]
            return entry.bytes

    def forked(self) -> None:
        """Make it usable in a process forked from one with many threads: only the one that forked is here too.

        Locks that others held would stay held, and what others were loading would never be there.
        """
        self._lock = threading.Lock()
        self._values.forked()
        for weights in [w for w, e in self._entries.items() if not e.ready.is_set()]:
            del self._entries[weights]
        for entry in self._entries.values():
            entry.ready = threading.Event()
            entry.ready.set()

    def clear(self) -> None:
        """Drop every component that nobody leases, and all values."""
        with self._lock:
            for weights in [w for w, e in self._entries.items() if not e.leases]:
                del self._entries[weights]
            self._values.clear()

    def _claim(self, weights: Weights) -> _Entry:
        """The entry of these weights with one lease more; starts the one load if there is none."""
        with self._lock:
            entry = self._entries.get(weights)
            if entry is None or entry.error is not None:  # an earlier failure is tried again
                entry = self._entries[weights] = _Entry()
                threading.Thread(target=self._fill, args=(weights, entry), daemon=True).start()
            self._entries.move_to_end(weights)
            entry.leases += 1
            return entry

    def _fill(self, weights: Weights, entry: _Entry) -> None:
        try:
            entry.thing = self._load(weights)
            entry.bytes = nbytes(entry.thing)
        except BaseException as error:  # handed to whoever waits
            entry.error = error
        entry.ready.set()
        with self._lock:
            self._shrink("host")

    def _shrink(self, place: str) -> None:
        """Within the budget of `place`: the device's surplus goes to the host, the host's is dropped."""
        here = [
            (w, e) for w, e in self._entries.items() if e.ready.is_set() and (e.device == "cpu") == (place == "host")
        ]
        surplus = sum(e.bytes for _, e in here) - self._budget[place]
        for weights, entry in here:
            if surplus <= 0:
                return
            if entry.leases:
                continue
            if place == "device":
                entry.thing.to("cpu")
                entry.device = "cpu"
            else:
                del self._entries[weights]
            surplus -= entry.bytes

    def move(self, entries: list[_Entry], device: str) -> None:
        """Put leased components on `device`, making room first. Call with the device lock held."""
        with self._lock:
            for entry in entries:
                if entry.movable and entry.device != device:
                    entry.thing.to(device)
                    entry.device = device
                    self._shrink("device")
            self._shrink("host")

    def remember(self, key: tuple[Any, ...], compute: Callable[[], Any]) -> Any:
        """`compute()` once per key while the value stays within the budget."""
        return self._values.get(key, compute)

    def recall(self, key: tuple[Any, ...]) -> Any:
        """What is kept under this key, or None."""
        return self._values.find(key)


class Lease:
    """Components by name, for one run. Patches pushed on `patches` are undone when the lease ends."""

    def __init__(
        self, cache: ModelCache, weights: dict[str, Weights], entries: dict[str, _Entry], patches: ExitStack
    ) -> None:
        self._cache, self._weights, self._entries, self.patches = cache, weights, entries, patches

    def __getitem__(self, name: str) -> Any:
        return self._entries[name].thing

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def to(self, device: str, offload: bool = False, together: Collection[str] = ()) -> None:
        """Move the components to `device`; with `offload` each one goes there when it is called, and the one
        before it in the preset's order leaves. Those `together`, neighbours that are called in turns, stay until one
        after them is called."""
        if not offload:
            self._cache.move(list(self._entries.values()), device)
            return
        from accelerate import cpu_offload_with_hook

        before: Any = None
        staying: list[Any] = []
        for name, entry in self._entries.items():
            if entry.movable:
                leaving = before if name in together or not staying else _as_one(staying)
                _, hook = cpu_offload_with_hook(entry.thing, device, prev_module_hook=leaving)
                self.patches.callback(_unhook, hook)
                if name in together:
                    staying.append(hook)
                else:
                    before, staying = hook, []

    def remember(self, key: tuple[Any, ...], compute: Callable[[], Any]) -> Any:
        """`compute()` once per key. A key starts with the name of the component it was computed with."""
        return self._cache.remember((self._weights[key[0]], *key[1:]), compute)

    def recall(self, key: tuple[Any, ...]) -> Any:
        """What `remember` keeps under this key, or None."""
        return self._cache.recall((self._weights[key[0]], *key[1:]))


def _wait(entry: _Entry, stop: threading.Event | None, announce: Callable[[], None]) -> None:
    if not entry.ready.is_set():
        announce()
    while not entry.ready.wait(POLL):
        if stop is not None and stop.is_set():
            raise Stopped
    if entry.error is not None:
        raise entry.error


def _as_one(hooks: list[Any]) -> Any:
    """Hooks of accelerate's as one, which is on the device if any of them is."""
    from accelerate.hooks import UserCpuOffloadHook

    class Together(UserCpuOffloadHook):  # type: ignore[misc]
        @property
        def model(self) -> Any:
            here = (h.model for h in hooks if next(h.model.parameters()).device.type != "cpu")
            return next(here, hooks[-1].model)

        @model.setter
        def model(self, _: Any) -> None:
            pass

        def offload(self) -> None:
            for hook in hooks:
                hook.offload()

    return Together(None, None)


def _unhook(hook: Any) -> None:
    hook.offload()
    hook.remove()
