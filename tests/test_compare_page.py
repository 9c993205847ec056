"""The Compare tab before a browser sees it: what a visitor's desk holds, what is shown of it, runs, Stop, votes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest

from demos import compare
from demos.compare_board import BoardValue, CompareBoard
from demos.compare_desk import LIMIT, MOST_CASES, Choice, Desk, worded
from demos.compare_shown import FIELDS, board
from models import pictures, recipe
from models.catalog import SPECS
from models.compare import axes, measures, report
from models.compare.cases import Case, from_request
from models.contract import BadRequest, Bundle, Placed
from tests import fakes


def noise(seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def cutout() -> np.ndarray:
    picture = np.zeros((40, 50, 4), np.uint8)
    picture[5:35, 5:45] = (200, 60, 30, 255)
    return picture


def placed(**words: str) -> Case:
    return Case("a scene", Bundle(noise(1), Placed(cutout(), 0.4, 0.6), prompts=words))


def written(folder: Path, name: str, picture: np.ndarray) -> Path:
    (folder / name).write_bytes(pictures.encode(picture))
    return folder / name


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Drag & place is the fake; nothing is scored; paces and folders are of this test."""
    monkeypatch.setenv("EASEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setattr(measures, "similarity", lambda picture, text: None)
    monkeypatch.setattr(fakes, "PAUSE", 0.0)
    monkeypatch.setitem(SPECS, "dreamfuse", SPECS["dreamfuse"])  # what is there now comes back
    fakes.install(2)


def chosen(**found: Any) -> Choice:
    return Choice.read({"methods": ["dreamfuse", "paste"], "axes": [], "paste_back": "auto", **found})


def drawn(desk: Desk, **found: Any) -> list[BoardValue]:
    event = SimpleNamespace(choice={"methods": ["dreamfuse", "paste"], **found})
    return list(compare._run(desk, event))  # type: ignore[arg-type]


# --- inputs


def test_files_become_inputs_by_what_they_are(tmp_path: Path) -> None:
    desk = Desk()
    desk.bring(written(tmp_path, "meadow.png", noise(1)), "meadow.png")
    desk.bring(written(tmp_path, "cup.png", cutout()), "cup.png")
    (case,) = desk.cases(chosen(place={"x": 0.25}, words={"object_prompt": "a cup"}))
    assert case.name == "meadow"
    assert np.array_equal(case.bundle.scene, noise(1))  # type: ignore[arg-type]
    assert case.bundle.placed is not None
    assert (case.bundle.placed.x, case.bundle.placed.prompt) == (0.25, "a cup")
    desk.remove(0)
    assert (desk.cases(chosen()), desk.cutout) == ([], None)


def test_an_easel_picture_is_an_input_with_its_own_settings(tmp_path: Path) -> None:
    desk = Desk()
    desk.add(placed())
    *_, value = drawn(desk, methods=["dreamfuse"], axes=[{"name": "seed", "values": "5"}])
    assert desk.folder is not None
    (cell,) = (desk.folder / report.CELLS).iterdir()
    other = Desk()
    other.bring(cell, "mine.png")
    assert other.sent[0].own is not None
    assert (other.sent[0].name, other.sent[0].own.seed) == ("mine", 5)


def test_names_are_told_apart_and_room_ends() -> None:
    desk = Desk()
    for _ in range(MOST_CASES):
        desk.add(placed())
    assert [case.name for case in desk.sent][:3] == ["a scene", "a scene 2", "a scene 3"]
    with pytest.raises(BadRequest, match=str(MOST_CASES)):
        desk.add(placed())


def test_words_are_for_inputs_that_have_none() -> None:
    words = {"prompt": "a cup", "object_prompt": "a red cup", "target_prompt": "a bowl"}
    case = worded(placed(prompt="mine"), words)
    assert case.bundle.prompts == {"prompt": "mine", "target_prompt": "a bowl"}
    assert case.bundle.placed is not None
    assert case.bundle.placed.prompt == "a red cup"
    fields: dict[str, Any] = {"background": noise(1), "foreground": cutout()}
    request = SPECS["dreamfuse"].request(**fields)
    assert worded(from_request("it", request), words).own.prompt == "a cup"  # type: ignore[union-attr]


# --- what is shown


def test_the_board_says_who_can_answer_and_why_others_cannot() -> None:
    desk = Desk()
    assert {one.lack for one in board(desk, Choice()).contenders} == {"There is no input yet."}
    desk.add(placed(prompt="a cup"))
    value = board(desk, chosen())
    lacks = {one.key: one.lack for one in value.contenders}
    able = [key for key, lack in lacks.items() if not lack]
    assert able == ["dreamfuse", "collage", "cat", "input", "paste", "poisson"]
    assert "cannot place an object" in lacks["dit4edit"]
    assert value.estimate.startswith("1 picture; 1 baseline; ")
    (seen,) = value.inputs
    assert [one.label for one in seen.pictures] == ["scene and object", "object"]
    assert seen.words == [("Prompt", "a cup")]


@pytest.mark.parametrize(
    ("axis", "said"),
    [
        ({"name": "sparkle", "values": "1"}, "no field"),
        ({"name": "steps", "values": "9..1"}, "empty"),
        ({"name": "seed", "values": "1-10000"}, "10,001 cells"),
    ],
)
def test_a_grid_that_cannot_be_says_why(axis: dict[str, str], said: str) -> None:
    desk = Desk()
    desk.add(placed())
    value = board(desk, chosen(axes=[axis]))
    assert value.refused
    assert said in value.estimate
    assert desk.planned is None


def test_every_field_on_offer_is_an_axis_of_its_methods() -> None:
    assert [field.name for field in FIELDS][:3] == ["seed", "steps", "guidance_scale"]
    for field in FIELDS:
        for key in field.keys:
            axes._field(field.name, SPECS[key])
    assert {"num_images", "background", "references", "layers"}.isdisjoint(field.name for field in FIELDS)


@pytest.mark.parametrize(
    "found", [None, "text", {"axes": "x", "words": 3, "place": []}, {"methods": [{}], "axes": [3]}]
)
def test_a_choice_from_anyone_is_read_or_passed_over(found: Any) -> None:
    assert Choice.read(found) == Choice()


def test_the_component_carries_its_words_and_ranges_once() -> None:
    with gr.Blocks():
        config = CompareBoard(BoardValue()).get_config()
    assert "prompt" in [one[0] for one in config["props"]["words"]]
    assert [one[0] for one in config["props"]["place"]] == ["x", "y", "scale", "angle"]
    json.dumps(config["props"])


# --- runs


def test_cells_arrive_one_by_one_and_the_sheet_can_be_taken_away() -> None:
    desk = Desk()
    desk.add(placed())
    values = drawn(desk, axes=[{"name": "seed", "values": "1-2"}])
    counts = [sum(bool(cell.picture) for cell in value.sheet.cells) for value in values if value.sheet]
    assert counts == sorted(counts)
    assert {2, 3, 4} <= set(counts)  # the baseline stands in both rows
    last = values[-1]
    assert (last.running, last.note, last.bad) == (False, "Done.", False)
    assert last.sheet is not None
    assert sorted(last.sheet.files) == ["page", "report", "sheet", "table"]
    for cell in last.sheet.cells:
        path = Path(cell.file.removeprefix("gradio_api/file="))
        assert recipe.read_png(path)[0].method in ("dreamfuse", "paste")
    assert all(value.running for value in values[:-1])


def test_stop_keeps_what_is_there_and_the_next_run_goes_on_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, asked = Desk(), {"axes": [{"name": "seed", "values": "1-3"}]}
    desk.add(placed())
    event = SimpleNamespace(choice={"methods": ["dreamfuse", "paste"], **asked})
    values = []
    for value in compare._run(desk, event):  # type: ignore[arg-type]
        values.append(value)
        if value.sheet and sum(bool(cell.picture) for cell in value.sheet.cells) >= 4:
            compare._halted(desk)
    assert values[-1].note.startswith("Stopped with 2 of 4 cells")
    assert values[-1].sheet is not None
    assert "sheet" in values[-1].sheet.files
    first = {path: path.stat().st_mtime_ns for path in (desk.folder / report.CELLS).iterdir()}  # type: ignore[operator]
    assert drawn(desk, **asked)[-1].note == "Done."
    after = {path: path.stat().st_mtime_ns for path in (desk.folder / report.CELLS).iterdir()}  # type: ignore[operator]
    assert (len(first), len(after)) == (2, 4)
    assert {path: after[path] for path in first} == first  # nothing was drawn twice


def test_a_cell_that_fails_says_so_and_the_others_are_drawn() -> None:
    desk = Desk()
    desk.add(placed(prompt="fail"))
    last = drawn(desk)[-1]
    assert last.sheet is not None
    reasons = {cell.reason for cell in last.sheet.cells}
    assert any("ZeroDivisionError" in reason for reason in reasons)
    assert last.note == "Done."


def test_two_runs_at_once_are_one_and_a_grid_too_large_starts_none() -> None:
    desk = Desk()
    desk.add(placed())
    desk.begin(chosen())
    with pytest.raises(BadRequest, match="running already"):
        desk.begin(chosen())
    desk.end("stopped")
    (value,) = drawn(desk, axes=[{"name": "seed", "values": f"1-{LIMIT + 1}"}])
    assert value.bad
    assert not desk.running


def test_votes_are_blind_counted_and_then_told() -> None:
    desk = Desk()
    desk.add(placed())
    value = drawn(desk)[-1]
    assert value.vote is not None
    assert value.vote.remaining == 1
    assert not any(name in value.vote.left + value.vote.right for name in ("dreamfuse", "paste", "Raw"))
    left = desk.pairs[0].left.title
    desk.vote("left")
    after = board(desk, chosen()).vote
    assert after is not None
    assert (after.left, after.tally[0]) == ("", (left, 1, 0, 0))
    assert left in after.said
    with pytest.raises(BadRequest, match="no pair"):
        desk.vote("left")
