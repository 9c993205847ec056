"""The edit itself: source and targets through the same steps, with the source's features at hand.

One loop serves the method, its four-row form and the baselines; they differ in rows, controller and start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.diffusion import Prediction, guide
from models.dit4edit.blending import blend
from models.dit4edit.controller import Controller
from models.dit4edit.rows import Row, Rows
from models.dpm_solver import Grid, advance


class RowNetwork(Protocol):
    """Latents (R, C, h, w) of the chosen rows of a batch -> what the transformer predicts for them."""

    def __call__(self, latents: Tensor, timestep: Tensor, chosen: list[int] | None = None) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Course:
    """What a run of the loop follows.

    trajectory: (x_0, ..., x_n) of the source, each (1, C, h, w). With `pinned` the source branch is at x_i in every
        step; without, it starts at x_0 and is guided like the targets.
    start: the step to begin at, and `latents` (1, C, h, w) to begin with, x_start by default.
    first_order: every step is DDIM's, for a trajectory that was inverted so.
    """

    grid: Grid
    trajectory: Sequence[Tensor]
    scale: float
    prediction: Prediction = "epsilon"
    pinned: bool = True
    start: int = 0
    latents: Tensor | None = None
    first_order: bool = False


@dataclass(frozen=True, eq=False)
class Moment:
    """After a step: latents and clean estimates of [source, target 1, ...], each (branches, C, h, w)."""

    step: int
    latents: Tensor
    denoised: Tensor


def edit(network: RowNetwork, controller: Controller, course: Course) -> Iterator[Moment]:
    """Step from `course.start` to the end; one call of the network each. The controller must be installed."""
    targets = max(row.branch for row in controller.rows)
    begin = course.trajectory[course.start] if course.latents is None else course.latents
    latents = torch.cat([course.trajectory[course.start], *[begin] * targets])
    previous: Tensor | None = None
    for step in range(course.start, course.grid.n):
        if course.pinned:
            latents = torch.cat([course.trajectory[step], latents[1:]])
        keeps = not course.pinned or controller.needs_source(step)
        rows = controller.rows if keeps else controller.without_source()
        controller.begin(step, rows)
        clean = _clean(network, controller.rows, rows, latents, step, course)
        first = course.first_order or previous is None
        following = advance(course.grid.coefficients(step, first), latents, clean, previous)
        if course.pinned:
            following = torch.cat([course.trajectory[step + 1], following[1:]])
        latents, previous = _blended(controller, following, clean)
        yield Moment(step, latents, previous)


def _clean(network: RowNetwork, layout: Rows, rows: Rows, latents: Tensor, step: int, course: Course) -> Tensor:
    """D of every branch, (branches, C, h, w); of a source without a row its latents, which nobody looks at."""
    chosen = [number for number, row in enumerate(layout) if row.role != "source"] if len(rows) < len(layout) else None
    branches = [row.branch for row in rows]
    out = network(latents[branches], course.grid.timesteps[step], chosen)
    found = []
    for branch in range(len(latents)):
        predicted = _guided(rows, out, branch, course.scale)
        one = latents[branch : branch + 1]
        found.append(one if predicted is None else course.grid.clean(predicted, one, step, course.prediction))
    return torch.cat(found)


def _guided(rows: Sequence[Row], out: Tensor, branch: int, scale: float) -> Tensor | None:
    """The prediction (1, C, h, w) of a branch: guided where it has both rows, plain where it has one."""
    told = {row.conditional: number for number, row in enumerate(rows) if row.branch == branch}
    if True not in told:
        return None
    conditional = out[told[True]][None]
    return conditional if False not in told else guide(out[told[False]][None], conditional, scale)


def _blended(controller: Controller, latents: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Local blend of latents, and of the clean estimates that the next step's history is made of."""
    for branch in range(1, len(latents)):
        mask = controller.mask(branch)
        if mask is not None:
            mask = mask.to(latents.device)
            latents, clean = latents.clone(), clean.clone()
            latents[branch] = blend(latents[branch], latents[0], mask[0])
            clean[branch] = blend(clean[branch], clean[0], mask[0])
    return latents, clean
