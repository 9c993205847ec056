"""The presets, written out, and the union of two rows' tokens against one long softmax."""

from __future__ import annotations

import math

import pytest
import torch

from models.attention import QKV, attend
from models.dit4edit.mutual import PRESETS, Rule, attend_mutual, covering
from models.dit4edit.rows import paired, pinned

STEPS, LAYERS = 30, 28


def letters(name: str, step: int, layer: int) -> str:
    rule = covering(PRESETS[name](STEPS, LAYERS), step, layer)
    return "".join(supplier[0] for supplier in (rule.q, rule.k, rule.v)) if rule else ""


@pytest.mark.parametrize(
    ("name", "early", "late"),
    [
        ("non_rigid", "", "tss"),
        ("unified", "sss", "tss"),
        ("rigid", "sst", ""),
        ("structure", "sst", "sst"),
        ("union", "tuu", "tuu"),
        ("none", "", ""),
    ],
)
def test_presets_say_who_supplies_queries_keys_and_values(name: str, early: str, late: str) -> None:
    """30 steps of 28 layers: the phase changes at step 9, and layers 14 to 27 are under control."""
    assert [letters(name, step, 14) for step in (0, 8, 9, 29)] == [early, early, late, late]
    assert [letters(name, step, 27) for step in (0, 29, 30)] == [early, late, ""]
    assert {letters(name, step, layer) for step in range(STEPS) for layer in (0, 13, 28)} == {""}


def test_presets_without_steps_or_layers_are_empty() -> None:
    assert PRESETS["rigid"](STEPS, LAYERS, start=0.0) == ()
    assert PRESETS["non_rigid"](STEPS, LAYERS, start=1.0) == ()
    assert all(preset(STEPS, LAYERS, from_layer=LAYERS) == () for preset in PRESETS.values())
    (rule,) = PRESETS["rigid"](STEPS, LAYERS, start=0.5, from_layer=3)
    assert rule == Rule(0, 15, 3, LAYERS, "source", "source", "target")


def test_half_a_union_is_refused() -> None:
    with pytest.raises(ValueError, match="together"):
        Rule(0, 1, 0, 1, "target", "union", "target")


@pytest.mark.parametrize("rows", [pinned(2), paired()], ids=["pinned", "paired"])
@pytest.mark.parametrize("query", ["target", "source"])
def test_a_union_is_one_softmax_over_both_rows_tokens(rows: tuple, query: str) -> None:
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(len(rows), 2, 9, 8, generator=draw, dtype=torch.float64) for _ in range(3))
    out = attend_mutual(QKV(q, k, v), rows, Rule(0, 1, 0, 1, query, "union", "union"))  # type: ignore[arg-type]
    for number, row in enumerate(rows):
        if row.role == "source":
            assert torch.equal(out[number], attend(QKV(q, k, v))[number])
            continue
        keys, values = (torch.cat([x[row.source], x[number]], dim=1) for x in (k, v))
        asking = q[row.source if query == "source" else number]
        expected = (asking @ keys.mT / math.sqrt(8)).softmax(-1) @ values
        torch.testing.assert_close(out[number], expected, atol=1e-12, rtol=0)
