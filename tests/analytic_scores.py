"""Networks that are exactly right - the noise of Gaussians, mixtures and points in float64 - and runs of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models import diffusion, dpm_solver, inversion
from models.diffusion import Network, guide
from models.dpm_solver import Grid
from models.inversion import Mode

# PixArt's schedule in float64; `diffusion.alphas_cumprod` rounds to float32 as diffusers does.
ALPHA_SQUARED = torch.cumprod(1 - torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64), 0)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def path(timestep: Tensor, alpha_squared: Tensor = ALPHA_SQUARED) -> tuple[Tensor, Tensor]:
    squared = alpha_squared.double()[timestep]
    return squared.sqrt(), (1 - squared).sqrt()


def gaussian(mean: Tensor | float, deviation: Tensor | float, alpha_squared: Tensor = ALPHA_SQUARED) -> Network:
    """Pictures are independent normal values; deviation 0 is a single picture."""

    def noise(latents: Tensor, timestep: Tensor) -> Tensor:
        alpha, sigma = path(timestep, alpha_squared)
        return sigma * (latents - alpha * mean) / (alpha**2 * deviation**2 + sigma**2)

    return noise


def exact(latents: Tensor, mean: float, deviation: float) -> Tensor:
    """Where the exact flow takes latents at 999 to by timestep 0: a Gaussian keeps its standard scores."""
    (alpha, sigma), (alpha_0, sigma_0) = path(torch.tensor(999)), path(torch.tensor(0))
    spread = (alpha_0**2 * deviation**2 + sigma_0**2).sqrt() / (alpha**2 * deviation**2 + sigma**2).sqrt()
    return alpha_0 * mean + spread * (latents - alpha * mean)


def wide(size: int = 256) -> tuple[Network, Tensor]:
    """A Gaussian of `size` directions, deviations 0.02 to 1.5, and a batch of 4 pictures drawn from it."""
    mean = 0.5 * draw(size, seed=1)
    deviation = torch.logspace(torch.tensor(0.02).log10(), torch.tensor(1.5).log10(), size, dtype=torch.float64)
    return gaussian(mean, deviation), mean + deviation * draw(4, size, seed=2)


class Mixture:
    """Eight diagonal Gaussians in 32 directions; the condition is "one of the first three"."""

    def __init__(self, size: int = 32, components: int = 8) -> None:
        self.means = draw(components, size, seed=3)
        self.variances = (0.1 + 0.4 * draw(components, size, seed=4).abs()) ** 2
        self.condition = torch.arange(components) < 3

    def pictures(self, count: int = 8) -> Tensor:
        which = torch.arange(count) % 3
        return self.means[which] + self.variances[which].sqrt() * draw(count, self.means.shape[1], seed=5)

    def network(self, guidance: float = 1.0) -> Network:
        def noise(latents: Tensor, timestep: Tensor) -> Tensor:
            conditional = self._noise(latents, timestep, self.condition)
            if guidance == 1:
                return conditional
            return guide(self._noise(latents, timestep, torch.ones_like(self.condition)), conditional, guidance)

        return noise

    def _noise(self, latents: Tensor, timestep: Tensor, among: Tensor) -> Tensor:
        alpha, sigma = path(timestep)
        variances = alpha**2 * self.variances[among] + sigma**2
        apart = latents[:, None] - alpha * self.means[among]  # batch, component, direction
        logits = -0.5 * (apart**2 / variances + variances.log()).sum(2)
        return (logits.softmax(1)[..., None] * sigma * apart / variances).sum(1)


def pixart_grid(steps: int = 30, spacing: Any = "quadratic") -> Grid:
    return dpm_solver.grid(ALPHA_SQUARED, steps, spacing)


def sample(network: Network, noise: Tensor, grid: Grid, mode: Mode = "fast", **options: Any) -> Tensor:
    """By the sampler that an inversion of this mode answers to."""
    ddim = diffusion.ddim(network, noise, grid.schedule())
    *_, last = ddim if mode == "ddim" else dpm_solver.solve(network, noise, grid, **options)
    return last.latents


def climb(network: Network, clean: Tensor, grid: Grid, mode: Mode = "fast", **options: Any) -> tuple[Tensor, ...]:
    *_, last = inversion.invert(network, clean, grid, mode, **options)
    assert last.trajectory is not None
    return last.trajectory


def relative(latents: Tensor, expected: Tensor) -> float:
    return float((latents - expected).norm() / expected.norm())
