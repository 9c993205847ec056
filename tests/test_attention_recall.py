"""Keys and values of a text computed once: the same output, and projections that are not run again."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention import Edit, edited, recalling, sites
from models.sites import attention_modules
from tests import tiny

FAMILIES = pytest.mark.parametrize("family", ["unet", "pixart"])


def cross_text(model: nn.Module) -> Tensor:
    """The text as the cross sites get it in `tiny.output`."""
    seen: list[Tensor] = []
    module = next(module for site, module in attention_modules(model) if site.kind == "cross")

    def look(_: nn.Module, __: Any, named: dict[str, Any]) -> None:
        seen.append(named["encoder_hidden_states"])

    handle = module.register_forward_pre_hook(look, with_kwargs=True)
    tiny.output(model)
    handle.remove()
    return seen[0]


def count_projections(model: nn.Module) -> dict[str, int]:
    """How often each kind of site ran `to_k` or `to_v`; counts on."""
    counts = {"self": 0, "cross": 0}
    for site, module in attention_modules(model):
        for layer in (module.to_k, module.to_v):

            def called(*_: Any, kind: str = site.kind) -> None:
                counts[kind] += 1

            layer.register_forward_hook(called)
    return counts


@FAMILIES
def test_text_computed_once_is_stock_bit_for_bit_at_every_call(family: str) -> None:
    model = tiny.FAMILIES[family]()
    text, stock = cross_text(model), tiny.output(model)
    crosses = sum(site.kind == "cross" for site in sites(model))
    counts = count_projections(model)
    edit = recalling(model, text)
    assert counts == {"self": 0, "cross": 2 * crosses}
    with edited(model, edit):
        for _ in range(3):
            assert torch.equal(tiny.output(model), stock)
    assert counts["cross"] == 2 * crosses
    assert counts["self"] > 0
    assert torch.equal(tiny.output(model), stock)
    assert counts["cross"] == 4 * crosses


def test_what_is_passed_as_text_is_not_looked_at() -> None:
    model = tiny.unet()
    stock = tiny.output(model)
    with edited(model, recalling(model, tiny.inputs(model)["encoder_hidden_states"])):
        changed = tiny.output(model, encoder_hidden_states=torch.full((2, tiny.TEXT_TOKENS, 12), torch.nan))
    assert torch.equal(changed, stock)


def test_norms_of_keys_are_kept() -> None:
    model = tiny.pixart()
    for _, module in attention_modules(model):
        module.norm_q, module.norm_k = nn.LayerNorm(8), nn.LayerNorm(8)
        nn.init.normal_(module.norm_k.weight)
    text, stock = cross_text(model), tiny.output(model)
    with edited(model, recalling(model, text)):
        assert torch.equal(tiny.output(model), stock)


def test_one_row_serves_the_batch() -> None:
    model = tiny.unet()
    text = tiny.inputs(model)["encoder_hidden_states"][:1]
    stock = tiny.output(model, encoder_hidden_states=text.expand(2, -1, -1))
    with edited(model, recalling(model, text)):
        torch.testing.assert_close(tiny.output(model), stock, atol=1e-5, rtol=0)


def test_other_edits_see_what_is_recalled() -> None:
    model = tiny.unet()
    text = tiny.inputs(model)["encoder_hidden_states"]
    louder = Edit(project=lambda site, qkv: dataclasses.replace(qkv, v=2 * qkv.v))
    with edited(model, louder):
        expected = tiny.output(model)
    with edited(model, recalling(model, text)), edited(model, louder):
        assert torch.equal(tiny.output(model), expected)
    with edited(model, louder), edited(model, recalling(model, text)):
        assert torch.equal(tiny.output(model), expected)


def test_stock_is_back_after_an_error_and_a_stop() -> None:
    model = tiny.unet()
    before, stock = dict(model.attn_processors), tiny.output(model)
    other = recalling(model, torch.ones(1, 3, 12))

    def job() -> Any:
        with edited(model, other):
            yield tiny.output(model)

    running = job()
    assert (next(running) - stock).abs().max() > 1e-3
    running.close()
    with pytest.raises(ZeroDivisionError), edited(model, other):
        raise ZeroDivisionError
    assert all(model.attn_processors[name] is processor for name, processor in before.items())
    assert torch.equal(tiny.output(model), stock)


def test_gradients_reach_the_text() -> None:
    model = tiny.unet().requires_grad_(True)

    def gradient(kept: bool) -> Tensor:
        given = tiny.inputs(model)
        text = given["encoder_hidden_states"].requires_grad_(True)
        edit = recalling(model, text) if kept else Edit()
        with edited(model, edit):
            (found,) = torch.autograd.grad(model(**given).sample.square().mean(), text)
        return found

    torch.testing.assert_close(gradient(True), gradient(False), atol=1e-7, rtol=1e-4)


def test_two_memories_at_one_site_and_joint_sites_are_refused() -> None:
    model = tiny.unet()
    edit = recalling(model, torch.ones(1, 3, 12))
    with edited(model, edit):
        with pytest.raises(ValueError, match="both replace `recall` at down_blocks.0.*attn2"):
            edited(model, edit).__enter__()
    with pytest.raises(ValueError, match="keys of text and image together"):
        edited(tiny.flux(), Edit(recall=lambda site: None)).__enter__()
