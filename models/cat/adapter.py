"""The reference adapter: cross-attention of a U-Net's tokens to the visual prompt."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.sites import QKV, attend

KeysValues = tuple[Tensor, Tensor]  # each (B, heads, N, dim / heads)


@dataclass(frozen=True, eq=False)
class VisualPrompt:
    """A visual prompt as the adapters of one U-Net take it: computed once per picture, used at every step.

    keys_values: one entry per adapter in the order they run, for the conditional rows of the batch only; an entry
        of one row serves any number of them.
    unconditional: how many leading rows of the batch have the zero prompt instead, as guidance needs.
    strength: scales what the adapters add to the conditional rows; 1 = the paper, other values are ours.
    """

    keys_values: tuple[KeysValues, ...]
    unconditional: int = 0
    strength: float = 1.0


class RefAdapter(nn.Module):
    """A residual cross-attention behind a block's self-attention, without a gate; `index` counts adapters as they run.

    Its parts are plain layers: an attention class of diffusers would be taken for another text cross-attention by
    all that walks over a U-Net's attention. The kernel is the one that the U-Net's own attention runs, so one choice
    of kernel (`torch.nn.attention.sdpa_kernel`) holds for both.
    """

    def __init__(self, dim: int, heads: int, context_dim: int, index: int) -> None:
        super().__init__()
        self.heads, self.index = heads, index
        self.norm = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(context_dim, dim, bias=False)
        self.to_v = nn.Linear(context_dim, dim, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim), nn.Dropout(0.0)])

    def keys_values(self, prompt: Tensor) -> KeysValues:
        """Keys and values, each (B, heads, N, dim / heads), of a visual prompt (B, N, C)."""
        return self._split(self.to_k(prompt)), self._split(self.to_v(prompt))

    def forward(self, x: Tensor, objs: Tensor | VisualPrompt) -> Tensor:
        """Tokens (B, S, dim) plus what they find in the prompt `objs`: (B, N, C), (1, N, C) or one made before."""
        if isinstance(objs, Tensor):
            return x + self._found(x, self.keys_values(objs.to(x.dtype)))
        empty, filled = x.tensor_split([objs.unconditional])
        rows = []
        if len(empty):
            rows.append(empty + self._nothing(x))
        if len(filled):
            found = self._found(filled, objs.keys_values[self.index])
            rows.append(torch.add(filled, found, alpha=objs.strength))
        return rows[0] if len(rows) == 1 else torch.cat(rows)

    def _found(self, x: Tensor, keys_values: KeysValues) -> Tensor:
        q = self._split(self.to_q(self.norm(x)))
        k, v = (part.expand(len(x), -1, -1, -1) for part in keys_values)  # fused kernels want equal batches
        return self._out(attend(QKV(q, k, v)).transpose(1, 2).flatten(2))

    def _nothing(self, x: Tensor) -> Tensor:
        """The zero prompt has zero values, so its output is `to_out`'s bias; asked of the layer, so that offloading,
        casting and LoRA hooks see the call."""
        return self._out(x.new_zeros(1, 1, x.shape[-1]))

    def _out(self, attended: Tensor) -> Tensor:
        out: Tensor = self.to_out[1](self.to_out[0](attended))
        return out

    def _split(self, tokens: Tensor) -> Tensor:
        batch, length, width = tokens.shape
        return tokens.reshape(batch, length, self.heads, width // self.heads).transpose(1, 2)
