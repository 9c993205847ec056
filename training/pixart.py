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
from models.latents import decode
from training.config import Config, read
from training.export import publish, warm, write_half
from training.loop import Moment, Run, pick_device, seeded
from training.pool import Pool, Sample
from training.scenes import SceneView

BETAS = {"beta_start": 0.0001, "beta_end": 0.02}  # PixArt-alpha's, rising linearly


@dataclass(frozen=True)
class PixArtConfig(Config):
    """Trains the pocket PixArt."""

    name: str = "pixart"
    minutes: float = 60.0
    learning_rate: float = 3e-3
    muon: bool = True
    ema: float = 0.998
    heads: int = 6  # of 32 dimensions each
    layers: int = 8
    text_tokens: int = 32
    reuse: float = 4.0
    held_out: int = 32
    sample_steps: int = 20


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
    view = SceneView(assets, t5, "t5", config.text_tokens, diffusion.alphas_cumprod("linear", **BETAS), device)
    model = build(config, view.vae.config.latent_channels, t5.config.d_model)
    run = Run(config, model, *warm(assets / config.name, config.resume))
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

    pool = Pool(lambda generator: view.rows(32, config.size, generator), 8192, config.reuse)

    def step(moment: Moment) -> Tensor:
        return view.loss(network, pool.batch(config.batch, moment.generator), moment.generator)

    unseen = view.rows(config.held_out, config.size, seeded(config.seed + 1, 0), "combos", untold=0.0)
    eight = {name: value[:8] for name, value in unseen.items()}
    scheduler = DPMSolverMultistepScheduler(**BETAS, beta_schedule="linear")
    for tick in run.ticks(step):
        if tick.snapshot:
            with run.averaged():
                metrics = {"epsilon_mse": round(float(view.loss(network, unseen, seeded(1, 1))), 4)}
                rows = [decode(view.vae, eight["x"]), view.sample(network, eight, config.sample_steps)]
                writers = {"": write_half(model), "scheduler": scheduler.save_pretrained}
                publish(run, tick, config.name, writers, ["vae", "t5"], metrics, rows)


if __name__ == "__main__":
    main(read(PixArtConfig, "training.pixart"))
