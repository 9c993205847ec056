"""Face reference's results: what they restore, their maps, and that no picture of a person is in any file."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from gradio.utils import get_upload_folder

from demos import examples, facediffuser
from demos.face_cards import CardsValue
from demos.face_chips import ChipsValue
from demos.face_maps import MapsValue
from demos.face_people import People, person, references_of
from demos.face_side import Side
from demos.output import save
from demos.result import ResultPanel
from models import examples as example_files, pictures, recipe
from models.contract import Result
from models.facediffuser.spec import FaceRequest
from tests.face_desk import TWO, address, brought, desk, finished, png, result_of, with_people


@pytest.fixture
def side() -> Side:
    return desk()


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the page writes what it writes."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "written"))
    return tmp_path / "written"


def test_a_result_restores_the_settings_and_names_the_people_by_hashes_only(side: Side) -> None:
    data = result_of(0, 1)
    hashes = [recipe.picture_sha256(pictures.decode(png(seed), "rgb", "it")) for seed in (0, 1)]
    assert [entry["sha256"] for entry in recipe.read_png(data)[0].request["references"]] == hashes
    assert recipe.read_png(data)[1] == {}
    told = brought(side, CardsValue(), {}, data=address(data), dropped=True, file=4)
    assert told[side.controls["prompt"]] == TWO
    assert (told[side.controls["seed"]], told[side.timeline].scene_until) == (9, 0.1)
    assert "add the same 2 pictures" in told[side.notice]
    assert (told[side.cards].cards, told[side.cards].answered) == ([], 4)


def test_people_who_are_here_are_put_into_the_results_order(side: Side) -> None:
    value, people = with_people(side, 3)
    told = brought(side, value, people, data=address(result_of(1, 0)), dropped=True)
    assert told[side.cards].fresh
    back = references_of(people, [card.id for card in told[side.cards].cards])
    wanted = [pictures.decode(png(seed), "rgb", "it") for seed in (1, 0)]
    assert all(np.array_equal(a, b) for a, b in zip(back, wanted, strict=True))
    assert "add the same" not in told[side.notice]


def test_what_another_tab_sends_has_its_pictures_in_order(side: Side) -> None:
    people: People = {}
    two = tuple(pictures.decode(png(seed), "rgb", "it") for seed in (3, 4))
    told = side.sent({"references": two, "prompt": TWO}, people)
    back = references_of(people, [card.id for card in told[side.cards].cards])
    assert all(np.array_equal(a, b) for a, b in zip(back, two, strict=True))
    assert [card.noun for card in told[side.cards].cards] == ["man", "woman"]
    assert told[side.controls["prompt"]] == TWO
    assert side.controls["seed"] not in told  # what was not sent stays


def test_a_result_that_is_chosen_and_not_dropped_is_a_picture_like_any_other(side: Side) -> None:
    people: People = {}
    assert len(brought(side, CardsValue(), people, data=address(result_of(0, 0)))[side.cards].cards) == 1
    other = brought(side, CardsValue(), people, data=address(png(6)), dropped=True)
    assert len(other[side.cards].cards) == 1  # a picture without a recipe


def test_no_picture_of_a_person_becomes_a_file(side: Side, folder: Path) -> None:
    value, people = with_people(side, 2)
    side._followed(value, people, TWO, "pocket")
    assert Path(get_upload_folder()) == folder
    assert list(folder.rglob("*")) == []


def test_the_maps_are_those_of_the_steps_that_both_models_ran() -> None:
    both = finished((np.zeros((8, 8, 3), np.uint8),) * 2, fused_steps=[3, 4], area=[0.5, 0.25])
    value = facediffuser.MAPS.drawn(save("facediffuser", *both, ["maps"]), "maps")
    assert (value.steps, value.areas) == ([3, 4], [0.5, 0.25])
    assert value.strip is not None
    assert pictures.decode(value.strip.path, "rgb", "it").shape == (288, 192, 3)
    assert facediffuser.MAPS.drawn(save("facediffuser", *both), "maps") == MapsValue()


def test_a_picture_that_nothing_stands_beside_has_no_handle() -> None:
    with gr.Blocks():
        panel = ResultPanel("facediffuser", "", facediffuser.SIDES, "", {"maps": facediffuser.MAPS})
    request, result = finished((np.zeros((8, 8, 3), np.uint8),) * 2)
    alone = panel.finished(request, result, None, True)[panel.slider]
    assert "easel-alone" in alone["elem_classes"]
    compared = Result(result.images, {**result.extras, "subject": np.ones((64, 64, 3), np.uint8)}, result.facts)
    beside = panel.finished(request, compared, None, True)[panel.slider]
    assert "easel-alone" not in beside["elem_classes"]
    assert beside["value"][0] != beside["value"][1]


def test_an_example_can_hold_a_list_of_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(example_files, "FOLDER", tmp_path)
    entry = {"title": "T", "thumbnail": "t.webp", "files": {"references": ["a.webp", "b.webp"], "scene": "s.webp"}}
    (tmp_path / "facediffuser").mkdir()
    (tmp_path / "facediffuser" / "index.json").write_text(json.dumps([{**entry, "fields": {"prompt": TWO}}]))
    (found,) = examples.load("facediffuser")
    assert [path.name for path in found.lists["references"]] == ["a.webp", "b.webp"]
    assert list(found.files) == ["scene"]


def test_every_example_is_a_request_that_can_be_run(side: Side) -> None:
    for example in examples.load("facediffuser"):
        people: People = {}
        persons = [person(path.read_bytes(), example.title) for path in example.lists["references"]]
        told = side.filled(example.fields, persons, people)
        chips: ChipsValue = told[side.chips]
        assert not chips.bad
        assert [chip.picture != "" for chip in chips.chips] == [True] * len(persons)
        request = FaceRequest(
            references=references_of(people, [c.id for c in told[side.cards].cards]), **example.fields
        )
        assert request.references
