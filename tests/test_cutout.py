"""Cutting out by colour, against objects that the tests drew themselves."""

import cv2
import numpy as np
import pytest

from models import cutout, pixels
from models.contract import BadRequest

HEIGHT, WIDTH = 150, 200


def ground() -> np.ndarray:
    """Green-grey noise at two scales, like grass."""
    rng = np.random.default_rng(2)
    fine = rng.normal(0, 14, (HEIGHT, WIDTH, 3))
    coarse = cv2.resize(rng.normal(0, 18, (12, 16, 3)), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return pixels.to_bytes((90, 130, 80) + fine + coarse)


def outline(shape: str) -> np.ndarray:
    """Soft alpha of an ellipse or a five-pointed star, drawn at four times the size."""
    canvas = np.zeros((HEIGHT * 4, WIDTH * 4), np.uint8)
    if shape == "ellipse":
        cv2.ellipse(canvas, (420, 310), (190, 120), 20, 0, 360, 255, -1)
    else:
        turns = np.arange(10) * np.pi / 5 - np.pi / 2
        radii = np.where(np.arange(10) % 2 == 0, 210, 95)
        corners = np.stack([400 + radii * np.cos(turns), 300 + radii * np.sin(turns)], axis=1)
        cv2.fillPoly(canvas, [corners.astype(np.int32)], 255)
    return pixels.resize(canvas, (HEIGHT, WIDTH))


def scene(shape: str) -> tuple[np.ndarray, np.ndarray]:
    alpha = outline(shape)
    shade = np.linspace(0.75, 1.1, WIDTH)[None, :, None] * np.array([205, 70, 60])
    weight = alpha[..., None] / 255
    return pixels.to_bytes(ground() * (1 - weight) + shade * weight), alpha


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    a, b = found >= 128, truth >= 128
    return float((a & b).sum() / (a | b).sum())


def around(alpha: np.ndarray, margin: int = 8) -> pixels.Box:
    box = pixels.alpha_box(alpha)
    assert box is not None
    left, top, right, bottom = box
    return left - margin, top - margin, right + margin, bottom + margin


@pytest.mark.parametrize("shape", ["ellipse", "star"])
@pytest.mark.parametrize("how", ["box", "click", "nothing"])
def test_cut_out_finds_the_drawn_object(shape: str, how: str) -> None:
    image, truth = scene(shape)
    box = around(truth) if how == "box" else None
    points = [(100.0, 75.0)] if how == "click" else []
    assert overlap(cutout.cut_out(image, box, points)[..., 3], truth) >= 0.95


def test_edges_are_as_soft_as_the_objects_and_carry_its_colour() -> None:
    image, truth = scene("ellipse")
    rgba = cutout.cut_out(image, around(truth))
    alpha = rgba[..., 3]
    soft = (alpha > 12) & (alpha < 243)
    assert 0.3 <= soft.sum() / ((truth > 12) & (truth < 243)).sum() <= 3
    assert np.abs(alpha.astype(int) - truth).mean() <= 2
    np.testing.assert_array_equal(rgba[alpha >= 250][:, :3], image[alpha >= 250])
    green = rgba[..., 1].astype(int) - rgba[..., 0]
    assert (green[soft] < 0).mean() >= 0.99, "no rim of grass"


def test_an_excluded_point_takes_a_second_object_away() -> None:
    image, truth = scene("ellipse")
    image[20:50, 15:45] = (205, 70, 60)
    masker, box = cutout.GrabCut(), (5, 5, WIDTH - 5, HEIGHT - 5)
    embedding = masker.embed(image)
    both, _ = masker.mask(embedding, box=box)
    assert both[0, 35, 30] == both[0, 75, 100] == 255
    masks, scores = masker.mask(embedding, [(30, 35)], [0], box)
    assert masks.shape == (1, HEIGHT, WIDTH)
    assert overlap(masks[0], truth) >= 0.95
    assert 0.9 <= scores[0] <= 1
    bitten, _ = masker.mask(embedding, [(100, 75)], [0], box)
    assert bitten[0, 75, 100] == 0
    assert bitten[0, 75, 130] == 255, "an excluded point never takes the largest piece"


def test_a_large_picture_keeps_its_edges_at_full_size() -> None:
    image, truth = scene("star")
    large = cv2.resize(image, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    want = cv2.resize(truth, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    box = tuple(6 * edge for edge in around(truth))
    found = cutout.cut_out(large, box)[..., 3]
    assert found.shape == (900, 1200)
    assert overlap(found, want) >= 0.95


def test_the_same_picture_gives_the_same_mask_whatever_ran_before() -> None:
    image, truth = scene("star")
    first = cutout.cut_out(image, around(truth))
    cv2.setRNGSeed(99)
    np.testing.assert_array_equal(cutout.cut_out(image, around(truth)), first)


@pytest.mark.parametrize("channels", [1, 3])
def test_guided_filter_is_the_plain_one_at_full_size(channels: int) -> None:
    """With a grey guide of the same size it is He et al.'s scalar formula, written out here; three equal channels
    share the slope, so they are held back a third as much."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (30, 40), np.uint8)
    mask = (rng.random((30, 40)) > 0.5).astype(np.float32)
    image = np.dstack([grey] * 3 if channels == 3 else [grey, np.zeros_like(grey), np.zeros_like(grey)])
    radius, epsilon = 3, 1e-4

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (7, 7), borderType=cv2.BORDER_REFLECT)

    guide = grey / 255.0
    variance = mean(guide**2) - mean(guide) ** 2
    slope = (mean(guide * mask) - mean(guide) * mean(mask)) / (variance + epsilon / channels)
    want = mean(slope) * guide + mean(mean(mask) - slope * mean(guide))
    got = cutout.guided(image, image, mask, radius, np.ones((30, 40), bool), epsilon)
    np.testing.assert_allclose(got.reshape(30, 40), want, atol=1e-4)
    chosen = rng.random((30, 40)) > 0.7
    some = cutout.guided(image, image, mask, radius, chosen, epsilon)
    np.testing.assert_allclose(some, want[chosen], atol=1e-4)


def test_coefficients_are_stretched_over_the_picture() -> None:
    """A ramp stays a ramp between the outermost pixels' middles."""
    small = np.dstack([np.tile(np.arange(8, dtype=np.float32), (5, 1))] * 2)
    stretched = cutout._sampled(small, np.ones((50, 80), bool)).reshape(50, 80, 2)
    want = np.clip((np.arange(80) + 0.5) / 10 - 0.5, 0, 7)
    np.testing.assert_allclose(stretched[7, :, 1], want, atol=1 / 32)
    assert cutout._sampled(small, np.zeros((50, 80), bool)).shape == (0, 2)


def test_fringes_are_cleaned_alike_at_any_size() -> None:
    image, truth = scene("ellipse")
    small = cutout.lifted(image, truth)
    large = cutout.lifted(*(cv2.resize(p, None, fx=8, fy=8, interpolation=cv2.INTER_LINEAR) for p in (image, truth)))
    back = cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(int)
    soft = (truth > 40) & (truth < 200)
    assert np.abs(back - small)[soft][:, :3].mean() < 0.5
    np.testing.assert_array_equal(small[truth == 0][:, :3], image[truth == 0])
    np.testing.assert_array_equal(cutout.lifted(image, np.zeros_like(truth))[..., :3], image)


def test_a_picture_without_an_object_and_a_box_beside_it_are_refused() -> None:
    with pytest.raises(BadRequest, match="draw a box"):
        cutout.cut_out(np.full((40, 40, 3), 90, np.uint8), points=[(-50.0, 5.0)], labels=[0])
    with pytest.raises(BadRequest, match="outside the picture"):
        cutout.cut_out(ground(), (400, 400, 500, 500))
