"""One fresh process that clicks on pictures: embedding, clicks, a box, GrabCut beside them, and clicks during a run.

`python -m benchmarks.taps --model pocket` prints one JSON line. A child of `speed`; through `models.runtime`.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.clicks import until_step
from benchmarks.examples import cutout, example, scene
from models import pixels, runtime
from models.contract import Stopped
from models.segment import SegmentRequest

ROUNDS, STEPS = 7, 200  # medians over rounds; a run longer than all clicks beside it


def picture(number: int) -> tuple[np.ndarray, tuple[float, float], pixels.Box]:
    """A ball in a room, another place for every number: uint8 RGB, its centre, its box in pixels."""
    room, ball = scene(), cutout()
    room[0, 0] = number  # no picture of a process is met twice
    x, y, wide = 0.25 + 0.07 * (number % 8), 0.6, 0.3
    height, width = room.shape[:2]
    matrix = pixels.placement_matrix((0, 0, ball.shape[1], ball.shape[0]), (height, width), x, y, wide)
    half = wide * width / 2
    box = (x * width - half, y * height - half, x * width + half, y * height + half)
    left, top, right, bottom = (round(v) for v in box)
    return pixels.paste(room, ball, matrix)[0], (x * width, y * height), (left, top, right, bottom)


def seconds(act: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def rounds(model: str, start: int) -> dict[str, float]:
    """Medians in seconds: a new picture, a first and a second click on it, a box; pictures from number `start` on."""
    found: dict[str, list[float]] = {"embed_s": [], "click_s": [], "further_click_s": [], "box_s": []}
    for number in range(start, start + ROUNDS):
        image, (x, y), box = picture(number)
        asked: list[dict[str, Any]] = [
            {"points": ((x, y),)},
            {"points": ((x, y), (20.0, 20.0)), "labels": (1, 0)},
            {"box": box},
        ]
        requests = [SegmentRequest(image=image, model=model, **prompt) for prompt in asked]
        found["embed_s"].append(seconds(partial(runtime.embed, image, model)))
        for name, request in zip(("click_s", "further_click_s", "box_s"), requests, strict=True):
            found[name].append(seconds(partial(runtime.segment, request)))
    return {name: float(np.median(values)) for name, values in found.items()}


def beside_a_run(model: str, method: str = "dreamfuse") -> dict[str, Any]:
    """The same while a long run denoises, and whether that run was still going on at the end."""
    stop = threading.Event()
    events = runtime.run(method, example(method).replace(steps=STEPS), stop)
    until_step(events, 1)
    found = rounds(model, 2 * ROUNDS)
    going_on = runtime.lock.busy
    stop.set()
    try:
        for _ in events:
            pass
    except Stopped:
        pass
    return {**found, "run_going_on": going_on}


def measure(model: str) -> dict[str, Any]:
    """Everything, the first picture with loading first."""
    image, point, _ = picture(0)
    first = seconds(lambda: runtime.segment(SegmentRequest(image=image, points=(point,), model=model)))
    return {
        "model": model,
        "picture": list(image.shape[:2]),
        "first_click_s": first,
        "idle": rounds(model, ROUNDS),
        "beside_a_run": beside_a_run(model),
        "grabcut": rounds("grabcut", ROUNDS),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.taps", description=__doc__)
    parser.add_argument("--model", default="pocket")
    print(json.dumps(measure(parser.parse_args(arguments).model)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
