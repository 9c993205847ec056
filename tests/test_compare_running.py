"""Cells as they finish: a failed one leaves the others alone, a stop keeps what is there, a resume goes on from it."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import pictures, replay, runtime
from models.compare import measures, pace, plan, report, running
from models.compare.cases import Case
from models.compare.grid import build
from models.compare.outcome import Outcome
from models.compare.running import Update, compare
from models.contract import BadRequest, Bundle, Placed, Result, Stopped
from models.dreamfuse.spec import DreamFuseRequest
from models.recipe import read_png, write_png
from tests import fakes
from tests.painter import Painter, cutout, install, scene
from tests.test_bundles import MASK, PERSON, SCENE

DROPPED = Bundle(scene(), Placed(cutout(), scale=0.4, prompt="a green disc"))


@pytest.fixture(autouse=True)
def painter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Painter]:
    monkeypatch.setenv("EASEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measures, "similarity", lambda picture, text: None)  # the judge has a test of its own
    settings = runtime.settings
    yield install(monkeypatch)
    runtime.settings = settings


def planned(*axes: str, methods: str = "fuse, paste", bundle: Bundle = DROPPED) -> plan.Plan:
    return plan.make(build([Case("disc", bundle)], methods, axes))


def drawn(asked: plan.Plan, folder: Path, **more: bool) -> list[Update]:
    return list(compare(asked, folder, **more))


def finished(folder: Path) -> list[Outcome]:
    return [Outcome.read(cell) for cell in json.loads((folder / report.REPORT).read_text())["cells"]]


def test_every_cell_has_a_file_with_its_recipe_and_its_numbers(painter: Painter, tmp_path: Path) -> None:
    asked = planned("seed=3-4")
    news = drawn(asked, tmp_path / "out")
    outcomes = [one.outcome for one in news if one.outcome is not None]
    assert [one.key for one in outcomes] == ["paste", "dreamfuse", "dreamfuse"]
    assert [one.seed for one in outcomes] == [None, 3, 4]
    steps = [one for one in news if one.step is not None and one.step.done]
    assert len(steps) == 8
    assert [(one.done, one.total) for one in news if one.outcome] == [(1, 3), (2, 3), (3, 3)]
    assert news[-1].seconds_left == 0
    for one in outcomes:
        recipe, inputs = read_png(tmp_path / "out" / one.file)
        assert (recipe.method, recipe.seed) == (one.key, one.seed or 0)
        assert len(inputs) == 2
        assert one.peak_megabytes
        assert one.peak_megabytes > 20
    assert [request.seed for request in painter.seen] == [3, 4]


def test_a_cell_replays_to_the_same_pixels(painter: Painter, tmp_path: Path) -> None:
    drawn(planned("seed=3"), tmp_path / "out")
    one = finished(tmp_path / "out")[-1]
    recipe, inputs = read_png(tmp_path / "out" / one.file)
    again = replay.to_request(recipe, inputs, DreamFuseRequest)
    *_, last = runtime.run("dreamfuse", again)
    assert isinstance(last, Result)
    assert np.array_equal(last.images[0], pictures.decode(tmp_path / "out" / one.file, "rgb", "cell"))


def test_one_failed_cell_is_labelled_and_the_sheet_goes_on(painter: Painter, tmp_path: Path) -> None:
    drawn(planned("prompt=fail || fine", "seed=1"), tmp_path / "out")
    by_prompt = {one.fields.get("prompt", "-"): one for one in finished(tmp_path / "out")}
    assert by_prompt["fail"].file == ""
    assert "ZeroDivisionError" in by_prompt["fail"].reason
    assert by_prompt["fine"].file
    assert not by_prompt["fine"].reason
    told = json.loads((tmp_path / "out" / report.REPORT).read_text())
    assert told["finished"] is True
    page = (tmp_path / "out" / report.PAGE).read_text()
    assert "ZeroDivisionError" in page
    with (tmp_path / "out" / report.TABLE).open() as file:
        rows = list(csv.DictReader(file))
    assert sum("ZeroDivisionError" in row["reason"] for row in rows) == 1


def test_a_stop_keeps_the_partial_sheet_and_resume_draws_only_the_rest(
    painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fakes, "PAUSE", 0.1)  # or the run is over before it can be stopped
    asked, stop, folder = planned("seed=1-3"), threading.Event(), tmp_path / "out"
    seen = []
    with pytest.raises(Stopped):
        for one in compare(asked, folder, stop):
            if one.outcome is not None:
                seen.append(one.outcome.key)
            if one.done == 2 and one.step is not None and one.step.done == 2:
                stop.set()
    assert seen == ["paste", "dreamfuse"]
    told = json.loads((folder / report.REPORT).read_text())
    assert (told["finished"], len(told["cells"])) == (False, 2)
    with Image.open(folder / report.SHEET) as sheet:
        assert sheet.width > 500
    assert "Not drawn yet." in (folder / report.PAGE).read_text()
    before = {file: file.stat().st_mtime_ns for file in (folder / "cells").iterdir()}
    painter.seen.clear()
    drawn(asked, folder, resume=True)
    assert [request.seed for request in painter.seen] == [2, 3]
    assert all(file.stat().st_mtime_ns == then for file, then in before.items())
    assert len(finished(folder)) == 4


def test_a_closed_comparison_keeps_its_sheet(painter: Painter, tmp_path: Path) -> None:
    news = compare(planned("seed=1-3"), tmp_path / "out")
    next(one for one in news if one.done == 2)
    news.close()
    assert (tmp_path / "out" / report.SHEET).exists()
    assert len(finished(tmp_path / "out")) == 2


def test_resume_takes_cells_by_content_and_more_values_are_added(painter: Painter, tmp_path: Path) -> None:
    drawn(planned("seed=1-2"), tmp_path / "out")
    painter.seen.clear()
    drawn(planned("seed=2-4"), tmp_path / "out", resume=True)
    assert [request.seed for request in painter.seen] == [3, 4]
    painter.seen.clear()
    gone = next(one for one in finished(tmp_path / "out") if one.seed == 4)
    (tmp_path / "out" / gone.file).unlink()
    drawn(planned("seed=2-4"), tmp_path / "out", resume=True)
    assert [request.seed for request in painter.seen] == [4]


def test_resume_draws_cells_of_other_weights_again(painter: Painter, tmp_path: Path) -> None:
    drawn(planned("seed=1-2"), tmp_path / "out")
    file = next(tmp_path / "out" / one.file for one in finished(tmp_path / "out") if one.seed == 2)
    told, inputs = read_png(file)
    earlier = replace(told, weights={"net": {"source": "assets/pocket/net", "sha256": "0" * 64}})
    write_png(file, pictures.decode(file, "rgb", "the cell"), earlier, inputs)
    painter.seen.clear()
    drawn(planned("seed=1-2"), tmp_path / "out", resume=True)
    assert [request.seed for request in painter.seen] == [2]
    assert read_png(file)[0].weights == {}


def test_a_failed_cell_is_tried_again_by_a_resume(painter: Painter, tmp_path: Path) -> None:
    asked = planned("prompt=fail", "seed=1")
    drawn(asked, tmp_path / "out")
    painter.seen.clear()
    drawn(asked, tmp_path / "out", resume=True)
    assert len(painter.seen) == 1


def test_a_folder_in_use_or_unusable_is_refused(painter: Painter, tmp_path: Path) -> None:
    asked = planned("seed=1")
    drawn(asked, tmp_path / "out")
    with pytest.raises(BadRequest, match="holds a comparison already"):
        drawn(asked, tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadRequest, match="cannot be used"):
        drawn(asked, tmp_path / "file")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": "easel-compare/1"}', '{"schema": "easel-compare/1", "cells": [1]}', "[[" * 9]
)
def test_a_bent_report_is_refused(painter: Painter, tmp_path: Path, text: str) -> None:
    (tmp_path / report.REPORT).write_text(text)
    with pytest.raises(BadRequest, match="choose another folder"):
        drawn(planned("seed=1"), tmp_path, resume=True)


def test_a_report_names_no_file_outside_its_cells(painter: Painter, tmp_path: Path) -> None:
    asked = planned("seed=1", methods="fuse")
    drawn(asked, tmp_path / "out")
    told = json.loads((tmp_path / "out" / report.REPORT).read_text())
    told["cells"][0]["file"] = "../../secret.png"
    (tmp_path / "out" / report.REPORT).write_text(json.dumps(told))
    (tmp_path / "secret.png").write_bytes(pictures.encode(PERSON))
    assert report.read(tmp_path / "out") == {}


def test_kept_pixels_are_counted_outside_what_may_change() -> None:
    case = Case("one", Bundle(SCENE, mask=MASK))
    result = SCENE.copy()
    result[:10] = 255 - result[:10]  # ten rows outside the mask
    result[30:50, 40:70] = 0  # inside it
    found = measures.kept(case, result)
    outside = MASK == 0
    assert found["kept_pixels"] == int(outside.sum())
    assert found["kept_changed"] == 10 * 128
    expected = np.abs(result.astype(float) - SCENE)[outside].mean()
    assert found["kept_error"] == pytest.approx(expected, abs=1e-3)
    assert measures.kept(Case("one", Bundle(SCENE)), result) == {}


def test_words_are_those_of_what_was_to_change() -> None:
    assert measures.words(Case("one", DROPPED)) == "a green disc"
    assert measures.words(Case("one", Bundle(SCENE, prompts={"prompt": "p", "target_prompt": "t"}))) == "t"
    assert measures.words(Case("one", Bundle(prompts={"prompt": "a man <|image|> at sea"}))) == "a man at sea"
    focus = measures.focus(Case("one", Bundle(SCENE, mask=MASK)), SCENE)
    assert np.array_equal(focus, SCENE[20:60, 30:80])


def test_paces_are_learned_without_the_first_run(painter: Painter, tmp_path: Path) -> None:
    drawn(planned("seed=1-3"), tmp_path / "out")
    assert [len(values) for values in pace.known().values()] == [2]


def test_people_are_in_no_file_of_a_comparison(
    painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle(scene(), DROPPED.placed, references=(PERSON,), prompts={"prompt": "a disc"})
    encoded = []
    real = pictures.encode
    monkeypatch.setattr(pictures, "encode", lambda picture, *a, **k: encoded.append(picture) or real(picture, *a, **k))
    drawn(planned("seed=1", bundle=bundle), tmp_path / "out")
    assert encoded
    assert not any(np.array_equal(picture, PERSON) for picture in encoded)
    row = PERSON[0].tobytes()[:30]
    assert not any(row in file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file())
    assert json.loads((tmp_path / "out" / report.REPORT).read_text())["cases"][0]["references"] == 1
    assert running.log.name == "models.compare.running"
