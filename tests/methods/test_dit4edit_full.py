"""PixArt at its published size, without weights: what the presets will load and where it is controlled."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import PixArtTransformer2DModel

from models.attention import sites
from models.dit4edit.alignment import align
from models.dit4edit.controller import Controller
from models.dit4edit.cross import CrossControl
from models.dit4edit.mutual import PRESETS as RULES
from models.dit4edit.rows import pinned
from models.dit4edit.spec import PRESETS
from tests.methods.dit4edit_tiny import split

PUBLISHED = {
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 28,
    "cross_attention_dim": 1152,
    "caption_channels": 4096,
    "patch_size": 2,
}


def full(sample_size: int, **changes: Any) -> PixArtTransformer2DModel:
    with torch.device("meta"):
        return PixArtTransformer2DModel(sample_size=sample_size, **(PUBLISHED | changes))


def count(model: torch.nn.Module) -> float:
    return round(sum(p.numel() for p in model.parameters()) / 1e6, 2)


def test_sizes_are_the_published_ones() -> None:
    assert count(full(128)) == 611.35  # the 1024 model, which is told its size
    assert full(128).use_additional_conditions
    assert not full(64).use_additional_conditions
    assert count(full(64)) < 611.35
    assert not full(128, use_additional_conditions=False).use_additional_conditions  # PixArt-Sigma


@pytest.mark.parametrize("sample_size", [64, 128])
def test_every_block_is_opened_for_words_and_the_upper_half_for_self_attention(sample_size: int) -> None:
    model = full(sample_size)
    assert [site.kind for site in sites(model)] == ["self", "cross"] * 28
    assert len(model.attn_processors) == 56
    words = CrossControl(align(split("a lion"), split("a tig|er"), 120))
    controller = Controller(
        pinned(), 28, (sample_size // 2, sample_size // 2), 30, cross=[words], rules=RULES["rigid"](30, 28)
    )
    stock = {name: id(p) for name, p in model.attn_processors.items()}
    with controller.installed(model):
        opened = {name for name, p in model.attn_processors.items() if id(p) != stock[name]}
    expected = {f"transformer_blocks.{k}.attn2.processor" for k in range(28)}
    expected |= {f"transformer_blocks.{k}.attn1.processor" for k in range(14, 28)}
    assert opened == expected
    assert {name: id(p) for name, p in model.attn_processors.items()} == stock


@pytest.mark.parametrize("name", ["full", "full-1024", "sigma"])
def test_full_presets_say_what_they_cost(name: str) -> None:
    preset = PRESETS[name]
    assert 20 < preset.download_gigabytes < 24
    assert preset.licence
    assert preset.steps == 30
    assert preset.settings["text_tokens"] == (300 if name == "sigma" else 120)
    assert preset.components["vae"].dtype == "float32"
