"""DreamFuse (arXiv 2504.08291): fuse an object into a background at the place and size it was dragged to."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial

import numpy as np
from torch import Tensor

from models import diffusion, latents
from models.contract import Components, Event, Preset, Result, Step
from models.dreamfuse.adapter import adapted
from models.dreamfuse.conditions import Inputs, Parts, prepare
from models.dreamfuse.finishing import finish, surroundings
from models.dreamfuse.framing import frame
from models.dreamfuse.spec import DreamFuseRequest, told
from models.dreamfuse.text import encode_prompt
from models.dreamfuse.transformer import ConditionedFlux, conditioned
from models.finishing import kept_facts


def load(components: Components, preset: Preset, device: str) -> Parts:
    """Put the leased components together."""
    return Parts(components, preset, device)


def run(parts: Parts, request: DreamFuseRequest) -> Iterator[Event]:
    """Yield a `Step` per denoising step and one `Result` with pictures of the background's own size.

    Picture k starts from the noise of seed + k. Pictures are denoised one after the other: a batch would give
    other roundings than its pictures alone and, since three pictures' tokens fill a device, little speed.
    """
    request = told(request, parts.preset)
    resolution = parts.preset.size if request.resolution == "auto" else int(request.resolution)
    framing = frame(request, resolution)
    prompt = encode_prompt(parts.components, parts.preset, request.prompt)
    around = surroundings(parts, request, framing.background)
    transformer = parts.components["transformer"]
    finished = []
    with adapted(transformer, parts.components["adapter"]) as tags, conditioned(transformer) as flux:
        inputs = prepare(parts, request, framing, prompt, tags)
        basis = _preview_basis(inputs, framing.background)
        for picture in range(request.num_images):
            fused = yield from _denoise(parts, request, flux, inputs, basis, picture)
            finished.append(finish(parts, request, around, fused))
    facts = {
        "seeds": [request.seed + k for k in range(request.num_images)],
        "bucket": f"{framing.background.shape[1]}x{framing.background.shape[0]}",
        **kept_facts(finished),
        "dropped_words": prompt.dropped,
    }
    yield Result(tuple(f.picture for f in finished), {"paste": around.pasted}, facts)


def _denoise(
    parts: Parts,
    request: DreamFuseRequest,
    flux: ConditionedFlux,
    inputs: Inputs,
    basis: Tensor,
    picture: int,
) -> Generator[Event, None, Tensor]:
    """Yield the steps of one picture; returns its latents (1, C, h, w)."""
    height, width = inputs.size
    channels = inputs.conditions.latents.shape[2] // 4
    noise = latents.seeded_noise((1, channels, height, width), request.seed + picture, parts.device)
    steps = len(inputs.sigmas) - 1
    velocity = partial(inputs.velocity, flux)
    previews = latents.Previews(basis)
    for state in diffusion.euler_flow(velocity, latents.pack(noise), inputs.sigmas):
        image = previews.due(latents.unpack(state.denoised, height, width))
        yield Step(picture * steps + state.step + 1, request.num_images * steps, image)
        tokens = state.latents
    return latents.unpack(tokens, height, width)


def _preview_basis(inputs: Inputs, background: np.ndarray) -> Tensor:
    """Colours of latents, fitted on the background, whose latents are at hand."""
    tokens = inputs.conditions.latents
    known = latents.unpack(tokens[:, tokens.shape[1] // 2 :].float(), *inputs.size)
    return latents.fit_preview(known, latents.to_pixels(background).to(known.device))
