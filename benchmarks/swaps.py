"""What people wait for at Face reference: a picture, the same with other faces, the same with another second bound.

`python -m benchmarks.swaps` prints one JSON line. A child of `speed`. The scene model alone, plain guidance of one
model in every step, stands beside it. Everything goes through `models.runtime`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.examples import example
from models import runtime
from models.contract import Result
from models.facediffuser.spec import FaceRequest

ROUNDS = 3  # after one that loads
LATER = 0.2  # of the run, by which the second bound is moved


def click(request: FaceRequest) -> tuple[float, Result]:
    """Seconds until the picture was there, and what was made."""
    started = time.perf_counter()
    for event in runtime.run("facediffuser", request):
        if isinstance(event, Result):
            return time.perf_counter() - started, event
    raise RuntimeError("The run ended without a picture.")


def turns(seed: int) -> dict[str, FaceRequest]:
    """What is asked one after the other; the first two of them draw scenes that nobody has drawn yet."""
    asked = example("facediffuser")
    assert isinstance(asked, FaceRequest)
    whole = asked.replace(seed=seed)
    return {
        "scene": asked.replace(seed=seed + 1, variant="scene"),
        "whole": whole,
        "swap": whole.replace(references=whole.references[::-1]),
        "bound": whole.replace(subject_from=whole.subject_from + LATER),
    }


def measure(rounds: int) -> dict[str, Any]:
    """Medians of seconds by turn, evaluations of both networks per picture, and whether the scene was kept."""
    seconds: dict[str, list[float]] = {}
    facts: dict[str, Any] = {}
    for number in range(rounds + 1):
        for name, request in turns(2 * number).items():
            took, made = click(request)
            seconds.setdefault(name, []).append(took)
            facts[name] = made.facts
    medians = {name: float(np.median(values[1:])) for name, values in seconds.items()}
    return {
        "rounds": rounds,
        "steps": facts["whole"]["stages"],
        "all_evaluations": facts["whole"]["all_evaluations"],
        **{f"{name}_s": value for name, value in medians.items()},
        **{f"{name}_evaluations": found["evaluations"] for name, found in facts.items()},
        "kept": all(facts[name]["from_prefix"] for name in ("swap", "bound")),
        "whole_over_scene": medians["whole"] / medians["scene"],
        "swap_over_whole": medians["swap"] / medians["whole"],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.swaps", description=__doc__)
    parser.add_argument("--preset", default="pocket")
    parser.add_argument("--threads", type=int, default=1, help="torch threads on a CPU")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args(arguments)
    runtime.configure(threads=given.threads, preset=given.preset)
    print(json.dumps({"threads": given.threads, **measure(given.rounds)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
