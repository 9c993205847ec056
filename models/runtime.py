"""Run a request: resolve it, lease what it needs, take the device, relay the method's events. Plain at import.

Each job has one worker thread. It owns the leases, the lock, every patch and inference mode; the generator
that callers see only relays events and raises the stop flag, so nothing is held across a foreign `yield`.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import queue
import random
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models import catalog, device, loading, replay, zerogpu
from models.cache import Lease, ModelCache
from models.contract import BadRequest, Event, Method, OutOfMemory, Preset, Request, Result, Spec, Step, Stopped
from models.recipe import Recipe
from models.segment import Segmented, SegmentRequest


@dataclass(frozen=True)
class Settings:
    """What the command line decides for the whole process."""

    device: str = "auto"
    preset: str = "auto"
    memory: str = "auto"
    threads: int = 0  # torch threads of a run on the CPU; 0 = the preset's number
    output_dir: str = ""  # folder of the user's where the page keeps every picture; empty = it keeps none
    history_dir: str = ""  # folder with one for each visitor's own pictures; empty = there is no history
    stored_examples: bool = False  # whether a click on an example shows what its run made before, where that is kept
    downloads: bool = False  # whether a run may fetch weights; a yes of the user


settings = Settings()
lock = device.DeviceLock()
cache = ModelCache(lambda weights: loading.load_component(weights, local_files_only=not settings.downloads))


def configure(**changes: Any) -> None:
    """Replace fields of `settings`; call before the first run."""
    global settings
    settings = dataclasses.replace(settings, **changes)


def run(
    key: str, request: Request, stop: threading.Event | None = None, patience: float | None = None
) -> Generator[Event, None, None]:
    """Yield `Step`s and at last one `Result` with the recipe in `facts`.

    Closing the generator, or setting `stop`, ends the run within one denoising step, also while it is queued
    or loading; a run ended by `stop` raises `Stopped`. After `patience` seconds of silence the last `Step` comes
    again, for callers on several threads: a generator that is blocked cannot be closed. Raises `BadRequest`,
    `MissingWeights`, `OutOfMemory`.
    """
    job = _Job(catalog.SPECS[key], request, stop or threading.Event())
    try:
        yield from job.events(patience)
    finally:
        job.stop.set()


def segment(request: SegmentRequest, stop: threading.Event | None = None) -> Segmented:
    """The mask of a click, a box or brush strokes, made on the caller's thread; `stop` ends every wait.

    Raises `BadRequest`, `MissingWeights`, `OutOfMemory`, `Stopped`.
    """
    from models import clicks

    return clicks.segment(request, stop or threading.Event())


def embed(image: np.ndarray, model: str = "auto", stop: threading.Event | None = None) -> None:
    """Make a uint8 HxWx3 picture ready for clicks, which are then answered sooner; raises what `segment` raises."""
    from models import clicks

    clicks.embed(image, model, stop or threading.Event())


def describe(key: str, request: Request) -> Mapping[str, Any]:
    """Cheap answers about a request (its size, its prompt's length, its cost) for the page."""
    spec = catalog.SPECS[key]
    return spec.describe(request) if spec.describe else {}


def warm_up(key: str) -> None:
    """Import the model libraries and load a method's default components to host memory; nothing runs."""
    spec = catalog.SPECS[key]
    preset = spec.presets[choose_preset(spec, settings.preset)]
    preset = in_memory_mode(preset, choose_memory(preset, settings.memory))
    loading.first_alone(spec.method)  # a visitor may click while the warm-up imports
    with cache.lease(preset.components):
        pass


def choose_preset(spec: Spec, wanted: str) -> str:
    """`wanted`, or for "auto": `full` where a GPU is there and the weights lie on disk, else `pocket`.

    A Space means `pocket` by it, and for a method whose weights were placed at the start, those.
    """
    if wanted == "auto":
        wanted = settings.preset
    if wanted == "auto":
        wanted = zerogpu.usual_preset(spec.key)
    if wanted == "auto":
        full = spec.presets.get("full")
        ready = full is not None and all(loading.present(w) for w in full.components.values())
        gpu = settings.device in ("auto", "cuda") and device.cuda_driver()
        wanted = "full" if ready and gpu else "pocket"
    if wanted not in spec.presets:
        raise BadRequest(f"There is no preset “{wanted[:40]}”; choose one of {', '.join(spec.presets)}.")
    return wanted


def resolve(spec: Spec, request: Request) -> tuple[Request, Preset]:
    """The request with seed, steps, guidance, preset and memory mode decided, and the preset in that memory mode."""
    name = choose_preset(spec, request.preset)
    preset = spec.presets[name]
    memory = choose_memory(preset, request.memory)
    seed = request.seed if request.seed >= 0 else random.SystemRandom().randrange(2**31 - 1)
    steps, scale = request.steps or preset.steps, request.guidance_scale or preset.guidance_scale
    resolved = request.replace(preset=name, seed=seed, steps=steps, guidance_scale=scale, memory=memory)
    return resolved, in_memory_mode(preset, memory)


def choose_memory(preset: Preset, wanted: str) -> str:
    """`wanted`, or the roomiest mode of the preset that fits the device, else its smallest."""
    if wanted == "auto":
        wanted = settings.memory
    possible = tuple(m for m in preset.memory_modes if m != "offload" or not zerogpu.outside())
    if wanted == "auto":
        room = _room() if len(possible) > 1 else 0.0
        fitting = [m for m in possible if preset.memory_gigabytes.get(m, 0.0) <= room]
        wanted = (fitting or [possible[-1]])[0]
    if wanted not in possible:
        modes = ", ".join(possible)
        raise BadRequest(f"The {preset.name} preset has no memory mode “{wanted[:40]}”; choose one of {modes}.")
    return wanted


def _room() -> float:
    """GB of memory that a run can hope for."""
    return zerogpu.ROOM if zerogpu.outside() else device.total_gigabytes(device.pick(settings.device))


def in_memory_mode(preset: Preset, memory: str) -> Preset:
    """The preset whose large components carry the quantisation of a memory mode."""
    large = preset.settings.get("quantise", ())
    components = {
        name: dataclasses.replace(w, quantisation=memory) if memory in ("fp8", "4bit") and name in large else w
        for name, w in preset.components.items()
    }
    return dataclasses.replace(preset, components=components, settings={**preset.settings, "memory": memory})


RESOLVED = ("seed", "preset", "steps", "guidance_scale", "memory")
RUN_FACTS = ("device", "threads", "seconds")


def recorded(key: str, request: Request, result: Result, index: int = 0) -> tuple[Recipe, dict[str, np.ndarray]]:
    """The recipe of picture `index` of a finished run of `request`, and the pictures it mentions, by name."""
    spec, facts = catalog.SPECS[key], result.facts
    resolved = request.replace(**{name: facts[name] for name in RESOLVED})
    preset = in_memory_mode(spec.presets[resolved.preset], resolved.memory)
    own = {name: value for name, value in facts.items() if name not in ("method", *RESOLVED, *RUN_FACTS)}
    run_facts = {name: facts[name] for name in RUN_FACTS}
    return replay.record(key, resolved, preset, spec.needed(preset, resolved), **run_facts, facts=own, index=index)


class _Job:
    """One run on its own thread; `events` relays what it puts into the queue."""

    def __init__(self, spec: Spec, request: Request, stop: threading.Event) -> None:
        self.spec, self.stop = spec, stop
        self.request, self.preset = resolve(spec, request)
        self._events: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()
        context = contextvars.copy_context()  # progress bars of the page live in context variables
        self._thread = threading.Thread(target=context.run, args=(self._work,), daemon=True)

    def events(self, patience: float | None) -> Iterator[Event]:
        self._thread.start()
        last = Step(0, self.request.steps)
        while (item := self._next(patience, last)) is not None:
            if isinstance(item, BaseException):
                raise item
            if isinstance(item, Step):
                if self.stop.is_set() and item.done > last.done:
                    continue  # the worker was one step ahead of the stop; nobody is shown a step after it
                last = dataclasses.replace(item, preview=None)
            yield item
        self._thread.join()

    def _next(self, patience: float | None, last: Step) -> Event | BaseException | None:
        try:
            return self._events.get(timeout=patience)
        except queue.Empty:
            return last

    def _work(self) -> None:
        try:
            if zerogpu.outside():
                self._borrow()
            else:
                self._run()
        except BaseException as error:  # raised again where the events are read
            self._events.put(explained(error, self.preset))
        self._events.put(None)

    def _run(self) -> None:
        started = time.perf_counter()
        needed = self.spec.needed(self.preset, self.request)
        # The first time this imports the model libraries: not while holding the device.
        method = loading.first_alone(self.spec.method)
        with cache.lease(needed, self.stop, self._note) as lease:
            with lock.hold(self.stop, lambda ahead: self._note(f"Waiting: {ahead} ahead")):
                self._note("Preparing")
                self._denoise(method, lease, started)

    def _borrow(self) -> None:
        """The run in a process that gets a GPU for it and starts with what is loaded here."""
        needed = self.spec.needed(self.preset, self.request)
        zerogpu.check(self.spec.key, needed)
        loading.first_alone(self.spec.method)
        with cache.lease(needed, self.stop, self._note):
            self._note("Waiting for a GPU")
            with contextlib.closing(zerogpu.borrowed(self.spec.key, self.request)) as events:
                for event in events:
                    if self.stop.is_set():
                        raise Stopped
                    self._events.put(event)

    def _denoise(self, method: Method, lease: Lease, started: float) -> None:
        import torch

        where = device.pick(settings.device)
        if where == "cpu":
            torch.set_num_threads(threads_for(self.preset))
        how = self.preset.settings
        lease.to(where, offload=how.get("memory") == "offload", together=how.get("together", ()))
        with torch.inference_mode():
            parts = method.load(lease, self.preset, where)
            with contextlib.closing(_generator(method.run(parts, self.request))) as events:
                for event in events:
                    if self.stop.is_set():
                        raise Stopped
                    if isinstance(event, Result):
                        event = self._with_recipe(event, where, time.perf_counter() - started)
                    self._events.put(event)

    def _with_recipe(self, result: Result, where: str, seconds: float) -> Result:
        facts = {
            **result.facts,
            "method": self.spec.key,
            "seed": self.request.seed,
            "preset": self.preset.name,
            "steps": self.request.steps,
            "guidance_scale": self.request.guidance_scale,
            "memory": self.request.memory,
            "device": where,
            "threads": threads_for(self.preset),
            "seconds": round(seconds, 3),
        }
        return dataclasses.replace(result, facts=facts)

    def _note(self, text: str) -> None:
        self._events.put(Step(0, self.request.steps, note=text))


def _generator(events: Iterator[Event]) -> Generator[Event, None, None]:
    """Any iterator of events as something that can be closed."""
    return events if isinstance(events, Generator) else (event for event in events)


def threads_for(preset: Preset) -> int:
    """Torch threads for a run on the CPU: the user's number, else the preset's, else one per core up to four."""
    return settings.threads or int(preset.settings.get("threads", 0)) or min(4, device.cores())


def explained(error: BaseException, preset: Preset) -> BaseException:
    """Out of memory becomes an offer of the next smaller memory mode; everything else stays what it is."""
    if type(error).__name__ != "OutOfMemoryError":
        return error
    modes = preset.memory_modes
    place = modes.index(str(preset.settings.get("memory", modes[0])))
    offer = f"try the memory mode “{modes[place + 1]}”" if place + 1 < len(modes) else "choose the pocket preset"
    return OutOfMemory(f"The {preset.name} weights do not fit on this device; {offer}.")
