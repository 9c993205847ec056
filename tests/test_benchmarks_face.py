"""Face-diffuser's rows on drawn people and tiny random models."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import face_reading, faces, fidelity, measures, page, speed, swaps, tables
from benchmarks.edits import Word
from benchmarks.examples import example
from benchmarks.rows import facediffuser as rows
from benchmarks.rows.cat import the_judge
from models import catalog, loading, runtime
from models.cache import ModelCache
from models.contract import Weights
from models.facediffuser import markers
from models.facediffuser.post_fuse import PostFuse
from models.facediffuser.spec import SPEC
from tests import tiny
from training import judge, world
from training.world.people import attributes

POCKET = SPEC.presets["pocket"]
STOCK = loading.load_component


def load_tiny(weights: Weights) -> Any:
    """The shipped autoencoder and CLIP, random U-Nets and a random post-fuse module that fit them."""
    words = STOCK(POCKET.components["text_encoder"]).config.hidden_size
    if weights.source.endswith("_unet"):
        return tiny.unet(int("sdm" in weights.source), in_channels=8, out_channels=8, cross_attention_dim=words)
    if weights.source.endswith("postfuse"):
        torch.manual_seed(0)
        return PostFuse(words).eval()
    return STOCK(weights)


@pytest.fixture
def tiny_pocket(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The catalogue's preset with tiny random networks behind the real runtime, at four steps."""
    torch.set_num_threads(1)
    components = {k: dataclasses.replace(w, dtype=w.dtype and "float32") for k, w in POCKET.components.items()}
    preset = dataclasses.replace(POCKET, steps=4, components=components)
    monkeypatch.setitem(catalog.SPECS, SPEC.key, dataclasses.replace(SPEC, presets={"pocket": preset}))
    monkeypatch.setattr(loading, "load_component", load_tiny)
    monkeypatch.setattr(runtime, "cache", ModelCache(load_tiny))
    monkeypatch.setattr(runtime, "settings", runtime.Settings(threads=1, preset="pocket"))
    return preset


@pytest.fixture(scope="module")
def drawn() -> list[faces.Drawn]:
    return faces.draw(16, 3, 128)


def test_cases_do_not_depend_on_their_number() -> None:
    preset = dataclasses.replace(POCKET, size=64)
    many, few = rows.draw(3, 5, preset, None), rows.draw(2, 5, preset, None)
    assert [c.request.digest() for c in many[:2]] == [c.request.digest() for c in few]
    assert many[0].request.digest() != rows.draw(1, 6, preset, None)[0].request.digest()
    assert [c.request.seed for c in many] == [5, 6, 7]
    assert [c.drawn.kind for c in many] == ["one", "two", "one"]


def test_a_committed_table_is_about_64_people_and_no_couple_shares_anybody() -> None:
    alone, couples = faces._order(0)
    held = world.held_out()[1]
    assert rows.LEAST // 2 == 64 <= len(set(alone))
    assert set(alone) == {one for pair in couples for one in pair} == held
    assert len(couples) == len(held) // 2
    assert all(attributes(a) != attributes(b) for a, b in couples)
    assert faces._order(1)[0] != alone


def test_requests_are_about_the_people_and_prompts_have_trained_words(drawn: list[faces.Drawn]) -> None:
    tokenizer = STOCK(POCKET.components["tokenizer"])
    for one in drawn:
        found = markers.read(tokenizer, one.prompt, tokenizer.model_max_length)
        assert len(found.slots) == len(one.references) == len(one.people) == faces.KINDS.index(one.kind) + 1
        assert set(world.split_words(one.prompt)) <= set(world.vocabulary())
        assert all(r.shape == (faces.REFERENCE, faces.REFERENCE, 3) and r.dtype == np.uint8 for r in one.references)
        assert {person.identity for person in one.people} <= world.held_out()[1]
        lefts = [person.box[0] for person in one.people]
        assert lefts == sorted(lefts)


