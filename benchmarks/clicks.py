"""One fresh process that clicks: first and second picture, Stop, a second visitor, the cache. A child of `speed`.

`python -m benchmarks.clicks --threads 2` prints one JSON line. Everything goes through `models.runtime`.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.examples import example
from models import catalog, loading, runtime
from models.cache import ModelCache
from models.contract import Event, Request, Result, Step, Stopped

STOP_AT, LONG = 3, 200  # stop at this step of that many


def click(method: str, request: Request) -> tuple[np.ndarray, float, list[tuple[int, float]]]:
    """Run once: the picture, the seconds until it was there, and when each denoising step was done."""
    started = time.perf_counter()
    steps: list[tuple[int, float]] = []
    for event in runtime.run(method, request):
        now = time.perf_counter() - started
        if isinstance(event, Step) and event.done:
            steps.append((event.done, now))
        elif isinstance(event, Result):
            return event.images[0], now, steps
    raise RuntimeError("The run ended without a picture.")


def steps_per_second(steps: list[tuple[int, float]]) -> float:
    """Steps between the first and the last one over the time between them."""
    (first, began), (last, ended) = steps[0], steps[-1]
    return (last - first) / (ended - began)


def fingerprint(module: Any) -> list[str]:
    """What a patch would change: every submodule's class, processor, own forward, hooks and parameter names."""
    if not hasattr(module, "named_modules"):
        return []
    lines = []
    for name, part in module.named_modules():
        processor = type(getattr(part, "processor", None)).__qualname__
        hooks = len(part._forward_hooks) + len(part._forward_pre_hooks)
        own = "forward" in vars(part)
        parameters = ",".join(k for k, _ in part.named_parameters(recurse=False))
        lines.append(f"{name} {type(part).__qualname__} {processor} {own} {hooks} {parameters}")
    return lines


def patched(method: str, request: Request) -> list[str]:
    """The components in the cache that differ from the same ones freshly loaded: what carries a patch now."""
    spec = catalog.SPECS[method]
    resolved, preset = runtime.resolve(spec, request)
    needed = spec.needed(preset, resolved)
    with runtime.cache.lease(needed) as lease:
        return [n for n, w in needed.items() if fingerprint(lease[n]) != fingerprint(loading.load_component(w))]


def wait_until_free() -> float:
    """Seconds until nobody holds the device; gives up after 60."""
    started = time.perf_counter()
    while runtime.lock.busy and time.perf_counter() - started < 60:
        time.sleep(0.001)
    return time.perf_counter() - started


def until_step(events: Iterator[Event], number: int) -> None:
    """Read events until denoising step `number` was told."""
    for event in events:
        if isinstance(event, Step) and event.done >= number:
            return
    raise RuntimeError(f"The run ended before step {number}.")


def steps_until_stopped(events: Iterator[Event]) -> int:
    """How many more denoising steps are told before the run says that it stopped."""
    count = 0
    try:
        for event in events:
            count += isinstance(event, Step) and event.done > 0
    except Stopped:
        return count
    raise RuntimeError("The run was not stopped.")


def stop(method: str, request: Request) -> dict[str, Any]:
    """Press Stop early in a long run: what still happens, and what is left behind."""
    flag = threading.Event()
    events = runtime.run(method, request.replace(steps=LONG), flag)
    until_step(events, STOP_AT)
    pressed = time.perf_counter()
    flag.set()
    after = steps_until_stopped(events)
    stopped = time.perf_counter() - pressed
    wait_until_free()
    free = time.perf_counter() - pressed
    left = patched(method, request)
    return {
        "at_step": STOP_AT,
        "of_steps": LONG,
        "steps_after": after,
        "stopped_s": stopped,
        "lock_free_s": free,
        "patches_gone": left == [],
        "patched_components": left,
    }


def second_visitor(method: str, request: Request, alone: np.ndarray) -> dict[str, Any]:
    """Somebody queues behind a long run that is then stopped; `alone` is the picture of `request` undisturbed."""
    flag = threading.Event()
    first = runtime.run(method, request.replace(steps=LONG, seed=request.seed + 7), flag)
    until_step(first, STOP_AT)
    during = patched(method, request)  # that this is seen here gives "patches gone" its meaning
    seen: list[tuple[float, Event]] = []
    visitor = threading.Thread(
        target=lambda: seen.extend((time.perf_counter(), e) for e in runtime.run(method, request))
    )
    visitor.start()
    until_step(first, STOP_AT + 1)
    pressed = time.perf_counter()
    flag.set()
    steps_until_stopped(first)
    visitor.join()
    began = next(at for at, event in seen if isinstance(event, Step) and event.done)
    picture = next(event.images[0] for _, event in seen if isinstance(event, Result))
    return {
        "waited": any(isinstance(e, Step) and e.note.startswith("Waiting") for _, e in seen),
        "first_step_s": began - pressed,
        "same_pixels": bool(np.array_equal(picture, alone)),
        "patched_while_running": during,
    }


def cache(method: str, request: Request) -> dict[str, float]:
    """Seconds to get all components of a request from the cache and from disk (libraries already imported)."""
    spec = catalog.SPECS[method]
    resolved, preset = runtime.resolve(spec, request)
    needed = spec.needed(preset, resolved)
    found = {}
    for name, place in (("hit_s", runtime.cache), ("miss_s", ModelCache(loading.load_component))):
        started = time.perf_counter()
        with place.lease(needed):
            found[name] = time.perf_counter() - started
    return found


def measure(method: str, preset: str, threads: int) -> dict[str, Any]:
    """Everything that this process measures, in the order in which a person would meet it."""
    runtime.configure(threads=threads, preset=preset)
    request = example(method)
    _, first, _ = click(method, request)
    picture, second, steps = click(method, request.replace(seed=request.seed + 1))
    return {
        "threads": threads,
        "first_click_s": first,
        "second_click_s": second,
        "steps_per_second": steps_per_second(steps),
        "stop": stop(method, request),
        "second_visitor": second_visitor(method, request.replace(seed=request.seed + 1), picture),
        "cache": cache(method, request),
        "resident_bytes": runtime.cache.resident(),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def main() -> int:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clicks", description=__doc__)
    parser.add_argument("--method", default="dreamfuse", choices=sorted(catalog.SPECS))
    parser.add_argument("--preset", default="pocket")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    print(json.dumps(measure(given.method, given.preset, given.threads)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
