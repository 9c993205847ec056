"""Collage Diffusion (arXiv 2303.00262): layers become one picture, each in its place and as free as it is told."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from models import diffusion, latents
from models.attention import edited, recalling
from models.collage import finishing, report
from models.collage.bias import CrossBias, Words
from models.collage.conditions import Parts, Prompt, decode_picture, encode_picture, read, read_negative
from models.collage.control import EdgeControl
from models.collage.edges import canny, strength_map
from models.collage.heatmaps import HeatMaps
from models.collage.layers import Collage
from models.collage.looking import Looks, look_at
from models.collage.planning import Course, course
from models.collage.sampling import Levels, Pins, first_step, img2img, levels
from models.collage.side_by_side import side_by_side
from models.collage.spec import CollageRequest
from models.collage.variants import Rung, learns, rungs
from models.contract import Components, Event, Preset, Result, Step
from models.finishing import Finished, kept_facts


def load(components: Components, preset: Preset, device: str) -> Parts:
    """Put the leased components together."""
    return Parts(components, preset, device)


@dataclass(frozen=True, eq=False)
class _Job:
    """What every rung and every picture of a request shares."""

    parts: Parts
    request: CollageRequest
    collage: Collage
    course: Course
    stops: Levels
    clean: Tensor  # (1, C, h, w) latents of what the run starts from
    plain: Prompt
    looking: Prompt | None  # the same with learned looks in it
    negative: Tensor

    @property
    def steps(self) -> int:
        """Denoising steps of one picture; none if everything is held."""
        return self.stops.n - first_step(self.stops.n, self.course.strength)

    @property
    def guided(self) -> bool:
        return self.request.guidance_scale > 1

    @cached_property
    def round_trip(self) -> np.ndarray:
        """What the autoencoder makes of the run's start at working size, uint8."""
        return decode_picture(self.parts, self.clean)

    @cached_property
    def basis(self) -> Tensor:
        """Colours of latents for previews."""
        return latents.fit_preview(self.clean, latents.to_pixels(self.course.working).to(self.clean.device))

    @cached_property
    def masks(self) -> Tensor:
        """(L, h, w): what is seen of each layer."""
        return torch.from_numpy(self.course.visible)

    def prompt(self, rung: Rung) -> Prompt:
        """The prompt as this rung reads it."""
        return self.looking if rung.looks and self.looking is not None else self.plain

    def bias(self, rung: Rung) -> CrossBias | None:
        """What keeps words in their places."""
        if not rung.words:
            return None
        shown = self.collage.shown
        held = zip(self.prompt(rung).tokens, shown, strict=True)
        words = [Words(tokens, layer.dials.positive, layer.dials.negative) for tokens, layer in held]
        kind, smooth = self.request.bias_growth, self.request.antialias
        return CrossBias(words, self.masks, self.guided, kind, smooth)  # type: ignore[arg-type]

    def pins(self, rung: Rung) -> Pins | None:
        """What is held until its noise level; an edit always holds what it keeps."""
        if not rung.levels and self.course.edit is None:
            return None
        return Pins(torch.from_numpy(self.course.latent_levels), self.request.blend_level)  # type: ignore[arg-type]

    def edges(self, rung: Rung) -> EdgeControl | None:
        """The ControlNet with each layer's own strength; none where no layer has edges."""
        strengths = [layer.dials.canny for layer in self.collage.shown]
        if "controlnet" not in self.parts.preset.components or not rung.levels or not any(strengths):
            return None
        drawn = torch.from_numpy(canny(self.course.working)).float()[None, None].expand(-1, 3, -1, -1) / 255
        held = torch.from_numpy(strength_map(self.course.visible, strengths))[None, None]
        device = self.clean.device
        return EdgeControl(self.parts.components["controlnet"], drawn.to(device), held.to(device))


def run(parts: Parts, request: CollageRequest) -> Iterator[Event]:
    """Yield a `Step` per step of learning and denoising and one `Result` with pictures of the canvas's size.

    Picture k starts from the noise of seed + k; the ladder is made for the first one, from the same noise.
    """
    collage, planned = request.collage, course(request, parts.preset)
    looks = yield from _looks(parts, request, collage, planned)
    job = _prepared(parts, request, collage, planned, looks)
    *below, result = rungs(request)
    total, done = (len(below) + request.num_images) * job.steps, 0
    extras = {"paste": planned.stack.flat}
    for rung in below:
        extras[rung.name] = (yield from _drawn(job, rung, request.seed, done, total, rung.name)).picture
        done += job.steps
    finished, maps = [], HeatMaps(job.prompt(result).tokens, _size(job.clean), job.guided)
    for picture in range(request.num_images):
        seed = request.seed + picture
        finished.append((yield from _drawn(job, result, seed, done, total, "", None if picture else maps)))
        done += job.steps
    extras |= _views(job, finished[0].picture, maps)
    read = job.prompt(result)
    facts = report.facts(request, planned, read.tokens, read.dropped, looks.facts if looks else [])
    if planned.edit is not None:
        facts |= kept_facts(finished)
    elif request.ladder:
        facts["ladder"] = ["paste", *(rung.name for rung in below)]
        shown = {name: extras[name] for name in facts["ladder"]}
        extras["rungs"] = side_by_side({**shown, result.name: finished[0].picture})
    yield Result(tuple(one.picture for one in finished), extras, facts)


