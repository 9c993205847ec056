"""What the methods do inside attention equals probabilities written out by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention import QKV, Edit, Site, attend, edited, sites
from tests import tiny

replace = dataclasses.replace


def difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


class Seen:
    """What one attention module took and gave in its last call, and the projections by hand."""

    def __init__(self, model: nn.Module, name: str) -> None:
        self.module: Any = model.get_submodule(name)
        self.module.register_forward_hook(self._look, with_kwargs=True)

    def _look(self, module: nn.Module, args: Any, kwargs: dict[str, Any], out: Tensor) -> None:
        self.hidden, self.out = args[0], out
        context = kwargs.get("encoder_hidden_states")
        self.context = self.hidden if context is None else context
        self.mask = kwargs.get("attention_mask")

    def heads(self, letter: str, tokens: Tensor) -> Tensor:
        weight, bias = (getattr(getattr(self.module, f"to_{letter}"), part) for part in ("weight", "bias"))
        projected = tokens @ weight.T + (0 if bias is None else bias)
        return torch.stack(projected.chunk(self.module.heads, dim=-1), dim=1)

    def qkv(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.heads("q", self.hidden), self.heads("k", self.context), self.heads("v", self.context)

    def logits(self, q: Tensor, k: Tensor) -> Tensor:
        mask = 0 if self.mask is None else self.mask[:, None]
        return torch.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(q.shape[-1]) + mask

    def result(self, probabilities: Tensor, v: Tensor) -> Tensor:
        out = torch.einsum("bhqk,bhkd->bhqd", probabilities, v)
        return self.module.to_out[0](torch.cat(out.unbind(1), dim=-1))


def draw(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(5))


def test_a_bias_per_pixel_and_token_enters_before_the_softmax() -> None:
    """Collage's rule: one row of the batch, listed tokens, in units of each token's largest logit."""
    model, tokens, region = tiny.unet(), [2, 3], draw(64, 1) - 0.5
    name = sites(model)[1].name

    def harmonise(site: Site, qkv: QKV) -> QKV:
        logits = qkv.q[1:] @ qkv.k[1:, :, tokens].mT / math.sqrt(qkv.q.shape[-1])
        bias = torch.zeros(2, 1, 64, tiny.TEXT_TOKENS)
        bias[1:, 0, :, tokens] = 5 * logits.amax((1, 2))[:, None] * region
        return qkv.plus_bias(bias)

    seen = Seen(model, name)
    with edited(model, Edit(lambda site: site.name == name, project=harmonise)):
        tiny.output(model)
    q, k, v = seen.qkv()
    logits = seen.logits(q, k)
    stock = seen.result(logits.softmax(-1), v)
    for token in tokens:
        logits[1, :, :, token] += 5 * logits[1, :, :, token].max() * region[:, 0]
    torch.testing.assert_close(seen.out, seen.result(logits.softmax(-1), v), atol=1e-6, rtol=1e-5)
    assert difference(seen.out[0], stock[0]) < 1e-6 < 1e-4 < difference(seen.out[1], stock[1])


def prompt_to_prompt() -> tuple[Seen, Callable[[Edit], None]]:
    """PixArt on [source, unconditional, target]; the second and third row mask their padding."""
    model = tiny.pixart()
    seen = Seen(model, sites(model)[3].name)

    def run(edit: Edit) -> None:
        with edited(model, replace(edit, where=lambda site: site.order == 3)):
            model(**tiny.inputs(model, batch=3))

    return seen, run


def test_replacing_the_maps_folds_into_values() -> None:
    """Prompt-to-prompt's word swap A_s M V_t is the stock kernel on (Q_s, K_s, M V_t)."""
    mapping = draw(tiny.TEXT_TOKENS, tiny.TEXT_TOKENS)
    seen, run = prompt_to_prompt()

    def swap(site: Site, qkv: QKV) -> QKV:
        rows = torch.tensor([0, 1, 0])
        values = torch.cat([qkv.v[:2], mapping @ qkv.v[2:]])
        assert qkv.bias is not None
        return QKV(qkv.q[rows], qkv.k[rows], values, qkv.bias[rows])

    run(Edit(project=swap))
    q, k, v = seen.qkv()
    maps = seen.logits(q, k).softmax(-1)
    stock = seen.result(maps, v)
    maps[2] = maps[0] @ mapping
    torch.testing.assert_close(seen.out, seen.result(maps, v), atol=1e-6, rtol=1e-5)
    assert difference(seen.out[2], stock[2]) > 1e-2


