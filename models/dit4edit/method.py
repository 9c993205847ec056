"""DiT4Edit (arXiv 2411.03286): edit a picture by its prompt, on a diffusion transformer, without training."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from models import latents
from models.contract import BadRequest, Components, Event, Preset, Result, Step
from models.diffusion import alphas_cumprod
from models.dit4edit import finishing, planning, report
from models.dit4edit.baselines import BASELINES, baselines
from models.dit4edit.conditions import NotFinite, Parts, Rows
from models.dit4edit.controller import Controller
from models.dit4edit.editing import Course, edit
from models.dit4edit.planning import Plan, Prompts
from models.dit4edit.source import Way, by_ddim, cost, drawn, inverted
from models.dit4edit.spec import EditRequest
from models.dpm_solver import Grid, grid
from models.finishing import Finished, kept_facts
from models.pixels import Size

BETAS = {"beta_start": 0.0001, "beta_end": 0.02}  # PixArt's, rising linearly


def load(components: Components, preset: Preset, device: str) -> Parts:
    """Put the leased components together."""
    return Parts(components, preset, device)


def run(parts: Parts, request: EditRequest) -> Iterator[Event]:
    """Yield a `Step` per network evaluation and one `Result` with a picture for each target prompt.

    Where half precision overflows, the run begins again in float32 and says so.
    """
    try:
        yield from _run(parts, request, "")
    except NotFinite as error:
        if parts.dtype == torch.float32:
            raise BadRequest(f"{error} Please try other weights of words, or less guidance.") from None
        with _in_float32(parts) as wider:
            yield from _run(wider, request, f"{error} The run was made in float32.")


@contextmanager
def _in_float32(parts: Parts) -> Iterator[Parts]:
    transformer = parts.components["transformer"]
    transformer.to(torch.float32)
    try:
        yield Parts(parts.components, parts.preset, parts.device, torch.float32)
    finally:
        transformer.to(parts.dtype)


@dataclass(frozen=True, eq=False)
class _Job:
    """What the passes of a run share; `total` network evaluations, of which `before` made the source."""

    parts: Parts
    request: EditRequest
    size: Size
    prompts: Prompts
    way: Way
    grid: Grid
    before: int
    total: int

    @cached_property
    def basis(self) -> Tensor:
        """Colours of latents for previews, fitted on the source."""
        pixels = latents.to_pixels(self.way.source.decoded).to(self.parts.device)
        return latents.fit_preview(self.way.trajectory[-1].float(), pixels)

    @cached_property
    def course(self) -> Course:
        """The method's own course."""
        request = self.request
        return Course(
            self.grid,
            self.way.trajectory,
            request.guidance_scale,
            self.parts.prediction,
            pinned=request.pin_source,
            first_order=request.inversion == "ddim" and request.image is not None,
        )

    def network(self, plan: Plan) -> Rows:
        """The transformer with the texts of a plan's rows."""
        return Rows(self.parts, [self.prompts.of(row, plan.targets) for row in plan.rows], self.size)

    def finish(self, found: Tensor) -> Finished:
        """Edited latents (1, C, h, w) as a picture."""
        return finishing.finish(self.parts, self.request, self.way.source, found)


def _run(parts: Parts, request: EditRequest, warning: str) -> Iterator[Event]:
    size, prompts = planning.size_of(parts, request), planning.read(parts, request)
    layers = len(parts.components["transformer"].transformer_blocks)
    plans = planning.plans(request, prompts, layers, size)
    stops = grid(alphas_cumprod("linear", **BETAS), request.steps, request.grid)  # type: ignore[arg-type]
    before = cost(parts, request, stops, size, prompts)
    beside = len(BASELINES) + 1 if request.comparisons else 0  # DDIM's has its own inversion
    total = before + (len(plans) + beside) * stops.n
    if request.image is None:
        way = yield from drawn(parts, request, stops, size, prompts, total)
    else:
        way = yield from inverted(parts, request, stops, size, prompts.told, total)
    job = _Job(parts, request, size, prompts, way, stops, before, total)
    edited: dict[int, Finished] = {}
    controllers = [plan.controller(stops.n) for plan in plans]
    for number, (plan, controller) in enumerate(zip(plans, controllers, strict=True)):
        found = yield from _pass(job, plan, controller, job.course, before + number * stops.n)
        edited |= {target: job.finish(found[k : k + 1]) for k, target in enumerate(plan.targets, 1)}
    extras = report.extras(parts, way, found[:1], controllers, plans, prompts)
    if request.comparisons:
        extras |= yield from _compared(job, plans[0], before + len(plans) * stops.n)
    ordered = [edited[target] for target in range(len(prompts.targets))]
    facts = report.facts(request, way, extras, plans, controllers, prompts, warning)
    if request.mask is not None:
        facts |= kept_facts(ordered)
    yield Result(tuple(f.picture for f in ordered), extras, facts)


def _pass(
    job: _Job, plan: Plan, controller: Controller, course: Course, done: int, note: str = ""
) -> Generator[Event, None, Tensor]:
    """One pass through the steps; returns latents of [source, targets...], each (1, C, h, w) of them."""
    network, current = job.network(plan), course.trajectory[-1]
    previews = latents.Previews(job.basis)
    with controller.installed(job.parts.components["transformer"]):
        for moment in edit(network, controller, course):
            yield Step(done + moment.step + 1, job.total, previews.due(moment.denoised[1:2]), note)
            current = moment.latents
    return current


def _compared(job: _Job, plan: Plan, done: int) -> Generator[Event, None, dict[str, np.ndarray]]:
    """The baselines' pictures of the first target."""
    single = plan.single()
    noise = latents.seeded_noise(tuple(job.way.trajectory[0].shape), job.request.seed, job.parts.device)
    cross = single.cross[0] if single.cross else None
    pictures: dict[str, np.ndarray] = {}
    prompt, clean = job.prompts.told, job.way.trajectory[-1]
    ddim = yield from by_ddim(job.parts, job.grid, job.size, prompt, clean, done, job.total)
    course = replace(job.course, pinned=True)
    for number, one in enumerate(baselines(single.rows, single.layers, single.tokens, course, cross, noise, ddim)):
        at = done + (1 + number) * job.grid.n
        found = yield from _pass(job, single, one.controller, one.course, at, f"Baseline: {one.name}")
        pictures[one.name] = job.finish(found[1:2]).picture
    return pictures
