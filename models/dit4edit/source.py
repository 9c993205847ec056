"""The source of an edit: a picture inverted, or one drawn from the source prompt, with its way through the latents."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from models import latents
from models.contract import Request, Step
from models.diffusion import guide
from models.dit4edit.conditions import FACTOR, Parts, Prompt, Rows
from models.dit4edit.finishing import Source, decoded
from models.dit4edit.spec import EditRequest
from models.dpm_solver import Grid, solve
from models.inversion import Mode, evaluations, invert
from models.pixels import Size, resize
from models.refinement import refinements

REFINEMENTS = 50
Trajectory = tuple[Tensor, ...]  # x_0 .. x_n, noise first, each (1, C, h, w)


@dataclass(frozen=True, eq=False)
class Way:
    """The source with its trajectory, how many network evaluations that took, and whether it was known before."""

    source: Source
    trajectory: Trajectory
    evaluations: int
    reused: bool


def cost(parts: Parts, request: EditRequest, grid: Grid, size: Size, prompt: Prompt) -> int:
    """Network evaluations until the trajectory stands; 0 where it is known."""
    if request.image is None:
        return grid.n
    known = parts.components.recall(_key(request, size, prompt))
    return 0 if known is not None else evaluations(grid, _mode(request))


def inverted(
    parts: Parts, request: EditRequest, grid: Grid, size: Size, prompt: Prompt, total: int
) -> Generator[Step, None, Way]:
    """Invert the request's picture at guidance 1, told `prompt`; an inversion of it that was kept is used again.

    Yields a `Step` of `total` per network evaluation.
    """
    assert request.image is not None
    working = resize(request.image, size)
    key = _key(request, size, prompt)
    trajectory: Trajectory | None = parts.components.recall(key)
    reused, done = trajectory is not None, 0
    if trajectory is None:
        clean = yield from _encoded(parts, request, working, total)
        network = Rows(parts, [prompt], size)
        for event in invert(network, clean, grid, _mode(request), parts.prediction):
            done, trajectory = event.done, event.trajectory
            yield Step(done, total, note="Inverting the picture")
        assert trajectory is not None
        parts.components.remember(key, lambda: trajectory)
    source = Source(request.image, working, decoded(parts, trajectory[-1]))
    return Way(source, trajectory, done, reused)


def drawn(
    parts: Parts, request: EditRequest, grid: Grid, size: Size, prompts: tuple[Prompt, Prompt], total: int
) -> Generator[Step, None, Way]:
    """Draw the source from its prompt and the seed; `prompts` are the negative one and its own."""
    shape = (1, _channels(parts), size[0] // FACTOR, size[1] // FACTOR)
    noise = latents.seeded_noise(shape, request.seed, parts.device)
    rows = Rows(parts, list(prompts), size)

    def network(x: Tensor, timestep: Tensor) -> Tensor:
        out = rows(torch.cat([x, x]), timestep)
        return guide(out[:1], out[1:], request.guidance_scale)

    trajectory = [noise]
    for state in solve(network, noise, grid, parts.prediction):
        trajectory.append(state.latents)
        yield Step(state.step + 1, total, note="Drawing the source")
    picture = decoded(parts, trajectory[-1])
    return Way(Source(picture, picture, picture), tuple(trajectory), grid.n, False)


def _encoded(parts: Parts, request: EditRequest, picture: np.ndarray, total: int) -> Generator[Step, None, Tensor]:
    """A uint8 picture as latents (1, C, h, w), float32: the posterior's mode, refined through the decoder if asked."""
    vae, wanted = parts.components["vae"], latents.to_pixels(picture).to(parts.device)
    with torch.no_grad():
        found = latents.encode(vae, wanted).float()
    if request.refine:
        for state in refinements(lambda x: latents.decode(vae, x), found, wanted, REFINEMENTS):
            found = state.latents
            yield Step(0, total, note=f"Refining the latents, step {state.step + 1} of {REFINEMENTS}")
    return found


def _channels(parts: Parts) -> int:
    return int(parts.components["vae"].config.latent_channels)


def _mode(request: EditRequest) -> Mode:
    return cast(Mode, request.inversion)  # as the field's choices are


def _key(request: Request, size: Size, prompt: Prompt) -> tuple[object, ...]:
    """What a trajectory depends on, beside the transformer; steps are resolved by now."""
    return (
        "transformer",
        "inversion",
        request.digest("image", "inversion", "grid", "steps", "refine"),
        size,
        prompt.text,
    )
