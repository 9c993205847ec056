"""Text to scene: T5 and FLUX learn jointly from captioned scenes; CLIP is frozen, and T5 is from then on.

python -m training.t5_flux --minutes 15                        on a GPU: --size 256 --minutes 6 --batch 256
python -m training.t5_flux --minutes 15 --heads 3 --single 4   what two CPU cores can train
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from torch import Tensor, nn
from transformers import T5Config, T5EncoderModel

from models import diffusion
from models.autoencoder import PatchAutoencoder
from models.latents import decode, encode, pack, unpack
from training import world
from training.config import Config, read
from training.export import publish, save_all, warm, write_half
from training.flow import draw_guidance, draw_sigmas, initialise, look_nearby, velocity
from training.loop import Moment, Run, pick_device, seeded
from training.pool import Pool, Sample
from training.text import Text
from training.tokenizers import count_words, t5_tokenizer

AXES = (8, 12, 12)  # of a head's 32 dimensions: none, rows, columns; FLUX's 16, 56, 56 scaled down


@dataclass(frozen=True)
class FluxConfig(Config):
    """Trains the pocket T5 and FLUX."""

    name: str = "flux"
    minutes: float = 15.0
    learning_rate: float = 5e-3
    muon: bool = True
    ema: float = 0.998
    heads: int = 6  # of 32 dimensions each
    double: int = 2
    single: int = 6
    text_layers: int = 4
    captions: int = 20_000  # that the tokenizer counts words in
    text_tokens: int = 32  # what the pocket preset asks for
    reuse: float = 4.0
    held_out: int = 32
    sample_steps: int = 20


def build(config: FluxConfig, words: int, pooled: int, channels: int) -> nn.ModuleDict:
    """The committed snapshots when resuming, else fresh models, one width for both."""
    assets = Path(config.assets)
    if config.resume and (assets / config.name).exists():
        t5 = T5EncoderModel.from_pretrained(assets / "t5", dtype=torch.float32)
        return nn.ModuleDict({"t5": t5, "flux": FluxTransformer2DModel.from_pretrained(assets / config.name)})
    torch.manual_seed(config.seed)
    width = 32 * config.heads
    shape = {"d_model": width, "d_kv": 32, "num_heads": config.heads, "d_ff": 4 * width}
    kind = {"feed_forward_proj": "gated-gelu", "dropout_rate": 0.0, "is_encoder_decoder": False, "use_cache": False}
    t5 = T5EncoderModel(T5Config(vocab_size=words, num_layers=config.text_layers, **shape, **kind))
    flux = FluxTransformer2DModel(
        in_channels=4 * channels,
        num_layers=config.double,
        num_single_layers=config.single,
        attention_head_dim=32,
        num_attention_heads=config.heads,
        joint_attention_dim=width,
        pooled_projection_dim=pooled,
        guidance_embeds=True,
        axes_dims_rope=AXES,
    )
    initialise(flux)
    look_nearby(flux)
    return nn.ModuleDict({"t5": t5, "flux": flux})


@torch.no_grad()
def sample(models: nn.ModuleDict, rows: Sample, side: int, channels: int, steps: int) -> Tensor:
    """Latents (N, channels, side, side) drawn from seeded noise, as the sampler of the app draws them."""
    count, device = len(rows["pooled"]), rows["pooled"].device
    noise = torch.randn(count, channels, side, side, generator=seeded(7, 0)).to(device)
    guidance = torch.full((count,), 3.5, device=device)

    def flow(tokens: Tensor, timestep: Tensor) -> Tensor:
        return velocity(models, rows, tokens, (timestep / 1000).expand(count).to(device), guidance)

    tokens = pack(noise)
    for state in diffusion.euler_flow(flow, tokens, diffusion.flow_sigmas(steps, diffusion.flux_mu(tokens.shape[1]))):
        tokens = state.latents
    return unpack(tokens, side, side)


def main(config: FluxConfig) -> None:
    """Train, draw unseen combinations, export `t5` and `flux`."""
    assets, device = Path(config.assets), pick_device(config.device)
    vae = PatchAutoencoder.from_pretrained(assets / "vae").to(device).requires_grad_(False)
    tokenizer = t5_tokenizer(count_words([*world.captions(config.captions, config.seed), *world.vocabulary()]))
    text = Text(config.assets, tokenizer, config.text_tokens, device)
    channels, width = vae.config.latent_channels, text.clip.config.hidden_size
    models = build(config, len(tokenizer), width, channels)
    run = Run(config, models, *warm(assets / config.name, config.resume))

    @torch.no_grad()
    def draw(generator: torch.Generator, split: world.Split = "train", count: int = 32) -> Sample:
        scenes = world.scenes(count, (config.size, config.size), generator, split, device)
        return {"x": encode(vae, scenes.image * 2 - 1), **text(scenes.captions)}

    def loss(rows: Sample, generator: torch.Generator) -> Tensor:
        clean = pack(rows["x"])
        noise = torch.randn(clean.shape, generator=generator).to(device)
        sigma = draw_sigmas(len(clean), 0.0, generator).to(device)
        guidance = draw_guidance(len(clean), generator).to(device)
        flow = velocity(models, rows, diffusion.flow_noise(clean, noise, sigma), sigma, guidance)
        return nn.functional.mse_loss(flow.float(), diffusion.flow_target(clean, noise))

    def step(moment: Moment) -> Tensor:
        return loss(pool.batch(config.batch, moment.generator), moment.generator)

    pool = Pool(draw, 8192, config.reuse)
    unseen = draw(seeded(config.seed + 1, 0), "combos", config.held_out)
    for tick in run.ticks(step):
        if tick.snapshot:
            with run.averaged():
                metrics = {"velocity_mse": round(float(loss(unseen, seeded(1, 1))), 4)}
                eight = {key: value[:8] for key, value in unseen.items()}
                drawn = sample(models, eight, config.size // 8, channels, config.sample_steps)
                rows = [decode(vae, x) for x in (eight["x"], drawn)]
                writers = {"": save_all(models["t5"], tokenizer)}
                publish(run, tick, "t5", writers, ["vae", "clip"], metrics, [])
                scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15)
                writers = {"": write_half(models["flux"]), "scheduler": scheduler.save_pretrained}
                publish(run, tick, "flux", writers, ["vae", "clip", "t5"], metrics, rows)


if __name__ == "__main__":
    main(read(FluxConfig, "training.t5_flux"))
