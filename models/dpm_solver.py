"""DPM-Solver++(2M) over training timesteps, one step at a time (arXiv 2211.01095, algorithm 2).

`diffusion` keeps the paths and what a network predicts; here x_i are latents at stop i of a `Grid`, noisiest first,
D_i is the clean estimate there and lambda = ln(alpha / sigma). Every grid ends at timestep 0, not at sigma = 0: a step
to sigma = 0 throws its latents away and keeps D alone, so it could not be inverted.
Coefficients are computed in float64; latents are float32 or float64, whatever a network computes in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.diffusion import Network, Prediction, Schedule, State, add_noise, split

Spacing = Literal["linspace", "linspace_tail", "quadratic", "karras", "uniform_lambda"]
TAIL = (18, 8, 3, 1)  # what `linspace_tail` adds before 0, where half of the log-SNR is otherwise one step
KARRAS_RHO = 7.0  # arXiv 2206.00364, equation 5
FEWEST_SECOND_ORDER = 15  # grids of fewer steps end on a first-order step, as diffusers' `lower_order_final`


class Coefficients(NamedTuple):
    """One step: x_{i+1} = A x_i + B (c0 D_i - c1 D_{i-1}); c0 = 1 and c1 = 0 at first order."""

    A: float
    B: float
    c0: float
    c1: float


@dataclass(frozen=True)
class Grid:
    """The stops of a solver: `timesteps` (n + 1,) from noise to 0, long; `alphas`, `sigmas` (n + 1,), float64."""

    timesteps: Tensor
    alphas: Tensor
    sigmas: Tensor

    @property
    def n(self) -> int:
        """How many steps lie between the stops."""
        return len(self.timesteps) - 1

    @property
    def lambdas(self) -> Tensor:
        """ln(alpha / sigma), half the log of the signal-to-noise ratio: (n + 1,), float64."""
        return (self.alphas / self.sigmas).log()

    def coefficients(self, i: int, first_order: bool = False) -> Coefficients:
        """Those of the step from stop i to i + 1, 0 <= i < n (arXiv 2211.01095, algorithm 2).

        The first step has no history and is of first order, which is DDIM; so is the last of fewer than 15 steps.
        """
        before, here, after = self.lambdas[[max(i - 1, 0), i, i + 1]].tolist()
        h = after - here
        linear = float(self.sigmas[i + 1] / self.sigmas[i])
        gain = -float(self.alphas[i + 1]) * math.expm1(-h)
        short = self.n < FEWEST_SECOND_ORDER and i == self.n - 1
        if first_order or short or i == 0:
            return Coefficients(linear, gain, 1.0, 0.0)
        slope = h / (2 * (here - before))  # 1 / (2 r)
        return Coefficients(linear, gain, 1 + slope, slope)

    def split(
        self, output: Tensor, latents: Tensor, i: int, prediction: Prediction = "epsilon"
    ) -> tuple[Tensor, Tensor]:
        """A network's output at stop i as (clean, noise), both in the dtype and shape of the latents."""
        return split(prediction, output.to(latents.dtype), latents, *self._path(i, latents))

    def clean(self, output: Tensor, latents: Tensor, i: int, prediction: Prediction = "epsilon") -> Tensor:
        """D_i: the clean estimate of a network's output at stop i, in the dtype and shape of the latents."""
        return self.split(output, latents, i, prediction)[0]

    def noised(self, clean: Tensor, noise: Tensor, i: int) -> Tensor:
        """alpha_i x + sigma_i n: clean latents as they would stand at stop i, to start from there (SDEdit)."""
        return add_noise(clean, noise, *self._path(i, clean))

    def schedule(self) -> Schedule:
        """The same stops for `diffusion.ddim`, which is this solver at first order throughout."""
        return Schedule(self.timesteps[:-1], self.alphas, self.sigmas)

    def reversed(self) -> Grid:
        """The same stops from clean to noise: stop i becomes n - i."""
        return Grid(self.timesteps.flip(0), self.alphas.flip(0), self.sigmas.flip(0))

    def _path(self, i: int, like: Tensor) -> tuple[Tensor, Tensor]:
        return self.alphas[i].to(like.dtype), self.sigmas[i].to(like.dtype)


