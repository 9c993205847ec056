"""Control folded into values equals controlled probabilities, written out column by column in double precision."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention import QKV, attend
from models.dit4edit.alignment import Alignment, align
from models.dit4edit.cross import CrossControl, attend_folded, read
from tests.methods.dit4edit_tiny import LENGTH, split

STEPS = 10
SOURCE, SWAPPED = "a photo of a lion on grass", "a photo of a tig|er on grass"
ADDED, REMOVED = "a photo of a red lion on the grass", "a lion on grass"
MIXED = "a drawing of a tig|er on the grass"


def aligned(target: str, source: str = SOURCE) -> Alignment:
    return align(split(source), split(target), LENGTH)


def projections(alignment: Alignment, dtype: torch.dtype = torch.float64) -> QKV:
    """[source, unconditional, target]; heads 2, 12 queries, each row's padding masked."""
    draw = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(3, 2, n, 8, generator=draw, dtype=torch.float64) for n in (12, LENGTH, LENGTH))
    bias = torch.zeros(3, 2, 1, LENGTH, dtype=torch.float64)
    for row, eos in enumerate((alignment.source.eos, 0, alignment.target.eos)):
        bias[row, ..., eos + 1 :] = -10000
    return QKV(*(x.to(dtype) for x in (q, k, v, bias)))


def maps(qkv: QKV) -> Tensor:
    logits = torch.einsum("bhqd,bhkd->bhqk", qkv.q, qkv.k) / math.sqrt(qkv.q.shape[-1])
    assert qkv.bias is not None
    return (logits + qkv.bias).softmax(-1)


def folded(qkv: QKV, control: CrossControl, step: int = 0) -> Tensor:
    fold = control.fold(step, STEPS)
    assert fold is not None
    return attend_folded(qkv, {2: (0, fold.fitted(qkv.v))})


def counterpart(source: str, target: str) -> list[list[int]]:
    """The source tokens of each target token, read off the prompts above."""
    table = {
        SWAPPED: [[0], [1], [2], [3], [4], [4], [5], [6], [7]],
        ADDED: [[0], [1], [2], [3], [], [4], [5], [], [6], [7]],
        REMOVED: [[3], [4], [5], [6], [7]],
        MIXED: [[0], [1], [2], [3], [4], [4], [5], [], [6], [7]],
        SOURCE: [[0], [1], [2], [3], [4], [5], [6], [7]],
    }
    return table[target]


def by_hand(
    qkv: QKV,
    target: str,
    own: tuple[int, ...] = (),
    weights: Mapping[int, float] | None = None,
    over: tuple[int, ...] = (),
    renormalise: bool = True,
) -> Tensor:
    """The target's output; `own` are tokens of the target's own, `over` those whose window is over."""
    source, _, mine = maps(qkv)
    found = counterpart(SOURCE, target)
    controlled = torch.zeros_like(mine)
    for j, taken in enumerate(found):
        share = 1 / sum(other == taken for other in found)
        column = mine[..., j] if not taken or j in own else share * source[..., taken].sum(-1)
        controlled[..., j] = mine[..., j] if j in over else (weights or {}).get(j, 1.0) * column
    if renormalise:
        controlled = controlled / controlled.sum(-1, keepdim=True).clamp(min=0.05)
    return controlled @ qkv.v[2]


CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "replace": (SWAPPED, {"kind": "replace"}, {"renormalise": False}),
    "refine": (ADDED, {"kind": "refine"}, {}),
    "refine, sums as they come": (ADDED, {"kind": "refine", "renormalise": False}, {"renormalise": False}),
    "words removed": (REMOVED, {}, {}),
    "replaced and added": (MIXED, {}, {}),
    "replaced words left to the target": (SWAPPED, {"kind": "refine"}, {"own": (4, 5)}),
    "weights": (
        SWAPPED,
        {"weights": {4: 2.5, 5: 2.5, 8: 0.0}},
        {"weights": {4: 2.5, 5: 2.5, 8: 0.0}},
    ),
    "weights of the same prompt": (SOURCE, {"weights": {4: 3.0}}, {"weights": {4: 3.0}, "renormalise": False}),
    "windows by word": (SWAPPED, {"word_until": {1: 0.0, 4: 0.0}}, {"over": (1, 4)}),
    "weights on new words": (ADDED, {"weights": {4: 2.0, 5: -1.0}}, {"weights": {4: 2.0, 5: -1.0}}),
}


@pytest.mark.parametrize("name", CASES)
def test_folding_into_values_is_controlling_the_map(name: str) -> None:
    target, control, expected = CASES[name]
    alignment = aligned(target)
    qkv = projections(alignment)
    out = folded(qkv, CrossControl(alignment, **control))
    torch.testing.assert_close(out[2], by_hand(qkv, target, **expected), atol=1e-12, rtol=0)
    assert torch.equal(out[:2], attend(qkv)[:2])
    assert (out[2] - attend(qkv)[2]).abs().max() > 1e-2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_close(dtype: torch.dtype) -> None:
    alignment = aligned(MIXED)
    exact = folded(projections(alignment), CrossControl(alignment))
    half = folded(projections(alignment, dtype), CrossControl(alignment)).double()
    tolerance = {torch.float16: 2e-3, torch.bfloat16: 2e-2}[dtype]
    assert ((half - exact).norm() / exact.norm()).item() < tolerance


