"""The denoising loop of two models on one latent: scene, both, subjects (section 3.2 of arXiv 2311.10329).

The subject model's guidance starts from the caption, not from the empty prompt, so that its response is what the
pictures add and nothing else. Both models put out noise; only the one that an iteration needs is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, PNDMScheduler
from torch import Tensor

from models import diffusion
from models.facediffuser.prefix import Prefix
from models.facediffuser.saliency import fuse
from models.facediffuser.stages import PER_CALL, SAMPLERS, Bounds, Sampler, Stage

Words = Literal["empty", "caption", "augmented"]  # the last is the caption with the subjects' rows replaced
Anchor = Literal["caption", "empty"]
# (latents (2n, C, h, w), 0-d timestep, the words of each half of the batch) -> noise (2n, C, h, w)
Network = Callable[[Tensor, Tensor, tuple[Words, Words]], Tensor]
BETAS = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas")
STABLE_DIFFUSION = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


class Networks(NamedTuple):
    """The scene model (text to picture) and the subject model."""

    tdm: Network
    sdm: Network


@dataclass(frozen=True, eq=False)
class Guidance:
    """How both models are guided: `scale` over 1, and where the subject model's guidance starts from.

    anchor: `caption` as published; `empty` guides it as FastComposer does, by text and pictures together.
    Raises `ValueError` for a scale of 1 or less, where there is nothing to compare.
    """

    scale: float = 5.0
    anchor: Anchor = "caption"

    def __post_init__(self) -> None:
        if not self.scale > 1:
            raise ValueError(f"A guidance scale of {self.scale:g} leaves nothing to fuse; it must be over 1.")


class State(NamedTuple):
    """The loop after one iteration, `step` from 0.

    latents, denoised: (n, C, h, w), float32: where it stands, and the clean estimate that it went by.
    noise: (n, C, h, w), what the scheduler was given. stage: which models made it.
    mask, saliency_t, saliency_s: (n, h, w) while both models run, else None; the mask is true where the subject
        model's noise was taken.
    evaluations: passes through a network per picture so far, without those that a prefix saved.
    """

    step: int
    latents: Tensor
    denoised: Tensor
    noise: Tensor
    stage: Stage
    mask: Tensor | None
    saliency_t: Tensor | None
    saliency_s: Tensor | None
    evaluations: int


def scheduler(kind: Sampler, steps: int, config: Mapping[str, Any] | None = None) -> Any:
    """A diffusers scheduler of its own for one run, its timesteps set: it has memory and must not be shared.

    config: that of the base model's scheduler, of which the noise levels count; Stable Diffusion's, if there is none.
    It is always told noise, whatever its networks predict: `as_noise` makes it that.
    PNDM and DDIM step from 1000 - 1000 / steps + 1 to 1 and end at timestep 0, without clipping, which diffusers'
    DDIM would do by default; DPM++ 2M is diffusers' own. Raises `ValueError` for another kind.
    """
    known = config or STABLE_DIFFUSION
    path = {name: known[name] for name in BETAS if known.get(name) is not None} | {"prediction_type": "epsilon"}
    leading = {"set_alpha_to_one": False, "steps_offset": 1, "timestep_spacing": "leading"}
    made: Any
    if kind == "released":
        made = PNDMScheduler(**path, **leading, skip_prk_steps=True)
    elif kind == "paper":
        made = DDIMScheduler(**path, **leading, clip_sample=False, thresholding=False)
    elif kind == "fast":
        made = DPMSolverMultistepScheduler(**path, algorithm_type="dpmsolver++", solver_order=2)
    else:
        raise ValueError(f"There is no sampler {kind!r}; choose one of {', '.join(SAMPLERS)}.")
    made.set_timesteps(steps)
    return made


def as_noise(network: Network, prediction: diffusion.Prediction, alpha_squared: Tensor) -> Network:
    """A network that puts out noise, made of one of another prediction type.

    alpha_squared: (1000,), the scheduler's `alphas_cumprod`.
    """
    if prediction == "epsilon":
        return network

    def noise(latents: Tensor, timestep: Tensor, words: tuple[Words, Words]) -> Tensor:
        output = network(latents, timestep, words).to(latents.dtype)
        return diffusion.split(prediction, output, latents, *_path(alpha_squared, timestep))[1]

    return noise


def denoise(
    networks: Networks,
    latents: Tensor,
    steps: Any,
    bounds: Bounds,
    guidance: Guidance,
    prefix: Prefix | None = None,
) -> Iterator[State]:
    """Yield a state per iteration, from noise (n, C, h, w) in float32 to the picture.

    steps: what `scheduler` made for this run. prefix: the kept end of a scene stage with the same bound (see
    `prefix.taken`); the loop goes on after it, looks at `latents` for nothing but their device, and yields nothing if
    the scene stage was the whole run.
    """
    latents, first = (latents, 0) if prefix is None else (prefix.restored(steps, latents.device), prefix.step + 1)
    evaluations = 0
    for step, timestep in enumerate(steps.timesteps.cpu()[first:], first):
        stage = bounds.stage(step)
        noise, mask, saliency_t, saliency_s = _noise(networks, latents, timestep, stage, guidance)
        evaluations += PER_CALL * (2 if stage == "fused" else 1)
        alpha, sigma = _path(steps.alphas_cumprod, timestep)
        denoised = (latents - sigma * noise) / alpha
        latents = steps.step(noise, timestep, latents, return_dict=False)[0]
        yield State(step, latents, denoised, noise, stage, mask, saliency_t, saliency_s, evaluations)


def _noise(
    networks: Networks, latents: Tensor, timestep: Tensor, stage: Stage, guidance: Guidance
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """The guided noise of one iteration, and the maps of a fused one."""
    scale = guidance.scale
    if stage != "subject":
        anchor_t, response_t = _both(networks.tdm, latents, timestep, ("empty", "caption"))
        guided_t = anchor_t + scale * response_t
        if stage == "scene":
            return guided_t, None, None, None
    anchor_s, response_s = _both(networks.sdm, latents, timestep, (guidance.anchor, "augmented"))
    guided_s = anchor_s + scale * response_s
    if stage == "subject":
        return guided_s, None, None, None
    return fuse(response_t, response_s, guided_t, guided_s, scale)


def _both(network: Network, latents: Tensor, timestep: Tensor, words: tuple[Words, Words]) -> tuple[Tensor, Tensor]:
    """The anchor's noise, and what the condition adds to it: one call, in the dtype of the latents."""
    anchor, conditional = network(torch.cat([latents, latents]), timestep, words).to(latents.dtype).chunk(2)
    return anchor, conditional - anchor


def _path(alpha_squared: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and sigma at a timestep, 0-d on the CPU: a number to tensors on every device."""
    squared = alpha_squared.cpu()[timestep.cpu()]
    return squared.sqrt(), (1 - squared).sqrt()
