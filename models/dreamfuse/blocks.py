"""FLUX's two blocks with two modulations (section 3.1): the noisy part at its time, the conditions at time 0.

The streams are those of the stock blocks: text, and `[noisy | conditions]`. Weights and attention are the
stock ones; only `forward` differs. With an ordinary `temb` tensor the blocks are the stock blocks.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.transformers.transformer_flux import (
    FluxAttnProcessor,
    FluxSingleTransformerBlock,
    FluxTransformerBlock,
)
from torch import Tensor

from models.dreamfuse.joint import Rope, attend


@dataclass(frozen=True, eq=False)
class TwoTimes:
    """What a block gets for `temb`: the vectors (B, D) of both times, and how many tokens are noisy.

    `cache` keeps each block's modulation of the conditions, which no step changes; None while training.
    `last` tells the model's last block that nobody reads anything but the noisy tokens.
    """

    noisy: Tensor
    conditions: Tensor
    tokens: int
    cache: dict[Hashable, Any] | None = None
    last: bool = False

    def modulate(self, norm: Any, parts: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The shifts, scales and gates (B, 1, D) of an AdaLN layer for the noisy part and for the conditions."""
        if self.cache is None:
            return _modulation(norm, self.noisy, parts), _modulation(norm, self.conditions, parts)
        if norm not in self.cache:
            self.cache[norm] = _modulation(norm, self.conditions, parts)
        return _modulation(norm, self.noisy, parts), self.cache[norm]


def _modulation(norm: Any, temb: Tensor, parts: int) -> tuple[Tensor, ...]:
    return tuple(norm.linear(norm.silu(temb))[:, None].chunk(parts, dim=2))


def _slicewise(x: Tensor, at: int, first: Tensor, second: Tensor) -> Tensor:
    """x (B, S, D) times `first` (B, 1, D) up to token `at`, times `second` from there on."""
    return torch.cat([x[:, :at] * first, x[:, at:] * second], dim=1)


def _shifted(x: Tensor, at: int, first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> Tensor:
    """x (B, S, D) scaled and shifted by (shift, scale), each (B, 1, D), on both sides of token `at`."""
    halves = ((x[:, :at], first), (x[:, at:], second))
    return torch.cat([half * (1 + scale) + shift for half, (shift, scale) in halves], dim=1)


class ConditionedBlock(FluxTransformerBlock):  # type: ignore[misc]
    """The double-stream block. Conditions use the image branch's weights with the modulation of time 0."""

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        temb: Tensor | TwoTimes,
        image_rotary_emb: Rope | None = None,
        joint_attention_kwargs: dict[str, Any] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Text (B, T, D) and `[noisy | conditions]` (B, N, D) in; the same two out, text first."""
        if not isinstance(temb, TwoTimes):
            out: tuple[Tensor, Tensor] = super().forward(
                hidden_states, encoder_hidden_states, temb, image_rotary_emb, joint_attention_kwargs
            )
            return out
        at = temb.tokens
        main, still = temb.modulate(self.norm1, 6)
        context, text_gate, text_shift, text_scale, text_gate_mlp = self.norm1_context(
            encoder_hidden_states, emb=temb.noisy
        )
        attended, text_attended = attend(
            self.attn,
            _shifted(self.norm1.norm(hidden_states), at, main[:2], still[:2]),
            context,
            image_rotary_emb,
            **(joint_attention_kwargs or {}),
        )
        hidden_states = hidden_states + _slicewise(attended, at, main[2], still[2])
        hidden_states = hidden_states + _slicewise(
            self.ff(_shifted(self.norm2(hidden_states), at, main[3:5], still[3:5])), at, main[5], still[5]
        )
        text = encoder_hidden_states + text_gate[:, None] * text_attended
        context = self.norm2_context(text) * (1 + text_scale[:, None]) + text_shift[:, None]
        return _finite(text + text_gate_mlp[:, None] * self.ff_context(context)), hidden_states


class ConditionedSingleBlock(FluxSingleTransformerBlock):  # type: ignore[misc]
    """The single-stream block: `[text, noisy]` with the running time, the conditions with time 0."""

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        temb: Tensor | TwoTimes,
        image_rotary_emb: Rope | None = None,
        joint_attention_kwargs: dict[str, Any] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Text (B, T, D) and `[noisy | conditions]` (B, N, D) in; the same two out, text first.

        The last block returns the noisy tokens alone: as queries the others would not change them.
        """
        if not isinstance(temb, TwoTimes):
            out: tuple[Tensor, Tensor] = super().forward(
                hidden_states, encoder_hidden_states, temb, image_rotary_emb, joint_attention_kwargs
            )
            return out
        text, at = encoder_hidden_states.shape[1], encoder_hidden_states.shape[1] + temb.tokens
        main, still = temb.modulate(self.norm, 3)
        joined = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        normed = _shifted(self.norm.norm(joined), at, main[:2], still[:2])
        # An edited processor may want to see every query.
        only = slice(text, at) if temb.last and type(self.attn.processor) is FluxAttnProcessor else None
        attended = attend(self.attn, normed, None, image_rotary_emb, only, **(joint_attention_kwargs or {}))
        if only is not None:
            update = self._update(attended, normed[:, only])
            return encoder_hidden_states, _finite(hidden_states[:, : temb.tokens] + main[2] * update)
        joined = _finite(joined + _slicewise(self._update(attended, normed), at, main[2], still[2]))
        return joined[:, :text], joined[:, text:]

    def _update(self, attended: Tensor, normed: Tensor) -> Tensor:
        mlp = self.act_mlp(self.proj_mlp(normed))
        update: Tensor = self.proj_out(torch.cat([attended, mlp], dim=2))
        return update


def _finite(x: Tensor) -> Tensor:
    return x.clip(-65504, 65504) if x.dtype == torch.float16 else x
