"""Schedules, samplers, guidance and training targets: functions of tensors that know no model.

One convention for every path from a clean x to noise n: x_t = alpha x + sigma n. Flow matching has
alpha = 1 - sigma (arXiv 2210.02747); variance-preserving paths have alpha^2 + sigma^2 = 1 (arXiv 2006.11239).
Samplers are generators: the caller decides what to do with each `State`, and stopping is not asking for the next.
The state keeps the dtype of the latents passed in: pass float32, also to a half-precision network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Network = Callable[[Tensor, Tensor], Tensor]  # (latents, 0-d timestep on the CPU) -> prediction
Prediction = Literal["epsilon", "sample", "v_prediction", "flow_prediction"]
Spacing = Literal["leading", "trailing", "linspace"]
TRAIN_STEPS = 1000  # what every model here calls pure noise: timesteps run from 0 to 1000


class State(NamedTuple):
    """A sampler after one `step` (from 0): the latents there and the clean estimate that the step was taken with."""

    step: int
    latents: Tensor
    denoised: Tensor


def guide(unconditional: Tensor, conditional: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance: 1 is the conditional prediction, more follows the prompt (arXiv 2207.12598)."""
    return unconditional + scale * (conditional - unconditional)


# ---- what a network predicts


def split(
    prediction: Prediction, output: Tensor, latents: Tensor, alpha: Tensor, sigma: Tensor
) -> tuple[Tensor, Tensor]:
    """Split latents = alpha x + sigma n into (x, n) by a network's output; alpha and sigma are 0-d or (batch,)."""
    alpha, sigma = _per_row(alpha, latents), _per_row(sigma, latents)
    if prediction == "epsilon":
        return (latents - sigma * output) / alpha, output
    if prediction == "sample":
        return output, (latents - alpha * output) / sigma
    if prediction == "v_prediction":  # arXiv 2202.00512, section 4: v = alpha n - sigma x
        return alpha * latents - sigma * output, alpha * output + sigma * latents
    return latents - sigma * output, latents + alpha * output


