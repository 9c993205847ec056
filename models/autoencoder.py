"""The pocket models' autoencoder: principal components of 8x8 patches with a small convolutional refiner."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor, nn


class PatchBasis(NamedTuple):
    """Principal components of patches: `mean` (D,), orthonormal rows `components` (C, D), `std` (C,) along each
    row; D = 3 * patch * patch in the order of `torch.nn.PixelUnshuffle` (channel, row, column)."""

    mean: Tensor
    components: Tensor
    std: Tensor


def patch_basis(images: Tensor, channels: int, patch: int = 8) -> PatchBasis:
    """The `channels` strongest principal components of all whole patches of `images` (B, 3, H, W), in [-1, 1]."""
    patches = F.pixel_unshuffle(images.double(), patch).permute(0, 2, 3, 1).flatten(0, 2)  # (N, D)
    mean = patches.mean(0)
    centred = patches - mean
    variance, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))  # ascending
    components = vectors[:, -channels:].flip(1).T
    components = components * components.sum(1, keepdim=True).sign()  # eigenvectors come with any sign
    std = variance[-channels:].flip(0).clamp_min(1e-8).sqrt()
    return PatchBasis(mean.float(), components.float().contiguous(), std.float())


class Residual(nn.Module):
    """Two 3x3 convolutions around a skip connection; (B, C, H, W) -> the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(min(8, channels), channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the two convolutions see to `x` (B, C, H, W)."""
        out: Tensor = x + self.conv2(F.silu(self.conv1(F.silu(self.norm(x)))))
        return out


class Refiner(nn.Module):
    """What the linear basis misses: latents (B, C, h, w) -> correction (B, 3, 8h, 8w); starts as zero.

    Widths `block_out_channels` stand for full, 1/2, 1/4 and 1/8 resolution, as in diffusers' decoders.
    """

    def __init__(self, latent_channels: int, block_out_channels: tuple[int, ...], layers: int) -> None:
        super().__init__()
        widths = block_out_channels[::-1]
        self.conv_in = nn.Conv2d(latent_channels, widths[0], 3, padding=1)
        stages: list[nn.Module] = []
        for width, finer in zip(widths, widths[1:], strict=False):
            stages += [Residual(width) for _ in range(layers)]
            stages += [nn.Conv2d(width, 4 * finer, 1), nn.PixelShuffle(2)]
        self.stages = nn.Sequential(*stages)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(self, latents: Tensor) -> Tensor:
        """The correction (B, 3, 8h, 8w) to the linear reconstruction of `latents` (B, C, h, w)."""
        out: Tensor = self.conv_out(F.silu(self.stages(self.conv_in(latents))))
        return out


class PatchAutoencoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """An f8 autoencoder with the surface of diffusers' `AutoencoderKL` and a posterior without variance.

    Pictures are (B, 3, H, W) in [-1, 1] with H and W multiples of 8; latents are (B, latent_channels, H/8, W/8),
    white (zero mean, unit variance, uncorrelated) on the pictures the basis was fitted on, so that
    `scaling_factor` is 1 and `shift_factor` 0.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        latent_channels: int = 8,
        block_out_channels: tuple[int, ...] = (16, 32, 64, 128),
        layers_per_block: int = 2,
        scaling_factor: float = 1.0,
        shift_factor: float = 0.0,
        force_upcast: bool = False,
    ) -> None:
        super().__init__()
        self.patch = 2 ** (len(block_out_channels) - 1)
        size = 3 * self.patch**2
        self.to_latent = nn.Conv2d(size, latent_channels, 1)
        self.to_patch = nn.Conv2d(latent_channels, size, 1)
        self.refiner = Refiner(latent_channels, tuple(block_out_channels), layers_per_block)

    @torch.no_grad()
    def set_basis(self, basis: PatchBasis) -> None:
        """Make the first and last layers the whitening projection onto `basis` and its inverse."""
        mean, components, std = basis
        white = components / std[:, None]
        self.to_latent.load_state_dict({"weight": white[:, :, None, None], "bias": -white @ mean})
        scaled = components * std[:, None]
        self.to_patch.load_state_dict({"weight": scaled.T[:, :, None, None], "bias": mean})

    def encode(self, x: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple[Any]:
        """The posterior of pictures (B, 3, H, W); its sample is its mode. ValueError unless 8 divides H and W."""
        if x.shape[-2] % self.patch or x.shape[-1] % self.patch:
            raise ValueError(f"Picture sides must be multiples of {self.patch}; got {tuple(x.shape[-2:])}.")
        mean = self.to_latent(F.pixel_unshuffle(x, self.patch))
        posterior = DiagonalGaussianDistribution(torch.cat([mean, torch.zeros_like(mean)], 1), deterministic=True)
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode_linear(self, z: Tensor) -> Tensor:
        """Latents (B, C, h, w) -> pictures (B, 3, 8h, 8w) by the basis alone."""
        return F.pixel_shuffle(self.to_patch(z), self.patch)

    def decode(self, z: Tensor, return_dict: bool = True) -> DecoderOutput | tuple[Tensor]:
        """Latents (B, C, h, w) -> pictures (B, 3, 8h, 8w), about [-1, 1] and not clamped."""
        sample = self.decode_linear(z) + self.refiner(z)
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    def forward(self, sample: Tensor) -> Tensor:
        """The round trip of pictures (B, 3, H, W)."""
        (posterior,) = self.encode(sample, return_dict=False)
        (out,) = self.decode(posterior.mode(), return_dict=False)
        return out
