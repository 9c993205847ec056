"""Autoencoders in and out, packing, seeded noise and previews: functions of tensors."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

PREVIEW_SECONDS = 0.25  # between two previews


def to_pixels(pictures: np.ndarray) -> Tensor:
    """uint8 HxWx3 or BxHxWx3 -> float32 (B, 3, H, W) in -1..1."""
    batch = pictures if pictures.ndim == 4 else pictures[None]
    return torch.tensor(batch).permute(0, 3, 1, 2).float() / 127.5 - 1  # copied: a request's pictures are read-only


def to_pictures(pixels: Tensor) -> np.ndarray:
    """(B, 3, H, W) in -1..1 -> uint8 BxHxWx3, rounded and clipped."""
    scaled = ((pixels.detach().float() + 1) * 127.5).round().clamp(0, 255)
    pictures: np.ndarray = scaled.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return pictures


def encode(vae: Any, pixels: Tensor) -> Tensor:
    """(B, 3, H, W) in -1..1 -> normalised latents (B, C, H/8, W/8): the posterior's mode, shifted and scaled.

    The mode, not a sample, so that a picture always has the same latents. The pixels must be on the device that
    the autoencoder computes on, which under offloading is not where it lies.
    """
    latents: Tensor = vae.encode(pixels.to(vae.dtype)).latent_dist.mode()
    normalised: Tensor = (latents - _shift(vae)) * vae.config.scaling_factor
    return normalised


def decode(vae: Any, latents: Tensor) -> Tensor:
    """Normalised latents (B, C, h, w) -> pixels (B, 3, 8h, 8w), about -1..1."""
    pixels: Tensor = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor + _shift(vae)).sample
    return pixels


def _shift(vae: Any) -> float:
    return float(getattr(vae.config, "shift_factor", None) or 0.0)


def pack(latents: Tensor) -> Tensor:
    """(B, C, h, w) -> tokens (B, h/2 * w/2, 4C): each 2x2 patch becomes one token, row by row."""
    batch, channels, height, width = latents.shape
    patches = latents.reshape(batch, channels, height // 2, 2, width // 2, 2)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, (height // 2) * (width // 2), channels * 4)


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `pack`; `height` and `width` are those of the latents."""
    batch, _, channels = tokens.shape
    patches = tokens.reshape(batch, height // 2, width // 2, channels // 4, 2, 2)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels // 4, height, width)


def seeded_noise(
    shape: tuple[int, ...], seed: int, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Tensor:
    """Standard normal noise that is the same on every device: drawn in float32 by a CPU generator."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(shape, generator=generator).to(device, dtype)


def fit_preview(latents: Tensor, pixels: Tensor, ridge: float = 1e-3) -> Tensor:
    """A (C + 1, 3) linear map from latents to colours, fitted on pictures whose latents are known.

    `latents` (B, C, h, w) belong to `pixels` (B, 3, 8h, 8w) in -1..1; least squares with a small ridge, since
    a plain picture leaves directions open.
    """
    small = functional.adaptive_avg_pool2d(pixels.float(), (latents.shape[2], latents.shape[3]))
    features = _with_one(latents.to(small.device).float())
    target = small.permute(0, 2, 3, 1).reshape(-1, 3)
    gram = features.T @ features / len(features)
    gram = gram + ridge * torch.eye(len(gram), device=gram.device)
    basis: Tensor = torch.linalg.solve(gram, features.T @ target / len(features))
    return basis


def preview(latents: Tensor, basis: Tensor, limit: int = 512) -> np.ndarray:
    """A uint8 HxWx3 impression of the first picture of latents (B, C, h, w), its sides at most `limit`."""
    height, width = latents.shape[2:]
    colours = _with_one(latents[:1].float()) @ basis.to(latents.device)
    image = colours.reshape(1, height, width, 3).permute(0, 3, 1, 2)
    factor = min(8.0, limit / max(height, width))
    size = (round(height * factor), round(width * factor))
    picture: np.ndarray = to_pictures(functional.interpolate(image, size=size, mode="bilinear"))[0]
    return picture


class Previews:
    """Previews of latents on their way, no more often than a person can look. `basis` is `fit_preview`'s."""

    def __init__(self, basis: Tensor) -> None:
        self._basis, self._shown = basis, 0.0

    def due(self, latents: Tensor) -> np.ndarray | None:
        """`preview` of the first picture, or None where the last one is younger than `PREVIEW_SECONDS`."""
        if time.monotonic() - self._shown < PREVIEW_SECONDS:
            return None
        picture = preview(latents, self._basis)
        self._shown = time.monotonic()
        return picture


def _with_one(latents: Tensor) -> Tensor:
    """(B, C, h, w) -> one row per place with its C values and a 1."""
    rows = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    return functional.pad(rows, (0, 1), value=1.0)
