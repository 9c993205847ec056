"""From clean latents to the noise that DPM-Solver++(2M) samples them from: five ways at five costs.

Going up, x_{i+1} is known and x_i is not, nor is the noisier x_{i-1} whose D_{i-1} the second-order step also uses
(Hong et al., arXiv 2311.18387). Invert at guidance 1: guided, an image need not have a noise at all.

fast       the same multistep formula run from clean to noise: consistent, not the algebraic inverse
paper      both unknown points estimated by DDIM and put in once, as we read DiT4Edit (arXiv 2411.03286); on `linspace`
           and few steps it is far off
accurate   fast, then three corrector sweeps: about half its error
exact      fast, then corrector sweeps until nothing moves, at most 12: the algebraic inverse
ddim       first order, each network call at the timestep of the latents it is given; samples back by `diffusion.ddim`
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from models.diffusion import Network, Prediction
from models.dpm_solver import Coefficients, Grid, advance, in_full

Mode = Literal["fast", "paper", "accurate", "exact", "ddim"]
MODES: tuple[Mode, ...] = get_args(Mode)
TOLERANCE = 1e-6  # of latents of unit size: `exact` ends on a sweep that moves no value by more
RUNAWAY = 1.5  # a sweep that moves so many times further than the first one does not converge
SETTLING = 0.1  # unless it moves less than this: the second sweep of small steps may move twice as far, and converge


class Inverted(NamedTuple):
    """How far an inversion is, in network evaluations, and at the end where it went.

    `trajectory` is None before the end, then (x_0, ..., x_n) with the noise first and the clean latents last.
    `moved` is how far the last corrector sweep still moved the furthest value: infinite where the sweeps ran away and
    the trajectory is that of `fast`, None for the modes without sweeps and before the end.
    """

    done: int
    total: int
    trajectory: tuple[Tensor, ...] | None
    moved: float | None = None


class _Parts(NamedTuple):
    """What the network says of latents at one stop: D and epsilon."""

    clean: Tensor
    noise: Tensor


class _Effort(NamedTuple):
    """A corrector's limits: sweeps, updates of each point in a sweep, and the movement that counts as none."""

    sweeps: int
    updates: int
    tolerance: float = 0.0


_ACCURATE = _Effort(sweeps=3, updates=3)
_EXACT = _Effort(sweeps=12, updates=10, tolerance=TOLERANCE)

# A walk yields before each network evaluation, which is where a caller may stop it, and returns x_0 .. x_n
# and the last movement.
_Walk = Generator[None, None, tuple[list[Tensor], float | None]]


def invert(
    network: Network,
    clean: Tensor,
    grid: Grid,
    mode: Mode = "fast",
    prediction: Prediction = "epsilon",
    euler_final: bool = False,
) -> Iterator[Inverted]:
    """Follow clean latents (any shape; taken to stand at timestep 0) up the grid that they are to be sampled on.

    `euler_final` is what the sampler will be told. Yields after every network evaluation; the modes with sweeps may
    end before their `total`. The trajectory is float32 or better, and its last point is `clean` itself. Raises
    `ValueError` for a mode that is not one of `MODES`.
    """
    model = _Model(network, grid, prediction, euler_final)
    walk, total, done = _walk(model, in_full(clean), mode), evaluations(grid, mode, euler_final), 0
    next(walk)
    while True:
        try:
            next(walk)
        except StopIteration as end:
            points, moved = end.value
            yield Inverted(done + 1, done + 1, tuple(points), moved)
            return
        done += 1
        yield Inverted(done, total, None)


def evaluations(grid: Grid, mode: Mode = "fast", euler_final: bool = False) -> int:
    """How many times `invert` calls the network; at most, in the modes with sweeps."""
    if mode == "paper":
        last = grid.n - 1
        return sum(3 if grid.coefficients(i, euler_final and i == last).c1 else 2 for i in range(grid.n))
    if mode in ("accurate", "exact"):
        effort = _ACCURATE if mode == "accurate" else _EXACT
        return grid.n + 1 + effort.sweeps * grid.n * (effort.updates - 1)
    return grid.n


@dataclass(frozen=True)
class _Model:
    """A network on a grid, and the sampler that an inversion has to answer to."""

    network: Network
    grid: Grid
    prediction: Prediction
    euler_final: bool

    def parts(self, latents: Tensor, i: int) -> _Parts:
        output = self.network(latents, self.grid.timesteps[i])
        return _Parts(*self.grid.split(output, latents, i, self.prediction))

    def coefficients(self, i: int) -> Coefficients:
        return self.grid.coefficients(i, self.euler_final and i == self.grid.n - 1)


def _walk(model: _Model, clean: Tensor, mode: Mode) -> _Walk:
    if mode == "fast":
        return _fast(model, clean)
    if mode == "ddim":
        return _fast(model, clean, first_order=True)
    if mode == "paper":
        return _closed_formula(model, clean)
    if mode in ("accurate", "exact"):
        return _corrected(model, clean, _ACCURATE if mode == "accurate" else _EXACT)
    raise ValueError(f"No inversion {mode!r}: choose one of {', '.join(MODES)}.")


# ---- explicit: the solver run upward


