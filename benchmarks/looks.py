"""What Collage Diffusion adds to image-to-image, and what learning the looks of four layers at once saves, in turn.

`python -m benchmarks.looks` prints one JSON line. A child of `speed`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from benchmarks.examples import example
from models import catalog, device as devices, runtime
from models.collage import method
from models.collage.composing import compose
from models.collage.conditions import Parts
from models.collage.layers import Collage
from models.collage.looking import look_at
from models.collage.planning import course
from models.collage.spec import SPEC, CollageRequest
from models.contract import Preset

RUNGS = {"stock_s": "gh", "bias_s": "gh+ca", "all_s": "all"}  # plain img2img; with the bias; with noise per layer too
STEPS = 10  # of learning in one round
ROUNDS = 3


@contextmanager
def looks_apart() -> Iterator[None]:
    """Learned looks go to an empty folder of their own: nothing that was learned before is taken for learning."""
    before = os.environ.pop("EASEL_CACHE", None)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EASEL_CACHE"] = folder
        try:
            yield
        finally:
            del os.environ["EASEL_CACHE"]
            os.environ.update({"EASEL_CACHE": before} if before is not None else {})


def alone(collage: Collage) -> list[Collage]:
    """For every layer the collage that shows only this one."""
    own = range(len(collage.layers))
    hidden = [[layer.replace(visible=k == n) for k, layer in enumerate(collage.layers)] for n in own]
    return [collage.replace(layers=tuple(layers)) for layers in hidden]


def picture(parts: Parts, request: CollageRequest) -> Callable[[], None]:
    """A whole picture, ready to be timed."""

    def go() -> None:
        for _ in method.run(parts, request):
            pass

    return go


def learning(parts: Parts, collages: Sequence[Collage], size: tuple[int, int], steps: int) -> Callable[[], None]:
    """The looks of all that these collages show, each collage's together; ready to be timed."""

    def go() -> None:
        with looks_apart():
            for one in collages:
                for _ in look_at(parts, one, compose(one), size, steps):
                    pass

    return go


@torch.inference_mode()
def in_turn(things: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of each, all in turn, after one round that is thrown away."""
    found: dict[str, list[float]] = {name: [] for name in things}
    for _ in range(rounds + 1):
        for name, go in things.items():
            started = time.perf_counter()
            go()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            found[name].append(time.perf_counter() - started)
    return {name: float(np.median(values[1:])) for name, values in found.items()}


def measure(preset: Preset, device: str, steps: int, rounds: int) -> dict[str, Any]:
    """The whole run."""
    resolved, preset = runtime.resolve(SPEC, example("collage").replace(preset=preset.name))
    assert isinstance(resolved, CollageRequest)
    with runtime.cache.lease(SPEC.needed(preset, resolved)) as lease:
        lease.to(device)
        parts = method.load(lease, preset, device)
        rungs = {name: picture(parts, resolved.replace(variant=variant)) for name, variant in RUNGS.items()}
        collage, size = resolved.collage, course(resolved, preset).size
        looks = {
            "joint_s": learning(parts, [collage], size, steps),
            "separate_s": learning(parts, alone(collage), size, steps),
        }
        seconds = in_turn(rungs, rounds) | in_turn(looks, rounds)
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "steps": resolved.steps,
        "layers": len(collage.shown),
        "look_steps": steps,
        "own_look_steps": parts.recipe(0).steps,
        **seconds,
        "bias_over_stock": seconds["bias_s"] / seconds["stock_s"],
        "all_over_stock": seconds["all_s"] / seconds["stock_s"],
        "separate_over_joint": seconds["separate_s"] / seconds["joint_s"],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.looks", description=__doc__)
    parser.add_argument("--preset", default="pocket", choices=sorted(catalog.SPECS["collage"].presets))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="torch threads on a CPU")
    parser.add_argument("--steps", type=int, default=STEPS, help="of learning")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    preset = catalog.SPECS["collage"].presets[given.preset]
    print(json.dumps(measure(preset, devices.pick(given.device), given.steps, given.rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
