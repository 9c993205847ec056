"""Which pictures the encoder is shown, and the sentences about what may disappoint."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.facediffuser import notices
from models.facediffuser.references import head_and_shoulders
from tests.methods.face_tiny import portrait

FACE, SMALLER = (60, 50, 100, 90), (10, 10, 30, 30)
WHOLE = "No face was found in reference 2; it was used whole."
SEVERAL = "2 faces were found in reference 1; "


def shown(monkeypatch: Any, faces: list[Any], crop: bool, drawn: bool = False, **size: int) -> notices.Shown:
    """Of as many pictures as there are answers of the detector."""
    answers = iter(faces)
    monkeypatch.setattr(notices, "find_faces", lambda _: next(answers))
    return notices.shown([portrait(k, **size) for k in range(len(faces))], crop, drawn)


@pytest.mark.parametrize(
    ("faces", "crop", "drawn", "said"),
    [
        ([(FACE,), (FACE,)], False, False, []),
        ([(FACE,), ()], False, False, [WHOLE]),
        ([(FACE,), ()], True, False, [WHOLE]),
        ([(FACE,), ()], False, True, []),
        ([(FACE,), ()], True, True, [WHOLE]),
        ([(FACE, SMALLER)], False, False, [SEVERAL + "one person a picture works best."]),
        ([(FACE, SMALLER)], True, False, [SEVERAL + "the largest was taken."]),
        ([None, None], False, False, []),
        ([None, None], True, False, ["This OpenCV has no face detector, so the pictures were used whole."]),
        ([(FACE,)] * 3, False, False, ["With 3 people some may blend; 2 are told apart best."]),
    ],
)
def test_what_the_detector_finds_is_told_once(
    monkeypatch: Any, faces: list[Any], crop: bool, drawn: bool, said: list[str]
) -> None:
    assert list(shown(monkeypatch, faces, crop, drawn).warnings) == said


def test_the_largest_face_is_cropped_to_where_that_is_asked_for(monkeypatch: Any) -> None:
    faces: list[Any] = [(FACE, SMALLER), ()]
    whole = shown(monkeypatch, faces, False).pictures
    assert all(np.array_equal(one, portrait(k)) for k, one in enumerate(whole))
    cropped, other = shown(monkeypatch, faces, True).pictures
    left, top, right, bottom = head_and_shoulders(FACE, (160, 144))
    assert np.array_equal(cropped, portrait(0)[top:bottom, left:right])
    assert cropped.shape < portrait(0).shape
    assert np.array_equal(other, portrait(1))


@pytest.mark.parametrize(("height", "width", "small"), [(128, 160, False), (112, 160, True), (160, 112, True)])
def test_a_small_picture_is_told(monkeypatch: Any, height: int, width: int, small: bool) -> None:
    found = shown(monkeypatch, [(FACE,)], False, height=height, width=width).warnings
    assert found == ((f"Reference 1 is {width}x{height} pixels; under 128 it says little about a face.",) * small)


def test_what_was_not_read_is_told() -> None:
    assert notices.cut("") == []
    assert notices.cut("in the rain") == ["The prompt is too long; “in the rain” was not read."]
