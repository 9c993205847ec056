"""Mask operations against brute force and set algebra."""

import numpy as np
import pytest

from models import regions


def blob(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mask = np.zeros((40, 50), np.uint8)
    for _ in range(6):
        top, left = rng.integers(0, 35), rng.integers(0, 45)
        mask[top : top + rng.integers(2, 14), left : left + rng.integers(2, 14)] = 255
    return mask


@pytest.mark.parametrize("radius", [1, 2.5, 6])
def test_grow_reaches_exactly_the_pixels_within_the_radius(radius: float) -> None:
    mask = blob()
    y, x = np.mgrid[:40, :50]
    rows, columns = np.nonzero(mask)
    squared = ((y[..., None] - rows) ** 2 + (x[..., None] - columns) ** 2).min(axis=2)
    np.testing.assert_array_equal(regions.grow(mask, radius) > 0, squared <= radius**2)


def test_shrink_is_grow_of_the_complement_and_spares_the_border() -> None:
    mask = blob(1)
    np.testing.assert_array_equal(regions.shrink(mask, 3), regions.invert(regions.grow(regions.invert(mask), 3)))
    np.testing.assert_array_equal(regions.grow(mask, -3), regions.shrink(mask, 3))
    full = np.full((9, 9), 255, np.uint8)
    assert regions.shrink(full, 3).all()
    np.testing.assert_array_equal(regions.grow(mask, 0), mask)


def test_feather_softens_an_edge_evenly_and_within_its_reach() -> None:
    mask = np.zeros((40, 80), np.uint8)
    mask[:, 40:] = 255
    line = regions.feather(mask, 8)[20].astype(int)
    assert (np.diff(line) >= 0).all()
    assert np.abs(line + line[::-1] - 255).max() <= 2
    assert line[40 - 16] == 0
    assert line[40 - 4] > 5
    np.testing.assert_array_equal(regions.feather(mask, 0), mask)


def test_feather_inward_is_zero_outside_and_ignores_the_pictures_border() -> None:
    mask = blob(2)
    weights = regions.feather_inward(mask, 4)
    assert not weights[mask == 0].any()
    assert (weights[mask > 0] > 0).all()
    assert (regions.feather_inward(np.full((20, 20), 255, np.uint8), 4) == 1).all()
    assert regions.feather_inward(np.full((5, 5), 128, np.uint8), 0)[0, 0] == pytest.approx(128 / 255)


def test_fill_holes_fills_what_the_border_cannot_reach() -> None:
    ring = np.zeros((30, 30), np.uint8)
    ring[5:25, 5:25] = 255
    ring[10:20, 10:20] = 0
    bay = ring.copy()
    bay[14, 20:30] = 0
    solid = ring.copy()
    solid[10:20, 10:20] = 255
    np.testing.assert_array_equal(regions.fill_holes(ring), solid)
    np.testing.assert_array_equal(regions.fill_holes(bay), bay)
    cross = np.full((9, 9), 255, np.uint8)
    cross[4] = 0  # cuts the picture in two, both open to the border
    np.testing.assert_array_equal(regions.fill_holes(cross), cross)


def test_keep_largest_keeps_one_piece_with_its_soft_rim() -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[5:25, 5:25], mask[30:36, 40:46] = 255, 255
    soft = regions.feather(mask, 4)
    kept = regions.keep_largest(soft)
    np.testing.assert_array_equal(kept[:, :30], soft[:, :30])
    assert not kept[28:, 36:].any()
    np.testing.assert_array_equal(regions.keep_largest(np.zeros_like(mask)), np.zeros_like(mask))


def test_combine_is_set_algebra_on_hard_masks() -> None:
    a, b = blob(3), blob(4)
    inside_a, inside_b = a > 0, b > 0
    want = {"add": inside_a | inside_b, "subtract": inside_a & ~inside_b, "intersect": inside_a & inside_b}
    for how, expected in want.items():
        np.testing.assert_array_equal(regions.combine(a, b, how) > 0, expected)


def test_drop_small_drops_specks_only() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[2:8, 2:8], mask[15, 15] = 255, 255
    out = regions.drop_small(mask, 10)
    assert out[15, 15] == 0
    assert (out[2:8, 2:8] == 255).all()
    assert not regions.drop_small(mask, 100).any()
