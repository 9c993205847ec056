"""What is fine-tuned, and what it is called with for a batch of the data set."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.training_utils import cast_training_params
from torch import Tensor, nn

from models.dreamfuse.adapter import NAME, TARGETS, Adapter, begin
from models.dreamfuse.loss import fusion_loss
from models.dreamfuse.text import Prompt
from models.dreamfuse.transformer import Conditions
from models.latents import encode, pack, to_pixels
from training.fusion_draws import Batch

TRAIN_STEPS = 1000  # timesteps of the FLUX scheduler, which are drawn evenly and without its shift


class Fuser(nn.Module):
    """A frozen FLUX with a trainable LoRA and tags, which are float32 whatever the base is held in.

    With `start` they are that adapter's, else fresh. With `checkpointing` activations are computed twice instead of
    kept. To be called, and differentiated, within `conditioned(fuser.flux)`.
    """

    def __init__(self, flux: Any, rank: int, start: Adapter | None = None, checkpointing: bool = True) -> None:
        super().__init__()
        if start:
            start.check(flux)
        shape = (start.rank, start.alpha, start.targets) if start else (rank, rank, TARGETS)
        self.flux = flux.train()
        self.tags = begin(flux, *shape)  # which freezes the rest
        cast_training_params(flux, torch.float32)
        if checkpointing:
            flux.enable_gradient_checkpointing()
        if start:
            self.load(start)

    @torch.no_grad()
    def load(self, kept: Adapter) -> None:
        """Set LoRA and tags to those of an adapter of the same shape."""
        held = {key: value for key, value in self.flux.named_parameters() if value.requires_grad}
        given = {key.removesuffix(".weight") + f".{NAME}.weight": value for key, value in kept.lora.items()}
        assert held.keys() == given.keys(), "the adapter is another LoRA than the one in training"
        for key, value in given.items():
            held[key].copy_(value)
        self.tags.copy_(kept.tags)

    def forward(self, fused: Tensor, noise: Tensor, sigmas: Tensor, seen: Tensor, **arguments: Any) -> Tensor:
        """The loss of a batch: packed latents (B, S, C) of answer and noise, (B, 2S, C) of what is seen."""
        return fusion_loss(self.flux, fused, noise, sigmas, Conditions(seen, self.tags), **arguments).total


@torch.no_grad()
def call(
    batch: Batch,
    vae: Any,
    prompts: dict[str, Prompt],
    guidance: float,
    generator: torch.Generator,
    device: torch.device,
) -> dict[str, Tensor]:
    """What the `Fuser` is called with for a batch. Latents are the posterior's mode, as when the app runs; the
    authors sample it."""
    pictures = (batch.fused, batch.foreground, batch.background)
    fused, *seen = (pack(encode(vae, to_pixels(p).to(device)).float()) for p in pictures)
    count, words = len(fused), [prompts[caption] for caption in batch.captions]
    return {
        "fused": fused,
        "noise": torch.randn(fused.shape, generator=generator).to(device),
        "sigmas": torch.randint(1, TRAIN_STEPS + 1, (count,), generator=generator).to(device) / TRAIN_STEPS,
        "seen": torch.cat(seen, dim=1),
        "encoder_hidden_states": torch.cat([prompt.tokens for prompt in words]).to(device),
        "pooled_projections": torch.cat([prompt.pooled for prompt in words]).to(device),
        "img_ids": batch.ids.to(device),
        "txt_ids": torch.zeros(words[0].tokens.shape[1], 3, device=device),
        "guidance": torch.full((count,), guidance, device=device),
    }
