"""Positional affine and formats against the published implementation's numbers and against torch's own resampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.dreamfuse.buckets import BUCKETS, choose_bucket, fit
from models.dreamfuse.placement import (
    Affine,
    affine_ids,
    centred_ids,
    from_boxes,
    from_masks,
    from_matrices,
    grid_ids,
)
from models.pixels import placement_matrix
from tests.methods.dreamfuse_tiny import sampled_ids

# (rows, columns), original box, new box, {(row, column): ids}, sums of the row and of the column ids, zero tokens
EXAMPLES = {
    "identity": (
        (10, 10),
        (0, 0, 160, 160),
        (0, 0, 160, 160),
        {(0, 0): (0.45, 0.45), (0, 9): (0.45, 8.55), (4, 7): (4.05, 6.75)},
        (450, 450),
        0,
    ),
    "half": (
        (10, 10),
        (0, 0, 160, 160),
        (48, 64, 128, 144),
        {(0, 0): (4.225, 3.225), (0, 9): (4.225, 7.275), (9, 9): (8.275, 7.275), (5, 2): (6.475, 4.125)},
        (625, 525),
        0,
    ),
    "moved": (
        (32, 32),
        (176, 176, 336, 336),
        (256, 192, 416, 352),
        {
            (11, 11): (12.140625, 16.140625),
            (20, 20): (20.859375, 24.859375),
            (16, 16): (16.984375, 20.984375),
            (31, 0): (15.015625, 2.656494),
            (0, 27): (0.533447, 11.140625),
            (0, 28): (0, 0),
        },
        (13994.32, 15718.57),
        128,
    ),
    "off the canvas": (
        (10, 10),
        (0, 0, 160, 160),
        (-64, 32, 96, 192),
        {
            (5, 5): (6.95, 0.95),
            (0, 9): (2.45, 4.55),
            (0, 3): (0.3675, 0),
            (8, 4): (3.15, 0.0175),
            (0, 0): (0, 0),
            (9, 9): (0, 0),
        },
        (294.893, 115.23),
        None,
    ),
    "doubled": (
        (10, 10),
        (40, 40, 120, 120),
        (0, 0, 160, 160),
        {(3, 3): (1.3, 1.3), (5, 5): (4.9, 4.9), (7, 7): (8.5, 8.5), (2, 2): (0, 0)},
        (134.75, 134.75),
        None,
    ),
    "squeezed": (
        (32, 32),
        (0, 0, 512, 512),
        (128, 256, 384, 384),
        {(0, 0): (16.12109, 8.24219), (0, 31): (16.12109, 23.25781), (31, 31): (23.62891, 23.25781)},
        (20352, 16128),
        0,
    ),
    "published sample": (
        (36, 28),
        (139, 237, 329, 458),
        (77, 406, 182, 527),
        {(0, 0): (17.5311, 0.2780), (20, 14): (28.1772, 7.7385), (35, 27): (0, 0)},
        (25316.31, 7170.59),
        28,
    ),
}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_affine_ids_are_those_of_the_published_weights(example: tuple) -> None:
    (rows, columns), original, new, chosen, sums, zeros = example
    ids = affine_ids(from_boxes(new, original), rows, columns)
    for (row, column), expected in chosen.items():
        assert ids[row * columns + column].tolist() == pytest.approx([0, *expected], abs=1e-3)
    assert ids.sum(0).tolist() == pytest.approx([0, *sums], abs=max(1e-2, 1e-6 * max(sums)))
    if zeros is not None:
        assert int((ids == 0).all(1).sum()) == zeros


@pytest.mark.parametrize(("rows", "columns"), [(10, 10), (36, 28), (72, 56)])
def test_affine_ids_equal_the_resampled_grid(rows: int, columns: int) -> None:
    draw = np.random.default_rng(rows)
    for _ in range(20):
        a, e = draw.uniform(0.1, 2.5, 2)
        affine = Affine(a, draw.uniform(-200, 300), e, draw.uniform(-200, 300))
        torch.testing.assert_close(
            affine_ids(affine, rows, columns), sampled_ids(affine, rows, columns), atol=1e-3, rtol=0
        )


def test_affine_ids_are_evenly_spaced_inside() -> None:
    column = affine_ids(Affine(), 32, 32).reshape(32, 32, 3)[5, :, 2]
    torch.testing.assert_close(column, torch.linspace(0.484375, 30.515625, 32))
    spaced = affine_ids(Affine(0.3, 40, 0.3, 40), 20, 20).reshape(20, 20, 3)[0, :, 2].diff()
    torch.testing.assert_close(spaced, torch.full_like(spaced, 0.3 * 19 / 20))


def test_centred_ids_of_the_identity_are_the_plain_grid() -> None:
    torch.testing.assert_close(centred_ids(Affine(), 7, 9), grid_ids(7, 9))
    moved = centred_ids(Affine(1, 32, 1, -16), 7, 9) - grid_ids(7, 9)
    torch.testing.assert_close(moved, torch.tensor([0.0, -1.0, 2.0]).expand(63, 3))


def test_from_masks_of_an_empty_mask_is_the_identity() -> None:
    mask, empty = np.zeros((160, 160), np.uint8), np.zeros((160, 160), np.uint8)
    mask[40:120, 40:120] = 255
    assert from_masks(mask, empty) == from_masks(empty, mask) == Affine()
    assert from_masks(np.full_like(mask, 255), mask) == Affine(2, -80, 2, -80)


def test_from_masks_ignores_a_faint_speck() -> None:
    original, new = np.zeros((96, 96), np.uint8), np.zeros((96, 96), np.uint8)
    original[20:40, 20:40], new[50:60, 50:60] = 255, 255
    clean = from_masks(new, original)
    original[90, 90] = 3
    assert from_masks(new, original) == clean
    assert from_masks(new, original, threshold=1) != clean


def test_stretching_the_canvas_of_a_published_sample() -> None:
    affine = from_boxes((241, 1232, 567, 1601), (433, 718, 1030, 1393)).stretched(448 / 1400, 576 / 1750)
    assert (affine.a, affine.tx) == pytest.approx((0.546064, 1.457), abs=1e-3)
    assert (affine.e, affine.ty) == pytest.approx((0.546667, 276.313), abs=1e-3)


def test_from_matrices_agrees_with_boxes_and_survives_a_turn() -> None:
    box, canvas = (10, 20, 50, 100), (200, 300)
    for angle, flip in ((0, False), (33, True)):
        own = placement_matrix(box, canvas, 0.5, 0.5, 0.4, angle, flip)
        asked = placement_matrix(box, canvas, 0.2, 0.7, 0.1, angle, flip)
        assert from_matrices(own, asked).a == pytest.approx(0.25)
    own, asked = (placement_matrix(box, canvas, *place) for place in ((0.5, 0.5, 0.4), (0.2, 0.7, 0.1)))
    boxes = [m @ np.array([[10, 50], [20, 100], [1, 1]]) for m in (own, asked)]
    expected = from_boxes(*(tuple(b.T.ravel()) for b in reversed(boxes)))
    found = from_matrices(own, asked)
    assert (found.a, found.tx, found.e, found.ty) == pytest.approx((expected.a, expected.tx, expected.e, expected.ty))


@pytest.mark.parametrize(
    ("size", "buckets"),
    [
        ((1400, 1750), ((448, 576), (672, 864), (896, 1152))),
        ((1440, 2160), ((384, 640), (576, 960), (768, 1280))),
        ((1920, 1080), ((640, 384), (960, 576), (1280, 768))),
        ((4000, 1000), ((768, 256), (1152, 384), (1536, 512))),
    ],
)
def test_bucket_has_the_nearest_aspect(size: tuple[int, int], buckets: tuple) -> None:
    assert tuple(choose_bucket(*size, resolution) for resolution in (512, 768, 1024)) == buckets


def test_buckets_are_whole_tokens() -> None:
    assert all(side % 16 == 0 for sizes in BUCKETS.values() for size in sizes for side in size)
    assert BUCKETS[1024][1] == (640, 1536)
    assert BUCKETS[768][4] == (672, 864)
    assert BUCKETS[128] == ((128, 128), (96, 160), (160, 96), (112, 144), (144, 112))


@pytest.mark.parametrize(
    ("foreground", "background", "size", "padding"),
    [
        ((2000, 1000), (1400, 1750), (1400, 700), (0, 525, 0, 525)),
        ((333, 500), (1024, 768), (333, 500), (345, 134, 346, 134)),
        ((1000, 3000), (1024, 768), (256, 768), (384, 0, 384, 0)),
        ((101, 51), (200, 100), (101, 51), (49, 24, 50, 25)),
    ],
)
def test_foreground_is_shrunk_never_enlarged(foreground: tuple, background: tuple, size: tuple, padding: tuple) -> None:
    assert fit(foreground, background) == (size, padding)
