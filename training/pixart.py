"""Text to scene with a diffusion transformer: a small PixArt that reads T5. Needs `t5` trained before.

python -m training.pixart --minutes 60                         on a GPU: --size 256 --batch 256 --minutes 5
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler, PixArtTransformer2DModel
from torch import Tensor
from transformers import T5EncoderModel

from models import diffusion
from training.config import read
from training.loop import pick_device
from training.pool import Sample
from training.scenes import SceneConfig, SceneView, train

BETAS = {"beta_start": 0.0001, "beta_end": 0.02}  # PixArt-alpha's, rising linearly


@dataclass(frozen=True)
class PixArtConfig(SceneConfig):
    """Trains the pocket PixArt."""

    name: str = "pixart"
    learning_rate: float = 3e-3
    muon: bool = True
    heads: int = 6  # of 32 dimensions each
    layers: int = 8
    text_tokens: int = 32


def build(config: PixArtConfig, channels: int, words: int) -> PixArtTransformer2DModel:
    """The committed snapshot when resuming, else a fresh transformer that starts near the identity."""
    folder = Path(config.assets) / config.name
    if config.resume and folder.exists():
        return PixArtTransformer2DModel.from_pretrained(folder)
    torch.manual_seed(config.seed)
    made = PixArtTransformer2DModel(
        num_attention_heads=config.heads,
        attention_head_dim=32,
        in_channels=channels,
        out_channels=channels,  # the published ones put out a learned variance behind it
        num_layers=config.layers,
        cross_attention_dim=32 * config.heads,
        sample_size=config.size // 8,
        patch_size=2,
        caption_channels=words,
        use_additional_conditions=False,
    )
    torch.nn.init.zeros_(made.proj_out.weight)
    torch.nn.init.zeros_(made.proj_out.bias)
    return made


def main(config: PixArtConfig) -> None:
    """Train, draw unseen combinations, export."""
    assets, device = Path(config.assets), pick_device(config.device)
    t5 = T5EncoderModel.from_pretrained(assets / "t5", dtype=torch.float32)
    schedule = diffusion.alphas_cumprod("linear", **BETAS)
    view = SceneView(assets, t5, "t5", config.text_tokens, schedule, device, config.prediction, config.pixels)
    model = build(config, view.vae.config.latent_channels, t5.config.d_model)
    added = {"resolution": None, "aspect_ratio": None}

    def network(noisy: Tensor, times: Tensor, rows: Sample) -> Tensor:
        out: Tensor = model(
            noisy,
            encoder_hidden_states=rows["text"],
            encoder_attention_mask=rows["mask"],
            timestep=times,
            added_cond_kwargs=added,
            return_dict=False,
        )[0]
        return out

    scheduler = DPMSolverMultistepScheduler(**BETAS, beta_schedule="linear", prediction_type=config.prediction)
    train(config, view, model, network, scheduler, ["vae", "t5"])


if __name__ == "__main__":
    main(read(PixArtConfig, "training.pixart"))
