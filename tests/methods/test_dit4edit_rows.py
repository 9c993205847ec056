"""The batch's layouts, written out."""

from __future__ import annotations

import pytest

from models.dit4edit.rows import Row, active_steps, indices, paired, pinned, prompted, without_source


def test_pinned_rows_share_one_source() -> None:
    source, first = Row("source", 0, 0), (Row("unconditional", 1, 0, False), Row("target", 1, 0))
    assert pinned() == (source, *first)
    assert pinned(2) == (source, *first, Row("unconditional", 2, 0, False), Row("target", 2, 0))
    assert pinned(2, guided=False) == (source, Row("target", 1, 0), Row("target", 2, 0))


def test_paired_rows_take_from_the_source_row_with_the_same_text() -> None:
    assert [row.source for row in paired()] == [0, 0, 2, 2]
    assert [row.branch for row in paired()] == [0, 1, 0, 1]
    assert [row.conditional for row in paired()] == [False, False, True, True]


def test_rows_are_found_by_what_they_are() -> None:
    assert indices(pinned(2), "target") == [2, 4]
    assert indices(paired(), "source") == [0, 2]
    assert [prompted(paired(), branch) for branch in (0, 1, 2)] == [2, 3, None]
    assert [prompted(pinned(2), branch) for branch in (0, 1, 2)] == [0, 2, 4]


def test_rows_without_their_source() -> None:
    assert without_source(pinned()) == (Row("unconditional", 1, -1, False), Row("target", 1, -1))
    assert prompted(without_source(paired()), 0) is None


@pytest.mark.parametrize(("fraction", "steps", "active"), [(0, 30, 0), (0.3, 30, 9), (0.6, 20, 12), (1, 7, 7)])
def test_a_fraction_of_the_steps(fraction: float, steps: int, active: int) -> None:
    assert active_steps(fraction, steps) == active