def test_mixing_source_and_target_maps_is_two_kernels() -> None:
    """Prompt-to-prompt's refinement: words that both prompts have follow the source, new words the target."""
    alignment = torch.tensor([0, 1, 0, 2, 3, 4, 5])
    shared = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    seen, run = prompt_to_prompt()

    def refine(site: Site, qkv: QKV) -> Tensor:
        out, source = attend(qkv), slice(0, 1)
        assert qkv.bias is not None
        taken = torch.zeros(tiny.TEXT_TOKENS, tiny.TEXT_TOKENS)
        taken[alignment, torch.arange(tiny.TEXT_TOKENS)] = shared
        from_source = QKV(qkv.q[source], qkv.k[source], taken @ qkv.v[2:], qkv.bias[source])
        of_target = QKV(qkv.q[2:], qkv.k[2:], (1 - shared)[:, None] * qkv.v[2:], qkv.bias[2:])
        return torch.cat([out[:2], attend(from_source) + attend(of_target)])

    run(Edit(attend=refine))
    q, k, v = seen.qkv()
    maps = seen.logits(q, k).softmax(-1)
    maps[2] = maps[0][..., alignment] * shared + maps[2] * (1 - shared)
    torch.testing.assert_close(seen.out, seen.result(maps, v), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("family", ["unet", "pixart"])
@pytest.mark.parametrize("swapped", ["kv", "qk", "qkv"])
def test_rows_can_share_queries_keys_and_values(family: str, swapped: str) -> None:
    """Mutual self-attention (kv), structure from the source (qk) and a frozen layout (qkv)."""
    model = tiny.FAMILIES[family]()
    first = sites(model)[0].name
    seen = Seen(model, first)

    def swap(site: Site, qkv: QKV) -> QKV:
        return replace(qkv, **{letter: getattr(qkv, letter)[[0, 0]] for letter in swapped})

    with edited(model, Edit(lambda site: site.name == first, project=swap)):
        tiny.output(model)
    q, k, v = (x[[0, 0]] if letter in swapped else x for letter, x in zip("qkv", seen.qkv(), strict=True))
    expected = seen.result(seen.logits(q, k).softmax(-1), v)
    torch.testing.assert_close(seen.out, expected, atol=1e-6, rtol=1e-5)
    assert difference(seen.out[0], seen.out[1]) > 1e-3 or swapped == "qkv"


def test_a_bias_of_ln_n_on_text_keys_is_text_repeated_n_times() -> None:
    model = tiny.flux()
    inputs = tiny.inputs(model)
    repeated = {
        "encoder_hidden_states": inputs["encoder_hidden_states"].repeat(1, 3, 1),
        "txt_ids": inputs["txt_ids"].repeat(3, 1),
    }
    bias = torch.zeros(tiny.TEXT_TOKENS + 16)
    bias[: tiny.TEXT_TOKENS] = math.log(3)
    with edited(model, Edit(project=lambda site, qkv: qkv.plus_bias(bias))):
        biased = tiny.output(model)
    torch.testing.assert_close(biased, tiny.output(model, **repeated), atol=1e-5, rtol=1e-5)
    assert difference(biased, tiny.output(model)) > 1e-3


def merge_pairs(count: int) -> Edit:
    """Average the first `count` pairs of neighbouring tokens; every member gets the pair's result back."""

    def tokens(site: Site, hidden: Tensor) -> tuple[Tensor, Any]:
        paired, kept = hidden[:, : 2 * count], hidden[:, 2 * count :]
        merged = torch.cat([paired.unflatten(1, (count, 2)).mean(2), kept], dim=1)

        def restore(out: Tensor) -> Tensor:
            return torch.cat([out[:, :count].repeat_interleave(2, dim=1), out[:, count:]], dim=1)

        return merged, restore

    return Edit(lambda site: site.kind == "self", tokens=tokens)


@pytest.mark.parametrize("family", ["unet", "pixart"])
def test_merged_tokens_attend_as_a_shorter_sequence(family: str) -> None:
    model = tiny.FAMILIES[family]()
    seen = Seen(model, sites(model)[0].name)
    with edited(model, merge_pairs(5)):
        tiny.output(model)
    full = seen.hidden
    groups = torch.cat([torch.arange(5).repeat_interleave(2), torch.arange(5, full.shape[1] - 5)])
    average = nn.functional.one_hot(groups).float()
    seen.hidden = seen.context = (average / average.sum(0)).T @ full
    q, k, v = seen.qkv()
    expected = seen.result(seen.logits(q, k).softmax(-1), v)[:, groups]
    torch.testing.assert_close(seen.out, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("family", ["unet", "pixart"])
def test_merging_nothing_is_stock_bit_for_bit(family: str) -> None:
    model = tiny.FAMILIES[family]()
    stock = tiny.output(model)
    with edited(model, merge_pairs(0)):
        assert difference(tiny.output(model), stock) == 0.0
    with edited(model, merge_pairs(2)):
        assert difference(tiny.output(model), stock) > 1e-4


def test_nested_merges_undo_the_inner_one_first() -> None:
    model, outer, inner = tiny.pixart(), merge_pairs(4), merge_pairs(2)

    def tokens(site: Site, hidden: Tensor) -> tuple[Tensor, Any]:
        assert outer.tokens is not None
        assert inner.tokens is not None
        shorter, restore = outer.tokens(site, hidden)
        shortest, restore_shorter = inner.tokens(site, shorter)
        return shortest, lambda out: restore(restore_shorter(out))

    with edited(model, Edit(outer.where, tokens=tokens)):
        at_once = tiny.output(model)
    with edited(model, outer), edited(model, inner):
        assert difference(tiny.output(model), at_once) == 0.0
