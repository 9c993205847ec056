"""The map of noise levels against the numbers that the published one gives."""

from __future__ import annotations

import numpy as np
import pytest

from models.collage.composing import compose
from models.collage.noise_map import cells, noise_map
from tests.methods.collage_parts import collage


def pinned(levels: np.ndarray, step: int) -> int:
    """Latents below the level of a step of 50, in bytes as the published map is."""
    level = np.linspace(0, 999, 50)[::-1][step] / 1000
    return int((np.rint(cells(levels) * 255) / 255 < level).sum())


def test_the_map_holds_the_levels_where_layers_are_seen() -> None:
    levels = noise_map(compose(collage()).visible, (0.8, 0.5, 0.2), 0.8, blur=0)
    values, counts = np.unique(levels, return_counts=True)
    assert values == pytest.approx([0.2, 0.5, 0.8])
    assert counts.tolist() == [40000, 30000, 192144]


@pytest.mark.parametrize(
    ("blur", "counts"),
    [(0, [1106, 1106, 1106, 625, 625, 625, 0]), (10, [1487, 1203, 1076, 678, 575, 512, 0])],
)
def test_as_many_latents_are_pinned_as_published(blur: float, counts: list[int]) -> None:
    """The first lies in the blur's far tail, a hundredth below the plateau, which the published filter cuts off."""
    levels = noise_map(compose(collage()).visible, (0.8, 0.5, 0.2), 0.8, blur)
    found = [pinned(levels, step) for step in (10, 15, 20, 25, 30, 35, 40)]
    assert found[0] == pytest.approx(counts[0], abs=25)
    assert found[1:] == pytest.approx(counts[1:], abs=2)


@pytest.mark.parametrize(("blur", "expected"), [(10, (55, 78, 130, 180, 201)), (20, (77, 101, 129, 157, 179))])
def test_edges_are_blurred_as_published(blur: float, expected: tuple[int, ...]) -> None:
    left = np.zeros((1, 512, 512), np.float32)
    left[0, :, :256] = 1
    levels = noise_map(left, [0.2], 0.8, blur)
    assert 255 * levels[250, [236, 246, 256, 266, 276]] == pytest.approx(expected, abs=2)


def test_soft_edges_blend_in_proportion() -> None:
    half = np.full((1, 64, 64), 0.5, np.float32)
    assert noise_map(half, [0.2], 0.8, 0) == pytest.approx(np.full((64, 64), 0.5))


@pytest.mark.parametrize("level", [0.1, 0.7, 0.8, 1.0])
def test_a_level_for_all_stays_even(level: float) -> None:
    levels = noise_map(compose(collage(128)).visible, (level,) * 3, level)
    assert np.ptp(levels) < 1e-6
    assert levels[0, 0] == pytest.approx(level, abs=1e-6)


def test_a_latent_takes_the_level_of_its_middle() -> None:
    levels = np.arange(16 * 24, dtype=np.float32).reshape(16, 24)
    assert cells(levels).tolist() == [[4 * 24 + 4, 4 * 24 + 12, 4 * 24 + 20], [12 * 24 + 4, 12 * 24 + 12, 12 * 24 + 20]]


def test_or_the_lowest_level_in_it() -> None:
    levels = np.full((16, 24), 0.8, np.float32)
    levels[7, 8] = 0.1  # the last row of the first latents, the first column of the second
    assert cells(levels, lowest=True) == pytest.approx(np.array([[0.8, 0.1, 0.8], [0.8, 0.8, 0.8]]))
    assert cells(levels).min() == pytest.approx(0.8)
