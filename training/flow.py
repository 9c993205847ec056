"""What training FLUX from scratch needs beside the loss: a start, noise levels, guidance values, the call."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from models.dreamfuse.placement import grid_ids
from training.pool import Sample


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


OFFSETS = ((0, 0), (0.3, 0.3), (-0.3, -0.3), (0.3, -0.3), (-0.3, 0.3), (0, 0.6), (0, -0.6), (0.6, 0), (-0.6, 0))
WAVES = (1.0, 0.7, 0.35)  # amplitudes of RoPE's fastest waves: enough for one bump on a grid of a few tokens
SHARPNESS = 1.5  # of queries and of keys; their product is attention's inverse temperature


@torch.no_grad()
def look_nearby(flux: FluxTransformer2DModel) -> None:
    """Let attention start local: each image query looks at its own place plus a head's offset, in tokens.

    Queries and keys become constants with half of their drawn content; rotary positions turn the constants into a
    bump over distance. What is copied from place to place then need not be found by chance first.
    """
    size, (skip, *axes) = flux.config.attention_head_dim, flux.config.axes_dims_rope
    layers = [block.attn for block in (*flux.transformer_blocks, *flux.single_transformer_blocks)]
    offsets = itertools.cycle(OFFSETS)
    for attn in layers:
        for projection, norm in ((attn.to_q, attn.norm_q), (attn.to_k, attn.norm_k)):
            projection.weight.mul_(0.5)
            norm.weight.fill_(SHARPNESS)
        for head in range(flux.config.num_attention_heads):
            here = slice(head * size, (head + 1) * size)
            attn.to_q.bias[here] = _waves(skip, axes, (0, 0))
            attn.to_k.bias[here] = _waves(skip, axes, next(offsets))


def _waves(skip: int, axes: Sequence[int], offset: Sequence[float]) -> Tensor:
    """A vector of unit mean square whose product with that of no offset peaks `offset` tokens away under RoPE."""
    vector = torch.zeros(skip + sum(axes))
    start = skip
    for count, tokens in zip(axes, offset, strict=True):
        for pair, amplitude in enumerate(WAVES[: count // 2]):
            angle = -tokens * 10_000 ** (-2 * pair / count)
            vector[start + 2 * pair] = amplitude * math.cos(angle)
            vector[start + 2 * pair + 1] = amplitude * math.sin(angle)
        start += count
    return vector / vector.square().mean().sqrt()


def draw_guidance(count: int, generator: torch.Generator) -> Tensor:
    """Guidance (count,) over what a user can set: an embedding that is not distilled has to learn to ignore it."""
    return 1 + 9 * torch.rand(count, generator=generator)


def draw_sigmas(count: int, mean: float, generator: torch.Generator) -> Tensor:
    """Noise levels (count,) from a logit-normal (arXiv 2403.03206, section 3.1)."""
    return torch.sigmoid(mean + torch.randn(count, generator=generator))


def velocity(models: nn.ModuleDict, rows: Sample, noisy: Tensor, sigma: Tensor, guidance: Tensor) -> Tensor:
    """FLUX's output (N, S, C) at noisy tokens (N, S, C) of square pictures."""
    side = int(noisy.shape[1] ** 0.5)
    ids = grid_ids(side, side).to(noisy.device)
    text = models["t5"](rows["ids"]).last_hidden_state
    out: Tensor = models["flux"](
        noisy,
        encoder_hidden_states=text,
        pooled_projections=rows["pooled"],
        timestep=sigma,
        img_ids=ids,
        txt_ids=torch.zeros(text.shape[1], 3, device=ids.device),
        guidance=guidance,
        return_dict=False,
    )[0]
    return out
