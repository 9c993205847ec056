"""A Space that lends its GPU by the call (ZeroGPU): each run is drawn in a forked process. Plain at import.

`prepare` is for the start of the server, before the page and before torch. Where no GPU is lent, runs are what they
are everywhere; the `spaces` package is then not even imported.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import logging
import os
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from models.contract import BadRequest, Event, MissingWeights, OutOfMemory, Preset, Request, Stopped, Weights

log = logging.getLogger(__name__)
ROOM = 48.0  # GB of GPU memory that a call of the usual size gets
PAUSE = 0.25  # seconds of silence after which the last step comes again: only between events can a call be ended
TOLD = (BadRequest, MissingWeights, OutOfMemory, Stopped)  # errors whose sentences are for people


@dataclass(frozen=True)
class Failed:
    """What went wrong, as an event: of an exception the lender hands over no more than its class's name."""

    error: Exception


Task = Callable[..., Generator[Event | Failed, None, None]]
lent: Task | None = None  # `draw` behind the decorator, once `prepare` found that GPUs are lent here
inside = False  # whether this is a process that was forked to hold a GPU


def here() -> bool:
    """Whether this is a Space whose GPUs are lent by the call."""
    asked = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
    return asked and importlib.util.find_spec("spaces") is not None


def outside() -> bool:
    """Whether GPUs are lent and this process holds none: it may neither compute on CUDA nor ask what there is."""
    return lent is not None and not inside


def prepare() -> None:
    """Where GPUs are lent, import `spaces` (it has to come before torch) and put its decorator on `draw`."""
    global lent
    if here():
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not live on in a fork
        lent = gpu(draw, duration=seconds)


def gpu(task: Task, *, duration: Callable[..., int], size: Literal["large", "xlarge"] | None = None) -> Task:
    """`spaces.GPU` around a generator function; the function itself where that package is not installed.

    The package takes any keyword and drops those that it does not know, so that a misspelt `duration` books its usual
    minute. Here that is a `TypeError`: a keyword of ours that is misspelt, a size that does not exist, an option that
    the installed release does not name, and a `duration` whose arguments are not those of the task.
    """
    if importlib.util.find_spec("spaces") is None:
        return task
    import spaces

    if size not in (None, "large", "xlarge"):
        raise TypeError(f"a GPU's size is “large” or “xlarge”, not “{size}”")
    if not inspect.isgeneratorfunction(task):
        raise TypeError(f"{task} is no generator function")
    if list(inspect.signature(duration).parameters) != list(inspect.signature(task).parameters):
        raise TypeError("the duration is computed from the task's own arguments, with the same names")
    options: dict[str, Any] = {"duration": duration} | ({"size": size} if size else {})
    unknown = sorted(options.keys() - inspect.signature(spaces.GPU).parameters.keys())
    if unknown:
        raise TypeError(f"this release of the spaces package has no option {', '.join(unknown)}")
    made: Task = spaces.GPU(**options)(task)
    return made


# --- how long

START = 15  # seconds for the process, for weights to reach the card and for decoding
# Seconds per step and picture on the card that is lent. They are guesses on the high side, not measurements: a run that
# is longer than booked is cut off, one that is shorter gives the rest back.
POCKET = 0.25
PACE: Mapping[str, float] = {"dreamfuse": 1.5, "collage": 0.3, "cat": 0.3, "facediffuser": 0.4, "dit4edit": 1.2}
USUAL = 1.0  # of a method that is not listed
LEARNING = 2.0  # a step of learning a look goes forwards and backwards


def seconds(key: str, request: Request) -> int:
    """GPU seconds to book for a resolved request: its steps for all pictures, those beside the result included."""
    pace = POCKET if request.preset == "pocket" else PACE.get(key, USUAL)
    beside = 4 if getattr(request, "ladder", False) else 0
    if getattr(request, "comparisons", False) is True:
        beside = 6  # five baselines, one of them with an inversion of its own
    twice = 2 if getattr(request, "comparisons", None) in ("auto", "on") else 1
    drawn = request.steps * (request.num_images * twice + beside)
    learned = LEARNING * _look_steps(key, request) if getattr(request, "looks", False) else 0
    return int(START + pace * (drawn + learned) + 0.5)


def _look_steps(key: str, request: Request) -> int:
    from models import catalog

    own = catalog.SPECS[key].presets[request.preset].settings.get("look_steps", 0)
    return int(getattr(request, "look_steps", 0) or own)


# --- both ends of a call


