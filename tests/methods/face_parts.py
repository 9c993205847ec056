"""Networks of Face-diffuser whose noise is known exactly, which write down how they were called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from models.diffusion import alphas_cumprod
from models.facediffuser.denoising import Guidance, Networks, State, Words, denoise, scheduler
from models.facediffuser.stages import Bounds, Sampler

ALPHA_SQUARED = alphas_cumprod()
ONLY_SCENE, ONLY_SUBJECT = Bounds(10**6, 10**6), Bounds(-1, -1)
NAMES: tuple[Words, ...] = ("empty", "caption", "augmented")


@dataclass(eq=False)
class Gaussian:
    """The noise of pictures that are independent normal values around a mean map per words; one row is like another."""

    means: dict[Words, Tensor]  # each (C, h, w)
    deviation: float = 0.5
    calls: list[tuple[int, tuple[Words, Words]]] = field(default_factory=list)

    def __call__(self, latents: Tensor, timestep: Tensor, words: tuple[Words, Words]) -> Tensor:
        self.calls.append((int(timestep), words))
        half = len(latents) // 2
        return torch.cat(
            [self.noise(latents[:half], timestep, words[0]), self.noise(latents[half:], timestep, words[1])]
        )

    def noise(self, latents: Tensor, timestep: Tensor, words: Words) -> Tensor:
        squared = ALPHA_SQUARED[int(timestep)]
        alpha, sigma = squared.sqrt(), (1 - squared).sqrt()
        return sigma * (latents - alpha * self.means[words]) / (squared * self.deviation**2 + sigma**2)


def gaussian(seed: int, size: tuple[int, ...] = (4, 8, 8), deviation: float = 0.5) -> Gaussian:
    """Means of `size`, drawn anew for each of the three words."""
    draw = torch.Generator().manual_seed(seed)
    return Gaussian({name: torch.randn(size, generator=draw) for name in NAMES}, deviation)


def networks(size: tuple[int, ...] = (4, 8, 8)) -> Networks:
    """A scene model and a subject model that know different pictures."""
    return Networks(gaussian(1, size), gaussian(2, size, 0.3))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape or (1, 4, 8, 8), generator=torch.Generator().manual_seed(seed))


def states(
    nets: Networks, latents: Tensor, kind: Sampler, steps: int, bounds: Bounds, scale: float = 5.0, **options: Any
) -> list[State]:
    return list(denoise(nets, latents, scheduler(kind, steps), bounds, Guidance(scale, **options)))


def step_ddim(x: Tensor, e: Tensor, timestep: int, following: int) -> Tensor:
    """The deterministic step of DDIM from one timestep to another, in float64."""
    here, there = ALPHA_SQUARED[timestep].double(), ALPHA_SQUARED[max(following, 0)].double()
    return (x - (1 - here).sqrt() * e) / here.sqrt() * there.sqrt() + (1 - there).sqrt() * e
