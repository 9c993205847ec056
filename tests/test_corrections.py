"""Clicks on a mask that was there before: what they add and take, against floods of flat colours."""

from __future__ import annotations

from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest

from models import cache, runtime
from models.contract import BadRequest
from models.corrections import applied, proposals
from models.segment import SegmentRequest, grounded
from tests import flood, tiny
from tests.browser.clicker import DISC, HEIGHT, HOLE, SQUARE, WIDTH, still
from tests.test_cutout import overlap

BOTH = DISC | HOLE | SQUARE
ON_DISC, ON_HOLE, ON_SQUARE, OUTSIDE = (150.0, 180.0), (200.0, 180.0), (460.0, 210.0), (30.0, 400.0)
FAR = np.zeros((HEIGHT, WIDTH), np.uint8)
FAR[400:440, 560:600] = 200  # soft, and far from everything that is clicked


def corrected(start: np.ndarray | None, *clicks: tuple[float, float, int], **more: Any) -> np.ndarray:
    """The mask that the floods make of `start`."""
    points, labels = [(x, y) for x, y, _ in clicks], [label for _, _, label in clicks]
    request = grounded(SegmentRequest(image=still(), points=points, labels=labels, start=start, **more))
    return applied(request.start, proposals(request, partial(flood.found, request.image)), (HEIGHT, WIDTH))


def test_an_including_click_adds_what_it_finds() -> None:
    np.testing.assert_array_equal(corrected(DISC | FAR, (*ON_SQUARE, 1)), DISC | FAR | SQUARE)
    np.testing.assert_array_equal(corrected(FAR, (*ON_SQUARE, 1), (*ON_DISC, 1)), DISC | SQUARE | FAR)
    np.testing.assert_array_equal(corrected(DISC, (*ON_DISC, 1)), DISC)
    boxed = corrected(FAR, box=(10, 20, 30, 40))
    assert (boxed[20:40, 10:30] == 255).all()
    assert (boxed[400:440, 560:600] == 200).all()


def test_an_excluding_click_takes_what_lies_under_it_and_nothing_else() -> None:
    np.testing.assert_array_equal(corrected(BOTH | FAR, (*ON_SQUARE, 0)), DISC | HOLE | FAR)
    np.testing.assert_array_equal(corrected(BOTH, (*ON_HOLE, 0)), DISC | SQUARE)
    np.testing.assert_array_equal(corrected(BOTH | FAR, (*ON_HOLE, 0), (*ON_SQUARE, 0)), DISC | FAR)


def test_an_excluding_click_beside_the_mask_only_holds_the_others_back() -> None:
    np.testing.assert_array_equal(corrected(DISC, (*OUTSIDE, 0)), DISC)
    np.testing.assert_array_equal(corrected(FAR, (*ON_SQUARE, 1), (*ON_HOLE, 0)), SQUARE | FAR)
    np.testing.assert_array_equal(corrected(SQUARE, (*ON_SQUARE, 0), (*ON_DISC, 1)), DISC)


def test_a_click_that_would_take_the_whole_mask_takes_a_bite() -> None:
    bitten = corrected(SQUARE, (*ON_SQUARE, 0))
    bite = cv2.circle(np.zeros_like(SQUARE), (460, 210), round(0.012 * WIDTH), 255, -1)
    np.testing.assert_array_equal(bitten, np.where(bite > 0, 0, SQUARE))


@pytest.mark.parametrize("off", [-3, 3])
def test_no_rim_stays_where_two_outlines_of_one_object_differ(off: int) -> None:
    disc = np.ones((7, 7), np.uint8)
    start = DISC | HOLE | FAR | (cv2.dilate(SQUARE, disc) if off > 0 else cv2.erode(SQUARE, disc))
    np.testing.assert_array_equal(corrected(start, (*ON_SQUARE, 0)), DISC | HOLE | FAR)


def test_what_was_painted_can_be_clicked_away() -> None:
    paint = np.full((HEIGHT, WIDTH), 128, np.uint8)
    paint[(SQUARE | HOLE | DISC) > 0] = 255
    paint[160:170, 180:220] = 0
    asked = SegmentRequest(image=still(), points=[ON_SQUARE], labels=[0], paint=paint, model="grabcut")
    mask = runtime.segment(asked).mask
    assert not mask[SQUARE > 0].any()
    assert (mask[DISC > 0] == 255).all()
    assert not mask[160:170, 180:220].any()  # erased stays erased
    with pytest.raises(BadRequest, match="Only excluding"):
        SegmentRequest(image=still(), points=[ON_SQUARE], labels=[0], paint=np.full_like(paint, 128))


@pytest.mark.parametrize("soft", [True, False])
def test_grabcut_adds_and_takes_by_colour(soft: bool) -> None:
    shared = {"image": still(), "model": "grabcut", "soft_edges": soft}
    added = runtime.segment(SegmentRequest(start=DISC | FAR, points=[ON_SQUARE], **shared))
    assert overlap(added.mask, DISC | SQUARE | FAR) > 0.98
    assert (added.mask[FAR > 0] == 200).all()
    taken = runtime.segment(SegmentRequest(start=BOTH | FAR, points=[ON_SQUARE], labels=[0], **shared))
    assert overlap(taken.mask, DISC | HOLE | FAR) > 0.98
    assert not taken.mask[SQUARE > 0].any()
    beside = runtime.segment(SegmentRequest(start=BOTH, points=[OUTSIDE], labels=[0], **shared))
    np.testing.assert_array_equal(beside.mask, BOTH)
    assert beside.score is None


def test_a_network_is_asked_for_every_candidate_of_what_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "cache", cache.ModelCache(lambda weights: tiny.sam2()))
    start = np.full((HEIGHT, WIDTH), 255, np.uint8)
    shared = {"image": still(), "points": [ON_SQUARE], "model": "pocket", "soft_edges": False}
    seen = runtime.segment(SegmentRequest(start=start, labels=[0], **shared))
    assert seen.score is not None
    assert (seen.mask[210, 460], seen.mask.shape) == (0, start.shape)
    assert (seen.mask >= 128).mean() >= 0.1
    added = runtime.segment(SegmentRequest(start=FAR, labels=[1], **shared))
    alone = runtime.segment(SegmentRequest(labels=[1], **shared))
    np.testing.assert_array_equal(added.mask, np.maximum(FAR, alone.mask))