def _looks(
    parts: Parts, request: CollageRequest, collage: Collage, planned: Course
) -> Generator[Event, None, Looks | None]:
    if not learns(request):
        return None
    blank = torch.zeros(len(collage.shown), parts.components["text_encoder"].config.hidden_size)
    read(parts, collage.prompt, [layer.text for layer in collage.shown], blank)  # no room: said before all the learning
    work = look_at(parts, collage, planned.stack, planned.size, request.look_steps)
    while True:
        try:
            done, total = next(work)
        except StopIteration as end:
            looks: Looks = end.value
            return looks
        yield Step(done, total, None, f"Learning the looks: {done} of {total}")


def _prepared(parts: Parts, request: CollageRequest, collage: Collage, planned: Course, looks: Looks | None) -> _Job:
    texts = [layer.text for layer in collage.shown]
    return _Job(
        parts,
        request,
        collage,
        planned,
        levels(diffusion.alphas_cumprod(), request.steps),
        encode_picture(parts, planned.working),
        read(parts, collage.prompt, texts),
        None if looks is None else read(parts, collage.prompt, texts, looks.rows),
        read_negative(parts, request.negative_prompt),
    )


def _drawn(
    job: _Job, rung: Rung, seed: int, done: int, total: int, note: str, maps: HeatMaps | None = None
) -> Generator[Event, None, Finished]:
    """Yield the steps of one picture; returns it finished."""
    request, current = job.request, job.clean
    bias, previews = job.bias(rung), latents.Previews(job.basis)
    with ExitStack() as installed:
        network = _network(job, rung, bias, maps, installed)
        states = img2img(
            network,
            job.clean,
            job.stops,
            job.course.strength,
            [seed],
            job.pins(rung),
            bias,
            request.bias_sigma,  # type: ignore[arg-type]
            job.parts.prediction,
        )
        for state in states:
            yield Step(done + state.step + 1, total, previews.due(state.denoised), note.upper().replace("+", " + "))
            current = state.latents
    if job.steps == 0:  # nothing was free: the picture is what the run would have started from
        return Finished(job.course.base, 0, 0)
    return finishing.finish(job.parts, request, job.course, job.round_trip, current)


def _network(
    job: _Job, rung: Rung, bias: CrossBias | None, maps: HeatMaps | None, installed: ExitStack
) -> diffusion.Network:
    """The guided U-Net (scaled latents (1, C, h, w), timestep) -> (1, C, h, w), with everything that a rung puts on it
    until `installed` ends."""
    unet, dtype, edges = job.parts.components["unet"], job.parts.dtype, job.edges(rung)
    own = job.prompt(rung).states
    text = (torch.cat([job.negative, own]) if job.guided else own).to(job.parts.device, dtype)
    scale = job.request.guidance_scale
    installed.enter_context(edited(unet, recalling(unet, text)))
    for patch in (bias, maps):
        if patch is not None:
            installed.enter_context(patch.installed(unet))

    @torch.no_grad()
    def network(scaled: Tensor, timestep: Tensor) -> Tensor:
        noisy, time = scaled.to(dtype).expand(len(text), -1, -1, -1), timestep.to(scaled.device)
        residuals = edges(noisy, time, text) if edges is not None else {}
        out = unet(noisy, time, text, return_dict=False, **residuals)[0].float()
        found: Tensor = diffusion.guide(out[:1], out[1:], scale) if job.guided else out
        return found

    return network


def _views(job: _Job, picture: np.ndarray, maps: HeatMaps) -> dict[str, np.ndarray]:
    """What stands beside the result to look at."""
    views, found = {"noise": report.noise_view(job.course)}, maps.mean()
    if found is not None:
        texts = [layer.text for layer in job.collage.shown]
        views["attention"] = report.attention_view(picture, texts, found.numpy())
    if job.course.edit is not None:
        views["previous"] = job.course.edit.previous
    return views


def _size(found: Tensor) -> tuple[int, int]:
    return found.shape[2], found.shape[3]