def test_what_is_asked_stands_in_the_prompt(drawn: list[faces.Drawn]) -> None:
    names = {"object": world.nouns(), "noun": world.NOUNS, "colour": world.COLOUR_NAMES}
    styles = {"night": "night", "sunset": "sunset", "foggy": "fog", "sepia": "sepia", "sketch": "sketch",
              "mono": "black and white", "poster": "poster"}  # fmt: skip
    trained = {world.nouns().index(faces.sprite_rows()[k]["noun"]) for k in world.sprites_of("train")}
    for one in drawn:
        said = one.prompt.replace("<|image|>", "")
        for word in [*one.words, *(word for person in one.people for word in person.words)]:
            if word.question in names:
                assert names[word.question][word.answer] in said
            if word.question == "style":
                assert styles[world.STYLE_NAMES[word.answer]] in said
            if word.question == "object":
                assert word.answer in trained
            assert word.box[0] < word.box[2]
            assert word.box[1] < word.box[3]
        kinds = [world.SCENE_NAMES[word.answer] for word in one.words if word.question == "scene"]
        assert kinds == [one.place]
        for person in one.people:
            known = dict(zip(judge.PEOPLE, attributes(person.identity), strict=True))
            assert person.answers.items() <= known.items()
            assert "noun" not in person.answers
            assert len(person.answers) >= 2


def test_clothes_are_asked_for_where_the_prompt_tells_their_colour(drawn: list[faces.Drawn]) -> None:
    found = []
    for one in drawn:
        for person, phrase in zip(one.people, one.prompt.split("<|image|>")[1:], strict=True):
            colours = [word for word in person.words if word.question == "colour"]
            found += [phrase.split("wearing ")[1] for _ in colours]
            for word in colours:
                assert world.COLOUR_NAMES[word.answer] in phrase.split("wearing ")[1].split()[:2]
                left, top, right, bottom = person.box
                assert left < word.box[0] < word.box[2] < right
                assert (top + bottom) / 2 < word.box[1] < word.box[3] == pytest.approx(bottom)
    assert len(found) > 3


def test_the_measure_finds_people_in_true_pictures_and_tells_them_from_others(drawn: list[faces.Drawn]) -> None:
    # The ceiling: what the judge reads in a picture that is right. It is asked about somebody else's picture too.
    near, own, other, known, words, empty = [], [], [], [], [], []
    for one, next_ in zip(drawn, [*drawn[2:], *drawn[:2]], strict=True):
        seen = face_reading.find(one.truth, len(one.people))
        near += [measures.box_iou(a.box, b.box) for a, b in zip(seen, one.people, strict=True)]
        own += [face_reading.recovered(a, b) for a, b in zip(seen, one.people, strict=True)]
        other += [face_reading.recovered(a, b) for a, b in zip(seen, next_.people, strict=True)]
        placed = face_reading.look(one.truth, one.people)
        known += [face_reading.recovered(a, b) for a, b in zip(placed, one.people, strict=True)]
        words.append(face_reading.told(one.truth, seen, one))
        grey = np.full_like(one.truth, 128)
        empty.append(face_reading.told(grey, face_reading.find(grey, len(one.people)), one))
    assert np.mean(near) > 0.65
    assert np.mean(own) > 0.6
    assert np.mean(known) >= np.mean(own) - 0.05
    assert np.mean(own) > np.mean(other) + 0.2
    assert np.mean(words) > np.mean(empty) + 0.2


def test_boxes_are_where_the_world_puts_people(drawn: list[faces.Drawn]) -> None:
    for one in drawn:
        for place, person in enumerate(one.people):
            found = face_reading.candidates(len(one.people), place, 128)
            assert ((found >= 0) & (found <= 128)).all()
            assert (found[:, 3] == 128).all()
            best = max(measures.box_iou(person.box, (a, b, c, d)) for a, b, c, d in found.tolist())
            assert best > 0.75


def test_answers_come_of_the_likeliest_boxes(drawn: list[faces.Drawn]) -> None:
    one = drawn[0]
    (seen,) = face_reading.find(one.truth, 1)
    boxes = face_reading.candidates(1, 0, 128)
    image = torch.tensor(one.truth).permute(2, 0, 1)[None].float() / 255
    persons, skins = [], []
    with torch.inference_mode():
        for box in boxes:
            answers = the_judge()(world.crop(image, box[None], 64))
            persons.append(float(answers["object"].softmax(1)[0, -1]))
            skins.append(answers["skin"].softmax(1)[0])
    best = np.argsort(persons)[::-1][: face_reading.BEST]
    torch.testing.assert_close(seen.answers["skin"], torch.stack([skins[k] for k in best]).mean(0))
    assert seen.box == pytest.approx(boxes[best.copy()].mean(0).tolist())


