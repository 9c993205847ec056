"""A trained FLUX, twice as wide and computing the same, to go on training from (arXiv 1511.05641, section 2.3).

Every channel and head is there twice, and what reads a channel takes a half from each copy. The two halves differ by
noise that cancels as long as the copies are equal; it is what training tells the copies apart by.
"""

from __future__ import annotations

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor


def widened(flux: FluxTransformer2DModel, generator: torch.Generator) -> FluxTransformer2DModel:
    """A FLUX with twice the heads of `flux` and, but for rounding, its outputs."""
    heads = 2 * flux.config.num_attention_heads
    wide: FluxTransformer2DModel = FluxTransformer2DModel.from_config({**flux.config, "num_attention_heads": heads})
    old, new = flux.state_dict(), wide.state_dict()
    wide.load_state_dict({name: _grown(old[name], new[name].shape, flux.inner_dim, generator) for name in new})
    return wide


def twice(rows: Tensor, width: int) -> Tensor:
    """Rows (k width, ..) to (2 k width, ..): each run of `width` of them, then the same run again."""
    runs = rows.reshape(-1, width, *rows.shape[1:])
    return torch.cat([runs, runs], 1).flatten(0, 1)


def _grown(weight: Tensor, shape: torch.Size, width: int, generator: torch.Generator) -> Tensor:
    """A weight as `shape`: what is written is written twice, what is read is read half from each copy."""
    if weight.shape[0] < shape[0]:
        weight = twice(weight, width)
    if weight.shape != shape:
        columns = weight.T.reshape(-1, width, len(weight)) / 2
        apart = torch.randn(columns.shape, generator=generator) * columns.std()
        weight = torch.cat([columns + apart, columns - apart], 1).flatten(0, 1).T
    return weight.contiguous()
