"""Captioned scenes as a text-to-picture diffusion model sees them: rows, loss, samples, the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor
from transformers import AutoTokenizer

from models import diffusion
from models.autoencoder import PatchAutoencoder
from models.latents import decode, encode
from training import world
from training.channels import channel_scale
from training.config import Config
from training.export import publish, warm, write_half
from training.loop import Moment, Run, seeded
from training.pool import Pool, Sample

# Noisy latents (N, C, h, w), timesteps (N,), rows with "text" (N, L, D) and "mask" (N, L) -> prediction (N, C, h, w)
Denoiser = Callable[[Tensor, Tensor, Sample], Tensor]
UNTOLD = 0.1  # of the captions are left out, for classifier-free guidance (arXiv 2207.12598)
GUIDANCE = 4.5


@dataclass(frozen=True)
class SceneConfig(Config):
    """What the recipes on captioned scenes share."""

    minutes: float = 60.0
    ema: float = 0.998
    reuse: float = 4.0
    held_out: int = 32
    sample_steps: int = 20
    prediction: str = "v_prediction"  # a small network cannot say a picture from noise by its epsilon


class SceneView:
    """The frozen autoencoder and a text encoder with its tokenizer, and what is done with them in training.

    `schedule` is alpha^2 at the 1000 timesteps; captions are padded to `length` tokens, or as far as the
    tokenizer goes. `prediction` is what the networks put out; for `pixels` see `channel_scale`.
    """

    def __init__(
        self,
        assets: Path,
        encoder: Any,
        tokenizer: str,
        length: int | None,
        schedule: Tensor,
        device: torch.device,
        prediction: str = "epsilon",
        pixels: float = 0.0,
    ) -> None:
        if prediction not in get_args(diffusion.Prediction):
            raise ValueError(f"Prediction {prediction!r}: choose one of {', '.join(get_args(diffusion.Prediction))}.")
        self.prediction: diffusion.Prediction = prediction  # type: ignore[assignment]
        self.device, self.schedule = device, schedule.to(device)
        self.vae = PatchAutoencoder.from_pretrained(assets / "vae").to(device).requires_grad_(False)
        self.scale = channel_scale(self.vae, pixels)
        self.encoder = encoder.to(device).eval().requires_grad_(False)
        self.tokenizer = AutoTokenizer.from_pretrained(assets / tokenizer)
        self.length = length or int(self.tokenizer.model_max_length)

    @torch.no_grad()
    def words(self, captions: Sequence[str]) -> Sample:
        """Hidden states (N, L, D) of captions and which tokens are not padding (N, L)."""
        told = self.tokenizer(
            list(captions), padding="max_length", max_length=self.length, truncation=True, return_tensors="pt"
        ).to(self.device)
        # As in the pipelines: CLIP is causal and told nothing of its pads, T5 is masked.
        mask = {} if self.encoder.config.model_type.startswith("clip") else {"attention_mask": told.attention_mask}
        return {"text": self.encoder(told.input_ids, **mask).last_hidden_state, "mask": told.attention_mask}

    @torch.no_grad()
    def rows(
        self, count: int, size: int, generator: torch.Generator, split: world.Split = "train", untold: float = UNTOLD
    ) -> Sample:
        """Drawn scenes: latents "x" (N, C, h, w) and their words, a part of them empty."""
        scenes = world.scenes(count, (size, size), generator, split, self.device)
        silent = (torch.rand(count, generator=generator) < untold).tolist()
        captions = ["" if empty else caption for empty, caption in zip(silent, scenes.captions, strict=True)]
        return {"x": encode(self.vae, scenes.image * 2 - 1), **self.words(captions)}

    def loss(self, network: Denoiser, rows: Sample, generator: torch.Generator, scale: Tensor | float = 1.0) -> Tensor:
        """Mean squared error of the prediction (arXiv 2006.11239, equation 14) at timesteps drawn evenly; channels
        multiplied by `scale` first."""
        clean = rows["x"]
        noise = torch.randn(clean.shape, generator=generator).to(self.device)
        times = torch.randint(len(self.schedule), (len(clean),), generator=generator).to(self.device)
        alpha, sigma = self.schedule[times].sqrt(), (1 - self.schedule[times]).sqrt()
        predicted = network(diffusion.add_noise(clean, noise, alpha, sigma), times, rows)
        wanted = diffusion.target(self.prediction, clean, noise, alpha, sigma)
        return torch.nn.functional.mse_loss(scale * predicted.float(), scale * wanted)

    @torch.no_grad()
    def sample(self, network: Denoiser, rows: Sample, steps: int) -> Tensor:
        """Pictures (N, 3, H, W), about [-1, 1], from seeded noise by the app's sampler, with guidance."""
        count = len(rows["x"])
        nothing = {name: value.expand(count, *value.shape[1:]) for name, value in self.words([""]).items()}
        both = {name: torch.cat([nothing[name], rows[name]]) for name in nothing}

        def guided(latents: Tensor, timestep: Tensor) -> Tensor:
            times = timestep.to(self.device).expand(2 * count)
            unconditional, conditional = network(torch.cat([latents, latents]), times, both).chunk(2)
            return diffusion.guide(unconditional, conditional, GUIDANCE)

        latents = torch.randn(rows["x"].shape, generator=seeded(7, 0)).to(self.device)
        schedule = diffusion.ddim_schedule(self.schedule.cpu(), diffusion.ddim_timesteps(steps))
        for state in diffusion.ddim(guided, latents, schedule, self.prediction):
            latents = state.latents
        return decode(self.vae, latents)


def train(
    config: SceneConfig, view: SceneView, model: Any, network: Denoiser, scheduler: Any, parents: Sequence[str]
) -> None:
    """Train `model`, which `network` calls, draw unseen combinations, export it with its `scheduler`."""
    run = Run(config, model, *warm(Path(config.assets) / config.name, config.resume))
    pool = Pool(lambda generator: view.rows(32, config.size, generator), 8192, config.reuse)

    def step(moment: Moment) -> Tensor:
        return view.loss(network, pool.batch(config.batch, moment.generator), moment.generator, view.scale)

    unseen = view.rows(config.held_out, config.size, seeded(config.seed + 1, 0), "combos", untold=0.0)
    eight = {name: value[:8] for name, value in unseen.items()}
    for tick in run.ticks(step):
        if tick.snapshot:
            with run.averaged():
                metrics = {"mse": round(float(view.loss(network, unseen, seeded(1, 1))), 4)}
                rows = [decode(view.vae, eight["x"]), view.sample(network, eight, config.sample_steps)]
                writers = {"": write_half(model), "scheduler": scheduler.save_pretrained}
                publish(run, tick, config.name, writers, parents, metrics, rows)
