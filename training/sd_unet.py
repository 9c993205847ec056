"""Text to scene with a U-Net, as Stable Diffusion has it: what the collage and the layers of a scene stand on.

python -m training.sd_unet --minutes 60                        on a GPU: --size 256 --batch 256 --minutes 6
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel

from models import diffusion
from training.config import read
from training.loop import pick_device
from training.pool import Sample
from training.scenes import SceneConfig, SceneView, train


@dataclass(frozen=True)
class UNetConfig(SceneConfig):
    """Trains the pocket Stable Diffusion U-Net."""

    name: str = "sd_unet"
    learning_rate: float = 1e-3
    width: int = 64  # of the first of three levels; the others are twice and three times as wide


def shape(width: int, words: int) -> dict[str, Any]:
    """Three levels, the first `width` wide, that attend to words of width `words` on the upper two."""
    return {
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "block_out_channels": (width, 2 * width, 3 * width),
        "layers_per_block": 1,
        "attention_head_dim": 4,  # heads, by diffusers' old name
        "cross_attention_dim": words,
        "norm_num_groups": min(32, width // 2),
    }


def build(config: UNetConfig, channels: int, words: int) -> UNet2DConditionModel:
    """The committed snapshot when resuming, else a fresh U-Net for latents of `channels` and words of width `words`."""
    folder = Path(config.assets) / config.name
    if config.resume and folder.exists():
        return UNet2DConditionModel.from_pretrained(folder)
    torch.manual_seed(config.seed)
    return UNet2DConditionModel(
        sample_size=config.size // 8,
        in_channels=channels,
        out_channels=channels,
        **shape(config.width, words),
    )


def main(config: UNetConfig) -> None:
    """Train, draw unseen combinations, export."""
    assets, device = Path(config.assets), pick_device(config.device)
    clip = CLIPTextModel.from_pretrained(assets / "clip", dtype=torch.float32)
    view = SceneView(assets, clip, "clip", None, diffusion.alphas_cumprod(), device, config.prediction, config.pixels)
    unet = build(config, view.vae.config.latent_channels, clip.config.hidden_size)

    def network(noisy: Tensor, times: Tensor, rows: Sample) -> Tensor:
        out: Tensor = unet(noisy, times, rows["text"], return_dict=False)[0]
        return out

    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1,
        set_alpha_to_one=False, prediction_type=config.prediction,
    )  # fmt: skip
    train(config, view, unet, network, scheduler, ["vae", "clip"])


if __name__ == "__main__":
    main(read(UNetConfig, "training.sd_unet"))
