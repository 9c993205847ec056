"""Blind A/B: fair pairs, hidden names, a tally that counts what was voted."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from models.compare.outcome import Outcome
from models.compare.votes import Pair, pairs, tally, vote
from models.contract import BadRequest


def cell(key: str, seed: int | None = None, case: int = 0, file: str = "cells/x.png") -> Outcome:
    fields = {} if seed is None else {"seed": seed}
    preset = "" if seed is None else "pocket"
    return Outcome(f"{key}{seed}{case}", case, "c", key, key, fields, preset=preset, file=file)


CELLS = [cell(key, seed, case) for key in "ab" for seed in (1, 2) for case in (0, 1)]
CELLS += [cell("paste", None, 0), cell("a", 3, 0, file=""), cell("input", None, 1)]


def test_pairs_differ_by_the_method_alone() -> None:
    found = pairs(CELLS, seed=0)
    expected = [
        {one.id, two.id}
        for one, two in combinations([c for c in CELLS if c.file and c.key != "input"], 2)
        if one.case == two.case and one.key != two.key and (one.fields == two.fields or "paste" in (one.key, two.key))
    ]
    assert sorted(sorted((p.left.id, p.right.id)) for p in found) == sorted(sorted(pair) for pair in expected)


def test_sides_and_order_are_drawn_by_lot_and_a_seed_repeats_them() -> None:
    orders = {tuple((p.left.id, p.right.id) for p in pairs(CELLS, seed=k)) for k in range(20)}
    assert len(orders) > 10
    assert pairs(CELLS, seed=7) == pairs(CELLS, seed=7)
    left = sum(p.left.key == "a" for k in range(200) for p in pairs([cell("a", 1), cell("b", 1)], seed=k))
    assert 70 < left < 130


def test_votes_are_appended_and_counted(tmp_path: Path) -> None:
    pair = Pair(cell("a", 1), cell("b", 1))
    assert tally(tmp_path) == {}
    assert vote(tmp_path, pair, "left")["winner"] == "a"
    assert vote(tmp_path, Pair(pair.right, pair.left), "left")["winner"] == "b"
    vote(tmp_path, pair, "right")
    vote(tmp_path, pair, "tie")
    assert tally(tmp_path) == {"a": {"won": 1, "lost": 2, "tied": 1}, "b": {"won": 2, "lost": 1, "tied": 1}}
    with (tmp_path / "votes.jsonl").open("a") as file:
        file.write("no vote\n{}\n")
    assert tally(tmp_path)["a"]["won"] == 1
    with pytest.raises(BadRequest, match="left, right, tie"):
        vote(tmp_path, pair, "both")
    with pytest.raises(BadRequest, match="could not be written"):
        vote(tmp_path / "gone", pair, "tie")


def test_files_lie_in_the_cells_folder_whatever_a_report_says(tmp_path: Path) -> None:
    left, _ = Pair(cell("a", 1, file="../../etc/x.png"), cell("b", 1)).files(tmp_path)
    assert left == tmp_path / "cells" / "x.png"