def draw(key: str, request: Request) -> Generator[Event | Failed, None, None]:
    """A run, in the process that holds the GPU: arguments and events can be pickled, errors come as events."""
    from models import runtime

    _settle()
    stop = threading.Event()
    events = runtime.run(key, request.replace(), stop, PAUSE)  # `replace`: checked again, its pictures read-only again
    try:
        yield from events_of(events)
    finally:
        stop.set()
        with contextlib.suppress(Exception):
            for _ in events:  # until the worker has ended: the GPU goes back after this
                pass


def events_of(events: Generator[Event, None, None]) -> Generator[Event | Failed, None, None]:
    """The events, and an error as the last one. Unlike `yield from` this leaves them open when it is closed."""
    try:
        for event in events:  # noqa: UP028
            yield event
    except TOLD as error:
        yield Failed(error)
    except Exception as error:
        log.exception("A run failed")
        yield Failed(RuntimeError(f"{type(error).__name__}: {' '.join(str(error).split()):.300}"))


def _settle() -> None:
    """Once in a forked process: locks may be held by threads that were not forked with it."""
    global inside
    if lent is None or inside:
        return
    from models import clicks, device, runtime

    inside = True
    runtime.lock, clicks.lock = device.DeviceLock(), device.DeviceLock()
    runtime.cache.forked()


def borrowed(key: str, request: Request) -> Generator[Event, None, None]:
    """The events of a resolved request on a GPU that is lent for it.

    Raises what the run raises, and `BadRequest` where no GPU is lent or it is taken back before the run ends.
    """
    assert lent is not None
    with contextlib.closing(lent(key, request)) as events:
        while True:
            try:
                event = next(events)
            except StopIteration:
                return
            except Exception as error:
                raise BadRequest(_refused(error)) from error
            if isinstance(event, Failed):
                raise event.error
            yield event


def _refused(error: Exception) -> str:
    told = [str(getattr(error, "title", "")), str(getattr(error, "message", error))]
    said = " ".join(": ".join(filter(None, told)).split()).rstrip(".")
    log.warning("No GPU for a run: %s", said)
    return f"No GPU was lent for this run ({said:.400}). Fewer steps or pictures, or the pocket preset, need less time."


# --- weights that are placed before the page is there

PRELOAD = "EASEL_PRELOAD"  # the variable that names them: "fuse/full, edit/full"
placed: dict[str, Preset] = {}  # by method
_held = contextlib.ExitStack()


def named(text: str) -> list[tuple[str, str]]:
    """Method and preset of each name in a list such as "fuse/full, edit/full"; raises `BadRequest`."""
    from models import catalog

    keys = {word: spec.key for spec in catalog.SPECS.values() for word in (spec.key, spec.verb)}
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        word, _, preset = part.partition("/")
        key = keys.get(word, "")
        known = [name for name in catalog.SPECS[key].presets if name != "pocket"] if key else []
        if preset not in known or key in found:
            example = ", ".join(f"{spec.verb}/full" for spec in catalog.SPECS.values())
            raise BadRequest(f"{PRELOAD} names “{part:.60}”; it takes one preset for each method, such as {example}.")
        found[key] = preset
    return list(found.items())


def preload(text: str) -> None:
    """Fetch, load and hold the named presets, on the GPU where one is lent. Raises what `named` raises.

    Naming a preset is the yes that a download needs. Weights that cannot be had are said on the log: the page then
    serves the pocket models.
    """
    from models import catalog, fetching, runtime

    for key, name in named(text):
        preset = catalog.SPECS[key].presets[name]
        preset = runtime.in_memory_mode(preset, runtime.choose_memory(preset, "auto"))
        try:
            fetching.fetch(preset)
            lease = _held.enter_context(runtime.cache.lease(_hub(preset)))
        except MissingWeights as error:
            log.warning("%s: %s", PRELOAD, error)
            continue
        if outside():
            lease.to("cuda")
        placed[key] = preset


def _hub(preset: Preset) -> dict[str, Weights]:
    """What is placed: the shipped judges of a full preset stay on the CPU, where they answer between runs too."""
    return {name: weights for name, weights in preset.components.items() if not weights.local}


def usual_preset(key: str) -> str:
    """What "auto" means on a Space: what was placed, else pocket. "auto" elsewhere."""
    if key in placed:
        return placed[key].name
    return "pocket" if on_space() else "auto"


def on_space() -> bool:
    """Whether this is a Space, with a GPU to lend or not."""
    return bool(os.environ.get("SPACE_ID"))


def check(key: str, needed: Mapping[str, Weights]) -> None:
    """Whether a run may have a GPU lent: its weights are shipped or placed. Raises `MissingWeights`."""
    ready = set(placed[key].components.values()) if key in placed else set()
    if any(not weights.local and weights not in ready for weights in needed.values()):
        raise MissingWeights(
            f"This Space has not loaded these weights; its owner can name the preset in {PRELOAD}. "
            "Until then choose the pocket preset."
        )
