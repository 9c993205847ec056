"""What training FLUX from scratch needs beside the loss: a start, noise levels, guidance values."""

from __future__ import annotations

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor


@torch.no_grad()
def initialise(flux: FluxTransformer2DModel) -> None:
    """Near the identity: no modulation, small gates, no output (adaLN-zero of arXiv 2212.09748, but for the gates,
    which at zero would hold up the little training that a CPU affords)."""
    for name, module in flux.named_modules():
        if name.endswith((".norm1.linear", ".norm1_context.linear", ".norm.linear", "norm_out.linear")):
            module.weight.zero_()
            module.bias.zero_()
            chunks = module.bias.chunk(module.out_features // module.in_features)
            for gate in chunks[2::3]:  # shift, scale, gate, ...; norm_out has none
                gate.fill_(0.3)
    flux.proj_out.weight.zero_()
    flux.proj_out.bias.zero_()


def draw_guidance(count: int, generator: torch.Generator) -> Tensor:
    """Guidance (count,) over what a user can set: an embedding that is not distilled has to learn to ignore it."""
    return 1 + 9 * torch.rand(count, generator=generator)


def draw_sigmas(count: int, mean: float, generator: torch.Generator) -> Tensor:
    """Noise levels (count,) from a logit-normal (arXiv 2403.03206, section 3.1)."""
    return torch.sigmoid(mean + torch.randn(count, generator=generator))
