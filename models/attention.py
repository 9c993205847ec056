"""The one place that installs attention processors: `with edited(model, edit): ...` on U-Nets, PixArt and FLUX.

An `Edit` opens a `Site` (one attention module) at up to four places; what it leaves out stays stock:

    hidden -> tokens -> to_q, to_k, to_v (or recall) -> project -> attend -> to_out -> restore -> hidden

No weight, block or class of the model is touched, and every site that is not chosen keeps its own processor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.attention_processor import AttnProcessor2_0
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor
from torch import Tensor, nn

from models.sites import QKV, Site, attend, attention_modules, sites

__all__ = ["QKV", "Edit", "Site", "attend", "edited", "everywhere", "recalling", "sites"]

Restore = Callable[[Tensor], Tensor]
KeysValues = tuple[Tensor, Tensor]  # each (batch, heads, tokens, head_dim), as the kernel will see it


def everywhere(site: Site) -> bool:
    """Choose every site."""
    return True


@dataclass(frozen=True, eq=False)
class Edit:
    """What to change, and at which sites; a hook that is None costs nothing and keeps the stock computation.

    where: chooses the sites once, when the edit is installed.
    tokens: gets the hidden states (batch, tokens, channels) that queries - on self sites also keys and values -
        are projected from, and returns fewer (or other) tokens with the function that brings the site's output
        back to the full sequence. It wraps the projections too, since `to_out` acts per token. Not for joint
        sites, whose rotary positions would no longer fit.
    recall: gives keys and values that were computed before (of one row for all, or of the batch), and `to_k` and
        `to_v` are not run; None from it = run them. Not for joint sites. See `recalling`.
    project: changes q, k, v or bias; the place to swap rows of the batch.
    attend: replaces the kernel; only where a method needs more than one softmax or the probabilities.
    """

    where: Callable[[Site], bool] = everywhere
    tokens: Callable[[Site, Tensor], tuple[Tensor, Restore]] | None = None
    recall: Callable[[Site], KeysValues | None] | None = None
    project: Callable[[Site, QKV], QKV] | None = None
    attend: Callable[[Site, QKV], Tensor] | None = None


@contextmanager
def edited(model: nn.Module, edit: Edit) -> Iterator[tuple[Site, ...]]:
    """Apply `edit` to `model` inside the block and yield the chosen sites; afterwards the stock processors are back,
    also after an error and when a generator that holds the block is closed.

    Blocks nest: `tokens` and `project` of the outer block come first, and one of them may `recall`, one `attend`.
    With gradient checkpointing call `backward` inside the block, because it runs the forward pass again.
    Raises `ValueError`, before anything is changed, for a site that this module cannot reproduce exactly.
    """
    layer = dataclasses.replace(edit)  # its identity tells this block from another with the same edit
    chosen = [(site, module) for site, module in attention_modules(model) if edit.where(site)]
    for site, module in chosen:
        _check(site, module, edit)
    opened = [(module, _opened(site, module)) for site, module in chosen]
    for _, processor in opened:
        processor.edits.append(layer)
    try:
        yield tuple(site for site, _ in chosen)
    finally:
        for module, processor in opened:
            processor.edits.remove(layer)
            if not processor.edits:
                module.set_processor(processor.stock)


def recalling(model: nn.Module, text: Tensor) -> Edit:
    """An edit for many calls with the same text: the cross sites' keys and values of it are computed here, once.

    text: (batch, tokens, channels) as the sites get it, (1, ...) for any batch. What later calls pass as text is not
    looked at, while their mask is. Changes nothing beyond the rounding of other batch sizes.
    """
    known = {site: _keys_values(attn, text) for site, attn in attention_modules(model) if site.kind == "cross"}
    return Edit(known.__contains__, recall=known.get)


class _Processor:
    """The open site: a stock processor's steps with the edits' hooks between them."""

    def __init__(self, site: Site, stock: Any) -> None:
        self.site = site
        self.stock = stock
        self.edits: list[Edit] = []

    def tokens(self, hidden: Tensor) -> tuple[Tensor, Restore]:
        restores: list[Restore] = []
        for edit in self.edits:
            if edit.tokens:
                hidden, restore = edit.tokens(self.site, hidden)
                restores.append(restore)

        def restored(out: Tensor) -> Tensor:
            for restore in reversed(restores):
                out = restore(out)
            return out

        return hidden, restored

    def recalled(self, rows: int) -> KeysValues | None:
        for edit in self.edits:
            if edit.recall and (known := edit.recall(self.site)):
                k, v = (x.expand(rows, -1, -1, -1) for x in known)  # fused kernels want equal batches
                return k, v
        return None

    def attended(self, qkv: QKV) -> Tensor:
        for edit in self.edits:
            if edit.project:
                qkv = edit.project(self.site, qkv)
        for edit in self.edits:
            if edit.attend:
                return edit.attend(self.site, qkv)
        return self.kernel(qkv)

    def kernel(self, qkv: QKV) -> Tensor:
        return attend(qkv)


class _OpenAttention(_Processor):
    """diffusers' `AttnProcessor2_0`, as U-Nets and PixArt use it."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        hidden, restore = self.tokens(hidden_states)
        context = hidden if encoder_hidden_states is None else encoder_hidden_states
        q = _split(attn.to_q(hidden), attn)
        q = q if attn.norm_q is None else attn.norm_q(q)
        k, v = self.recalled(len(q)) or _keys_values(attn, context)
        bias = attention_mask
        if bias is not None:
            batch, length = context.shape[:2]
            bias = attn.prepare_attention_mask(bias, length, batch).unflatten(0, (batch, attn.heads))
        out = self.attended(QKV(q, k, v, bias)).transpose(1, 2).flatten(2).to(q.dtype)
        return restore(attn.to_out[1](attn.to_out[0](out)))


