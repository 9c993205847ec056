"""Described holes as the inpainting U-Net sees them: rows, its call, its loss, samples and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn

from models import diffusion
from models.cat.losses import noise_loss
from models.cat.semantic_inpainter import SemanticInpainter, pool
from models.cat.unet import CATUNet2DConditionModel
from models.latents import decode, encode
from training import world
from training.holes import Eyes, latent_masks, vae_pictures
from training.loop import seeded
from training.pool import Sample

GUIDANCE = 7.5


@dataclass(frozen=True)
class Withheld:
    """What of a batch is not told. `both`: the share of samples with neither text nor visual prompt, for
    classifier-free guidance; in `batches` the draw is for all samples at once, as published. `prompt`: the share
    with the text alone (ours), so that a picture without the visual prompt is asked of a model that knows the case."""

    both: float = 0.1
    batches: bool = False
    prompt: float = 0.1

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Booleans (count,): without text, without visual prompt."""
        chance = torch.rand(1 if self.batches else count, generator=generator).expand(count)
        neither = chance < self.both
        return neither, neither | (torch.rand(count, generator=generator) < self.prompt)


class Cat(nn.Module):
    """The U-Net of stage 1b, and from stage 2 on the semantic inpainter too, with gradients where the stage trains."""

    def __init__(self, stage: str, unet: CATUNet2DConditionModel, inpainter: SemanticInpainter | None) -> None:
        super().__init__()
        self.unet, self.inpainter = unet.requires_grad_(stage != "2a"), inpainter
        told = ("truth", "holes") if inpainter is None else ("patches", "pooled", "word", "holes")
        self.reads = {"x", "around", "text", *told}  # of the rows

    def prompt(self, rows: Sample) -> Tensor:
        """Visual prompts (N, g * g / 4, D): of the whole picture in 1b, imagined from stage 2 on."""
        if self.inpainter is None:
            return pool(rows["truth"], rows["holes"].shape[-1])
        return self.inpainter.visual_prompt(*(rows[name] for name in ("patches", "pooled", "word", "holes")))

    def forward(self, view: HoleView, rows: Sample, withheld: Withheld, generator: torch.Generator) -> Tensor:
        """The loss of a batch; called, so that a wrapper for several devices sees it."""
        return view.loss(self.unet, rows, self.prompt(rows), withheld, generator)


