"""Joint attention beyond the stock processor: a RoPE table per sample, and queries of one part only."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor
from torch import Tensor

Rope = tuple[Tensor, Tensor]


def rope(pos_embed: Any, ids: Tensor) -> Rope:
    """FLUX's cosines and sines for ids (S, 3) or, one table per sample, (B, S, 3); ids should be float32."""
    if ids.ndim == 2:
        table: Rope = pos_embed(ids)
        return table
    tables = [pos_embed(sample) for sample in ids]
    return torch.stack([cos for cos, _ in tables]), torch.stack([sin for _, sin in tables])


def attend(
    attn: Any,
    hidden: Tensor,
    text: Tensor | None,
    table: Rope | None,
    only: slice | None = None,
    **more: Any,
) -> Any:
    """What `attn` makes of `hidden` (B, S, D) and, in a double block, of `text` (B, T, D): one tensor or two.

    The stock call, and thus whatever processor is installed, serves a shared table (S, D) and all queries.
    A table per sample (B, S, D), or `only` some of the queries, take the same computation from here.
    """
    shared = table is None or table[0].ndim == 2
    if shared and only is None:
        return attn(hidden_states=hidden, encoder_hidden_states=text, image_rotary_emb=table, **more)
    if type(attn.processor) is not FluxAttnProcessor:
        raise RuntimeError(
            "Positions per sample go past the attention processor; take the edit off, or share one table."
        )
    queries = slice(None) if only is None else only
    query, key, value = _projections(attn, hidden, text, queries)
    if table is not None:
        query = _rotated(query, table, queries)
        key = _rotated(key, table, slice(None))
    backend = attn.processor._attention_backend
    out = dispatch_attention_fn(query, key, value, attn_mask=more.get("attention_mask"), backend=backend)
    out = out.flatten(2, 3).to(query.dtype)
    if text is None:
        return out
    context, image = out.split([text.shape[1], hidden.shape[1]], dim=1)
    return attn.to_out[1](attn.to_out[0](image)), attn.to_add_out(context)


def _projections(attn: Any, hidden: Tensor, text: Tensor | None, queries: slice) -> tuple[Tensor, Tensor, Tensor]:
    """Normed queries, normed keys and values, (B, S, heads, dim), text first."""

    def heads(projection: Any, x: Tensor) -> Any:
        return projection(x).unflatten(-1, (-1, attn.head_dim))

    query = attn.norm_q(heads(attn.to_q, hidden[:, queries]))
    key, value = attn.norm_k(heads(attn.to_k, hidden)), heads(attn.to_v, hidden)
    if text is None:
        return query, key, value
    query = torch.cat([attn.norm_added_q(heads(attn.add_q_proj, text)), query], dim=1)
    key = torch.cat([attn.norm_added_k(heads(attn.add_k_proj, text)), key], dim=1)
    return query, key, torch.cat([heads(attn.add_v_proj, text), value], dim=1)


def _rotated(x: Tensor, table: Rope, rows: slice) -> Tensor:
    """RoPE on x (B, S, heads, dim) with the given rows of a table (S, dim) or (B, S, dim)."""
    cos, sin = (part[..., rows, :] for part in table)
    if cos.ndim == 2:
        rotated: Tensor = apply_rotary_emb(x, (cos, sin), sequence_dim=1)
        return rotated
    real, imaginary = x[..., 0::2], x[..., 1::2]
    turned = torch.stack([-imaginary, real], dim=-1).flatten(3)
    return (x.float() * cos[:, :, None] + turned.float() * sin[:, :, None]).to(x.dtype)