def grid(alpha_squared: Tensor, steps: int, spacing: Spacing = "quadratic") -> Grid:
    """A grid of `steps` steps from the last training timestep to 0; `linspace_tail` has 4 more.

    `alpha_squared` is `diffusion.alphas_cumprod(...)`. Stops are rounded to distinct training timesteps. `quadratic` is
    even in the root of the timestep, `karras` in sigma ** (1 / 7), `uniform_lambda` in the log of the signal-to-noise
    ratio. Raises `ValueError` where there are fewer training timesteps than stops, or for less than one step.
    """
    last, extra = len(alpha_squared) - 1, len(TAIL) if spacing == "linspace_tail" else 0
    if not 1 <= steps <= last - extra:
        raise ValueError(f"{steps} steps: a {spacing} grid takes between 1 and {last - extra}.")
    squared = alpha_squared.double().cpu()
    timesteps = torch.from_numpy(_distinct(_stops(squared.numpy(), steps, spacing), last)).flip(0)
    squared = squared[timesteps]
    return Grid(timesteps, squared.sqrt(), (1 - squared).sqrt())


def _stops(alpha_squared: np.ndarray, steps: int, spacing: Spacing) -> np.ndarray:
    """Timesteps before rounding, rising from 0 to the last one."""
    last, ramp = len(alpha_squared) - 1, np.linspace(0, 1, steps + 1)
    even = np.linspace(0, last, steps + 1)
    if spacing == "linspace":
        return even
    if spacing == "linspace_tail":
        return np.sort(np.concatenate([even, TAIL]))
    if spacing == "quadratic":
        return last * ramp**2
    levels = np.sqrt(1 / alpha_squared - 1)  # sigma / alpha, rising with the timestep
    if spacing == "karras":
        low, high = levels[0] ** (1 / KARRAS_RHO), levels[-1] ** (1 / KARRAS_RHO)
        wanted = KARRAS_RHO * np.log(low + ramp * (high - low))
    elif spacing == "uniform_lambda":
        wanted = np.log(levels[0]) + ramp * np.log(levels[-1] / levels[0])
    else:
        raise ValueError(f"No spacing {spacing!r}: choose linspace, linspace_tail, quadratic, karras, uniform_lambda.")
    stops: np.ndarray = np.interp(wanted, np.log(levels), np.arange(last + 1))
    return stops


def _distinct(stops: np.ndarray, last: int) -> np.ndarray:
    """Round rising stops to integers, each at least one above the one before: from 0 to `last` exactly."""
    index = np.arange(len(stops))
    apart = np.maximum.accumulate(stops.round().astype(np.int64) - index) + index
    distinct: np.ndarray = np.minimum(apart, last - index[::-1])
    return distinct


def advance(coefficients: Coefficients, latents: Tensor, clean: Tensor, previous_clean: Tensor | None) -> Tensor:
    """x_{i+1} from x_i, D_i and D_{i-1}, in their dtype; `previous_clean` may be None at first order only."""
    linear, gain, c0, c1 = coefficients
    if c1 == 0:
        return linear * latents + gain * clean
    if previous_clean is None:
        raise ValueError("A second-order step needs the clean estimate of the step before it.")
    return linear * latents + gain * (c0 * clean - c1 * previous_clean)


def solve(
    network: Network, latents: Tensor, grid: Grid, prediction: Prediction = "epsilon", euler_final: bool = False
) -> Iterator[State]:
    """Sample from latents at the first stop, any shape; one network evaluation and one state per step.

    `euler_final` makes the last step first order, which is less sharp and easier to invert.
    """
    latents, previous = in_full(latents), None
    for i in range(grid.n):
        clean = grid.clean(network(latents, grid.timesteps[i]), latents, i, prediction)
        latents = advance(grid.coefficients(i, euler_final and i == grid.n - 1), latents, clean, previous)
        previous = clean
        yield State(i, latents, clean)


def in_full(latents: Tensor) -> Tensor:
    """Latents in float32 or better: in bfloat16 an inversion of 30 steps drifts by more than a tenth."""
    return latents.to(torch.promote_types(latents.dtype, torch.float32))
