"""How much a latent channel's error counts. Latents are white, so all of them look alike to a loss, while the first
paints twenty times as strongly as the last."""

from __future__ import annotations

from torch import Tensor

from models.autoencoder import PatchAutoencoder


def channel_scale(vae: PatchAutoencoder, power: float) -> Tensor:
    """What predictions and their targets (N, C, h, w) are multiplied by, (1, C, 1, 1), its square 1 on average.

    Squared errors then count by the standard deviation of what a channel paints, to the `power`: 0 = all alike,
    2 = as pixels do.
    """
    spread = vae.to_patch.weight.detach().flatten(1).norm(dim=0) ** power
    scale: Tensor = (spread / spread.mean()).sqrt()[None, :, None, None]
    return scale
