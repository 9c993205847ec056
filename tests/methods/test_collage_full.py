"""The full presets at their published sizes, on the meta device: sites, shapes, and where each component comes from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel

from models.attention import sites
from models.collage.bias import pyramid
from models.collage.presets import PRESETS

# What the published configurations add to diffusers' defaults, which are Stable Diffusion 1's.
SD15: dict[str, Any] = {"cross_attention_dim": 768, "attention_head_dim": 8}
SD21: dict[str, Any] = {
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}


@pytest.mark.parametrize(("config", "parameters"), [(SD15, 859_520_964), (SD21, 865_910_724)])
def test_the_bias_reaches_all_16_cross_attentions(config: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, **config)
    found = sites(unet)
    assert (len(found), sum(site.kind == "cross" for site in found)) == (32, 16)
    assert sum(p.numel() for p in unet.parameters()) == parameters


@pytest.mark.parametrize("config", [SD15, SD21])
def test_the_controlnet_fits_the_unet_and_has_13_residuals(config: dict[str, Any]) -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, **config)
        net = ControlNetModel(**config)
        latents, text = torch.empty(2, 4, 64, 96), torch.empty(2, 77, config["cross_attention_dim"])
        down, mid = net(latents, 5, text, torch.empty(2, 3, 512, 768), return_dict=False)
        out = unet(latents, 5, text, down_block_additional_residuals=down, mid_block_additional_residual=mid).sample
    assert [tuple(r.shape[-2:]) for r in down] == [
        *[(64, 96)] * 3,
        *[(32, 48)] * 3,
        *[(16, 24)] * 3,
        *[(8, 12)] * 3,
    ]
    assert tuple(mid.shape[-2:]) == (8, 12)
    assert out.shape == latents.shape


@pytest.mark.parametrize("size", [(512, 512), (512, 768), (448, 576), (704, 384)])
def test_every_level_of_the_unet_has_its_masks(size: tuple[int, int]) -> None:
    found = pyramid(torch.zeros(1, *size))
    height, width = size[0] // 8, size[1] // 8
    assert {(-(-height // f)) * (-(-width // f)) for f in (1, 2, 4, 8)} <= set(found)


def test_no_full_preset_mixes_bases() -> None:
    """A ControlNet, like a learned look, belongs to one base."""
    for name, base in (("full", "v1-5"), ("full-2.1", "2-1")):
        found = {part: weights.source for part, weights in PRESETS[name].components.items()}
        assert {source for part, source in found.items() if part != "controlnet"} == {found["unet"]}
        assert base in found["unet"]
        assert ("sd21" in found["controlnet"]) == (base == "2-1")