def _fast(model: _Model, clean: Tensor, first_order: bool = False) -> _Walk:
    points, _ = yield from _upward(model, clean, first_order)
    return points, None


def _upward(
    model: _Model, clean: Tensor, first_order: bool = False
) -> Generator[None, None, tuple[list[Tensor], list[_Parts]]]:
    """The points x_0 .. x_n, and the parts of x_1 .. x_n that led to them."""
    n, up = model.grid.n, model.grid.reversed()
    points, parts = [clean], list[_Parts]()
    for step in range(n):
        yield
        parts.append(model.parts(points[-1], n - step))
        history = parts[-2].clean if step else None
        points.append(advance(up.coefficients(step, first_order), points[-1], parts[-1].clean, history))
    return points[::-1], parts[::-1]


# ---- the paper's closed formula


def _closed_formula(model: _Model, clean: Tensor) -> _Walk:
    """x_i = (x_{i+1} - B d) / A with d from DDIM's estimates y_i and y_{i-1} of the points that are not known yet.

    d = c0 D(y_i) - c1 D(y_{i-1}) = D(y_i) + (D(y_i) - D(y_{i-1})) / (2 r), substituted once.
    """
    n, up = model.grid.n, model.grid.reversed()
    points = [clean]
    for i in reversed(range(n)):
        linear, gain, c0, c1 = model.coefficients(i)
        yield
        y = advance(up.coefficients(n - 1 - i, True), points[-1], model.parts(points[-1], i + 1).clean, None)
        yield
        direction = model.parts(y, i).clean
        if c1:
            noisier = advance(up.coefficients(n - i, True), y, direction, None)
            yield
            direction = c0 * direction - c1 * model.parts(noisier, i - 1).clean
        points.append((points[-1] - gain * direction) / linear)
    return points[::-1], None


# ---- implicit: correct the upward pass until it obeys the sampler


def _corrected(model: _Model, clean: Tensor, effort: _Effort) -> _Walk:
    """Each sweep solves the sampler's steps for their x_i one by one, with the last sweep's D_{i-1} as history."""
    explicit, parts = yield from _upward(model, clean)
    yield
    parts.insert(0, model.parts(explicit[0], 0))
    points, moves = list(explicit), list[float]()
    for _ in range(effort.sweeps):
        before = list(points)
        yield from _sweep(model, points, parts, effort)
        moves.append(_movement(before, points))
        if not moves[-1] <= max(RUNAWAY * moves[0], SETTLING):  # or not a number: too much guidance, too few steps
            return explicit, math.inf
        if moves[-1] < effort.tolerance:
            break
    return points, moves[-1]


def _sweep(model: _Model, points: list[Tensor], parts: list[_Parts], effort: _Effort) -> Generator[None, None, None]:
    """Update `points` and `parts` in place, from clean to noise."""
    for i in reversed(range(model.grid.n)):
        step = model.coefficients(i)
        history = parts[i - 1].clean if step.c1 else None
        for update in range(effort.updates):
            if update:
                yield
                parts[i] = model.parts(points[i], i)
            before, points[i] = points[i], _solved(model.grid, i, step, points[i + 1], parts[i].noise, history)
            # the first update only takes in what moved around this point: its epsilon is the last one of before
            if update and _movement([before], [points[i]]) < effort.tolerance:
                break


def _movement(before: list[Tensor], after: list[Tensor]) -> float:
    return float(torch.stack([(a - b).abs().max() for a, b in zip(after, before, strict=True)]).max())


def _solved(grid: Grid, i: int, step: Coefficients, following: Tensor, noise: Tensor, history: Tensor | None) -> Tensor:
    """x_i from the sampler's step to `following`, with D_i written as (x_i - sigma epsilon) / alpha.

    As a fixed point in epsilon its gain stays below 1 for an unguided network; in D, as the step is usually written,
    the gain is 32 on the last step of 30 evenly spaced ones, and it diverges.
    """
    linear, gain, c0, c1 = step
    alpha, sigma = float(grid.alphas[i]), float(grid.sigmas[i])
    right = following + (gain * c0 * sigma / alpha) * noise
    if history is not None:
        right = right + (gain * c1) * history
    return right / (linear + gain * c0 / alpha)


# ---- how good the noise is


class NoiseStatistics(NamedTuple):
    """What independent standard normal noise would have: deviation 1, means 0, correlation of neighbours 0."""

    std: float
    mean: tuple[float, ...]  # of each channel
    correlation: float  # of horizontal and vertical neighbours within a channel, -1..1


def statistics(noise: Tensor) -> NoiseStatistics:
    """Of inverted noise (B, C, h, w). A deviation off 1 or structure left in it makes a picture hard to edit."""
    noise = noise.cpu().double()
    mean = noise.mean((0, 2, 3))
    apart = noise - noise.mean((0, 2, 3), keepdim=True)
    beside = [(apart[..., 1:], apart[..., :-1]), (apart[..., 1:, :], apart[..., :-1, :])]
    shared = sum(float((a * b).sum()) for a, b in beside)
    own = sum(float((a**2 + b**2).sum()) / 2 for a, b in beside)
    return NoiseStatistics(float(noise.std()), tuple(mean.tolist()), shared / own if own else 0.0)
