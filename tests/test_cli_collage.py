"""`app.py collage`: a saved collage, flags beside it, and replay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.main import main
from models.collage import files
from models.collage.spec import collage_of
from tests.methods.collage_tiny import request
from tests.test_cli import failed


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "box.collage.zip"
    path.write_bytes(files.encode(collage_of(request(width=128, height=128, steps=2, seed=4, guidance_scale=0.0))))
    return path


def made(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_saved_collage_runs_and_its_picture_replays(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.png"
    assert main(["collage", "--collage", str(saved), "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["seeds"] == [4]
    assert told["recipe"]["request"]["prompt"] == "a red box and a ball in front of a green wall"
    again = tmp_path / "again.png"
    assert main(["replay", str(out), "--out", str(again)]) == 0
    assert np.array_equal(made(out), made(again))


def test_flags_win_over_what_the_file_says(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out.png")
    assert main(["collage", "--collage", str(saved), "--seed", "7", "--variant", "gh", "--out", out, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["seeds"] == [7]
    assert (told["recipe"]["request"]["variant"], told["recipe"]["request"]["steps"]) == ("gh", 2)
    out = str(tmp_path / "all.png")
    assert main(["collage", "--collage", str(saved), "--seed", "7", "--ladder", "--out", out, "--json"]) == 0
    rungs = json.loads(capsys.readouterr().out)["ladder"]
    assert {name: Path(file).name for name, file in rungs.items()} == {
        "paste": "all-paste.png", "gh": "all-gh.png", "gh+ca": "all-gh+ca.png",
    }  # fmt: skip
    assert np.array_equal(made(rungs["gh"]), made(tmp_path / "out.png"))
    assert not np.array_equal(made(rungs["gh+ca"]), made(rungs["gh"]))


def test_a_folder_of_layers_as_the_authors_keep_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "layers"
    folder.mkdir()
    for name, layer in zip(("_0001_green_wall", "_0000_red_box"), request().layers, strict=False):
        Image.fromarray(layer.placed.image).resize((512, 512)).save(folder / f"{name}.png")
    code, said = failed(capsys, ["collage", "--collage", str(tmp_path), "--steps", "1"])
    assert (code, "Nothing is seen of “green wall”" in said) == (2, True)


def test_a_file_that_is_not_there_is_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = failed(capsys, ["collage", "--collage", "/no/such.collage.zip"])
    assert (code, "There is no file" in said) == (2, True)
    code, said = failed(capsys, ["collage"])
    assert (code, "--collage" in said) == (2, True)
