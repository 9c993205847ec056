"""The U-Net with adapters: stock without a prompt, the paper's order with one, and weights that survive a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from models.cat.adapter import RefAdapter, VisualPrompt
from models.cat.unet import CATUNet2DConditionModel
from tests import tiny
from tests.methods import cat_tiny

FULL = {"in_channels": 9, "cross_attention_dim": 768, "attention_head_dim": 8}  # SD 1.5 inpainting beside the defaults


def prompt(batch: int = 2, seed: int = 5) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(batch, cat_tiny.TOKENS, cat_tiny.PROMPT, generator=draw)


def output(model: Any, ref: Any) -> Tensor:
    return tiny.output(model, cross_attention_kwargs={"gligen": {"ref": ref}})


def numbers(model: torch.nn.Module) -> tuple[int, int]:
    state = model.state_dict()
    return len(state), sum(tensor.numel() for tensor in state.values())


def test_full_size_has_the_published_number_of_weights() -> None:
    with torch.device("meta"):
        stock, model = UNet2DConditionModel(**FULL), CATUNet2DConditionModel(1024, **FULL)
    assert numbers(stock) == (686, 859_535_364)
    assert numbers(model) == (798, 909_912_644)
    each = [numbers(adapter)[1] for adapter in model.adapters()]
    assert each == [861_120] * 2 + [2_131_840] * 2 + [5_902_080] * 6 + [2_131_840] * 3 + [861_120] * 3
    assert sum(each) == 50_377_280
    assert len(model.attn_processors) == 32


def test_without_a_prompt_it_is_the_stock_unet_bit_for_bit() -> None:
    base = tiny.unet(in_channels=9)
    model = CATUNet2DConditionModel.from_base(base, cat_tiny.PROMPT)
    assert torch.equal(tiny.output(model), tiny.output(base))
    assert model.attn_processors.keys() == base.attn_processors.keys()


def test_adapters_stand_between_self_and_text_attention() -> None:
    model = cat_tiny.unet()
    block = model.down_blocks[0].attentions[0].transformer_blocks[0]
    draw = torch.Generator().manual_seed(0)
    x, text = torch.randn(2, 9, block.dim, generator=draw), torch.randn(2, 7, 12, generator=draw)
    with torch.no_grad():
        found = block(x, encoder_hidden_states=text, cross_attention_kwargs={"gligen": {"objs": prompt()}})
        x = x + block.attn1(block.norm1(x))
        x = block.fuser(x, prompt())
        x = x + block.attn2(block.norm2(x), encoder_hidden_states=text)
        x = x + block.ff(block.norm3(x))
    assert torch.equal(found, x)


def test_each_adapter_runs_once_and_in_the_order_of_its_index() -> None:
    model, ran = cat_tiny.unet(), []
    for module in model.modules():
        if isinstance(module, RefAdapter):
            module.register_forward_pre_hook(lambda adapter, _: ran.append(adapter.index))
    output(model, prompt())
    assert ran == [0, 1, 2, 3] == [adapter.index for adapter in model.adapters()]


def test_a_prompt_made_once_equals_the_full_evaluation() -> None:
    model, asked = cat_tiny.unet(), prompt(1)
    full = output(model, torch.cat([torch.zeros_like(asked), asked]))
    made = model.visual_prompt(asked, unconditional=1)
    assert isinstance(made, VisualPrompt)
    torch.testing.assert_close(output(model, made), full, atol=1e-6, rtol=0)
    other = output(model, model.visual_prompt(prompt(1, seed=6), unconditional=1))
    assert torch.equal(other[0], output(model, made)[0])
    assert (other[1] - full[1]).abs().max() > 1e-3


def test_a_prompt_in_another_precision_is_cast() -> None:
    model = cat_tiny.unet().to(torch.bfloat16)
    changes = {"sample": tiny.inputs(model)["sample"].bfloat16()}
    changes["encoder_hidden_states"] = tiny.inputs(model)["encoder_hidden_states"].bfloat16()
    for ref in (prompt(), model.visual_prompt(prompt())):
        found = tiny.output(model, **changes, cross_attention_kwargs={"gligen": {"ref": ref}})
        assert found.dtype == torch.bfloat16


@pytest.mark.parametrize("kept", [False, True])
def test_gradients_reach_the_prompt_with_and_without_checkpointing(kept: bool) -> None:
    def gradient(checkpointing: bool) -> Tensor:
        model = cat_tiny.unet().train().requires_grad_(True)
        if checkpointing:
            model.enable_gradient_checkpointing()
        ref = prompt().requires_grad_(True)
        given = model.visual_prompt(ref) if kept else ref
        out = model(**tiny.inputs(model), cross_attention_kwargs={"gligen": {"ref": given}}).sample
        (found,) = torch.autograd.grad(out.square().mean(), ref)
        return found

    plain = gradient(False)
    assert plain.abs().max() > 1e-6
    assert torch.equal(gradient(True), plain)


# ---- weights


def test_a_saved_folder_loads_bit_for_bit(tmp_path: Path) -> None:
    model = cat_tiny.unet()
    model.save_pretrained(tmp_path)
    again = CATUNet2DConditionModel.from_pretrained(tmp_path)
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())
    assert again.config["ref_adapter_dim"] == cat_tiny.PROMPT
    assert torch.equal(output(again, prompt()), output(model, prompt()))


def test_keys_of_adapters_end_as_published() -> None:
    ends = {key.partition(".fuser.")[2] for key in cat_tiny.unet().state_dict() if ".fuser." in key}
    layers = {f"{name}.weight" for name in ("norm", "to_q", "to_k", "to_v", "to_out.0")}
    assert ends == layers | {"norm.bias", "to_out.0.bias"}


def test_base_weights_get_adapters_that_are_drawn() -> None:
    base = tiny.unet(in_channels=9)
    model = CATUNet2DConditionModel.from_base(base, cat_tiny.PROMPT, seed=4)
    assert not any(tensor.is_meta or tensor.isnan().any() for tensor in model.state_dict().values())
    assert all(torch.equal(model.state_dict()[key], value) for key, value in base.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    model.conv_in.weight.data.zero_()
    assert base.conv_in.weight.abs().max() > 0  # a copy
    with torch.random.fork_rng():
        torch.manual_seed(4)
        first = RefAdapter(16, 2, cat_tiny.PROMPT, 0)
    adapters = model.adapters()
    assert adapters[0].heads == 2
    assert all(torch.equal(adapters[0].state_dict()[key], value) for key, value in first.state_dict().items())


def test_drawing_adapters_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    cat_tiny.unet()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_adapters_can_start_as_nothing() -> None:
    base = tiny.unet(in_channels=9)
    model = CATUNet2DConditionModel.from_base(base, cat_tiny.PROMPT, zero_out=True)
    assert torch.equal(output(model, prompt()), tiny.output(base))


@pytest.mark.parametrize("low_cpu_mem_usage", [True, False])
def test_a_folder_without_adapters_is_refused(tmp_path: Path, low_cpu_mem_usage: bool) -> None:
    tiny.unet(in_channels=9).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"28 weights are missing, down_blocks\.0.*from_base"):
        CATUNet2DConditionModel.from_pretrained(
            tmp_path, ref_adapter_dim=cat_tiny.PROMPT, low_cpu_mem_usage=low_cpu_mem_usage
        )
