"""What patch merging is timed with, and the bound on what it can save."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks import merging, tables
from models.dit4edit import merging as merging_module
from models.dit4edit.rows import paired, pinned


@pytest.mark.parametrize(
    ("ratio", "stride", "alone", "shared"),
    [
        (0.2, 2, (1.09, 1.14, 1.19), (1.10, 1.19, 1.26)),
        (0.5, 2, (1.25, 1.45, 1.66), (1.26, 1.52, 1.80)),
        (0.75, 2, (1.39, 1.73, 2.12), (1.41, 1.83, 2.35)),
        (0.8, 4, (1.44, 1.85, 2.37), (1.44, 1.89, 2.46)),
    ],
)
def test_the_bound_on_what_merging_saves(
    ratio: float, stride: int, alone: tuple[float, ...], shared: tuple[float, ...]
) -> None:
    """A matching in every block, and one that so many blocks share that it costs nothing."""
    for size, own, free in zip(merging.SIZES, alone, shared, strict=True):
        assert merging.bound(ratio, stride, size) == pytest.approx(own, abs=0.005)
        assert merging.bound(ratio, stride, size, 10**9) == pytest.approx(free, abs=0.005)


def test_blocks_cost_what_pixarts_do() -> None:
    found = [merging.BLOCKS * merging.block_flops(tokens) / 1e12 for tokens in (1024, 4096, 8192)]
    assert found == pytest.approx([1.22, 6.49, 17.3], rel=5e-3)


@pytest.fixture
def small_bench(monkeypatch: pytest.MonkeyPatch) -> merging.Bench:
    torch.set_num_threads(1)
    for name, value in {"WIDTH": 16, "HEADS": 2, "TEXT": 8, "CAPTION": 12}.items():
        monkeypatch.setattr(merging, name, value)
    return merging.Bench(merging.transformer(2, "cpu", torch.float32), "cpu", torch.float32)


def test_every_timed_step_pays_its_own_matching(small_bench: merging.Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, stock = [], merging_module.match

    def counted(*arguments: Any) -> Any:
        calls.append(arguments[1].ratio)
        return stock(*arguments)

    monkeypatch.setattr(merging_module, "match", counted)
    found = merging.merging_of(small_bench, (64, 64), rounds=2)
    assert sorted(calls) == sorted(3 * [ratio for ratio, _ in merging.SETTINGS])  # two blocks share one
    kept = [one["kept"] for one in found["settings"]]
    assert kept == [13 / 16, 0.5, 0.25, 4 / 16]  # 12 of 16 tokens at most in cells of four, 0.8 is 12 of 16
    for one in found["settings"]:
        assert one["faster"] == pytest.approx(found["step_s"] / one["step_s"])


def test_timed_edits_call_the_transformer_as_edits_do(small_bench: merging.Bench) -> None:
    rows: list[int] = []
    small_bench.transformer.register_forward_pre_hook(
        lambda _module, arguments, _keywords: rows.append(len(arguments[0])), with_kwargs=True
    )

    def counted(go: Any) -> list[int]:
        rows.clear()
        with torch.inference_mode():
            go()
        return list(rows)

    size = (64, 64)
    assert counted(merging.step(small_bench, size, pinned())) == [3]
    assert counted(merging.step(small_bench, size, paired())) == [4]
    assert counted(merging.inversion(small_bench, size)) == [1] * 10
    assert counted(merging.whole(small_bench, size, pinned())) == [3] * 6 + [2] * 4  # words keep their place until 0.6
    assert counted(merging.whole(small_bench, size, paired())) == [4] * 10
    found = merging.edits_of(small_bench, size, 1)
    assert 0 < found["second_of_first"] < 1


def test_merging_stands_in_the_speed_table_beside_its_bound() -> None:
    one = {"ratio": 0.5, "stride": 2, "kept": 0.5, "step_s": 4.0, "faster": 1.5, "bound": 1.66}
    sizes = [{"size": [1024, 2048], "step_s": 6.0, "four_rows_s": 8.0, "four_over_three": 1.33, "settings": [one]}]
    edit = {"size": [512, 512], "steps": 10, "first_s": 9.0, "second_s": 6.5, "second_of_first": 0.72,
            "four_rows_s": 10.0, "four_over_three": 1.54}  # fmt: skip
    found = {"device": "cpu", "dtype": "float32", "depth": 1, "of_blocks": 28, "merging": sizes, "edits": edit}
    lines = tables.merging(found)
    assert all(len(line) == 3 for line in lines)
    text = " ".join(cell for line in lines for cell in line)
    assert "1.50 times as fast (by counting at most 1.66)" in text
    assert "1 of 28 blocks" in text
    assert "1024x2048" in text
    assert "0.72 of the first" in text
