"""The reference adapter is the attention that the paper draws, and its short cuts change nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.cat.adapter import RefAdapter, VisualPrompt


def adapter(index: int = 0) -> RefAdapter:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = RefAdapter(12, heads=3, context_dim=5, index=index).requires_grad_(False)
        made.norm.weight.uniform_(0.5, 2)
        made.norm.bias.normal_()
    return made


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_hand(a: RefAdapter, x: Tensor, prompt: Tensor) -> Tensor:
    """Layer norm, attention of each head and the output layer in double precision, written out."""
    w = {name: p.double() for name, p in a.named_parameters()}
    x, prompt = x.double(), prompt.double()
    normed = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    q = (normed * w["norm.weight"] + w["norm.bias"]) @ w["to_q.weight"].T
    k, v = prompt @ w["to_k.weight"].T, prompt @ w["to_v.weight"].T
    heads = []
    for h in range(a.heads):
        part = slice(h * 4, h * 4 + 4)
        logits = q[..., part] @ k[..., part].transpose(-1, -2) / math.sqrt(4)
        heads.append(logits.softmax(-1) @ v[..., part])
    return x + torch.cat(heads, -1) @ w["to_out.0.weight"].T + w["to_out.0.bias"]


def test_adapter_is_a_residual_cross_attention_without_a_gate() -> None:
    a, x, prompt = adapter(), tokens(2, 7, 12), tokens(2, 4, 5, seed=1)
    torch.testing.assert_close(a(x, prompt).double(), by_hand(a, x, prompt), atol=1e-5, rtol=0)
    assert (a(x, prompt) - x).abs().max() > 0.1


def test_layers_have_the_published_names_and_biases() -> None:
    names = ["norm.weight", "norm.bias", "to_q.weight", "to_k.weight", "to_v.weight"]
    assert list(adapter().state_dict()) == [*names, "to_out.0.weight", "to_out.0.bias"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_zero_prompt_adds_the_output_bias_and_nothing_else(dtype: torch.dtype) -> None:
    a, x = adapter().to(dtype), tokens(2, 7, 12).to(dtype)
    expected = x + a.to_out[0].bias
    assert torch.equal(a(x, torch.zeros(2, 4, 5, dtype=dtype)), expected)
    assert torch.equal(a(x, VisualPrompt((), unconditional=2)), expected)


def test_an_output_layer_of_zeros_is_the_identity() -> None:
    a, x = adapter(), tokens(2, 7, 12)
    for parameter in a.to_out.parameters():
        parameter.zero_()
    assert torch.equal(a(x, 100 * tokens(2, 4, 5)), x)


@pytest.mark.parametrize("unconditional", [0, 1, 3])
def test_keys_computed_before_and_rows_without_attention_change_nothing(unconditional: int) -> None:
    a, x, prompt = adapter(index=1), tokens(3, 7, 12), tokens(3, 4, 5, seed=1)
    prompt[:unconditional] = 0
    kept = a.keys_values(prompt[unconditional:])
    assert kept[0].shape == (3 - unconditional, 3, 4, 4)
    calls: list[object] = []
    for layer in (a.to_k, a.to_v):
        layer.register_forward_hook(lambda *_: calls.append(0))
    full = a(x, prompt)
    assert len(calls) == 2
    other = adapter(index=0).keys_values(tokens(3, 4, 5, seed=2))  # entries of other adapters are not looked at
    short = a(x, VisualPrompt((other, kept), unconditional))
    assert len(calls) == 2
    torch.testing.assert_close(short, full, atol=1e-6, rtol=0)


def test_unconditional_rows_attend_to_nothing() -> None:
    a, x = adapter(), tokens(3, 7, 12)
    asked: list[Tensor] = []
    a.to_q.register_forward_pre_hook(lambda _, given: asked.append(given[0]))
    a(x, VisualPrompt((a.keys_values(tokens(1, 4, 5)),), unconditional=2))
    assert [len(given) for given in asked] == [1]


def test_one_prompt_serves_several_pictures() -> None:
    a, x, prompt = adapter(), tokens(3, 7, 12), tokens(1, 4, 5, seed=1)
    expected = a(x, prompt.expand(3, -1, -1))
    for ref in (prompt, VisualPrompt((a.keys_values(prompt),))):
        torch.testing.assert_close(a(x, ref), expected, atol=1e-6, rtol=0)


def test_strength_scales_what_is_added_to_the_conditional_rows() -> None:
    a, x, prompt = adapter(), tokens(2, 7, 12), tokens(1, 4, 5, seed=1)
    kept = (a.keys_values(prompt),)
    full, half = (a(x, VisualPrompt(kept, 1, strength)) for strength in (1.0, 0.5))
    assert torch.equal(half[0], full[0])
    torch.testing.assert_close(half[1] - x[1], 0.5 * (full[1] - x[1]), atol=1e-6, rtol=0)
    assert torch.equal(a(x, VisualPrompt(kept, 0, 0.0)), x)
