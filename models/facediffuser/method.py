"""Face-diffuser (arXiv 2311.10329): people from reference pictures in a described scene, by two models in turns."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from models import latents, pixels
from models.contract import Components, Event, Preset, Result, Step
from models.facediffuser import conditions, notices
from models.facediffuser.conditions import Parts, Texts, Told
from models.facediffuser.denoising import (
    STABLE_DIFFUSION,
    Guidance,
    Networks,
    State,
    as_noise,
    denoise,
    scheduler,
)
from models.facediffuser.maps import Maps
from models.facediffuser.prefix import Key, Prefix, taken
from models.facediffuser.scores import scores
from models.facediffuser.spec import VARIANTS, FaceRequest
from models.facediffuser.stages import Stage, counts, from_fractions, iterations
from models.pixels import Size
from models.sizes import near_square

FACTOR = 8  # pixels to a place of the latents, as the autoencoders shrink
NOTES: Mapping[Stage, str] = {"scene": "The scene", "fused": "Scene and people together", "subject": "The people"}
ALONE = {"scene": "scene model only", "subject": "people's model only", "both": "both models"}


def load(components: Components, preset: Preset, device: str) -> Parts:
    """Put the leased components together."""
    return Parts(components, preset, device)


class Drawing(NamedTuple):
    """One picture to make: which models draw it, from the noise of which seed, and whether it is there to compare."""

    variant: str
    seed: int
    beside: bool = False


class Drawn(NamedTuple):
    """Latents (1, C, h, w), passes through a network that they took, and whether a kept scene stage began them."""

    latents: Tensor
    evaluations: int
    from_prefix: bool


@dataclass(frozen=True, eq=False)
class _Job:
    """What every picture of a request shares. size: (height, width) that is worked at."""

    parts: Parts
    request: FaceRequest
    size: Size
    texts: Texts
    told: Told
    vectors: Tensor | None  # (1, K, D) of the people
    basis: Tensor
    prefixes: dict[int, Prefix] = field(default_factory=dict)  # by seed

    @property
    def iterations(self) -> int:
        """Of one picture."""
        return iterations(self.request.sampler, self.request.steps)  # type: ignore[arg-type]

    @property
    def scene_end(self) -> int:
        """The iteration after which the scene stage is kept; -1 where there is none. The scene model alone is kept
        there too, so that each variant can go on from the other's."""
        request = self.request
        bounds = from_fractions(request.scene_until, request.subject_from, request.steps)
        return min(bounds.scene, self.iterations - 1)

    def networks(self, alpha_squared: Tensor) -> Networks:
        """Both models, told the request's words; one that no stage calls need not be there."""
        parts, told = self.parts, self.told
        both = (parts.scene(self.request.scene_model), told.scene), ("sdm", told.subject)
        made = (conditions.network(parts, *one) for one in both)
        return Networks(*(as_noise(one, parts.prediction, alpha_squared) for one in made))

    def noise(self, seed: int) -> Tensor:
        """Where a picture starts, (1, C, h, w)."""
        channels = int(self.parts.components["vae"].config.latent_channels)
        shape = (1, channels, self.size[0] // FACTOR, self.size[1] // FACTOR)
        return latents.seeded_noise(shape, seed, self.parts.device)

    def kept(self, drawing: Drawing) -> Prefix | None:
        """The scene stage of a picture where this run or an earlier one has drawn it."""
        if drawing.variant == "subject" or self.scene_end < 0:
            return None
        if drawing.seed not in self.prefixes:
            found: Prefix | None = self.parts.components.recall(self._key(drawing.seed))
            if found is None:
                return None
            self.prefixes[drawing.seed] = found
        return self.prefixes[drawing.seed]

    def keep(self, drawing: Drawing, state: State, steps: Any) -> None:
        """Keep the scene stage if this state is its end."""
        if drawing.variant != "subject" and state.step == self.scene_end:
            prefix = taken(steps, state.step, state.latents)
            self.prefixes[drawing.seed] = prefix
            self.parts.components.remember(self._key(drawing.seed), lambda: prefix)

    def _key(self, seed: int) -> tuple[Any, ...]:
        parts, request = self.parts, self.request
        name = parts.scene(request.scene_model)
        weights = parts.preset.components
        threads = torch.get_num_threads() if parts.device == "cpu" else 0
        key = Key(
            tdm=weights[name],
            text_encoder=weights["text_encoder"],
            sampler_config=(*sorted(STABLE_DIFFUSION.items()), parts.prediction),
            ids=self.texts.marked.ids,
            negative_ids=self.texts.negative,
            seeds=(seed,),
            size=self.size,
            sampler=request.sampler,
            steps=request.steps,
            scene=self.scene_end,
            scale=request.guidance_scale,
            place=f"{parts.device} {threads}",
        )
        return name, "scene stage", key


def run(parts: Parts, request: FaceRequest) -> Iterator[Event]:
    """Yield a `Step` per iteration of each picture and one `Result` with pictures of the asked size.

    Picture k starts from the noise of seed + k; they are drawn one after the other, since a batch would give other
    roundings than its pictures alone. The other variants of the first one come after them. A scene stage that an
    earlier run has kept is gone on from. Raises `BadRequest` for a marker that is out of place.
    """
    drawn_people = bool(parts.preset.settings.get("drawn"))
    shown = notices.shown(request.references, request.crop_to_face, drawn_people)
    job = _prepared(parts, request, shown.pictures)
    own = [Drawing(request.variant, request.seed + k) for k in range(request.num_images)]
    others = [Drawing(v, request.seed, True) for v in VARIANTS if v != request.variant] if request.ladder else []
    left = _left(job, [*own, *others])
    total, done = sum(left), 0
    maps, drawn = Maps(job.basis), []
    extras: dict[str, np.ndarray] = {}
    pictures = []
    for number, drawing in enumerate([*own, *others]):
        found = yield from _drawn(job, drawing, done, total, None if number else maps)
        done += left[number]
        picture = _finished(job, found.latents)
        if drawing.beside:
            extras[drawing.variant] = picture
        else:
            drawn.append(found)
            pictures.append(picture)
    strip = maps.strip()
    if strip is not None:
        extras["maps"] = strip
    warnings = [*shown.warnings, *notices.cut(job.texts.marked.dropped)]
    beside = {"ladder": [drawing.variant for drawing in others]} if others else {}
    yield Result(tuple(pictures), extras, _facts(job, drawn, maps, pictures, warnings) | beside)


def _prepared(parts: Parts, request: FaceRequest, pictures: tuple[np.ndarray, ...]) -> _Job:
    texts = conditions.read_texts(parts, request.prompt, request.negative_prompt)
    people = request.ladder or request.variant != "scene"
    vectors = None
    if people or "clip" in parts.preset.components:
        vectors = conditions.image_vectors(parts, pictures, request.object_resolution)
    told = conditions.told(parts, texts, vectors if people else None)
    asked = _asked(parts, request)
    size = near_square(asked, math.sqrt(math.prod(asked)), int(parts.preset.settings["multiple"]), math.inf)
    return _Job(parts, request, size, texts, told, vectors, conditions.preview_basis(parts))


def _asked(parts: Parts, request: FaceRequest) -> Size:
    """(height, width) of the picture that is handed back."""
    return request.height or parts.preset.size, request.width or parts.preset.size


def _left(job: _Job, drawings: list[Drawing]) -> list[int]:
    """Iterations of each picture, without scene stages that are kept, or will be when it is its turn."""
    left, known = [], set()
    for drawing in drawings:
        here = drawing.variant != "subject" and job.scene_end >= 0
        saved = job.scene_end + 1 if here and (drawing.seed in known or job.kept(drawing)) else 0
        known |= {drawing.seed} if here else set()
        left.append(job.iterations - saved)
    return left


def _drawn(job: _Job, drawing: Drawing, done: int, total: int, maps: Maps | None) -> Generator[Event, None, Drawn]:
    """Yield the steps of one picture; returns where it ends."""
    request, kept = job.request, job.kept(drawing)
    steps = scheduler(request.sampler, request.steps)  # type: ignore[arg-type]
    bounds = request.bounds(request.steps, drawing.variant)
    guidance = Guidance(request.guidance_scale, request.anchor)  # type: ignore[arg-type]
    previews, evaluations = latents.Previews(job.basis), 0
    current = job.noise(drawing.seed) if kept is None else kept.latents.to(job.parts.device)
    if kept is not None:
        yield Step(done, total, note=_note(drawing, "The scene as it was kept"))
    for count, state in enumerate(
        denoise(job.networks(steps.alphas_cumprod), current, steps, bounds, guidance, kept), 1
    ):
        job.keep(drawing, state, steps)
        if maps is not None:
            maps.add(state)
        note = _note(drawing, NOTES[state.stage])
        yield Step(done + count, total, previews.due(state.denoised), note)
        current, evaluations = state.latents, state.evaluations
    return Drawn(current, evaluations, kept is not None)


def _note(drawing: Drawing, text: str) -> str:
    return f"To compare, {ALONE[drawing.variant]}: {text[0].lower()}{text[1:]}" if drawing.beside else text


def _finished(job: _Job, found: Tensor) -> np.ndarray:
    return pixels.resize(conditions.decode_picture(job.parts, found), _asked(job.parts, job.request))


def _facts(
    job: _Job, drawn: list[Drawn], maps: Maps, pictures: list[np.ndarray], warnings: list[str]
) -> dict[str, Any]:
    """Numbers and warnings for people; of several pictures the evaluations are those of the one that took most."""
    request, marked = job.request, job.texts.marked
    stages = counts(request.bounds(request.steps), job.iterations)
    height, width = job.size
    scored = [] if job.vectors is None else scores(job.parts, pictures, marked.ids, job.vectors)
    return {
        "seeds": [request.seed + k for k in range(len(drawn))],
        "evaluations": max(one.evaluations for one in drawn),
        "all_evaluations": stages.all_evaluations,
        "from_prefix": all(one.from_prefix for one in drawn),
        "stages": stages.readout(),
        "fused_steps": maps.steps,
        "area": maps.areas,
        "slots": list(marked.slots),
        "nouns": list(marked.nouns),
        "dropped": marked.dropped,
        "worked_at": f"{width}x{height}",
        "warnings": warnings,
        **({"scores": scored} if scored else {}),
    }