class HoleView:
    """The frozen autoencoder and CLIP, and what is done with them and a U-Net in training; `hole` weighs the error of
    places in the hole, `scale` (1, C, 1, 1) that of channels, see `channel_scale`."""

    def __init__(
        self, eyes: Eyes, vae: Any, prediction: str = "epsilon", hole: float = 1.0, scale: Tensor | float = 1.0
    ) -> None:
        if prediction not in get_args(diffusion.Prediction):
            raise ValueError(f"Prediction {prediction!r}: choose one of {', '.join(get_args(diffusion.Prediction))}.")
        self.prediction: diffusion.Prediction = prediction  # type: ignore[assignment]
        self.eyes, self.device, self.hole = eyes, eyes.device, hole
        self.vae, self.scale = vae.to(self.device).requires_grad_(False), scale
        self.schedule = diffusion.alphas_cumprod().to(self.device)
        self.nothing = eyes.words([""])[0]

    @torch.no_grad()
    def rows(self, batch: world.HoleBatch, masked: bool) -> Sample:
        """The answer's latents "x" (N, C, h, w), what is seen of it, "around" (N, 1 + C, h, w), the mask first, and
        what CLIP makes of it; see `Eyes.rows`."""
        pictures, masks = (batch.image * 255).round(), batch.mask * 255
        cells = latent_masks(masks).to(self.device)
        seen = encode(self.vae, vae_pictures(pictures, masks).to(self.device))
        rows = {"x": encode(self.vae, pictures.to(self.device) / 127.5 - 1), "around": torch.cat([cells, seen], 1)}
        return rows | self.eyes.rows(batch, masked)

    def call(self, unet: Any, noisy: Tensor, times: Tensor, rows: Sample, text: Tensor, prompt: Tensor) -> Tensor:
        """The U-Net's output (N, C, h, w) for noisy latents, timesteps (N,), words and visual prompts."""
        seen = torch.cat([noisy, rows["around"]], 1)
        told = {"gligen": {"ref": prompt}}
        out: Tensor = unet(seen, times, text, cross_attention_kwargs=told, return_dict=False)[0]
        return out

    def loss(self, unet: Any, rows: Sample, prompt: Tensor, withheld: Withheld, generator: torch.Generator) -> Tensor:
        """Squared error of the prediction at timesteps drawn evenly, places in the hole weighted."""
        clean, count = rows["x"], len(rows["x"])
        noise = torch.randn(clean.shape, generator=generator).to(self.device)
        times = torch.randint(len(self.schedule), (count,), generator=generator).to(self.device)
        no_text, no_prompt = (x.to(self.device)[:, None, None] for x in withheld.draw(count, generator))
        text = torch.where(no_text, self.nothing, rows["text"])
        prompt = torch.where(no_prompt, 0.0, prompt)
        alpha, sigma = self.levels(times)
        noisy = diffusion.add_noise(clean, noise, alpha, sigma)
        wanted = diffusion.target(self.prediction, clean, noise, alpha, sigma)
        weights = 1 + (self.hole - 1) * rows["around"][:, :1]
        predicted = self.call(unet, noisy, times, rows, text, prompt)
        return noise_loss(self.scale * predicted.float(), self.scale * wanted, weights)

    def levels(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Alpha and sigma (N,) at timesteps."""
        return self.schedule[times].sqrt(), (1 - self.schedule[times]).sqrt()

    @torch.no_grad()
    def sample(self, unet: Any, rows: Sample, prompt: Tensor, steps: int) -> Tensor:
        """Pictures (N, 3, H, W), about [-1, 1], from seeded noise by the app's sampler, with guidance."""
        count = len(rows["x"])
        both = {"around": rows["around"].repeat(2, 1, 1, 1)}
        text = torch.cat([self.nothing.expand_as(rows["text"]), rows["text"]])
        prompts = torch.cat([torch.zeros_like(prompt), prompt])

        def guided(latents: Tensor, timestep: Tensor) -> Tensor:
            times = timestep.to(self.device).expand(2 * count)
            unconditional, conditional = self.call(unet, latents.repeat(2, 1, 1, 1), times, both, text, prompts).chunk(
                2
            )
            return diffusion.guide(unconditional, conditional, GUIDANCE)

        latents = torch.randn(rows["x"].shape, generator=seeded(7, 0)).to(self.device)
        schedule = diffusion.ddim_schedule(self.schedule.cpu(), diffusion.ddim_timesteps(steps))
        for state in diffusion.ddim(guided, latents, schedule, self.prediction):
            latents = state.latents
        return decode(self.vae, latents)

    @torch.no_grad()
    def score(self, unet: Any, rows: Sample, prompt: Tensor) -> float:
        """Mean squared error of the noise in the hole, at timesteps spread evenly over the rows."""
        clean, count = rows["x"], len(rows["x"])
        noise = torch.randn(clean.shape, generator=seeded(1, 1)).to(self.device)
        times = ((torch.arange(count) + 0.5) * len(self.schedule) / count).long().to(self.device)
        alpha, sigma = self.levels(times)
        noisy = diffusion.add_noise(clean, noise, alpha, sigma)
        out = self.call(unet, noisy, times, rows, rows["text"], prompt)
        found = diffusion.split(self.prediction, out, noisy, alpha, sigma)[1]
        weights = rows["around"][:, :1].expand_as(noise)
        return float(((found - noise).square() * weights).sum() / weights.sum())