def test_a_word_goes_with_its_person_and_stays_in_the_picture() -> None:
    word = Word((20.0, 10.0, 30.0, 20.0), "object", 3, among=5)
    gone = face_reading.moved(word, (10.0, 10.0, 50.0, 90.0), (50.0, 50.0, 70.0, 90.0), 100)
    assert gone == dataclasses.replace(word, box=(55.0, 50.0, 60.0, 55.0))
    assert face_reading.moved(word, (30.0, 10.0, 50.0, 90.0), (0.0, 10.0, 20.0, 90.0), 100) == word


def test_a_set_measures_every_number_of_every_row(tiny_pocket: Any) -> None:
    measured = fidelity.measure_all(rows, tiny_pocket, 2, 0, None)
    wanted = {key for row in rows.ROWS for key in (row.ours, row.against, *row.beside.values()) if key}
    assert wanted == {key for one in measured for key in one.numbers}
    cases = [fidelity.as_case(k, one) for k, one in enumerate(measured)]
    counts = {row.key: len(fidelity.complete(row, cases)) for row in rows.ROWS}
    assert counts == {"identity": 1, "prompt": 1, "two": 1, "prompt_two": 1}
    assert [one.groups[0] for one in measured] == ["one", "two"]
    assert measured[0].numbers["identity_near"] == pytest.approx(0.98 * measured[0].numbers["identity_subject"])
    assert (measured[0].pictures["second"] == 255).all()
    made = [measured[1].pictures[name] for name in ("first", "second", "scene", "subject", "both", "true")]
    assert list(measured[1].pictures.values()) == made
    again = fidelity.measure_all(rows, tiny_pocket, 1, 0, None)
    assert again[0].numbers == measured[0].numbers


def test_numbers_are_of_raw_output_by_every_variant(tiny_pocket: Any) -> None:
    case = rows.draw(2, 0, tiny_pocket, None)[1]
    request = case.request
    assert (request.variant, request.ladder, request.guidance_scale, request.steps) == ("both", True, 0, 0)
    made, one = rows.run(request), rows.measure(case, tiny_pocket)
    plain = request.replace(ladder=False)
    alone = {name: rows._result(plain.replace(variant=name)) for name in ("both", "scene", "subject")}
    for name, result in alone.items():
        assert np.array_equal(result.images[0], made[name]), name
    handed = rows._result(plain.replace(subject_from=plain.scene_until))
    assert handed.facts["from_prefix"]
    assert handed.facts["stages"].split(" / ")[1].startswith("0")
    assert np.array_equal(handed.images[0], made["handed"])
    assert all(not np.array_equal(made["both"], made[name]) for name in made if name != "both")
    seen = face_reading.find(made["both"], 2)
    who = [face_reading.recovered(a, b) for a, b in zip(seen, case.drawn.people, strict=True)]
    assert one.numbers["worse_both"] == min(who)
    assert one.numbers["words_both"] == face_reading.told(made["both"], seen, case.drawn)


def test_cut_outs_are_no_people(tiny_pocket: Any, tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="take no sprites"):
        rows.draw(1, 0, tiny_pocket, tmp_path)


# ---- what people wait for


def test_swapped_faces_and_another_bound_go_on_from_the_kept_scene(tiny_pocket: Any) -> None:
    found = {"threads": 1, **swaps.measure(1)}
    # 4 steps of PNDM are 5 iterations: 2 of the scene, 1 of both, 2 of the people; two evaluations for each call.
    assert found["steps"] == "2 scene / 1 fused / 2 subject steps"
    assert (found["all_evaluations"], found["whole_evaluations"], found["scene_evaluations"]) == (20, 12, 10)
    assert found["kept"]
    assert found["swap_evaluations"] == 8
    assert found["bound_evaluations"] == 10
    lines = tables.faces(found)
    assert "12 evaluations of 20" in lines[0][2]
    assert "8 evaluations, scene stage kept" in lines[1][2]
    assert "SCENE STAGE LOST" in tables.faces({**found, "kept": False})[1][2]
    assert all(len(line) == 3 for line in lines)


def test_a_client_sends_every_reference_as_a_file(tmp_path: Any) -> None:
    assert speed.EXTRAS["facediffuser"] == {"faces": "benchmarks.swaps"}
    request = example("facediffuser")
    sent = page.endpoint_arguments(request, tmp_path)
    assert len(sent["references"]) == 2
    shown = [np.asarray(Image.open(one["path"])) for one in sent["references"]]
    assert all(np.array_equal(a, b) for a, b in zip(shown, request.references, strict=True))
    assert not np.array_equal(shown[0], shown[1])
    assert sent["prompt"] == request.prompt
    assert set(sent) <= {"references", "prompt", "seed"}
