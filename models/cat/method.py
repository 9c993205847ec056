"""CAT-Diffusion (arXiv 2409.08260): fill a hole with what the words name, after imagining CLIP's features of it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from models import diffusion, latents
from models.cat import finishing
from models.cat.conditions import Parts, Semantics, imagine, read_words, see, surroundings
from models.cat.framing import Framing, frame, too_small, warning
from models.cat.guidance import Guided
from models.cat.preprocess import Views, resized, with_thin_parts
from models.cat.semantics import heat_maps, similarity
from models.cat.spec import InpaintRequest
from models.contract import BadRequest, Components, Event, Preset, Result, Step
from models.finishing import kept_facts


def load(components: Components, preset: Preset, device: str) -> Parts:
    """Put the leased components together."""
    return Parts(components, preset, device)


@dataclass(frozen=True, eq=False)
class _Job:
    """What every picture of a request shares; `basis` turns latents into previews."""

    parts: Parts
    request: InpaintRequest
    framing: Framing
    around: Tensor  # (1, 1 + C, h, w)
    basis: Tensor
    total: int  # denoising steps of all pictures


def run(parts: Parts, request: InpaintRequest) -> Iterator[Event]:
    """Yield a `Step` per denoising step and one `Result` with pictures of the original's own size.

    Picture k starts from the noise of seed + k. Words, features and masked latents are those of the picture and the
    prompt, so other seeds reuse them. The comparison with a zero visual prompt is made for the first picture.
    """
    framing, seen = _framed(parts, request)
    words, negative = (read_words(parts, text) for text in (request.prompt, request.negative_prompt))
    semantics = imagine(parts, seen, words, request.prompt) if parts.semantic else None
    also_plain = semantics is not None and _compares(parts, request)
    around = surroundings(parts, seen)
    basis = latents.fit_preview(around[:, 1:].float(), latents.to_pixels(_masked(seen)).to(around.device))
    rounds = request.num_images + also_plain
    job = _Job(parts, request, framing, around, basis, rounds * request.steps)
    guided = Guided(parts, request, around, words, negative, semantics)
    finished = []
    with guided.installed() as network:
        for picture in range(request.num_images):
            drawn = yield from _denoise(job, network, picture, picture)
            finished.append(finishing.finish(parts, request, framing, drawn))
    extras = {"input": request.image, "classical": finishing.classical(request, framing)}
    if semantics is not None:
        extras["semantics"] = _semantics_view(parts, framing, seen, semantics, finished[0].picture)
    if also_plain:
        with Guided(parts, request, around, words, negative, None).installed() as network:
            drawn = yield from _denoise(job, network, 0, request.num_images)
        extras["plain"] = finishing.finish(parts, request, framing, drawn).picture
    facts = {
        "seeds": [request.seed + k for k in range(request.num_images)],
        "box": list(framing.box),
        "worked_at": f"{framing.picture.shape[1]}x{framing.picture.shape[0]}",
        **kept_facts(finished),
        "dropped_words": "; ".join(filter(None, (words.dropped, negative.dropped))),
        "warning": warning(framing),
    }
    yield Result(tuple(f.picture for f in finished), extras, facts)


def _framed(parts: Parts, request: InpaintRequest) -> tuple[Framing, Views]:
    """The working picture and its views; raises `BadRequest` if no cell of the latents is left of the mask, or nothing
    of the picture outside of it."""
    size = parts.preset.size if request.resolution == "auto" else int(request.resolution)
    multiple = int(parts.preset.settings["multiple"])
    framing = frame(request.image, request.mask, request.region, request.padding, request.grow, size, multiple)
    if (framing.whole_mask >= 128).all():
        raise BadRequest("The grown mask covers the whole picture; please grow it less, so that something is kept.")
    seen = parts.views(framing.picture, framing.mask)
    if not seen.latent_mask.any():
        raise too_small(framing)
    if request.region != "squash":
        seen = replace(seen, latent_mask=with_thin_parts(seen.latent_mask, framing.mask))
    return framing, seen


def _compares(parts: Parts, request: InpaintRequest) -> bool:
    if request.comparisons == "auto":
        return bool(parts.preset.settings["comparisons"])
    return request.comparisons == "on"


def _denoise(job: _Job, network: diffusion.Network, picture: int, done: int) -> Generator[Event, None, Tensor]:
    """Yield the steps of one picture, the `done`-th that is drawn; returns its latents (1, C, h, w).

    DDIM as published: 1000 timesteps, leading spacing from 1, no added noise, ending at timestep 0.
    """
    request, around = job.request, job.around
    noise = latents.seeded_noise(tuple(around[:, 1:].shape), request.seed + picture, around.device)
    timesteps = diffusion.ddim_timesteps(request.steps)
    schedule = diffusion.ddim_schedule(diffusion.alphas_cumprod(), timesteps)
    current, previews = noise, latents.Previews(job.basis)
    prediction = job.parts.preset.settings.get("prediction", "epsilon")
    for state in diffusion.ddim(network, noise, schedule, prediction):
        note = "Without the visual prompt" if done >= request.num_images else ""
        yield Step(done * request.steps + state.step + 1, job.total, previews.due(state.denoised), note)
        current = state.latents
    return current


def _masked(seen: Views) -> np.ndarray:
    """The picture with the hole as the autoencoder saw it, uint8."""
    return np.rint((seen.vae_picture + 1) * 127.5).clip(0, 255).astype(np.uint8)


def _semantics_view(
    parts: Parts, framing: Framing, seen: Views, semantics: Semantics, picture: np.ndarray
) -> np.ndarray:
    """How near the features in the hole were to those of the finished picture, before and after imagining them."""
    left, top, right, bottom = framing.box
    size = seen.clip_picture.shape[:2]
    truth, _ = see(parts, resized(np.ascontiguousarray(picture[top:bottom, left:right]), (size[0], size[1])))
    before, after = (similarity(features, truth) for features in (semantics.seen, semantics.predicted))
    return heat_maps(framing.picture, seen.patch_mask, before, after)
