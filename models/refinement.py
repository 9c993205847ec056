"""Latents that decode closer to a picture than its encoder's do, found by descent (arXiv 2311.18387)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from models.dpm_solver import in_full


class Refined(NamedTuple):
    """After one step (from 0) of a refinement: the best latents so far, float32 or better."""

    step: int
    latents: Tensor


def refine_latents(decode: Callable[[Tensor], Tensor], latents: Tensor, pixels: Tensor, steps: int = 50) -> Tensor:
    """Latents that decode closer to `pixels` than the encoder's (decoder inversion, arXiv 2311.18387); never further.

    `decode` takes latents (B, C, h, w) to pixels (B, 3, H, W) in -1..1 and must be differentiable. Float32 or better.
    """
    best = in_full(latents)
    for state in refinements(decode, latents, pixels, steps):
        best = state.latents
    return best


def refinements(
    decode: Callable[[Tensor], Tensor], latents: Tensor, pixels: Tensor, steps: int = 50
) -> Iterator[Refined]:
    """As `refine_latents`, a step at a time and also under inference mode: Adam at 0.1, warm-up, then a cosine."""
    with torch.inference_mode(False):  # autograd refuses what was made in inference mode, so copy
        moving, wanted = in_full(latents).detach().clone().requires_grad_(), pixels.detach().clone()
        best, least = moving.detach().clone(), torch.full((len(moving),), math.inf, device=moving.device)
        adam = torch.optim.Adam([moving])
    for step in range(steps + 1):
        with torch.inference_mode(False), torch.enable_grad():  # never across a yield
            errors = (decode(moving).float() - wanted.float()).square().flatten(1).mean(1)
            better = errors < least
            least = torch.where(better, errors, least).detach()
            best = torch.where(better.view(-1, *[1] * (moving.ndim - 1)), moving, best).detach()
            if step < steps:  # the last round only looks
                (moving.grad,) = torch.autograd.grad(errors.sum(), moving)  # the decoder's weights gather nothing
                adam.param_groups[0]["lr"] = 0.1 * _warm_cosine(step, steps)
                adam.step()
        if step:
            yield Refined(step - 1, best)


def _warm_cosine(step: int, steps: int) -> float:
    """Rises to 1 over the first tenth of the steps, then falls to 0 along half a cosine."""
    warm = max(steps // 10, 1)
    if step < warm:
        return (step + 1) / warm
    return (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2
