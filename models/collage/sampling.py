"""From a picture's latents to a new picture: Euler steps with fresh noise, parts held to the original for a while.

The path is the variance-exploding one, x = z + sigma n, as ancestral Euler has it (Karras et al., arXiv 2206.00364,
with the ancestral split of DDPM): the network sees x / sqrt(sigma^2 + 1). Everything random comes of CPU generators.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.collage.bias import CrossBias
from models.diffusion import TRAIN_STEPS, Network, Prediction, State

Level = Literal["aligned", "reference"]
Sigma = Literal["reference", "true"]
APART = 2**31  # between the seeds of a picture's noise and of what holds its parts; a generator knows 32 bits only


@dataclass(frozen=True, eq=False)
class Levels:
    """Stops from noise to clean: `timesteps` (n,) to tell the network, `sigmas` (n + 1,) ending at 0; float32."""

    timesteps: Tensor
    sigmas: Tensor

    @property
    def n(self) -> int:
        """The number of steps."""
        return len(self.timesteps)


def levels(alpha_squared: Tensor, steps: int) -> Levels:
    """`steps` stops evenly spaced from the last training timestep to the first, between timesteps by interpolation.

    `alpha_squared` is `diffusion.alphas_cumprod(...)`. Raises `ValueError` for a number of steps it cannot space.
    """
    if not 1 <= steps <= TRAIN_STEPS:
        raise ValueError(f"{steps} steps: choose between 1 and {TRAIN_STEPS}.")
    known = ((1 - alpha_squared) / alpha_squared).sqrt().double().numpy()
    times = np.linspace(0, len(known) - 1, steps, dtype=np.float32)[::-1].copy()
    sigmas = np.append(np.interp(times, np.arange(len(known)), known), 0)
    return Levels(torch.from_numpy(times), torch.from_numpy(sigmas).float())


def first_step(steps: int, strength: float) -> int:
    """The step to start from so that a share `strength` in 0..1 of the steps is run; `steps` if that is none."""
    return steps - min(int(steps * strength), steps)


@dataclass(frozen=True, eq=False)
class Pins:
    """Places that are held to the collage until the noise falls to their level (section 4).

    levels: (h, w) in 0..1 at the latents' size, noise levels as fractions of the training timesteps.
    level: how noisy held places are after a step: `aligned` as the step left the rest, `reference` as noisy as
        before it, which is what the authors' code does and leaves grain in what is kept.
    """

    levels: Tensor
    level: Level = "aligned"

    def held(self, timestep: float) -> Tensor:
        """(1, 1, h, w) true where a place is held after the step from `timestep`, with a rim that is wide early on."""
        below = (self.levels < timestep / TRAIN_STEPS).float()[None, None]
        reach = int(4 * timestep / TRAIN_STEPS)
        return F.max_pool2d(below, 2 * reach + 1, stride=1, padding=reach) > 0


def img2img(
    network: Network,
    clean: Tensor,
    stops: Levels,
    strength: float,
    seeds: Sequence[int],
    pins: Pins | None = None,
    bias: CrossBias | None = None,
    bias_sigma: Sigma = "reference",
    prediction: Prediction = "epsilon",
    eta: float = 1.0,
) -> Iterator[State]:
    """Noise `clean` (1, C, h, w) for every seed and step back; yields a state per step, none if no step is left.

    network: as `bias` knows it, guided inside; it gets the whole batch (len(seeds), C, h, w), scaled.
    bias_sigma: which noise level the bias is told: the true one, or the one of a run from pure noise at the same
        count of steps, `reference`, for which all published weights were tuned (section 2.2).
    eta: 1 adds fresh noise in every step as published, 0 none.
    Held places have generators of their own, so pins change nothing else that is drawn.
    """
    start = first_step(stops.n, strength)
    main, apart = ([torch.Generator().manual_seed(seed + more) for seed in seeds] for more in (0, APART))
    sigmas = stops.sigmas.to(clean.device)
    latents = clean + sigmas[start] * _drawn(main, clean)
    for step, k in enumerate(range(start, stops.n)):
        if bias is not None:
            bias.at(float(stops.sigmas[step if bias_sigma == "reference" else k]))
        scaled = latents / (sigmas[k] ** 2 + 1).sqrt()
        output = network(scaled, stops.timesteps[k]).to(latents.dtype)
        denoised = _denoised(prediction, output, latents, sigmas[k])
        latents = _euler(latents, denoised, sigmas[k], sigmas[k + 1], eta, _drawn(main, clean))
        if pins is not None:
            noise = _drawn(apart, clean)
            noisy = clean + sigmas[k + 1 if pins.level == "aligned" else k] * noise
            latents = torch.where(pins.held(float(stops.timesteps[k])).to(clean.device), noisy, latents)
        yield State(step, latents, denoised)


def _euler(latents: Tensor, denoised: Tensor, sigma: Tensor, after: Tensor, eta: float, noise: Tensor) -> Tensor:
    """One step to `after`: part of its noise is what was there, part is fresh."""
    fresh = eta * (after**2 * (sigma**2 - after**2) / sigma**2).sqrt()
    kept = (after**2 - fresh**2).sqrt()
    slope = (latents - denoised) / sigma
    return latents + slope * (kept - sigma) + noise * fresh


def _denoised(prediction: Prediction, output: Tensor, latents: Tensor, sigma: Tensor) -> Tensor:
    if prediction == "epsilon":
        return latents - sigma * output
    if prediction == "v_prediction":
        return latents / (sigma**2 + 1) - output * sigma / (sigma**2 + 1).sqrt()
    if prediction == "sample":
        return output
    raise ValueError(f"{prediction} does not belong to this path.")


def _drawn(generators: Sequence[torch.Generator], like: Tensor) -> Tensor:
    """Each picture's noise of its own generator, (len(generators), C, h, w) in float32."""
    return torch.cat([torch.randn(like.shape, generator=one) for one in generators]).to(like.device)
