"""From a click to a mask: bad input in words, what is done after the model, the promise of pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from models import cache, cutout, pixels, regions, runtime
from models.contract import BadRequest
from models.dreamfuse.spec import DreamFuseRequest, object_matrix
from models.segment import SegmentRequest, finish
from tests import tiny
from tests.test_cutout import HEIGHT, WIDTH, around, overlap, scene


def request(**more: Any) -> SegmentRequest:
    return SegmentRequest(image=scene("star")[0], **more)


def disc(x: int, y: int, radius: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(mask, (x, y), radius, 255, -1)
    return mask


# --- bad input


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "Please click on the object"),
        ({"points": (), "labels": (), "box": None}, "Please click on the object"),
        ({"paint": np.full((HEIGHT, WIDTH), 128, np.uint8)}, "Please click on the object"),
        ({"points": [(9, 9), (20, 20)], "labels": [0, 0]}, "Only excluding clicks"),
        ({"points": [(-1, 9)]}, "outside the picture of 200x150"),
        ({"points": [(9, 151)]}, "outside the picture of 200x150"),
        ({"points": [(float("inf"), 9)]}, "two numbers"),
        ({"points": [(9, 9, 1)]}, "two numbers"),
        ({"points": "9,9"}, "must be a list"),
        ({"points": 9}, "must be a list"),
        ({"points": [(9, 9)] * 101}, "at most 100"),
        ({"points": [(9, 9)], "labels": [2]}, "1 to include or 0 to exclude"),
        ({"points": [(9, 9)], "labels": ["1"]}, "1 to include or 0 to exclude"),
        ({"points": [(9, 9)], "labels": [1, 0]}, "one label for each point"),
        ({"box": (50, 50, 50, 90)}, "no area"),
        ({"box": (50, 90, 80, 90)}, "no area"),
        ({"box": (250, 50, 300, 90)}, "outside the picture"),
        ({"box": (50, 50, 90)}, "four numbers"),
        ({"box": (50, 50, 90, float("nan"))}, "four numbers"),
        ({"start": np.zeros((9, 9), np.uint8)}, "the picture is 200x150"),
        ({"paint": np.zeros((HEIGHT, WIDTH + 1), np.uint8)}, "the picture is 200x150"),
        ({"start": np.zeros((HEIGHT, WIDTH))}, "8-bit"),
        ({"box": (1, 1, 9, 9), "feather": -1}, "between 0 and 200"),
        ({"box": (1, 1, 9, 9), "model": "sam"}, "must be one of auto, pocket"),
    ],
)
def test_what_cannot_be_a_mask_is_one_sentence(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        request(**fields)


def test_a_box_may_be_drawn_from_any_corner_and_over_the_edge() -> None:
    assert request(box=(160.2, 140, 40, -9)).box == (40, 0, 161, 140)
    assert request(box=[-50, -50, 500, 500]).box == (0, 0, 200, 150)
    assert request(points=[[9, 9], [5, 5]]).labels == (1, 1)
    assert request(box=(1, 1, 9, 9), points=[(5, 5)], labels=[0]).prompted


BLANK = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)


@pytest.mark.parametrize("model", ["grabcut", "pocket"])
@pytest.mark.parametrize("case", ["blank", "one pixel", "fills the picture", "smallest picture", "corner"])
def test_odd_pictures_get_a_mask_of_their_size(monkeypatch: pytest.MonkeyPatch, model: str, case: str) -> None:
    monkeypatch.setattr(runtime, "cache", cache.ModelCache(lambda weights: tiny.sam2()))
    image, point = BLANK.copy(), (100, 75)
    if case == "one pixel":
        image[75, 100] = 255
    elif case == "fills the picture":
        image = np.tile(np.arange(WIDTH, dtype=np.uint8)[:, None], (HEIGHT, 1, 3))
    elif case == "smallest picture":
        image, point = BLANK[:8, :8], (4, 4)
    elif case == "corner":
        point = (WIDTH, HEIGHT)
    for soft in (True, False):
        found = runtime.segment(SegmentRequest(image=image, points=[point], model=model, soft_edges=soft))
        assert (found.mask.shape, found.mask.dtype) == (image.shape[:2], np.uint8)
        assert found.score is not None
        assert 0 <= found.score <= 1


def test_a_mask_too_thin_for_soft_edges_stays_hard() -> None:
    image = BLANK.copy()
    image[75, 100] = 255
    thin = np.zeros((HEIGHT, WIDTH), np.uint8)
    thin[75, 100] = 255
    assert cutout.softened(image, thin)[75, 100] >= 128
    large = cv2.resize(image, (WIDTH * 10, HEIGHT * 10), interpolation=cv2.INTER_NEAREST)
    line = np.zeros(large.shape[:2], np.uint8)
    line[:, 1000] = 255
    np.testing.assert_array_equal(cutout.softened(large, line), line)


def test_soft_edges_follow_the_picture_and_stay_near_the_mask() -> None:
    image, truth = scene("ellipse")
    rough = np.where(cv2.resize(cv2.resize(truth, (32, 32)), (WIDTH, HEIGHT)) >= 128, 255, 0).astype(np.uint8)
    soft = cutout.softened(image, rough)
    assert overlap(soft, truth) > overlap(rough, truth) + 0.01
    assert np.abs(soft.astype(int) - truth).mean() < np.abs(rough.astype(int) - truth).mean()
    far = cv2.distanceTransform((rough == 0).astype(np.uint8), cv2.DIST_L2, 5) > 8
    assert not soft[far].any()


# --- after the model


def test_paint_adds_and_erases_by_its_strength() -> None:
    paint = np.full((HEIGHT, WIDTH), 128, np.uint8)
    paint[10, 10:15] = (255, 200, 128, 64, 0)
    start = np.full((HEIGHT, WIDTH), 100, np.uint8)
    mask = runtime.segment(request(start=start, paint=paint)).mask
    expected = [255, round(72 * 255 / 127), 100, min(100, 255 - round(64 * 255 / 127)), 0]
    assert mask[10, 10:15].tolist() == expected
    assert set(np.unique(mask[11:])) == {100}
    assert runtime.segment(request(paint=paint)).mask[10, 10:15].tolist() == [255, expected[1], 0, 0, 0]


def test_holes_pieces_edges_come_in_this_order() -> None:
    ring = regions.combine(disc(60, 70, 40), disc(60, 70, 20), "subtract")
    both = regions.combine(ring, disc(150, 70, 15), "add")
    paint = np.full((HEIGHT, WIDTH), 128, np.uint8)
    paint[70, 60] = 0  # erased in the middle of what will be filled
    mask = finish(request(start=both, paint=paint, fill_holes=True, keep_largest=True), both)
    want = disc(60, 70, 40)
    want[70, 60] = 0
    np.testing.assert_array_equal(mask, want)
    grown = finish(request(start=ring, grow=5, feather=6, invert=True), ring)
    by_hand = cv2.dilate(ring, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
    assert (255 - grown)[by_hand > 0].min() > 100
    np.testing.assert_array_equal(grown, 255 - regions.feather(regions.grow(ring, 5), 6))
    np.testing.assert_array_equal(finish(request(start=ring, grow=-3), ring), regions.shrink(ring, 3))


def test_a_mask_to_start_from_is_kept_as_it_is_and_clicks_go_on_from_it() -> None:
    start = disc(30, 30, 10)
    kept = runtime.segment(request(start=start))
    np.testing.assert_array_equal(kept.mask, start)
    assert (kept.score, kept.facts["model"]) == (None, "none")
    clicked = runtime.segment(request(start=start, points=[(100, 75)], model="grabcut"))
    assert (clicked.mask[30, 30], clicked.mask[75, 100]) == (255, 255)
    alone = runtime.segment(request(points=[(100, 75)], model="grabcut"))
    np.testing.assert_array_equal(clicked.mask, np.maximum(alone.mask, start))


def test_grabcut_answers_points_and_boxes() -> None:
    _, truth = scene("star")
    for fields in ({"points": [(100, 75)]}, {"box": around(truth)}):
        found = runtime.segment(request(model="grabcut", **fields))
        assert overlap(found.mask, truth) >= 0.95
        assert found.facts["model"] == "grabcut"
        hard = runtime.segment(request(model="grabcut", soft_edges=False, **fields)).mask
        assert set(np.unique(hard)) == {0, 255}


# --- the promise of pixels


@pytest.mark.parametrize("feather", [0, 9])
@pytest.mark.parametrize("shape", ["star", "ellipse"])
def test_cut_out_and_pasted_back_is_the_same_picture(shape: str, feather: float) -> None:
    image, truth = scene(shape)
    asked = SegmentRequest(image=image, box=around(truth), model="grabcut", feather=feather)
    rgba = cutout.lifted(image, runtime.segment(asked).mask)
    box = pixels.alpha_box(rgba[..., 3])
    assert box is not None
    left, top, right, bottom = box
    place = {"x": (left + right) / 2 / WIDTH, "y": (top + bottom) / 2 / HEIGHT, "scale": (right - left) / WIDTH}
    placed = DreamFuseRequest(background=image, foreground=rgba, **place)
    pasted, _ = pixels.paste(image, rgba, object_matrix(placed))
    difference = np.abs(pasted.astype(int) - image).max(axis=2)
    assert difference[rgba[..., 3] == 0].max() == 0
    assert difference[rgba[..., 3] == 255].max() <= 1
    assert (rgba[..., 3] == 255).any()
