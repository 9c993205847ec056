"""Where a model attends and on what: `Site`, `QKV`, the stock kernel `attend`, and `sites(model)`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_flux import FluxAttention
from torch import Tensor, nn

Kind = Literal["self", "cross", "joint"]
Stream = Literal["", "double", "single"]

_STAGES = ("down_blocks", "mid_block", "up_blocks")  # U-Nets register mid last but run it second


@dataclass(frozen=True)
class Site:
    """One attention module: `name` is its dotted path, `order` counts sites as they run in a forward pass.

    `kind` says where keys come from: the queries' own tokens, another sequence, or text and image together.
    `stream` is FLUX's kind of block, empty elsewhere.
    """

    name: str
    order: int
    kind: Kind
    stream: Stream = ""


@dataclass(frozen=True, eq=False)
class QKV:
    """What attention takes: q, k, v are (batch, heads, tokens, head_dim), each as the kernel will see it.

    `bias` is added to the scaled logits before the softmax: (batch, heads, queries, keys), each of the first
    three may be 1; None = no bias. On FLUX the tokens are text, then image, with rotary positions applied.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    bias: Tensor | None = None

    def plus_bias(self, bias: Tensor) -> QKV:
        """The same with `bias` added to the logits; its last axes are those of (batch, heads, queries, keys)."""
        # All four axes are written out: dispatch takes a square-looking 2-D mask for (batch, keys).
        total = bias[(None,) * (4 - bias.ndim)]
        if self.bias is not None:
            if self.bias.dtype == torch.bool or self.bias.ndim != 4:
                raise ValueError("The model was called with a mask that a bias cannot be added to.")
            total = self.bias + total
        return dataclasses.replace(self, bias=total.to(self.q.dtype))


def attend(qkv: QKV) -> Tensor:
    """softmax(q k^T / sqrt(head_dim) + bias) v by torch's fused kernel, (batch, heads, queries, head_dim)."""
    return F.scaled_dot_product_attention(qkv.q, qkv.k, qkv.v, attn_mask=qkv.bias)


def sites(model: nn.Module) -> tuple[Site, ...]:
    """Every attention site of a diffusers model in execution order: down, mid, up for U-Nets."""
    return tuple(site for site, _ in attention_modules(model))


def attention_modules(model: nn.Module) -> list[tuple[Site, Any]]:
    """The sites with their modules, diffusers' `Attention` or `FluxAttention`, in execution order."""
    found = [(n, m) for n, m in model.named_modules() if isinstance(m, Attention | FluxAttention)]
    found.sort(key=lambda pair: _stage(pair[0]))  # stable: inside a stage registration order is execution order
    return [(_site(name, order, module), module) for order, (name, module) in enumerate(found)]


def _stage(name: str) -> int:
    top = name.split(".")[0]
    return _STAGES.index(top) if top in _STAGES else 0


def _site(name: str, order: int, module: Any) -> Site:
    if isinstance(module, FluxAttention):
        return Site(name, order, "joint", "single" if module.added_kv_proj_dim is None else "double")
    return Site(name, order, "cross" if module.is_cross_attention else "self")
