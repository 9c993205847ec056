"""Text to scene with a U-Net, as Stable Diffusion has it: what the collage and the layers of a scene stand on.

python -m training.sd_unet --minutes 60                        on a GPU: --size 256 --batch 256 --minutes 6
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel

from models import diffusion
from models.latents import decode
from training.config import Config, read
from training.export import publish, warm, write_half
from training.loop import Moment, Run, pick_device, seeded
from training.pool import Pool, Sample
from training.scenes import SceneView


@dataclass(frozen=True)
class UNetConfig(Config):
    """Trains the pocket Stable Diffusion U-Net."""

    name: str = "sd_unet"
    minutes: float = 60.0
    learning_rate: float = 1e-3
    ema: float = 0.998
    width: int = 64  # of the first of three levels; the others are twice and three times as wide
    reuse: float = 4.0
    held_out: int = 32
    sample_steps: int = 20


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
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(config.width, 2 * config.width, 3 * config.width),
        layers_per_block=1,
        attention_head_dim=4,  # heads, by diffusers' old name
        cross_attention_dim=words,
        norm_num_groups=min(32, config.width // 2),
    )


def main(config: UNetConfig) -> None:
    """Train, draw unseen combinations, export."""
    assets, device = Path(config.assets), pick_device(config.device)
    clip = CLIPTextModel.from_pretrained(assets / "clip", dtype=torch.float32)
    view = SceneView(assets, clip, "clip", None, diffusion.alphas_cumprod(), device)
    unet = build(config, view.vae.config.latent_channels, clip.config.hidden_size)
    run = Run(config, unet, *warm(assets / config.name, config.resume))

    def network(noisy: Tensor, times: Tensor, rows: Sample) -> Tensor:
        out: Tensor = unet(noisy, times, rows["text"], return_dict=False)[0]
        return out

    pool = Pool(lambda generator: view.rows(32, config.size, generator), 8192, config.reuse)

    def step(moment: Moment) -> Tensor:
        return view.loss(network, pool.batch(config.batch, moment.generator), moment.generator)

    unseen = view.rows(config.held_out, config.size, seeded(config.seed + 1, 0), "combos", untold=0.0)
    eight = {name: value[:8] for name, value in unseen.items()}
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1,
        set_alpha_to_one=False,
    )  # fmt: skip
    for tick in run.ticks(step):
        if tick.snapshot:
            with run.averaged():
                metrics = {"epsilon_mse": round(float(view.loss(network, unseen, seeded(1, 1))), 4)}
                rows = [decode(view.vae, eight["x"]), view.sample(network, eight, config.sample_steps)]
                writers = {"": write_half(unet), "scheduler": scheduler.save_pretrained}
                publish(run, tick, config.name, writers, ["vae", "clip"], metrics, rows)


if __name__ == "__main__":
    main(read(UNetConfig, "training.sd_unet"))
