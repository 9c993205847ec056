"""`/segment` over HTTP: a mask and a cut-out for a click, and a sentence for everything that cannot be one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from models import runtime
from models.segment import SegmentRequest
from tests.client.conftest import Served
from tests.test_cutout import overlap, scene

pytestmark = pytest.mark.client
SEGMENT = ["image", "points", "labels", "box", "paint", "start", "grow", "feather", "fill_holes", "keep_largest"]
SEGMENT += ["invert", "soft_edges", "model", "cutout"]


@pytest.fixture
def picture(tmp_path: Path) -> str:
    Image.fromarray(scene("star")[0]).save(tmp_path / "star.png")
    return str(tmp_path / "star.png")


def ask(served: Served, picture: str, **more: Any) -> Any:
    """`/segment` through gradio_client, by colour alone."""
    return served.client.predict(handle_file(picture), api_name="/segment", **{"model": "grabcut", **more})


def test_a_click_comes_back_as_a_mask_a_score_and_a_cutout(served: Served, picture: str) -> None:
    image, truth = scene("star")
    mask, score, cut = ask(served, picture, points=[[100, 75], [5, 5]], labels=[1, 0], feather=2, cutout=True)
    asked = SegmentRequest(image=image, points=((100, 75), (5, 5)), labels=(1, 0), feather=2, model="grabcut")
    direct = runtime.segment(asked)
    with Image.open(mask) as found, Image.open(cut) as rgba:
        assert (found.mode, rgba.mode) == ("L", "RGBA")
        assert np.array_equal(np.asarray(found), direct.mask)
        assert np.array_equal(np.asarray(rgba)[..., 3], direct.mask)
        assert overlap(np.asarray(found), truth) > 0.9
    assert score == pytest.approx(direct.score)
    mask, _, cut = ask(served, picture, box=[40, 10, 160, 140])
    assert cut is None
    with Image.open(mask) as found:
        assert overlap(np.asarray(found), truth) > 0.9


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, "click on the object"),
        ({"points": []}, "click on the object"),
        ({"points": [[9, 9]], "labels": [0]}, "Only excluding"),
        ({"points": [[900, 9]]}, "outside the picture of 200x150"),
        ({"points": [[9, 9]], "labels": [1, 1]}, "1 points and 2 labels"),
        ({"points": [[9]]}, "two numbers"),
        ({"points": "nine"}, "must be a list"),
        ({"points": [[9, "nan"]]}, "two numbers"),
        ({"box": [5, 5, 5, 9]}, "no area"),
        ({"box": [5, 5, 9]}, "four numbers"),
        ({"box": [300, 300, 400, 400]}, "outside the picture"),
        ({"points": [[9, 9]], "grow": 1e9}, "between -100 and 100"),
        ({"points": [[9, 9]], "invert": "false"}, "true or false"),
        ({"points": [[9, 9]], "cutout": "yes"}, "true or false"),
        ({"points": [[9, 9]], "model": "best"}, "must be one of auto"),
        ({"points": [[9, 9]], "model": "full"}, "models download"),
    ],
)
def test_what_cannot_be_a_mask_is_one_sentence(served: Served, picture: str, more: dict[str, Any], says: str) -> None:
    with pytest.raises(AppError) as refused:
        ask(served, picture, **more)
    assert says in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_a_mask_of_another_size_and_a_bare_path_are_refused(served: Served, picture: str) -> None:
    with pytest.raises(AppError, match="the picture is 200x150"):
        ask(served, picture, start=handle_file(served.background))
    with pytest.raises(AppError, match="uploaded file"):
        served.client.predict("/etc/passwd", points=[[9, 9]], api_name="/segment")
