"""A filler without models: it paints the hole in a colour drawn from the seed, step by step. For browser tests.

It goes through the real catalogue, request, framing, runtime, recipe and page, and gives every extra that the method
gives, so the tests that use it prove those, in seconds.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from models import catalog, pixels
from models.cat.framing import frame, warning
from models.cat.spec import InpaintRequest
from models.contract import Components, Preset, Result, Spec, Step

log = logging.getLogger("filler")
PAUSE = 0.08  # seconds per step


def load(components: Components, preset: Preset, device: str) -> None:
    """There is nothing to put together."""


def run(parts: None, request: InpaintRequest) -> Iterator[Step | Result]:
    """The hole in the seed's colour; without the visual prompt it is darker, and the classical fill is grey."""
    framing = frame(request.image, request.mask, request.region, request.padding, request.grow, 128, 32)

    def filled(colour: np.ndarray) -> np.ndarray:
        patch = np.broadcast_to(colour, framing.picture.shape).astype(np.uint8)
        return pixels.stitch(request.image, patch, framing.box, framing.whole_mask, request.feather)

    for done in range(1, request.steps + 1):
        time.sleep(PAUSE)
        log.info("seed %d step %d", request.seed, done)
        yield Step(done, request.steps, filled(painted(request.seed) * done // request.steps))
    images = tuple(filled(painted(request.seed + k)) for k in range(request.num_images))
    extras = {
        "input": request.image,
        "plain": filled(painted(request.seed) // 2),
        "classical": filled(np.full(3, 128)),
        "semantics": np.zeros((120, 240, 3), np.uint8),
    }
    kept = int((framing.whole_mask == 0).sum())
    changed = [pixels.changed_pixels(request.image, image, framing.whole_mask) for image in images]
    facts = {"kept_pixels": [kept] * len(images), "kept_pixels_changed": changed, "warning": warning(framing)}
    yield Result(images, extras, facts)


def painted(seed: int) -> np.ndarray:
    """The seed's colour."""
    return np.random.default_rng(seed).integers(0, 256, 3)


def install(steps: int = 10) -> Spec:
    """Put the filler in CAT's place in the catalogue; returns the entry that was there."""
    real = catalog.SPECS["cat"]
    preset = Preset(name="pocket", components={}, steps=steps, label="Pocket - offline, small models", size=128)
    module: Any = __import__("tests.filler", fromlist=["run"])
    catalog.SPECS["cat"] = dataclasses.replace(real, presets={"pocket": preset}, method=lambda: module, needs=None)
    return real
