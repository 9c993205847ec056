"""Surface textures: a small bank of periodic grey tiles, sampled wherever a surface needs one."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

NAMES = (
    "plain", "planks", "tiles", "checks", "carpet", "stripes", "bricks", "dots",
    "grass", "sand", "asphalt", "snow", "waves", "clouds",
)  # fmt: skip
SIDE, SUPERSAMPLE, PAD = 256, 4, 2


def noise_tile(side: int, slope: float, low: float, seed: int) -> Tensor:
    """Periodic noise with amplitude falling as frequency ** -slope above ``low`` cycles; unit variance."""
    generator = torch.Generator().manual_seed(seed)
    white = torch.fft.rfft2(torch.randn(side, side, generator=generator))
    fy, fx = torch.fft.fftfreq(side, 1 / side)[:, None], torch.fft.rfftfreq(side, 1 / side)[None]
    radius = (fx.square() + fy.square()).sqrt().clamp(min=low)
    pink = torch.fft.irfft2(white * radius**-slope * ((fx + fy.abs()) > 0), s=(side, side))
    out: Tensor = pink / pink.std()
    return out


def draw_pattern(name: str) -> Tensor | None:
    """A geometric pattern in -1..1 at ``SUPERSAMPLE`` times the size, None for the noisy ones."""
    n = SIDE * SUPERSAMPLE
    ramp = (torch.arange(n) + 0.5) / n
    y, x = torch.meshgrid(ramp, ramp, indexing="ij")
    if name == "planks":
        row = torch.floor(y * 4)
        seam = ((y * 4) % 1 < 0.05) | ((x + 0.37 * row) % 1 < 0.012)
        grain = 0.16 * torch.sin(2 * math.pi * (y * 44 + 0.6 * torch.sin(2 * math.pi * (x + row * 0.3))))
        return torch.where(seam, -1.0, 0.3 * torch.sin(row * 2.1 + 1) + grain)
    if name == "tiles":
        return torch.where(((x * 4) % 1 < 0.06) | ((y * 4) % 1 < 0.06), -0.8, 0.12)
    if name == "checks":
        return torch.where((torch.floor(x * 4) + torch.floor(y * 4)) % 2 < 1, -0.75, 0.45)
    if name == "stripes":
        return torch.where((x * 6) % 1 < 0.5, -0.5, 0.4)
    if name == "bricks":
        row = torch.floor(y * 8)
        seam = ((y * 8) % 1 < 0.12) | ((x * 4 + 0.5 * (row % 2)) % 1 < 0.06)
        return torch.where(seam, 0.7, 0.25 * torch.sin(row * 3.3 + 5 * torch.floor((x * 4 + 0.5 * (row % 2)) % 4)))
    if name == "dots":
        dx, dy = (x * 5) % 1 - 0.5, (y * 5) % 1 - 0.5
        return torch.where(dx.square() + dy.square() < 0.06, 0.7, -0.15)
    if name == "waves":
        bend = 0.5 * torch.sin(2 * math.pi * 2 * x) + 0.3 * torch.sin(2 * math.pi * (5 * x + 2 * y))
        return 0.6 * torch.sin(2 * math.pi * 8 * y + 1.6 * bend)
    return None


def draw_tile(name: str) -> Tensor:
    """One periodic texture (SIDE, SIDE), about -1..1."""
    pattern = draw_pattern(name)
    if pattern is not None:
        return F.avg_pool2d(pattern[None, None], SUPERSAMPLE)[0, 0] + 0.04 * noise_tile(SIDE, 0.6, 4, 7)
    slope, low, gain, seed = {
        "plain": (1.2, 3, 0.10, 1), "carpet": (0.3, 12, 0.22, 2), "grass": (0.5, 10, 0.36, 3),
        "sand": (0.5, 8, 0.16, 4), "asphalt": (0.2, 16, 0.16, 5), "snow": (1.6, 3, 0.18, 6),
        "clouds": (1.7, 2, 0.7, 8),
    }[name]  # fmt: skip
    return noise_tile(SIDE, slope, low, seed) * gain


@lru_cache(maxsize=8)
def load_bank(device: str, side: int) -> Tensor:
    """The bank (T, 1, side + 2 PAD, side + 2 PAD), wrapped at the borders so that sampling never sees a seam."""
    tiles = torch.stack([draw_tile(name) for name in NAMES])[:, None]
    if side < SIDE:
        tiles = F.avg_pool2d(tiles, SIDE // side)
    return F.pad(tiles, (PAD, PAD, PAD, PAD), mode="circular").to(device)


def sample(bank: Tensor, index: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Texture ``index`` (B,) at periodic coordinates u, v (B, H, W), one tile per unit -> (B, 1, H, W)."""
    side = bank.shape[-1] - 2 * PAD
    grid = torch.stack([u - u.floor(), v - v.floor()], -1)
    grid = (grid * side + PAD) * (2 / bank.shape[-1]) - 1
    return F.grid_sample(bank[index], grid, mode="bilinear", padding_mode="border", align_corners=False)
