"""What the image encoder sees of a reference picture: published sizes, agreement with torch, and crops to faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage import data

from models.facediffuser import references
from models.facediffuser.references import (
    crop_to_face,
    encoder_input,
    find_faces,
    head_and_shoulders,
    padded,
    square,
    too_small,
)


def picture(height: int, width: int) -> np.ndarray:
    """Smooth colours with some noise, as photographs have them."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 37 + c) * np.cos(y / (23 + 9 * c)) for c in range(3)], axis=2)
    noise = np.random.default_rng(0).normal(0, 12, waves.shape)
    return np.clip(127 + 100 * waves + noise, 0, 255).astype(np.uint8)


def by_torch(pixels: torch.Tensor, side: int) -> torch.Tensor:
    return F.interpolate(pixels, (side, side), mode="bilinear", antialias=True, align_corners=False)


@pytest.mark.parametrize(
    ("size", "square_size"),
    [
        ((607, 1080), (1079, 1080)),
        ((704, 554), (704, 704)),
        ((1080, 607), (1080, 1079)),
        ((9, 10), (9, 10)),
        ((64, 64), (64, 64)),
    ],
)
def test_black_bars_are_as_wide_as_published(size: tuple[int, int], square_size: tuple[int, int]) -> None:  # N
    given = picture(*size)
    found = padded(given)
    assert found.shape == (*square_size, 3)
    top, left = ((b - a) // 2 for a, b in zip(size, square_size, strict=True))
    assert np.array_equal(found[top : top + size[0], left : left + size[1]], given)
    assert int(found.astype(int).sum()) == int(given.astype(int).sum())


@pytest.mark.parametrize("size", [(607, 1080), (704, 554), (90, 61), (300, 300)])
@pytest.mark.parametrize("resolution", [224, 512])
def test_the_square_is_torchs_antialiased_one_up_to_rounding(size: tuple[int, int], resolution: int) -> None:
    given = picture(*size)
    pixels = torch.from_numpy(padded(given)).permute(2, 0, 1)[None].double()
    expected = by_torch(pixels, resolution)[0].permute(1, 2, 0).numpy()
    found = square(given, resolution)
    assert found.shape == (resolution, resolution, 3)
    assert found.dtype == np.uint8
    assert float(np.abs(found - expected.round()).max()) <= 1.0
    assert float(np.abs(found - expected).mean()) <= 0.35  # 0.25 by one rounding; this filter rounds after each axis


@pytest.mark.parametrize(("resolution", "side"), [(512, 224), (256, 224), (128, 224), (320, 128)])
def test_the_second_step_is_torchs_in_float(resolution: int, side: int) -> None:
    people = [picture(607, 1080), picture(80, 60)]
    squares = torch.stack([torch.tensor(square(p, resolution)) for p in people])
    expected = by_torch(squares.permute(0, 3, 1, 2).float() / 255, side)
    found = encoder_input(people, resolution, side)
    assert found.shape == (2, 3, side, side)
    assert found.dtype == np.float32
    assert float(np.abs(found - expected.numpy()).max()) < 1e-5


def test_nothing_is_resized_twice_where_the_sizes_are_equal() -> None:
    given = picture(224, 224)
    assert np.array_equal(encoder_input([given], 224)[0], given.transpose(2, 0, 1).astype(np.float32) / 255)
    assert not np.array_equal(encoder_input([given], 512), encoder_input([given], 224))


def test_channels_stay_red_green_blue_and_bars_black() -> None:
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:] = (250, 120, 10)
    found = encoder_input([wide])[0]
    assert found[:, 112, 112].tolist() == pytest.approx([250 / 255, 120 / 255, 10 / 255])
    assert not found[:, :70].any()
    assert not found[:, -70:].any()
    assert found[:, 112, [0, -1]].all()


def test_the_page_can_warn_of_small_pictures() -> None:
    assert too_small(picture(127, 400))
    assert not too_small(picture(128, 128))


# ---- crops to faces


@pytest.mark.parametrize(
    ("face", "box"),
    [
        ((100, 100, 200, 200), (50, 50, 250, 280)),
        ((10, 0, 110, 100), (0, 0, 160, 180)),
        ((350, 220, 390, 260), (330, 200, 400, 292)),
        ((300, 200, 400, 300), (250, 150, 400, 300)),
    ],
)
def test_a_crop_keeps_head_and_shoulders_inside_the_picture(face: Any, box: Any) -> None:
    assert head_and_shoulders(face, (300, 400)) == box


def test_without_a_cascade_nothing_is_cropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "CASCADE", Path("missing.xml"))
    assert find_faces(picture(64, 64)) is None
    assert crop_to_face(picture(64, 64)) is None


def test_noise_has_no_face() -> None:
    assert find_faces(picture(200, 200)) == ()
    assert crop_to_face(picture(200, 200)) is None


def test_a_photographed_face_is_found_and_the_larger_one_first() -> None:
    photograph = data.astronaut()  # her face is about 90 pixels wide, around column 222 and row 115
    small = np.asarray(Image.fromarray(photograph).resize((300, 300)))
    both = np.zeros((512, 812, 3), np.uint8)
    both[:300, :300], both[:, 300:] = small, photograph
    found = find_faces(both)
    assert found is not None
    assert len(found) == 2
    for (left, top, right, bottom), (x, y) in zip(found, ((300 + 222, 115), (130, 67)), strict=True):
        assert left < x < right
        assert top < y < bottom
    crop = crop_to_face(both)
    assert crop is not None
    left, top, right, bottom = head_and_shoulders(found[0], (512, 812))
    assert np.array_equal(crop, both[top:bottom, left:right])
    assert 120 < crop.shape[1] < 260


class _Fixed:
    """A detector that has found its faces already, x, y, width and height each, as OpenCV gives them."""

    def __init__(self, *faces: tuple[int, int, int, int]) -> None:
        self.faces = np.array(faces, np.int32)

    def detectMultiScale(self, grey: np.ndarray, **_: Any) -> np.ndarray:
        assert grey.shape == (300, 400)
        return self.faces


def test_the_largest_face_is_cropped_and_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "_detector", lambda: _Fixed((10, 10, 40, 40), (100, 100, 100, 100)))
    given = picture(300, 400)
    assert find_faces(given) == ((100, 100, 200, 200), (10, 10, 50, 50))
    crop = crop_to_face(given)
    assert crop is not None
    assert np.array_equal(crop, given[50:280, 50:250])