class _OpenFluxAttention(_Processor):
    """diffusers' `FluxAttnProcessor`: text and image tokens attend jointly, with rotary positions."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        q, k, v = (_heads(to(hidden_states), attn) for to in (attn.to_q, attn.to_k, attn.to_v))
        q, k = attn.norm_q(q), attn.norm_k(k)
        if encoder_hidden_states is not None:
            to_text = attn.add_q_proj, attn.add_k_proj, attn.add_v_proj
            text_q, text_k, text_v = (_heads(to(encoder_hidden_states), attn) for to in to_text)
            q = torch.cat([attn.norm_added_q(text_q), q], dim=1)
            k = torch.cat([attn.norm_added_k(text_k), k], dim=1)
            v = torch.cat([text_v, v], dim=1)
        if image_rotary_emb is not None:
            q, k = (apply_rotary_emb(x, image_rotary_emb, sequence_dim=1) for x in (q, k))
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        out = self.attended(QKV(q, k, v, attention_mask)).transpose(1, 2).flatten(2).to(q.dtype)
        if encoder_hidden_states is None:
            return out  # single blocks project later, together with their MLP
        text = encoder_hidden_states.shape[1]
        image = attn.to_out[1](attn.to_out[0](out[:, text:].contiguous()))
        return image, attn.to_add_out(out[:, :text].contiguous())

    def kernel(self, qkv: QKV) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (qkv.q, qkv.k, qkv.v))
        out: Tensor = dispatch_attention_fn(
            q,
            k,
            v,
            attn_mask=qkv.bias,
            backend=self.stock._attention_backend,
            parallel_config=self.stock._parallel_config,
        )
        return out.transpose(1, 2)


_OPEN: dict[type, type[_Processor]] = {
    AttnProcessor2_0: _OpenAttention,
    FluxAttnProcessor: _OpenFluxAttention,
}
_PLAIN = {  # what stock processors handle beyond the attention of U-Nets, PixArt and FLUX
    "fused_projections": False,
    "group_norm": None,
    "spatial_norm": None,
    "norm_cross": None,
    "residual_connection": False,
    "rescale_output_factor": 1.0,
}


def _split(tokens: Any, attn: Any) -> Any:
    return tokens.unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # (batch, heads, tokens, head_dim)


def _keys_values(attn: Any, context: Tensor) -> KeysValues:
    k, v = _split(attn.to_k(context), attn), _split(attn.to_v(context), attn)
    return (k if attn.norm_k is None else attn.norm_k(k)), v


def _heads(tokens: Tensor, attn: Any) -> Tensor:
    return tokens.view(*tokens.shape[:2], -1, attn.head_dim)  # (batch, tokens, heads, head_dim)


def _opened(site: Site, module: Any) -> _Processor:
    if not isinstance(module.processor, _Processor):
        module.set_processor(_OPEN[type(module.processor)](site, module.processor))
    processor: _Processor = module.processor
    return processor


def _check(site: Site, module: Any, edit: Edit) -> None:
    processor = module.processor
    inner = processor.stock if isinstance(processor, _Processor) else processor
    if type(inner) not in _OPEN:
        known = " or ".join(kind.__name__ for kind in _OPEN)
        raise ValueError(f"{site.name} runs {type(inner).__name__}; edits need the stock {known}.")
    unusual = [name for name, plain in _PLAIN.items() if getattr(module, name, plain) != plain]
    if unusual:
        raise ValueError(f"{site.name} uses {unusual[0]}, which an edit would not reproduce; leave it out.")
    if edit.tokens and site.kind == "joint":
        raise ValueError(f"{site.name} has rotary positions; use `tokens` on self and cross sites only.")
    if edit.recall and site.kind == "joint":
        raise ValueError(f"{site.name} makes keys of text and image together; use `recall` on self and cross sites.")
    outer = processor.edits if isinstance(processor, _Processor) else []
    for hook in ("attend", "recall"):
        if getattr(edit, hook) and any(getattr(e, hook) for e in outer):
            raise ValueError(f"Two nested edits both replace `{hook}` at {site.name}; combine them into one.")
