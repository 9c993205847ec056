"""What the adapter is trained with (section 4): flow matching over the fused picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from models.diffusion import flow_noise, flow_target
from models.dreamfuse.transformer import ConditionedFlux, Conditions


@dataclass(frozen=True, eq=False)
class Losses:
    """`total` (scalar) to step on, and `per_sample` (B,) for the log."""

    total: Tensor
    per_sample: Tensor


def fusion_loss(
    flux: ConditionedFlux,
    fused: Tensor,
    noise: Tensor,
    sigmas: Tensor,
    conditions: Conditions,
    weights: Tensor | None = None,
    **arguments: Any,
) -> Losses:
    """Mean squared error of the velocity n - x at (1 - sigma) x + sigma n, without weighting unless `weights`.

    `fused`, `noise`: packed latents (B, S, C) of the true fusion and of noise; `sigmas` (B,) in 0..1, which the
    published recipe draws evenly from k / 1000; `weights`, ours, spread over (B, S, C). `conditions` and `arguments`
    (text, `img_ids` (3S, 3) or (B, 3S, 3), guidance, which the published recipe holds at 1) go to the transformer.
    """
    noisy = flow_noise(fused, noise, sigmas)
    velocity = flux(noisy, timestep=sigmas, conditions=conditions, return_dict=False, **arguments)[0]
    squared = (velocity.float() - flow_target(fused, noise).float()).square()
    if weights is not None:
        squared = squared * weights
    per_sample = squared.mean((1, 2))
    return Losses(per_sample.mean(), per_sample.detach())
