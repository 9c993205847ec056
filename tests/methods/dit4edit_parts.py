"""Every component of DiT4Edit at toy size with random weights, as its presets name them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from diffusers import PixArtTransformer2DModel

from models.cache import ModelCache
from models.contract import Preset, Result
from models.dit4edit import method
from models.dit4edit.conditions import Parts
from models.dit4edit.spec import PRESETS, EditRequest
from tests import tiny
from tests.methods.cat_parts import vae
from tests.methods.dreamfuse_tiny import t5, t5_tokenizer

SIZE = 64


def _small(name: str) -> Preset:
    """The preset at toy size, in float32."""
    preset = PRESETS[name]
    components = {n: dataclasses.replace(w, dtype=w.dtype and "float32") for n, w in preset.components.items()}
    settings = {**preset.settings, "text_tokens": 12, "prediction": "epsilon"}
    return dataclasses.replace(preset, components=components, size=SIZE, steps=4, settings=settings)


POCKET = _small("pocket")


def transformer(seed: int = 0, **changes: Any) -> PixArtTransformer2DModel:
    """The tiny PixArt whose cross-attention is strong enough for words to matter."""
    model = tiny.pixart(seed, **changes)
    for block in model.transformer_blocks:
        block.attn2.to_v.weight.mul_(20)
    return model


def components() -> dict[str, Any]:
    """By the presets' names; the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(12)
        return {"tokenizer": t5_tokenizer(), "text_encoder": t5(), "vae": vae(), "transformer": transformer()}


@contextmanager
def parts(made: dict[str, Any] | None = None, preset: Preset = POCKET) -> Iterator[Parts]:
    """What the runtime would hand to `run`."""
    made = made or components()
    by_weights = {weights: made[name] for name, weights in preset.components.items()}
    with ModelCache(by_weights.__getitem__).lease(preset.components) as lease, torch.inference_mode():
        yield method.load(lease, preset, "cpu")


def picture(height: int = 64, width: int = 96) -> np.ndarray:
    """Stripes over a slope."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, :, 1] = 2 * np.arange(width)
    image[::8] = 200
    return image


def request(**changes: Any) -> EditRequest:
    """A red car that is to become a red teapot."""
    fields = {
        "image": picture(),
        "source_prompt": "a red car on the table",
        "target_prompt": "a red teapot on the table",
        "seed": 5,
        "steps": 4,
        "guidance_scale": 4.5,
        "keep_detail": "off",
    }
    return EditRequest(**(fields | changes))


def result(within: Parts, **changes: Any) -> Result:
    """What a run of `request(**changes)` ends with."""
    *_, last = method.run(within, request(**changes))
    assert isinstance(last, Result)
    return last
