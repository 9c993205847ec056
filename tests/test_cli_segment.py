"""`app.py segment`: files and one line of JSON for a click, a code and a sentence for what cannot be one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.main import main
from models import loading, runtime
from models.segment import SegmentRequest
from tests.test_cli import failed
from tests.test_cutout import scene


@pytest.fixture
def picture(tmp_path: Path) -> list[str]:
    """The verb with a picture to click on, and GrabCut to answer."""
    Image.fromarray(scene("star")[0]).save(tmp_path / "star.png")
    return ["segment", "--image", str(tmp_path / "star.png"), "--model", "grabcut"]


def test_a_click_is_two_files_and_a_line(
    picture: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask, cut = tmp_path / "new" / "mask.png", tmp_path / "cut.png"
    flags = ["--points", "100,75,1; 5,5,0", "--grow", "2", "--feather", "3", "--no-soft-edges"]
    assert main([*picture, *flags, "--out", str(mask), "--cutout", str(cut), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    points = {"points": ((100, 75), (5, 5)), "labels": (1, 0)}
    image = scene("star")[0]
    asked = SegmentRequest(image=image, grow=2, feather=3, soft_edges=False, model="grabcut", **points)
    want = runtime.segment(asked)
    with Image.open(mask) as found, Image.open(cut) as rgba:
        np.testing.assert_array_equal(np.asarray(found), want.mask)
        np.testing.assert_array_equal(np.asarray(rgba)[..., 3], want.mask)
        np.testing.assert_array_equal(np.asarray(rgba)[want.mask == 255][:, :3], image[want.mask == 255])
    assert said["files"] == [str(mask), str(cut)]
    assert (said["score"], said["model"]) == (pytest.approx(want.score), "grabcut")
    assert said["area"] == pytest.approx(want.mask.mean() / 255, abs=1e-4)
    left, top, right, bottom = said["box"]
    assert (want.mask[top:bottom, left:right] >= 128).sum() == (want.mask >= 128).sum()


def test_a_box_and_a_mask_to_start_from(picture: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "mask.png")
    assert main([*picture, "--box", "40,10,160,140", "--out", out]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert main([*picture, "--start", out, "--invert", "--out", str(tmp_path / "not.png")]) == 0
    with Image.open(out) as mask, Image.open(tmp_path / "not.png") as inverted:
        np.testing.assert_array_equal(np.asarray(mask), 255 - np.asarray(inverted))


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        ([], 2, "Please click on the object"),
        (["--points", "9,9,0"], 2, "Only excluding"),
        (["--points", "900,9"], 2, "outside the picture of 200x150"),
        (["--points", "9"], 2, "to include or"),
        (["--points", "9,9,2"], 2, "1 to include"),
        (["--points", "9;a"], 2, "to include or"),
        (["--points", "a,b"], 2, "not a list of numbers"),
        (["--box", "1,2,3"], 2, "four numbers"),
        (["--box", "1,2,1,9"], 2, "no area"),
        (["--points", "9,9", "--grow", "wide"], 2, "must be a number"),
        (["--points", "9,9", "--start", "{tmp}/none.png"], 2, "no file"),
        (["--points", "9,9", "--out", "{tmp}/mask.jpg"], 2, "must end in .png"),
        (["--points", "9,9", "--out", "{tmp}/a.png", "--cutout", "{tmp}/a.png"], 2, "two files"),
        (["--points", "9,9", "--model", "full"], 3, "models download"),
    ],
)
def test_what_cannot_be_a_mask_is_a_code_and_a_sentence(
    picture: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    code: int,
    says: str,
) -> None:
    monkeypatch.setattr(loading, "present", lambda weights: False)
    before = sorted(tmp_path.iterdir())
    out = [] if "--out" in flags else ["--out", str(tmp_path / "mask.png")]
    got, said = failed(capsys, [*picture, *(flag.format(tmp=tmp_path) for flag in flags), *out])
    assert (got, says in said) == (code, True)
    assert sorted(tmp_path.iterdir()) == before
