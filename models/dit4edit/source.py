"""The source of an edit: a picture inverted, or one drawn from the source prompt, with its way through the latents."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from models import latents
from models.contract import Step
from models.diffusion import guide
from models.dit4edit.conditions import FACTOR, Parts, Prompt, Rows
from models.dit4edit.finishing import Source, decoded
from models.dit4edit.planning import Prompts
from models.dit4edit.spec import EditRequest
from models.dpm_solver import Grid, solve
from models.inversion import Inverted, Mode, evaluations, invert
from models.pixels import Size, resize
from models.refinement import refinements

REFINEMENTS = 50
Trajectory = tuple[Tensor, ...]  # x_0 .. x_n, noise first, each (1, C, h, w)


@dataclass(frozen=True, eq=False)
class Way:
    """The source with its trajectory, how many network evaluations that took, and whether it was known before.

    moved: `Inverted.moved`, how far the last corrector sweep of an inversion with sweeps still moved.
    """

    source: Source
    trajectory: Trajectory
    evaluations: int
    reused: bool
    moved: float | None = None


def cost(parts: Parts, request: EditRequest, grid: Grid, size: Size, prompts: Prompts) -> int:
    """Network evaluations until the trajectory stands; 0 where it is known."""
    drawing = request.image is None
    key = _drawn_key(request, size, prompts) if drawing else _key(request, size, prompts.told)
    if parts.components.recall(key) is not None:
        return 0
    return grid.n if drawing else evaluations(grid, _mode(request))


def inverted(
    parts: Parts, request: EditRequest, grid: Grid, size: Size, prompt: Prompt, total: int
) -> Generator[Step, None, Way]:
    """Invert the request's picture at guidance 1, told `prompt`; an inversion of it that was kept is used again.

    Yields a `Step` of `total` per network evaluation.
    """
    assert request.image is not None
    working = resize(request.image, size)
    key = _key(request, size, prompt)
    known: Inverted | None = parts.components.recall(key)
    found = known
    if found is None:
        clean = yield from _encoded(parts, request, working, total)
        for event in invert(Rows(parts, [prompt], size), clean, grid, _mode(request), parts.prediction):
            found = event
            yield Step(event.done, total, note="Inverting the picture")
        parts.components.remember(key, lambda: found)
    assert found is not None
    assert found.trajectory is not None
    source = Source(request.image, working, decoded(parts, found.trajectory[-1]))
    return Way(source, found.trajectory, 0 if known else found.done, known is not None, found.moved)


def by_ddim(
    parts: Parts, grid: Grid, size: Size, prompt: Prompt, clean: Tensor, done: int, total: int
) -> Generator[Step, None, Trajectory]:
    """The trajectory that DDIM finds for the source's clean latents, in grid.n evaluations of `total`."""
    found: Trajectory | None = None
    for event in invert(Rows(parts, [prompt], size), clean, grid, "ddim", parts.prediction):
        found = event.trajectory
        yield Step(done + event.done, total, note="Baseline: ddim, its inversion")
    assert found is not None
    return found


def drawn(
    parts: Parts, request: EditRequest, grid: Grid, size: Size, prompts: Prompts, total: int
) -> Generator[Step, None, Way]:
    """Draw the source from its prompt and the seed; one that was drawn before and kept is used again."""
    key = _drawn_key(request, size, prompts)
    known: Trajectory | None = parts.components.recall(key)
    trajectory = known or (yield from _sampled(parts, request, grid, size, prompts, total))
    parts.components.remember(key, lambda: trajectory)
    picture = decoded(parts, trajectory[-1])
    return Way(Source(picture, picture, picture), trajectory, 0 if known else grid.n, known is not None)


def _sampled(
    parts: Parts, request: EditRequest, grid: Grid, size: Size, prompts: Prompts, total: int
) -> Generator[Step, None, Trajectory]:
    shape = (1, _channels(parts), size[0] // FACTOR, size[1] // FACTOR)
    noise = latents.seeded_noise(shape, request.seed, parts.device)
    rows = Rows(parts, [prompts.negative, prompts.source], size)

    def network(x: Tensor, timestep: Tensor) -> Tensor:
        out = rows(torch.cat([x, x]), timestep)
        return guide(out[:1], out[1:], request.guidance_scale)

    trajectory = [noise]
    for state in solve(network, noise, grid, parts.prediction):
        trajectory.append(state.latents)
        yield Step(state.step + 1, total, note="Drawing the source")
    return tuple(trajectory)


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


def _key(request: EditRequest, size: Size, prompt: Prompt) -> tuple[object, ...]:
    """What an inverted trajectory depends on, beside the transformer; steps are resolved by now."""
    given = request.digest("image", "inversion", "grid", "steps", "refine")
    return ("transformer", "inversion", given, size, prompt.text)


def _drawn_key(request: EditRequest, size: Size, prompts: Prompts) -> tuple[object, ...]:
    """The same for a source that is drawn."""
    given = request.digest("seed", "grid", "steps", "guidance_scale")
    return ("transformer", "drawn", given, size, prompts.source.text, prompts.negative.text)
