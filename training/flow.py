"""What training FLUX from scratch needs beside the loss: a start, noise levels, guidance values, the call."""

from __future__ import annotations

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
