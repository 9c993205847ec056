"""Every component of CAT-Diffusion at toy size with random weights, as its presets name them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModel

from models.cache import ModelCache
from models.cat import method
from models.cat.conditions import Parts
from models.cat.spec import PRESETS, InpaintRequest
from models.contract import Preset
from tests.methods import cat_tiny
from tests.methods.dreamfuse_tiny import clip_tokenizer
from tests.tiny import unet

WORDS = 12  # width of the tiny U-Net's context
SIZE = 64


def _small(name: str) -> Preset:
    """The preset at toy size, in float32."""
    preset = PRESETS[name]
    components = {n: dataclasses.replace(w, dtype=w.dtype and "float32") for n, w in preset.components.items()}
    settings = {**preset.settings, "multiple": 16}
    return dataclasses.replace(preset, components=components, size=SIZE, steps=3, settings=settings)


POCKET, BASE = _small("pocket"), _small("base")


def vae() -> AutoencoderKL:
    """Stable Diffusion's kind at toy size, of scale 0.5, whose posterior has hardly any width."""
    model = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=0.5,
    )
    model.quant_conv.weight.data[4:] = 0
    model.quant_conv.bias.data[4:] = -30  # log variance: a sample of the posterior is its mode
    return model.eval().requires_grad_(False)


def text_encoder() -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=WORDS, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    return CLIPTextModel(config).eval().requires_grad_(False)


def clip_vision() -> CLIPVisionModel:
    """Sees 32 pixels in 4x4 patches; as wide as the visual prompt."""
    config = CLIPVisionConfig(
        hidden_size=cat_tiny.PROMPT,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=32 // cat_tiny.GRID,
    )
    return CLIPVisionModel(config).eval().requires_grad_(False)


def components() -> dict[str, Any]:
    """By the presets' names; the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return {
            "tokenizer": clip_tokenizer(),
            "text_encoder": text_encoder(),
            "clip_vision": clip_vision(),
            "semantic_inpainter": cat_tiny.inpainter(hidden_size=cat_tiny.PROMPT, label_size=WORDS),
            "vae": vae(),
            "unet": cat_tiny.unet(),
        }


@contextmanager
def parts(preset: Preset = POCKET, made: dict[str, Any] | None = None) -> Iterator[Parts]:
    """What the runtime would hand to `run`; the base preset gets the same U-Net without its adapters."""
    made = made or components()
    if "semantic_inpainter" not in preset.components:
        made["unet"] = unet(in_channels=9)
    by_weights = {weights: made[name] for name, weights in preset.components.items()}
    with ModelCache(by_weights.__getitem__).lease(preset.components) as lease:
        yield method.load(lease, preset, "cpu")


def request(**changes: Any) -> InpaintRequest:
    """A striped 96x64 scene whose middle is to become a red car."""
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, :, 1] = 2 * np.arange(96)
    image[::8] = 200
    mask = np.zeros((64, 96), np.uint8)
    mask[16:48, 32:64] = 255
    fields = {"image": image, "mask": mask, "prompt": "a red car", "seed": 5, "steps": 3, "feather": 0}
    fields["guidance_scale"] = 7.5
    return InpaintRequest(**(fields | changes))