def test_weights_alone_scale_the_targets_own_map_and_keep_their_effect() -> None:
    alignment = aligned(ADDED)
    qkv = projections(alignment)
    out = folded(qkv, CrossControl(alignment, "none", weights={4: 3.0, 5: -2.0}))
    controlled = maps(qkv)[2] * torch.tensor([1, 1, 1, 1, 3, -2, *[1] * (LENGTH - 6)])
    torch.testing.assert_close(out[2], controlled @ qkv.v[2], atol=1e-12, rtol=0)
    assert CrossControl(alignment, "none").fold(0, STEPS) is None
    normed = folded(qkv, CrossControl(alignment, "none", weights={4: 3.0}, renormalise=True))
    controlled = maps(qkv)[2] * torch.tensor([1, 1, 1, 1, 3, *[1] * (LENGTH - 5)])
    torch.testing.assert_close(normed[2], controlled / controlled.sum(-1, keepdim=True) @ qkv.v[2], atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", ["replace", "refine", "none"])
@pytest.mark.parametrize("factor", [-2.0, -1.0, 0.0])
def test_sums_that_weights_bring_to_zero_give_no_infinite_values(kind: str, factor: float) -> None:
    alignment = aligned(SWAPPED)
    qkv = projections(alignment)
    everything = dict.fromkeys(range(alignment.target.eos + 1), factor)
    out = folded(qkv, CrossControl(alignment, kind, weights=everything, renormalise=True))  # type: ignore[arg-type]
    assert out.isfinite().all()
    assert out[2].abs().max() < 2 * 8 / 0.05


def test_the_mask_that_counts_is_that_of_the_row_the_map_comes_from() -> None:
    """The source prompt is longer than the target's: its last words are past the target's end."""
    alignment = aligned(REMOVED)
    qkv = projections(alignment)
    assert qkv.bias is not None
    one_mask = dataclasses.replace(qkv, bias=qkv.bias[2:].expand(3, -1, -1, -1))
    control = CrossControl(alignment, renormalise=False)
    assert (folded(qkv, control)[2] - folded(one_mask, control)[2]).abs().max() > 1e-2


def test_the_same_prompt_gives_the_sources_attention_bit_for_bit() -> None:
    alignment = aligned(SOURCE)
    qkv = projections(alignment, torch.float32)
    twins = QKV(*(x[[0, 1, 0]] for x in (qkv.q, qkv.k, qkv.v, qkv.bias) if x is not None))
    for kind in ("replace", "refine", "auto"):
        out = folded(twins, CrossControl(alignment, kind))  # type: ignore[arg-type]
        assert torch.equal(out[2], attend(twins)[0])


def test_a_control_acts_in_the_first_steps_only() -> None:
    control = CrossControl(aligned(SWAPPED), until=0.3, word_until={4: 0.5})
    assert [control.fold(step, STEPS) is not None for step in range(STEPS)] == [True] * 5 + [False] * 5
    assert control.acts(STEPS)
    assert control.fold(0, STEPS) is control.fold(2, STEPS)
    assert control.fold(0, STEPS) is not control.fold(3, STEPS)
    assert not CrossControl(aligned(SWAPPED), until=0.0).acts(STEPS)


def test_a_model_that_was_given_fewer_or_more_tokens_sees_the_same_control() -> None:
    alignment = aligned(MIXED)
    qkv = projections(alignment)
    out = folded(qkv, CrossControl(alignment))
    live = alignment.target.eos + 1
    shorter = QKV(qkv.q, qkv.k[:, :, :live], qkv.v[:, :, :live], qkv.bias[..., :live])  # type: ignore[index]
    torch.testing.assert_close(folded(shorter, CrossControl(alignment)), out, atol=1e-12, rtol=0)
    pad = torch.nn.functional.pad
    longer = QKV(qkv.q, *(pad(x, (0, 0, 0, 5)) for x in (qkv.k, qkv.v)), pad(qkv.bias, (0, 5), value=-10000))
    torch.testing.assert_close(folded(longer, CrossControl(alignment)), out, atol=1e-12, rtol=0)


def test_columns_are_read_from_the_maps() -> None:
    """More columns than values have channels."""
    qkv = projections(aligned(SWAPPED))
    columns = torch.rand(2, LENGTH, 19, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = read(qkv, [2, 0], columns)
    assert found.shape == (2, 2, 12, 19)
    torch.testing.assert_close(found, maps(qkv)[[2, 0]] @ columns[:, None], atol=1e-12, rtol=0)


@pytest.mark.parametrize("wrong", [{"weights": {9: 1.0}}, {"word_until": {-1: 0.1}}, {"weights": {0: math.nan}}])
def test_tokens_and_weights_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"tokens 0 to 8|finite"):
        CrossControl(aligned(SWAPPED), **wrong)