def target(prediction: Prediction, clean: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """What a network of this prediction type is trained to put out; the counterpart of `split`."""
    alpha, sigma = _per_row(alpha, clean), _per_row(sigma, clean)
    if prediction == "epsilon":
        return noise
    if prediction == "sample":
        return clean
    if prediction == "v_prediction":
        return alpha * noise - sigma * clean
    return flow_target(clean, noise)


def add_noise(clean: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """alpha x + sigma n; alpha and sigma are 0-d or (batch,)."""
    return _per_row(alpha, clean) * clean + _per_row(sigma, clean) * noise


def _per_row(value: Tensor, like: Tensor) -> Tensor:
    return value if value.ndim == 0 else value.view(-1, *[1] * (like.ndim - 1))


# ---- flow matching, as FLUX samples and trains it


def flux_mu(
    seq_len: int,
    base_seq_len: int = 256,
    max_seq_len: int = 4096,
    base_shift: float = 0.5,
    max_shift: float = 1.15,
) -> float:
    """How far the schedule leans to noise for `seq_len` image tokens, linear between two sizes (FLUX.1-dev's)."""
    slope = (max_shift - base_shift) / (max_seq_len - base_seq_len)
    return seq_len * slope + (base_shift - slope * base_seq_len)


def flow_sigmas(steps: int, mu: float = 0.0) -> Tensor:
    """Noise levels (steps + 1,), float32, from 1 to 0: linspace(1, 1 / steps) shifted by mu, then the end.

    The shift is e^mu / (e^mu + 1 / t - 1) (arXiv 2403.03206, section 5.3.2); mu = 0 leaves them evenly spaced.
    """
    even = torch.linspace(1, 1 / steps, steps, dtype=torch.float64).float()
    shift = torch.tensor(math.exp(mu))  # a number here would divide by way of a rounded reciprocal
    return torch.cat([shift / (shift + (1 / even - 1)), torch.zeros(1)])


def euler_flow(velocity: Network, latents: Tensor, sigmas: Tensor) -> Iterator[State]:
    """Follow dx / dsigma = velocity along `sigmas` (n + 1,), any shape of latents; yields n states.

    `velocity(latents, timestep)` is called with timestep = 1000 sigma. Rising sigmas run the flow from clean to noise.
    """
    for step, (sigma, following) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
        flow = velocity(latents, sigma * TRAIN_STEPS).to(latents.dtype)
        denoised = latents - sigma * flow
        latents = latents + (following - sigma) * flow
        yield State(step, latents, denoised)


def flow_noise(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """The point (1 - sigma) x + sigma n on the straight path; sigma in [0, 1], 0-d or (batch,)."""
    return add_noise(clean, noise, 1 - sigma, sigma)


def flow_target(clean: Tensor, noise: Tensor) -> Tensor:
    """The velocity n - x of the straight path, which is what FLUX predicts."""
    return noise - clean


# ---- variance-preserving diffusion, as Stable Diffusion and PixArt sample it


@dataclass(frozen=True)
class Schedule:
    """Stops on a path: `timesteps` (n,) to tell the network, `alphas` and `sigmas` (n + 1,) with the end."""

    timesteps: Tensor
    alphas: Tensor
    sigmas: Tensor


def alphas_cumprod(
    betas: Literal["linear", "scaled_linear"] = "scaled_linear",
    beta_start: float = 0.00085,
    beta_end: float = 0.012,
) -> Tensor:
    """alpha^2 at the 1000 training timesteps, float32; the defaults are Stable Diffusion's.

    PixArt-alpha is `linear` from 0.0001 to 0.02.
    """
    power = {"linear": 1, "scaled_linear": 2}[betas]
    roots = torch.linspace(beta_start ** (1 / power), beta_end ** (1 / power), TRAIN_STEPS)
    return torch.cumprod(1 - roots**power, dim=0)


def ddim_timesteps(steps: int, spacing: Spacing = "leading", offset: int = 1) -> Tensor:
    """The `steps` training timesteps to visit, noisiest first (arXiv 2305.08891, table 2).

    `offset` shifts `leading` only, as Stable Diffusion's schedulers do. Raises `ValueError` over 1000 steps.
    """
    if not 1 <= steps <= TRAIN_STEPS:
        raise ValueError(f"{steps} steps: choose between 1 and {TRAIN_STEPS}.")
    if spacing == "leading":
        return torch.arange(steps).flip(0) * (TRAIN_STEPS // steps) + offset
    if spacing == "trailing":
        return (TRAIN_STEPS - torch.arange(steps, dtype=torch.float64) * TRAIN_STEPS / steps).round().long() - 1
    return torch.linspace(0, TRAIN_STEPS - 1, steps, dtype=torch.float64).round().long().flip(0)


def ddim_schedule(alpha_squared: Tensor, timesteps: Tensor, to_clean: bool = False) -> Schedule:
    """The schedule over `timesteps`, ending at sigma = 0 (`to_clean`) or at timestep 0 as Stable Diffusion does.

    `alpha_squared` is `alphas_cumprod(...)`. Each step leads to the next timestep of the list.
    """
    end = torch.ones(1) if to_clean else alpha_squared[:1]
    squared = torch.cat([alpha_squared[timesteps], end])
    return Schedule(timesteps, squared.sqrt(), (1 - squared).sqrt())


def ddim(
    network: Network,
    latents: Tensor,
    schedule: Schedule,
    prediction: Prediction = "epsilon",
    eta: float = 0.0,
    generator: torch.Generator | None = None,
) -> Iterator[State]:
    """DDIM, equations 12 and 16 of arXiv 2010.02502, any shape of latents; yields a state per timestep.

    eta = 0 is deterministic; 1 adds DDPM's amount of fresh noise, drawn from a CPU generator.
    """
    alphas, sigmas = schedule.alphas, schedule.sigmas
    for step, timestep in enumerate(schedule.timesteps):
        output = network(latents, timestep).to(latents.dtype)
        clean, noise = split(prediction, output, latents, alphas[step], sigmas[step])
        fresh = _fresh_noise(schedule, step, eta)
        latents = alphas[step + 1] * clean + (sigmas[step + 1] ** 2 - fresh**2).sqrt() * noise
        if eta > 0:
            drawn = torch.randn(latents.shape, generator=generator)
            latents = latents + fresh * drawn.to(latents)
        yield State(step, latents, clean)


def _fresh_noise(schedule: Schedule, step: int, eta: float) -> Tensor:
    """Equation 16: the standard deviation of the noise that a step adds."""
    alpha, alpha_after = schedule.alphas[step : step + 2]
    sigma, sigma_after = schedule.sigmas[step : step + 2]
    deviation: Tensor = eta * sigma_after / sigma * (1 - (alpha / alpha_after) ** 2).sqrt()
    return deviation
