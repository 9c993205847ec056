"""Which part of the picture is worked on, and at which size."""

from __future__ import annotations

import numpy as np
import pytest

from models.cat.framing import frame, frame_box, warning
from models.sizes import near_square


def mask_of(left: int, top: int, right: int, bottom: int, size: tuple[int, int] = (1500, 2000)) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


@pytest.mark.parametrize(
    ("mask", "region", "box"),
    [
        (mask_of(900, 700, 1100, 800), "auto", (800, 550, 1200, 950)),  # 200 wide and as much again around it
        (mask_of(900, 700, 1100, 800), "whole", (0, 0, 2000, 1500)),
        (mask_of(900, 700, 1100, 800), "squash", (0, 0, 2000, 1500)),
        (mask_of(0, 0, 100, 200), "auto", (0, 0, 400, 400)),  # moved into the picture, not cut
        (mask_of(100, 100, 1900, 1400), "auto", (0, 0, 2000, 1500)),  # most of the picture
        (mask_of(300, 100, 1700, 1400), "masked", (0, 0, 2000, 1500)),
        (mask_of(1000, 700, 1004, 704), "auto", (970, 670, 1034, 734)),  # at least 64 pixels
    ],
)
def test_box(mask: np.ndarray, region: str, box: tuple[int, int, int, int]) -> None:
    assert frame_box(mask, region, 0.5, 0) == box


def test_growing_widens_the_crop_and_the_mask() -> None:
    mask = mask_of(900, 700, 1100, 800)
    framing = frame(np.zeros((1500, 2000, 3), np.uint8), mask, "auto", 0.5, 20, 512, 64)
    assert framing.box == (780, 510, 1220, 990) or framing.box == (760, 510, 1240, 990)
    assert int((framing.whole_mask > 0).sum()) > int((mask > 0).sum())
    assert framing.picture.shape == (512, 512, 3)
    assert framing.mask.shape == (512, 512)


@pytest.mark.parametrize(
    ("shape", "size", "multiple", "expected"),
    [
        ((400, 400), 512, 64, (512, 512)),
        ((1500, 2000), 512, 64, (448, 576)),
        ((2000, 1500), 512, 64, (576, 448)),
        ((100, 1000), 512, 64, (320, 896)),  # 3:1 at most
        ((300, 400), 128, 32, (96, 160)),
    ],
)
def test_working_size_keeps_area_and_shape(
    shape: tuple[int, int], size: int, multiple: int, expected: tuple[int, int]
) -> None:
    assert near_square(shape, size, multiple) == expected


def test_a_crop_that_is_shrunk_much_is_announced() -> None:
    image = np.zeros((1500, 2000, 3), np.uint8)
    large = frame(image, mask_of(300, 100, 1700, 1400), "whole", 0.5, 0, 512, 64)
    assert "2000x1500 pixels are drawn at 576x448" in warning(large)
    assert warning(frame(image, mask_of(900, 700, 1100, 800), "auto", 0.5, 0, 512, 64)) == ""
