"""What the reference adapters cost: whole pictures with CAT-Diffusion and with the same U-Net without it, in turn.

`python -m benchmarks.adapters` prints one JSON line; `--full` takes random weights of the published size instead of
the pocket's, with few steps, since only the ratio counts. A child of `speed`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.examples import example
from models import runtime
from models.cache import ModelCache
from models.cat import method
from models.cat.semantic_inpainter import SemanticInpainter
from models.cat.spec import PRESETS, SPEC, InpaintRequest
from models.cat.unet import CATUNet2DConditionModel
from models.contract import Preset
from models.loading import load_component

OURS = ("clip_vision", "semantic_inpainter")  # what the method adds beside the adapters
ROUNDS = 5


def without(preset: Preset) -> Preset:
    """The preset without what the method adds: its U-Net's adapters then never run."""
    return dataclasses.replace(preset, components={n: w for n, w in preset.components.items() if n not in OURS})


def full_size() -> dict[str, Any]:
    """Random weights of the published shapes in float32, 7 GB; the tokenizer is the pocket's."""
    from diffusers import AutoencoderKL
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModel

    text = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
    vision = CLIPVisionConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=14
    )
    blocks = (128, 256, 512, 512)
    made: dict[str, Any] = {
        "tokenizer": load_component(PRESETS["pocket"].components["tokenizer"]),
        "text_encoder": CLIPTextModel(text),
        "clip_vision": CLIPVisionModel(vision),
        "semantic_inpainter": SemanticInpainter(),
        "vae": AutoencoderKL(
            block_out_channels=blocks,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
        ),
        "unet": CATUNet2DConditionModel(in_channels=9, cross_attention_dim=768, attention_head_dim=8),
    }
    return {name: thing.eval() if hasattr(thing, "eval") else thing for name, thing in made.items()}


def unseen(request: InpaintRequest, name: str) -> InpaintRequest:
    """The same request with words and a pixel of its own, so that nothing of another run is remembered."""
    image = request.image.copy()
    image[0, 0] = [ord(letter) for letter in name[-3:]]
    return request.replace(image=image, prompt=f"{request.prompt} {name}")


def picture_seconds(cache: ModelCache, preset: Preset, request: InpaintRequest) -> float:
    """One whole picture, words to pixels, components at hand."""
    with cache.lease(preset.components) as lease, torch.inference_mode():
        parts = method.load(lease, preset, "cpu")
        started = time.perf_counter()
        for _ in method.run(parts, request):
            pass
        return time.perf_counter() - started


def measure(full: bool) -> dict[str, Any]:
    """Medians of both in turn, after one of each that is thrown away."""
    asked = example("cat")
    assert isinstance(asked, InpaintRequest)
    preset, request, rounds = PRESETS["pocket"], asked.replace(comparisons="off"), ROUNDS
    cache = runtime.cache
    if full:
        preset = dataclasses.replace(
            PRESETS["full"],
            components={n: dataclasses.replace(w, dtype="float32") for n, w in PRESETS["full"].components.items()},
        )
        made, rounds = full_size(), 3
        cache = ModelCache({w: made[n] for n, w in preset.components.items()}.__getitem__)
    request = request.replace(steps=2 if full else preset.steps)
    found: dict[str, list[float]] = {"ours_s": [], "bare_s": []}
    for number in range(rounds + 1):
        for name, chosen in (("ours_s", preset), ("bare_s", without(preset))):
            found[name].append(picture_seconds(cache, chosen, unseen(request, f"{name} {number}")))
    medians = {name: float(np.median(values[1:])) for name, values in found.items()}
    return {
        "weights": "random, published size" if full else "pocket",
        "steps": request.steps,
        "threads": torch.get_num_threads(),
        **medians,
        "ratio": medians["ours_s"] / medians["bare_s"],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapters", description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    print(json.dumps({"method": SPEC.key, **measure(given.full)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
