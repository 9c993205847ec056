"""FLUX that sees conditions (section 3.1): one sequence of text, noisy tokens, foreground and background.

`conditioned(transformer)` turns a loaded FLUX into a `ConditionedFlux` by exchanging classes, not weights, and
back again, so one copy serves every method. Without conditions it computes what the stock class computes.
"""

from __future__ import annotations

import types
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.transformers.transformer_flux import FluxSingleTransformerBlock, FluxTransformerBlock
from torch import Tensor, nn

from models.dreamfuse.blocks import ConditionedBlock, ConditionedSingleBlock, TwoTimes
from models.dreamfuse.joint import rope
from models.dreamfuse.mask_tokens import GRID, MaskTokens
from models.dreamfuse.placement import grid_ids


@dataclass(frozen=True, eq=False)
class Conditions:
    """What a forward call sees besides noise and text.

    `latents` (B, nS, C) are n packed condition pictures of S tokens each behind one another: foreground, then
    background. `tags` (1 + n, D) are added to the noisy tokens (row 0) and to each picture's (rows 1, 2, ..);
    None adds nothing. `placed_mask` (B, 1, h, w) goes with `mask_tokens` in the mask-tokenizer variant only.
    `cache` holds what no denoising step changes: give one dict per run, None while training.
    """

    latents: Tensor
    tags: Tensor | None = None
    mask_tokens: MaskTokens | None = None
    placed_mask: Tensor | None = None
    cache: dict[Hashable, Any] | None = field(default=None)

    def once(self, key: Hashable, compute: Any) -> Any:
        """`compute()`, kept in the cache if there is one."""
        if self.cache is None:
            return compute()
        if key not in self.cache:
            self.cache[key] = compute()
        return self.cache[key]


class ConditionedFlux(FluxTransformer2DModel):  # type: ignore[misc]
    """FLUX with two modulations and image tags; the same weights and keys as its parent."""

    def forward(
        self, hidden_states: Tensor, *arguments: Any, conditions: Conditions | None = None, **named: Any
    ) -> Any:
        """The stock call, plus `conditions`.

        With conditions, `hidden_states` (B, S, C) are the noisy tokens and `img_ids` those of
        `[noisy | foreground | background]`, float32 (3S, 3), or (B, 3S, 3) for a placement per sample; the
        output has the noisy tokens only. `timestep` (B,) lies in 0..1.
        """
        if conditions is None:
            return super().forward(hidden_states, *arguments, **named)
        return self._conditioned(hidden_states, conditions, *arguments, **named)

    def _conditioned(
        self,
        hidden_states: Tensor,
        conditions: Conditions,
        encoder_hidden_states: Tensor,
        pooled_projections: Tensor,
        timestep: Tensor,
        img_ids: Tensor,
        txt_ids: Tensor,
        guidance: Tensor | None = None,
        joint_attention_kwargs: dict[str, Any] | None = None,
        return_dict: bool = True,
    ) -> Any:
        count = hidden_states.shape[1]
        noisy = self.x_embedder(hidden_states)
        if conditions.tags is not None:
            noisy = noisy + conditions.tags[0].to(noisy.dtype)
        hidden, extra_text = conditions.once("embedded", lambda: self._embedded(conditions, count))
        hidden = torch.cat([noisy, hidden], dim=1)
        text = self.context_embedder(encoder_hidden_states)
        if extra_text is not None:
            text = torch.cat([text, extra_text], dim=1)
        times = TwoTimes(
            self._time(timestep, guidance, pooled_projections),
            conditions.once("still", lambda: self._time(0 * timestep, guidance, pooled_projections)),
            count,
            conditions.cache,
        )
        table = conditions.once("rope", lambda: rope(self.pos_embed, _all_ids(txt_ids, img_ids, conditions)))
        for block, temb in self._blocks_with(times):
            text, hidden = self._through(block, hidden, text, temb, table, joint_attention_kwargs)
        sample = self.proj_out(self.norm_out(hidden[:, :count], times.noisy))
        return Transformer2DModelOutput(sample=sample) if return_dict else (sample,)

    def _embedded(self, conditions: Conditions, count: int) -> tuple[Tensor, Tensor | None]:
        """The conditions' tokens with their tags, and the mask tokens, which ask the untagged foreground."""
        embedded = self.x_embedder(conditions.latents)
        extra = None
        if conditions.mask_tokens is not None:
            extra = conditions.mask_tokens(conditions.placed_mask, embedded[:, :count])
        if conditions.tags is not None:
            rows = conditions.tags[1 : 1 + embedded.shape[1] // count].to(embedded.dtype)
            embedded = embedded + rows.repeat_interleave(count, dim=0)
        return embedded, extra

    def _time(self, timestep: Tensor, guidance: Tensor | None, pooled: Tensor) -> Tensor:
        """The modulation vector (B, D) of a time in 0..1, with the guidance and the pooled prompt."""
        dtype = pooled.dtype  # as in the stock forward: 1000 t is rounded in the model's own precision
        vectors = [timestep.to(dtype) * 1000]
        if guidance is not None:
            vectors.append(guidance.to(dtype) * 1000)
        embedded: Tensor = self.time_text_embed(*vectors, pooled)
        return embedded

    def _blocks_with(self, times: TwoTimes) -> Iterator[tuple[nn.Module, TwoTimes]]:
        blocks = [*self.transformer_blocks, *self.single_transformer_blocks]
        for index, block in enumerate(blocks):
            yield block, replace(times, last=index == len(blocks) - 1)

    def _through(self, block: nn.Module, *arguments: Any) -> Any:
        if torch.is_grad_enabled() and self.gradient_checkpointing:
            return self._gradient_checkpointing_func(block, *arguments)
        return block(*arguments)


def _all_ids(text: Tensor, image: Tensor, conditions: Conditions) -> Tensor:
    """Ids of the whole sequence in float32, with those of the mask tokens behind the text's."""
    text = text.float()
    if conditions.mask_tokens is not None:
        text = torch.cat([text, grid_ids(GRID, GRID).to(text.device)])
    if image.ndim == 3:
        text = text.expand(len(image), *text.shape)
    return torch.cat([text, image.float()], dim=-2)


CLASSES: dict[type[nn.Module], type[nn.Module]] = {
    FluxTransformer2DModel: ConditionedFlux,
    FluxTransformerBlock: ConditionedBlock,
    FluxSingleTransformerBlock: ConditionedSingleBlock,
}


@contextmanager
def conditioned(transformer: Any) -> Iterator[ConditionedFlux]:
    """`transformer` as a `ConditionedFlux` while the context lasts; its weights, hooks and adapters stay."""
    with ExitStack() as undo:
        for module in (transformer, *transformer.transformer_blocks, *transformer.single_transformer_blocks):
            undo.callback(_become, module, type(module))
            _become(module, CLASSES.get(type(module), type(module)))
        assert isinstance(transformer, ConditionedFlux)
        yield transformer


def _become(module: Any, kind: type[nn.Module]) -> None:
    """Give a module another class of the same layout, also beneath accelerate's hook, which keeps `forward`."""
    module.__class__ = kind
    if "_old_forward" in vars(module):
        module._old_forward = types.MethodType(kind.forward, module)
    elif "forward" in vars(module):
        raise RuntimeError(f"{kind.__name__} cannot be conditioned beneath this hook; remove the hook first.")
