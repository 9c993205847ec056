"""A method without models: it waits at each step and paints pictures that depend on the request only.

It goes through the real catalogue, runtime, recipe and page, so the tests that use it prove those, in seconds.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from models import catalog
from models.contract import Components, Preset, Result, Spec, Step
from models.dreamfuse.spec import DreamFuseRequest, object_matrix
from models.pixels import paste

log = logging.getLogger("fake")
PAUSE = 0.08  # seconds per step


def load(components: Components, preset: Preset, device: str) -> None:
    """There is nothing to put together."""


def run(parts: None, request: DreamFuseRequest) -> Iterator[Step | Result]:
    """Tint the raw paste a little more at each step; the tint depends on the seed."""
    pasted, _ = paste(request.background, request.foreground, object_matrix(request))
    if "fail" in request.prompt:
        raise ZeroDivisionError("the fake was asked to fail")
    for done in range(1, request.steps + 1):
        time.sleep(PAUSE)
        log.info("seed %d step %d", request.seed, done)
        yield Step(done, request.steps, tinted(pasted, request.seed, done / request.steps))
    images = tuple(tinted(pasted, request.seed + k, 1.0) for k in range(request.num_images))
    size = pasted.shape[0] * pasted.shape[1]
    facts = {"kept_pixels": [size] * len(images), "kept_pixels_changed": [0] * len(images)}
    yield Result(images, {"paste": pasted}, facts)


def tinted(picture: np.ndarray, seed: int, strength: float) -> np.ndarray:
    """The picture mixed with a colour drawn from the seed."""
    colour = np.random.default_rng(seed).integers(0, 256, 3)
    return (picture * (1 - 0.5 * strength) + colour * 0.5 * strength).astype(np.uint8)


def install(steps: int = 10) -> Spec:
    """Put the fake in DreamFuse's place in the catalogue; returns the entry that was there."""
    real = catalog.SPECS["dreamfuse"]
    preset = Preset(name="pocket", components={}, steps=steps, label="Pocket - offline, small models")
    module: Any = __import__("tests.fakes", fromlist=["run"])
    catalog.SPECS["dreamfuse"] = dataclasses.replace(
        real, presets={"pocket": preset}, method=lambda: module, needs=None
    )
    return real
