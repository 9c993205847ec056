"""`app.py compare`: files and Easel pictures in, a folder out, the estimate, and a code for every error."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.main import main
from models import runtime
from models.compare import measures
from tests import fakes
from tests.painter import Painter, cutout, install, scene
from tests.test_bundles import PERSON
from tests.test_cli import failed

pytestmark = pytest.mark.usefixtures("painter")


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Painter]:
    monkeypatch.setenv("EASEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measures, "similarity", lambda picture, text: None)
    settings = runtime.settings
    yield install(monkeypatch)
    runtime.settings = settings


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """Two scenes, an object, and where to write."""
    for name, picture in (("hall", scene()), ("yard", scene()[::-1])):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    Image.fromarray(cutout()).save(tmp_path / "disc.png")
    Image.fromarray(PERSON).save(tmp_path / "person.png")
    where = [f"{tmp_path}/hall.png", f"{tmp_path}/yard.png", "--object", f"{tmp_path}/disc.png", "--scale", ".4"]
    return ["compare", "--scene", *where, "--out", f"{tmp_path}/out", "--quiet"]


def test_two_scenes_three_seeds_one_command(
    given: list[str], tmp_path: Path, painter: Painter, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*given, "--methods", "fuse, paste, poisson", "--axis", "seed=1-3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["cells"]) == 2 * (3 + 2)
    assert all(Path(file).stat().st_size for file in told["files"].values())
    assert {cell["case_name"] for cell in told["cells"]} == {"hall", "yard"}
    assert [request.scale for request in painter.seen] == [0.4] * 6


def test_every_cell_of_a_sheet_replays(given: list[str], tmp_path: Path) -> None:
    assert main([*given, "--methods", "fuse,input,paste,poisson", "--axis", "seed=5"]) == 0
    cells = sorted((tmp_path / "out" / "cells").glob("*.png"))
    assert len(cells) == 8
    for cell in cells:
        again = tmp_path / f"again-{cell.name}"
        assert main(["replay", str(cell), "--out", str(again), "--quiet"]) == 0
        with Image.open(cell) as then, Image.open(again) as now:
            assert np.array_equal(np.asarray(then), np.asarray(now))


def test_a_dry_run_says_the_cost_and_draws_nothing(
    given: list[str], tmp_path: Path, painter: Painter, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*given, "--methods", "fuse", "--axis", "seed=1-3", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["estimate"]["pictures"] == 6
    assert len(told["runs"]) == 6
    assert main([*given, "--methods", "fuse", "--axis", "seed=1-3", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("6 pictures; ")
    assert painter.seen == []
    assert not (tmp_path / "out").exists()


def test_a_folder_is_gone_on_with_only_by_resume(
    given: list[str], painter: Painter, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*given, "--methods", "fuse"]
    assert main([*asked, "--axis", "seed=1"]) == 0
    capsys.readouterr()
    code, said = failed(capsys, [*asked, "--axis", "seed=1-2"])
    assert (code, "holds a comparison already" in said) == (2, True)
    painter.seen.clear()
    assert main([*asked, "--axis", "seed=1-2", "--resume"]) == 0
    assert {request.seed for request in painter.seen} == {2}


def test_a_picture_of_easels_is_a_case(
    given: list[str], tmp_path: Path, painter: Painter, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--background", f"{tmp_path}/hall.png", "--foreground", f"{tmp_path}/disc.png"]
    assert main(["fuse", *files, "--x", ".3", "--seed", "8", "--out", f"{tmp_path}/made.png", "--quiet"]) == 0
    asked = [
        "compare",
        "--from",
        f"{tmp_path}/made.png",
        "--methods",
        "fuse,paste",
        "--out",
        f"{tmp_path}/out",
        "--quiet",
    ]
    assert main(asked) == 0
    assert [(request.x, request.seed) for request in painter.seen] == [(0.3, 8)] * 2
    capsys.readouterr()
    code, said = failed(capsys, [*asked[:2], f"{tmp_path}/hall.png"])
    assert (code, "carries no recipe" in said) == (2, True)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--axis", "colour=red"], "has no field"),
        (["--axis", "seed=3-1"], "is empty"),
        (["--axis", "seed=one"], "must be a number"),
        (["--axis", "seed=1-10000"], "the limit is 400"),
        (["--methods", "magic"], "no method “magic”"),
        (["--x", "left"], "must be a number"),
        (["--x", "9"], "between -4 and 5"),
        (["--mask", "{tmp}/person.png"], "one mask for each scene"),
        (["--scene", "{tmp}/none.png"], "there is no file"),
        (["--from", "{tmp}/none.png"], "missing, empty or too large"),
        (["--collage", "{tmp}/none.collage.zip"], "There is no file"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(
    given: list[str], tmp_path: Path, more: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = failed(capsys, [*given, "--methods", "fuse", *(part.format(tmp=tmp_path) for part in more)])
    assert (code, says in said) == (2, True), said


def test_without_any_input_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = failed(capsys, ["compare"])
    assert (code, "nothing to compare on" in said) == (2, True)


def test_people_alone_with_a_prompt_are_a_case(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["compare", "--references", f"{tmp_path}/person.png", "--prompt", "a man <|image|> at sea", "--dry-run"]
    assert main([*asked, "--json"]) == 0
    assert [run["method"] for run in json.loads(capsys.readouterr().out)["runs"]] == ["facediffuser"]


def test_a_sheet_without_any_picture_is_an_error(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*given, "--methods", "fuse", "--axis", "prompt=fail"]) == 2
    assert "No cell could be drawn." in capsys.readouterr().err
    code = main([*given, "--methods", "fuse", "--axis", "preset=full", "--resume"])
    assert (code, "No cell could be drawn. black-forest-labs" in capsys.readouterr().err) == (3, True)


def test_ctrl_c_is_code_5_and_keeps_what_is_there(
    given: list[str], tmp_path: Path, painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fakes, "PAUSE", 0.1)  # or the cell is done before the signal has come
    asked = [*given, "--methods", "fuse,paste", "--axis", "seed=1-3"]
    real = painter.run

    def stopping(parts: None, request: object) -> object:
        for event in real(parts, request):
            yield event
            if len(painter.seen) == 2 and painter.steps == 6:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    painter.run = stopping  # type: ignore[method-assign, assignment]
    assert main(asked) == 5
    cells = list((tmp_path / "out" / "cells").glob("*.png"))
    assert len(cells) == 3
    assert (tmp_path / "out" / "sheet.png").exists()
