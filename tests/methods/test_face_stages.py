"""Stages of Face-diffuser: the released counts, every iteration in exactly one stage, bounds that cannot be."""

from __future__ import annotations

import pytest

from models.contract import BadRequest
from models.facediffuser.stages import (
    SAMPLERS,
    TIMELINES,
    Bounds,
    Sampler,
    counts,
    from_fractions,
    iterations,
)


@pytest.mark.parametrize(
    ("bounds", "sampler", "steps", "lengths", "calls", "evaluations", "everything"),
    [
        ((15, 30), "released", 50, (16, 15, 20), (31, 35), 132, 204),
        ((15, 30), "paper", 50, (16, 15, 19), (31, 34), 130, 200),
        ((10, 30), "released", 50, (11, 20, 20), (31, 40), 142, 204),
        ((10, 40), "released", 50, (11, 30, 10), (41, 40), 162, 204),
        ((6, 12), "paper", 20, (7, 6, 7), (13, 13), 52, 80),
        ((49, 49), "paper", 50, (50, 0, 0), (50, 0), 100, 200),
        ((-1, -1), "paper", 50, (0, 0, 50), (0, 50), 100, 200),
        ((-1, 99), "fast", 20, (0, 20, 0), (20, 20), 80, 80),
        ((4, 4), "fast", 20, (5, 0, 15), (5, 15), 40, 80),
        ((80, 90), "fast", 20, (20, 0, 0), (20, 0), 40, 80),
        ((0, 0), "released", 1, (1, 0, 0), (1, 0), 2, 4),
    ],
)
def test_counts_are_the_released_ones(
    bounds: tuple[int, int],
    sampler: Sampler,
    steps: int,
    lengths: tuple[int, int, int],
    calls: tuple[int, int],
    evaluations: int,
    everything: int,
) -> None:
    found = counts(Bounds(*bounds), iterations(sampler, steps))
    assert (found.scene, found.fused, found.subject) == lengths
    assert (found.tdm, found.sdm) == calls
    assert (found.evaluations, found.all_evaluations) == (evaluations, everything)


def test_the_readout_and_what_a_kept_scene_saves() -> None:
    found = counts(Bounds(15, 30), iterations("released", 50))
    assert found.readout() == "16 scene / 15 fused / 20 subject steps"
    assert found.after_scene == 100


@pytest.mark.parametrize("scene", range(-1, 9))
def test_each_iteration_is_in_the_stage_that_is_counted(scene: int) -> None:
    for fused in range(scene, 10):
        bounds = Bounds(scene, fused)
        stages = [bounds.stage(i) for i in range(7)]
        found = counts(bounds, 7)
        assert stages == ["scene"] * found.scene + ["fused"] * found.fused + ["subject"] * found.subject


@pytest.mark.parametrize(
    ("name", "steps", "bounds"),
    [
        ("balanced", 50, (15, 30)),
        ("balanced", 20, (6, 12)),
        ("released_test", 50, (10, 30)),
        ("scene", 50, (20, 40)),
        ("identity", 50, (5, 20)),
        ("identity", 1, (0, 0)),
    ],
)
def test_timelines_become_bounds(name: str, steps: int, bounds: tuple[int, int]) -> None:
    assert TIMELINES[name].bounds(steps) == Bounds(*bounds)


def test_the_ends_of_the_timeline_leave_stages_out() -> None:
    assert from_fractions(0, 0, 20) == Bounds(-1, -1)
    assert counts(from_fractions(0, 1, 20), 20).fused == 20
    assert counts(from_fractions(1, 1, 20), 20).scene == 20
    assert from_fractions(0, 0.01, 20) == Bounds(-1, 0)
    assert from_fractions(0.001, 1, 20).scene == 0


@pytest.mark.parametrize(
    ("scene", "fused", "sentence"), [(6, 5, "no smaller than the first"), (-2, 5, "-1 for no scene stage")]
)
def test_crossed_bounds_are_refused(scene: int, fused: int, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        Bounds(scene, fused)


@pytest.mark.parametrize("fractions", [(0.6, 0.3), (-0.1, 0.5), (0.5, 1.2), (float("nan"), 0.5)])
def test_crossed_fractions_are_refused(fractions: tuple[float, float]) -> None:
    with pytest.raises(BadRequest, match="two fractions from 0 to 1"):
        from_fractions(*fractions, 20)


def test_every_sampler_has_its_number_of_iterations() -> None:
    assert [iterations(sampler, 50) for sampler in SAMPLERS] == [51, 50, 50]
