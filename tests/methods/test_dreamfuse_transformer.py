"""The conditioned FLUX against the stock FLUX, and what must and must not depend on what."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention import Edit, edited
from models.dreamfuse.blocks import ConditionedBlock
from models.dreamfuse.mask_tokens import MaskTokens, latent_mask
from models.dreamfuse.placement import Affine, affine_ids, grid_ids
from models.dreamfuse.transformer import Conditions, conditioned
from tests.tiny import flux

TOKENS, TEXT = 16, 7
PLACED = affine_ids(Affine(0.5, 12, 0.5, 20), 4, 4)


def call(batch: int = 2, time: float = 0.7, seed: int = 1) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "hidden_states": torch.randn(batch, TOKENS, 16, generator=draw),
        "encoder_hidden_states": torch.randn(batch, TEXT, 12, generator=draw),
        "pooled_projections": torch.randn(batch, 10, generator=draw),
        "timestep": torch.full((batch,), time),
        "guidance": torch.full((batch,), 3.5),
        "img_ids": torch.cat([grid_ids(4, 4), PLACED, grid_ids(4, 4)]),
        "txt_ids": torch.zeros(TEXT, 3),
    }


def pictures(batch: int = 2, seed: int = 2) -> Tensor:
    return torch.randn(batch, 2 * TOKENS, 16, generator=torch.Generator().manual_seed(seed))


def tags(seed: int = 3) -> Tensor:
    return torch.randn(3, 32, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def predict(model: Any, conditions: Conditions | None, **arguments: Any) -> Tensor:
    with conditioned(model) as both:
        return both(**(arguments or call()), conditions=conditions).sample


def literally(model: Any, arguments: dict[str, Any], latents: Tensor, table: Tensor) -> Tensor:
    """Section 3.1 part by part: lists of [noisy, foreground, background], each with its own modulation."""
    parts = [arguments["hidden_states"], *latents.split(TOKENS, dim=1)]
    parts = [model.x_embedder(part) + tag for part, tag in zip(parts, table, strict=True)]
    text = model.context_embedder(arguments["encoder_hidden_states"])
    guidance, pooled = 1000 * arguments["guidance"], arguments["pooled_projections"]
    main = model.time_text_embed(1000 * arguments["timestep"], guidance, pooled)
    still = model.time_text_embed(torch.zeros(2), guidance, pooled)
    times = [main, still, still]
    table_of_ids = model.pos_embed(torch.cat([arguments["txt_ids"], arguments["img_ids"]]))
    for block in model.transformer_blocks:
        normed = [block.norm1(part, emb=time) for part, time in zip(parts, times, strict=True)]
        context, gate, shift, scale, gate_mlp = block.norm1_context(text, emb=main)
        image, told = block.attn(torch.cat([n[0] for n in normed], 1), context, image_rotary_emb=table_of_ids)
        for i, (out, (_, g, sh, sc, g_mlp)) in enumerate(zip(image.split(TOKENS, 1), normed, strict=True)):
            part = parts[i] + g[:, None] * out
            parts[i] = part + g_mlp[:, None] * block.ff(block.norm2(part) * (1 + sc[:, None]) + sh[:, None])
        text = text + gate[:, None] * told
        text = text + gate_mlp[:, None] * block.ff_context(
            block.norm2_context(text) * (1 + scale[:, None]) + shift[:, None]
        )
    for block in model.single_transformer_blocks:
        pairs = [block.norm(part, emb=time) for part, time in zip([text, *parts], [main, *times], strict=True)]
        sizes = [TEXT, *[TOKENS] * 3]
        attended = block.attn(torch.cat([n for n, _ in pairs], 1), image_rotary_emb=table_of_ids).split(sizes, 1)
        updates = [
            gate[:, None] * block.proj_out(torch.cat([out, block.act_mlp(block.proj_mlp(n))], 2))
            for out, (n, gate) in zip(attended, pairs, strict=True)
        ]
        text, *parts = [part + update for part, update in zip([text, *parts], updates, strict=True)]
    return model.proj_out(model.norm_out(parts[0], main))


def test_forward_is_the_paper_read_literally() -> None:
    model, arguments = flux(), call(time=0.6)
    with torch.no_grad():
        expected = literally(model, arguments, pictures(), tags())
    torch.testing.assert_close(predict(model, Conditions(pictures(), tags()), **arguments), expected, atol=1e-5, rtol=0)


def test_time_zero_without_tags_is_the_stock_flux_over_all_tokens() -> None:
    model, arguments = flux(), call(time=0.0)
    latents = pictures()
    ours = predict(model, Conditions(latents), **arguments)
    joined = torch.cat([arguments["hidden_states"], latents], dim=1)
    with torch.no_grad():
        stock = model(**(arguments | {"hidden_states": joined})).sample[:, :TOKENS]
    torch.testing.assert_close(ours, stock, atol=1e-5, rtol=0)
    assert stock.abs().max() > 0.1


def test_tags_and_time_of_the_conditions_matter() -> None:
    model = flux()
    base = predict(model, Conditions(pictures(), tags()))
    assert (predict(model, Conditions(pictures())) - base).abs().max() > 1e-2
    joined = torch.cat([call()["hidden_states"], pictures()], dim=1)
    with torch.no_grad():  # conditions at the running time, as in other in-context methods
        running = model(**(call() | {"hidden_states": joined})).sample[:, :TOKENS]
    assert (running - predict(model, Conditions(pictures()))).abs().max() > 1e-2


def test_the_time_leaves_the_conditions_of_the_first_block_alone() -> None:
    model, seen = flux(), []

    def watch(_: Any, arguments: tuple, named: dict) -> None:
        seen.append((named["hidden_states"], named["encoder_hidden_states"]))

    handle = model.transformer_blocks[0].attn.register_forward_pre_hook(watch, with_kwargs=True)
    for time in (0.9, 0.2):
        predict(model, Conditions(pictures(), tags()), **call(time=time))
    handle.remove()
    (image, text), (later_image, later_text) = seen
    assert torch.equal(image[:, TOKENS:], later_image[:, TOKENS:])
    assert not torch.equal(image[:, :TOKENS], later_image[:, :TOKENS])
    assert not torch.equal(text, later_text)


def test_order_of_the_conditions_matters_only_through_tags_and_ids() -> None:
    model, latents, arguments = flux(), pictures(), call()
    foreground, background = latents.split(TOKENS, dim=1)
    swapped = torch.cat([background, foreground], dim=1)
    other = arguments | {"img_ids": torch.cat([grid_ids(4, 4), grid_ids(4, 4), PLACED])}
    same = tags()[[0, 1, 1]]
    torch.testing.assert_close(
        predict(model, Conditions(latents, same), **arguments),
        predict(model, Conditions(swapped, same), **other),
        atol=1e-5,
        rtol=0,
    )
    different = predict(model, Conditions(latents, tags()), **arguments)
    assert (different - predict(model, Conditions(swapped, tags()), **other)).abs().max() > 1e-3


def test_repeated_text_equals_a_key_bias() -> None:
    model, arguments, times = flux(), call(), 4
    repeated = arguments | {
        "encoder_hidden_states": arguments["encoder_hidden_states"].repeat(1, times, 1),
        "txt_ids": torch.zeros(TEXT * times, 3),
    }
    bias = torch.zeros(1, 1, 1, TEXT + 3 * TOKENS)
    bias[..., :TEXT] = math.log(times)
    biased = arguments | {"joint_attention_kwargs": {"attention_mask": bias}}
    conditions = Conditions(pictures(), tags())
    ours = predict(model, conditions, **biased)
    torch.testing.assert_close(ours, predict(model, conditions, **repeated), atol=1e-5, rtol=0)
    assert (ours - predict(model, conditions, **arguments)).abs().max() > 1e-3


def test_last_block_may_skip_what_nobody_reads() -> None:
    model, conditions = flux(), Conditions(pictures(), tags())
    skipped = predict(model, conditions)
    with edited(model, Edit(project=lambda site, qkv: qkv)):  # an edit sees every query
        whole = predict(model, conditions)
    torch.testing.assert_close(skipped, whole, atol=1e-6, rtol=0)


def test_cache_changes_nothing_over_steps() -> None:
    model = flux()
    kept = Conditions(pictures(), tags(), cache={})
    for time in (0.9, 0.5, 0.1):
        fresh = predict(model, Conditions(pictures(), tags()), **call(time=time))
        assert torch.equal(predict(model, kept, **call(time=time)), fresh)
    assert len(kept.cache or {}) == 3 + 2 + 3  # embeddings, time 0 and RoPE; one modulation per block


def test_ids_per_sample_equal_one_sample_at_a_time() -> None:
    model, arguments = flux(), call()
    other = torch.cat([grid_ids(4, 4), affine_ids(Affine(0.3, 30, 0.3, 4), 4, 4), grid_ids(4, 4)])
    ids = torch.stack([arguments["img_ids"], other])
    both = predict(model, Conditions(pictures(), tags()), **(arguments | {"img_ids": ids}))
    for row in range(2):
        single = {k: v[row : row + 1] for k, v in arguments.items() if k not in ("img_ids", "txt_ids")}
        single |= {"img_ids": ids[row], "txt_ids": arguments["txt_ids"]}
        alone = predict(model, Conditions(pictures()[row : row + 1], tags()), **single)
        torch.testing.assert_close(both[row : row + 1], alone, atol=1e-5, rtol=0)


def test_edits_and_ids_per_sample_refuse_each_other() -> None:
    model, arguments = flux(), call()
    arguments["img_ids"] = arguments["img_ids"].expand(2, -1, -1)
    with edited(model, Edit(project=lambda _, qkv: qkv)), pytest.raises(RuntimeError, match="take the edit off"):
        predict(model, Conditions(pictures()), **arguments)


def test_edits_reach_the_conditioned_model() -> None:
    model, conditions, seen = flux(), Conditions(pictures(), tags()), []

    def watch(site: Any, qkv: Any) -> Any:
        seen.append(qkv.q.shape[2])
        return qkv

    with edited(model, Edit(project=watch)):
        predict(model, conditions)
    assert seen == [TEXT + 3 * TOKENS] * 5


@pytest.mark.parametrize("ending", ["success", "error", "stop"])
def test_conditioned_gives_the_stock_model_back(ending: str) -> None:
    model, arguments = flux(), call() | {"img_ids": grid_ids(4, 4)}
    kinds = [type(m) for m in model.modules()]
    with torch.no_grad():
        before = model(**arguments).sample

    def work() -> Any:
        with conditioned(model) as both:
            assert torch.equal(both(**arguments).sample, before)  # no conditions: the stock computation
            yield
            if ending == "error":
                raise ZeroDivisionError

    with torch.no_grad():
        job = work()
        next(job)
        if ending == "stop":
            job.close()
        elif ending == "error":
            with pytest.raises(ZeroDivisionError):
                next(job)
        else:
            assert next(job, None) is None
        assert [type(m) for m in model.modules()] == kinds
        assert torch.equal(model(**arguments).sample, before)


def test_conditioned_works_beneath_an_offload_hook() -> None:
    from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module

    model, conditions = flux(), Conditions(pictures(), tags())
    expected = predict(model, conditions)
    add_hook_to_module(model, ModelHook())
    assert torch.equal(predict(model, conditions), expected)
    remove_hook_from_module(model)
    model.forward = model.forward  # an unknown wrapper
    with pytest.raises(RuntimeError, match="cannot be conditioned"):
        predict(model, conditions)


def test_gradients_reach_tags_through_checkpoints() -> None:
    found = []
    for checkpointing in (False, True):
        model, table = flux().train(), tags().requires_grad_()
        if checkpointing:
            model.enable_gradient_checkpointing()
        with conditioned(model) as both:
            both(**call(), conditions=Conditions(pictures(), table)).sample.square().mean().backward()
        found.append(table.grad)
    assert all(row.abs().max() > 0 for row in found[0])
    torch.testing.assert_close(*found)


def test_mask_tokens_start_as_zero_and_ask_the_foreground() -> None:
    tokens = MaskTokens(width=32, channels=16, heads=2)
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., 2:6, 3:7] = 1
    foreground = torch.randn(2, TOKENS, 32, generator=torch.Generator().manual_seed(5))
    assert torch.equal(tokens(mask, foreground), torch.zeros(2, 256, 32))
    torch.nn.init.normal_(tokens.mask_attn.to_out.weight)
    out = tokens(mask, foreground)
    assert not torch.equal(out, tokens(mask.flip(-1), foreground))
    assert not torch.equal(out, tokens(mask, foreground.flip(0)))
    given = Conditions(pictures(), tags(), mask_tokens=tokens, placed_mask=mask)
    assert (predict(flux(), given) - predict(flux(), Conditions(pictures(), tags()))).abs().max() > 1e-3


def test_mask_is_cut_at_one_half_at_latent_size() -> None:
    placed = torch.zeros(1, 1, 64, 80)
    placed[..., 16:40, 8:30] = 1  # the last column of latents it touches is covered for three quarters
    placed[..., 60:, :] = 0.3
    small = latent_mask(placed, 8, 10)
    expected = torch.zeros(1, 1, 8, 10)
    expected[..., 2:5, 1:4] = 1
    assert torch.equal(small, expected)


def test_double_blocks_fall_back_to_stock() -> None:
    model = flux()
    block, args = model.transformer_blocks[0], (torch.randn(1, 4, 32), torch.randn(1, 3, 32), torch.randn(1, 32))
    with torch.no_grad():
        stock = block(*args)
        block.__class__ = ConditionedBlock
        assert all(torch.equal(a, b) for a, b in zip(stock, block(*args), strict=True))
