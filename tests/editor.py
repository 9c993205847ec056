"""An editor without models: each target tints the picture in a colour of its own, step by step. For browser tests.

It goes through the real catalogue, request, runtime, recipe and page, and gives every extra and fact that the method
gives, so the tests that use it prove those, in seconds.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from models import catalog, pixels
from models.contract import Components, Preset, Result, Spec, Step
from models.dit4edit.spec import EditRequest

log = logging.getLogger("editor")
PAUSE = 0.08  # seconds per step
DRAWN = 64  # side of a source that is drawn


def load(components: Components, preset: Preset, device: str) -> None:
    """There is nothing to put together."""


def run(parts: None, request: EditRequest) -> Iterator[Step | Result]:
    """One picture for each target; what stands beside them has half their size, as a smaller working size has."""
    drawn = np.broadcast_to(tint(request.source_prompt), (DRAWN, DRAWN, 3)).astype(np.uint8)
    source = drawn if request.image is None else request.image
    for done in range(1, request.steps + 1):
        time.sleep(PAUSE)
        log.info("seed %d step %d", request.seed, done)
        yield Step(done, request.steps, source, "Inverting the picture" if 2 * done < request.steps else "")
    images = tuple(edited(source, target, request) for target in request.targets)
    half = pixels.resize(source, (source.shape[0] // 2, source.shape[1] // 2))
    extras = {"input": source, "reconstruction": half, "encoded": half, "words": np.zeros((900, 672, 3), np.uint8)}
    facts = told(request, images)
    if request.comparisons:
        names = ("sdedit", "ddim", "inversion", "prompt-to-prompt", "mutual")
        extras |= {name: np.full_like(source, 50 * (n + 1)) for n, name in enumerate(names)}
        facts["baselines"] = list(names)
    yield Result(images, extras, facts)


def told(request: EditRequest, images: tuple[np.ndarray, ...]) -> dict[str, Any]:
    """Facts as the method's."""
    facts: dict[str, Any] = {
        "titles": list(request.targets),
        "kinds": ["swap"] * len(images),
        "psnr_encoded": 33.04,
        "psnr_reconstruction": 31.42,
        "noise": {"std": 1.02, "mean": 0.12, "correlation": 0.034},
        "evaluations": 40,
        "inversion_reused": request.seed == 2,
        "kept_tokens": "16 of 64" if request.merge_ratio else "64 of 64",
        "worked_at": "32x32",
        "dropped_words": "",
        "baselines": [],
        "warning": "",
    }
    if request.mask is not None and request.image is not None:
        kept = int((request.mask == 0).sum())
        changed = [pixels.changed_pixels(request.image, image, request.mask) for image in images]
        facts |= {"kept_pixels": [kept] * len(images), "kept_pixels_changed": changed}
    return facts


def tint(target: str) -> np.ndarray:
    """A prompt's colour."""
    return np.frombuffer(hashlib.sha256(target.encode()).digest()[:3], np.uint8)


def edited(source: np.ndarray, target: str, request: EditRequest) -> np.ndarray:
    """The picture in the target's colour, inside the mask."""
    picture = np.broadcast_to(tint(target), source.shape).astype(np.uint8)
    return picture if request.mask is None else pixels.paste_back(source, picture, request.mask, request.feather)


def install(steps: int = 10) -> Spec:
    """Put the editor in DiT4Edit's place in the catalogue; returns the entry that was there."""
    real = catalog.SPECS["dit4edit"]
    preset = Preset(name="pocket", components={}, steps=steps, label="Pocket - offline, small models", size=128)
    module: Any = __import__("tests.editor", fromlist=["run"])
    catalog.SPECS["dit4edit"] = dataclasses.replace(real, presets={"pocket": preset}, method=lambda: module, needs=None)
    return real
