"""The frozen parts of a FLUX to fine-tune, loaded as the app loads them: pocket, published, or any of that layout."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from models.cache import ModelCache
from models.contract import Preset, Weights
from models.dreamfuse.spec import PRESETS, TEXT
from models.dreamfuse.text import Prompt, encode_prompt

POCKET_BASE = Weights("assets/pocket/flux", "diffusers.FluxTransformer2DModel")


def flux_parts(base: str, precision: str) -> Preset:
    """The components of `base`: "pocket", "full", or a folder or hub id in diffusers' FLUX layout.

    `precision` is accelerate's: with "bf16" the transformer is held in bfloat16 and the rest as its preset says,
    with "no" everything is float32.
    """
    preset = PRESETS["pocket" if base == "pocket" else "full"]
    parts = {name: weights for name, weights in preset.components.items() if name != "adapter"}
    if base == "pocket":  # the preset's own transformer has been trained to fuse already
        parts["transformer"] = POCKET_BASE
    elif base != "full":
        source = str(Path(base).resolve()) if Path(base).is_dir() else base
        parts = {name: replace(weights, source=source, gated=False) for name, weights in parts.items()}
    if precision == "bf16":
        parts["transformer"] = replace(parts["transformer"], dtype="bfloat16")
    else:
        parts = {name: replace(weights, dtype=weights.dtype and "float32") for name, weights in parts.items()}
    return replace(preset, components=parts)


def encode_prompts(
    preset: Preset, prompts: Iterable[str], device: torch.device, load: Callable[[Weights], Any]
) -> dict[str, Prompt]:
    """Embeddings of all prompts in the transformer's dtype, kept in host memory; the encoders are gone afterwards."""
    dtype = getattr(torch, preset.components["transformer"].dtype)
    components = {name: preset.components[name] for name in TEXT}
    with ModelCache(load).lease(components) as lease:
        lease.to(str(device))
        encoded = ((prompt, encode_prompt(lease, preset, prompt)) for prompt in sorted(prompts))
        return {p: Prompt(found.tokens.to("cpu", dtype), found.pooled.to("cpu", dtype)) for p, found in encoded}
