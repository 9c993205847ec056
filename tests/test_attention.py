"""Edited attention is stock where nothing is changed, exact where something is, and gone afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import SlicedAttnProcessor
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel, FluxTransformerBlock
from torch import Tensor, nn

from models.attention import QKV, Edit, Site, attend, edited, sites
from models.sites import attention_modules
from tests import tiny

FAMILIES = pytest.mark.parametrize("family", tiny.FAMILIES)
replace = dataclasses.replace


def louder(site: Site, qkv: QKV) -> QKV:
    return replace(qkv, v=2 * qkv.v)


def same_tokens(site: Site, hidden: Tensor) -> tuple[Tensor, Any]:
    return hidden, lambda out: out


def difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


# ---- laws


@FAMILIES
@pytest.mark.parametrize("hook", ["none", "tokens", "recall", "project", "attend"])
def test_an_edit_that_changes_nothing_is_stock_bit_for_bit(family: str, hook: str) -> None:
    model = tiny.FAMILIES[family]()
    stock = tiny.output(model)
    edit = {
        "none": Edit(),
        "tokens": Edit(lambda site: site.kind != "joint", tokens=same_tokens),
        "recall": Edit(lambda site: site.kind != "joint", recall=lambda site: None),
        "project": Edit(project=lambda site, qkv: qkv),
        "attend": Edit(attend=lambda site, qkv: attend(qkv)),
    }[hook]
    with edited(model, edit):
        assert difference(tiny.output(model), stock) == 0.0


@FAMILIES
def test_gradients_through_open_sites_are_stock_bit_for_bit(family: str) -> None:
    model = tiny.FAMILIES[family]().requires_grad_(True)

    def gradients() -> list[Tensor]:
        loss = model(**tiny.inputs(model)).sample.square().mean()
        return list(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, materialize_grads=True))

    stock = gradients()
    with edited(model, Edit()):
        assert max(difference(a, b) for a, b in zip(gradients(), stock, strict=True)) == 0.0


def test_query_and_key_norms_are_kept() -> None:
    model = tiny.pixart()
    for _, module in attention_modules(model):
        module.norm_q, module.norm_k = nn.LayerNorm(8), nn.LayerNorm(8)
    stock = tiny.output(model)
    with edited(model, Edit()):
        assert difference(tiny.output(model), stock) == 0.0


@FAMILIES
def test_sites_are_numbered_as_they_run(family: str) -> None:
    model = tiny.FAMILIES[family]()
    ran: list[str] = []
    for name, module in model.named_modules():
        if hasattr(module, "get_processor"):
            module.register_forward_pre_hook(lambda *_, name=name: ran.append(name))
    tiny.output(model)
    assert [site.name for site in sites(model)] == ran
    assert [site.order for site in sites(model)] == list(range(len(ran)))


def test_sites_know_their_kind() -> None:
    assert [site.kind for site in sites(tiny.unet())] == ["self", "cross"] * 4
    assert [site.kind for site in sites(tiny.pixart())] == ["self", "cross"] * 3
    assert {site.kind for site in sites(tiny.flux())} == {"joint"}
    assert [site.stream for site in sites(tiny.flux())] == ["double"] * 2 + ["single"] * 3


@FAMILIES
@pytest.mark.parametrize("end", ["success", "error", "stop"])
def test_stock_is_restored_after(family: str, end: str) -> None:
    model = tiny.FAMILIES[family]()
    processors, stock = dict(model.attn_processors), tiny.output(model)

    def job() -> Iterator[Tensor]:
        with edited(model, Edit(project=louder)):
            yield tiny.output(model)
            if end == "error":
                raise RuntimeError("half way")
            yield tiny.output(model)

    running = job()
    assert difference(next(running), stock) > 1e-3
    if end == "stop":
        running.close()
    elif end == "error":
        with pytest.raises(RuntimeError, match="half way"):
            next(running)
    else:
        list(running)
    assert all(model.attn_processors[name] is processor for name, processor in processors.items())
    assert difference(tiny.output(model), stock) == 0.0


@FAMILIES
def test_nested_edits_compose_and_leave_in_any_order(family: str) -> None:
    model = tiny.FAMILIES[family]()
    processors, stock = dict(model.attn_processors), tiny.output(model)
    shift = Edit(project=lambda site, qkv: replace(qkv, v=qkv.v + 1))
    with edited(model, Edit(project=lambda site, qkv: replace(qkv, v=2 * qkv.v + 1))):
        both = tiny.output(model)
    outer, inner = edited(model, Edit(project=louder)), edited(model, shift)
    outer.__enter__()
    inner.__enter__()
    assert difference(tiny.output(model), both) == 0.0
    outer.__exit__(None, None, None)
    with edited(model, shift):
        shifted_twice = tiny.output(model)
    inner.__exit__(None, None, None)
    with edited(model, Edit(project=lambda site, qkv: replace(qkv, v=qkv.v + 1 + 1))):
        assert difference(tiny.output(model), shifted_twice) < 1e-5
    assert all(model.attn_processors[name] is processor for name, processor in processors.items())
    assert difference(tiny.output(model), stock) == 0.0


def test_the_same_edit_can_be_applied_twice() -> None:
    model = tiny.unet()
    stock, edit = tiny.output(model), Edit(project=louder)
    shift = Edit(project=lambda site, qkv: replace(qkv, v=qkv.v + 1))
    with edited(model, edit):
        once = tiny.output(model)
    with edited(model, edit), edited(model, shift):
        louder_then_shifted = tiny.output(model)
        with edited(model, edit):
            assert difference(tiny.output(model), louder_then_shifted) > 1e-3
        assert difference(tiny.output(model), louder_then_shifted) == 0.0
    with edited(model, edit):
        assert difference(tiny.output(model), once) == 0.0
    assert difference(tiny.output(model), stock) == 0.0


def test_sites_that_are_not_chosen_keep_their_processors() -> None:
    model = tiny.unet()
    before = dict(model.attn_processors)
    with edited(model, Edit(lambda site: site.kind == "cross", project=louder)) as chosen:
        changed = {name for name, processor in model.attn_processors.items() if processor is not before[name]}
    assert changed == {f"{site.name}.processor" for site in chosen}
    assert len(chosen) == 4


def test_edits_work_on_a_flux_with_other_blocks() -> None:
    class Block(FluxTransformerBlock):
        pass

    class Flux(FluxTransformer2DModel):
        pass

    stock, model = tiny.flux(), tiny.flux()
    model.__class__ = Flux
    for block in model.transformer_blocks:
        block.__class__ = Block
    with edited(model, Edit(project=louder)), edited(stock, Edit(project=louder)):
        assert difference(tiny.output(model), tiny.output(stock)) == 0.0


# ---- refusals: nothing is installed where an edit would not be exact


def test_a_site_with_another_processor_is_refused_and_left_alone() -> None:
    model = tiny.unet()
    site = sites(model)[3]
    model.get_submodule(site.name).set_processor(SlicedAttnProcessor(1))
    before = dict(model.attn_processors)
    with pytest.raises(ValueError, match=f"{site.name} runs SlicedAttnProcessor"):
        edited(model, Edit()).__enter__()
    assert all(model.attn_processors[name] is processor for name, processor in before.items())
    with edited(model, Edit(lambda other: other.name != site.name)) as chosen:
        assert len(chosen) == 7


def test_attention_that_is_not_plain_is_refused() -> None:
    with_norms = tiny.unet(
        down_block_types=("AttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "AttnUpBlock2D")
    )
    with pytest.raises(ValueError, match="uses group_norm"):
        edited(with_norms, Edit()).__enter__()
    fused = tiny.flux()
    fused.transformer_blocks[1].attn.fuse_projections()
    with pytest.raises(ValueError, match=r"transformer_blocks.1.attn uses fused_projections"):
        edited(fused, Edit()).__enter__()


def test_tokens_are_refused_where_positions_are_rotary() -> None:
    with pytest.raises(ValueError, match="rotary positions"):
        edited(tiny.flux(), Edit(tokens=same_tokens)).__enter__()


def test_a_bias_joins_the_models_own_mask_or_is_refused() -> None:
    q, mask, bias = torch.ones(2, 1, 3, 4), torch.full((2, 1, 1, 3), -7.0), torch.rand(3, 3)
    qkv = QKV(q, q, q, mask).plus_bias(bias)
    assert qkv.bias is not None
    assert torch.equal(qkv.bias, (bias - 7).expand(2, 1, 3, 3))
    with pytest.raises(ValueError, match="mask that a bias cannot be added to"):
        QKV(q, q, q, mask > 0).plus_bias(bias)


def test_two_kernels_at_one_site_are_refused() -> None:
    model = tiny.unet()
    own = Edit(attend=lambda site, qkv: attend(qkv))
    with edited(model, Edit(lambda site: site.kind == "self", attend=own.attend)):
        with pytest.raises(ValueError, match=r"both replace `attend` at down_blocks.0.*attn1"):
            edited(model, own).__enter__()
        with edited(model, Edit(lambda site: site.kind == "cross", attend=own.attend)):
            tiny.output(model)
