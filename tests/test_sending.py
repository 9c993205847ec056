"""What is sent from tab to tab arrives in its controls: by the forms themselves, without a browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import gradio as gr
import numpy as np
import pytest

from demos import sending
from demos.canvas import MaskValue, parts
from demos.canvas.parts import Valued
from demos.compare_desk import Choice, Desk
from demos.compare_shown import board
from demos.output import Shown, save
from demos.sending import COMPARE, INPUT, RESULT, Place
from demos.tabs import TABS
from models import bundles
from models.catalog import SPECS
from models.compare.cases import Case
from models.contract import BadRequest, Bundle, Placed, Request, Result


def noise(seed: int, height: int = 60, width: int = 80, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def cutout(seed: int = 1) -> np.ndarray:
    picture = noise(seed, 40, 50, 4)
    picture[..., 3] = 0
    picture[5:35, 5:45, 3] = 255
    return picture


@cache
def joined() -> dict[str, Place]:
    """The tabs of the page."""
    with gr.Blocks(), sending.places() as found:
        for key, tab in TABS.items():
            tab(SPECS[key])
    return {place.key: place for place in found}


def held(key: str, update: dict[Any, Any]) -> dict[str, Any]:
    """The request fields of a tab whose fresh components got this update."""
    form = joined()[key].form
    return form.fields([_value(c, update.get(c, c.value)) for c in form.components])


def _value(component: Any, value: Any) -> Any:
    if isinstance(value, dict) and "__type__" in value:
        value = value.get("value", component.value)
    return component.data_model() if value is None and isinstance(component, Valued) else value


FUSE: dict[str, Any] = {"background": noise(2), "foreground": cutout(), "x": 0.4, "y": 0.6, "scale": 0.3, "angle": 20.0}


def made(key: str, **fields: Any) -> Request:
    """A request of a method."""
    return SPECS[key].request(**fields)


def fuse(**more: Any) -> Request:
    return made("dreamfuse", **{**FUSE, **more})


def shown(key: str, request: Request, picture: np.ndarray) -> Shown:
    """A result as the page keeps it."""
    told: dict[str, Any] = {"method": key, "seed": 3, "preset": "pocket", "steps": 2, "guidance_scale": 3.5}
    told |= {"memory": "full", "device": "cpu", "threads": 1, "seconds": 1.0}
    return save(key, request.replace(seed=3, preset="pocket", steps=2), Result((picture,), {}, told))


def test_every_tab_joins_with_its_form_and_a_page_of_its_own_joins_none() -> None:
    assert list(joined()) == list(TABS)
    sending.join(joined()["cat"])  # outside a page nothing happens
    assert sending._joined.get() is None


def test_a_placed_object_fills_mask_inpaint_with_its_place_and_words() -> None:
    bundle = SPECS["dreamfuse"].give(fuse(prompt="a red mug"))  # type: ignore[misc]
    fields, left = sending.taken(SPECS["cat"], bundle)
    got = held("cat", joined()["cat"].filling.fill(fields))
    assert np.array_equal(got["image"], FUSE["background"])
    assert np.array_equal(got["mask"], bundles.change_region(bundle))  # type: ignore[arg-type]
    assert got["prompt"] == "a red mug"
    assert any("its picture is not used" in sentence for sentence in left)
    SPECS["cat"].request(**got)  # it can be run as it is


def test_layers_arrive_where_they_stood() -> None:
    layers = (Placed(cutout(4), 0.3, 0.4, 0.5, 10.0, prompt="a box"), Placed(cutout(5), 0.7, 0.6, 0.2, prompt="a cup"))
    bundle = Bundle(np.full((256, 256, 3), 255, np.uint8), layers=layers, prompts={"prompt": ""})
    fields, _ = sending.taken(SPECS["collage"], bundle)
    got = held("collage", joined()["collage"].filling.fill(fields))
    back = [layer.placed for layer in got["layers"]]
    assert [(p.x, p.y, p.scale, p.angle, p.prompt) for p in back] == [
        (p.x, p.y, p.scale, p.angle, p.prompt) for p in layers
    ]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(back, layers, strict=True))


def test_what_is_not_enough_for_a_run_goes_as_far_as_it_does_and_says_what_is_needed() -> None:
    scene = noise(6)
    for key, name in (("dreamfuse", "background"), ("cat", "image"), ("dit4edit", "image")):
        fields, left = sending.taken(SPECS[key], Bundle(scene))
        assert np.array_equal(fields[name], scene)
        assert left[-1].startswith(f"{SPECS[key].title} needs ")
        canvas = joined()[key].filling.fill(fields)[joined()[key].form.shared[0].component]
        assert (canvas.background if name == "background" else canvas.image) is not None
    (layer,) = sending.taken(SPECS["collage"], Bundle(scene))[0]["layers"]
    assert layer.placed.scale == 1.0
    with pytest.raises(BadRequest, match="reference picture"):
        sending.taken(SPECS["facediffuser"], Bundle(scene))


def test_words_that_are_missing_are_asked_for_and_everything_else_arrives() -> None:
    bundle = Bundle(noise(2), Placed(cutout(), 0.4, 0.6))
    fields, left = sending.taken(SPECS["cat"], bundle)
    assert (fields["prompt"], fields["mask"].max()) == ("", 255)
    assert "what the object is" in left[-1]
    ground, layer = sending.taken(SPECS["collage"], bundle)[0]["layers"]
    assert (ground.text, layer.text, layer.placed.x) == ("background", "", 0.4)
    fields, left = sending.taken(SPECS["dit4edit"], Bundle(noise(2), prompts={"source_prompt": "a dog"}))
    assert (fields["source_prompt"], fields["target_prompt"]) == ("a dog", "")
    with pytest.raises(BadRequest, match="cannot place an object"):
        sending.taken(SPECS["dit4edit"], bundle)


def test_a_result_is_a_scene_with_the_words_for_what_it_shows() -> None:
    picture = noise(7)
    edit = made("dit4edit", image=noise(8), source_prompt="a dog", target_prompt="a cat\na fox")
    found = sending.scene_of(replace(shown("dit4edit", edit, picture), chosen=0))
    assert np.array_equal(found.scene, picture)  # type: ignore[arg-type]
    assert found.prompts == {"source_prompt": "a cat", "scene_prompt": "a cat"}
    mask = np.zeros((60, 80), np.uint8)
    mask[10:20, 10:20] = 255
    fill = made("cat", image=noise(8), mask=mask, prompt="a teapot")
    assert sending.scene_of(shown("cat", fill, picture)).prompts == {}  # words for a thing, not for the picture
    people = SPECS["facediffuser"].request(
        references=(noise(9),), prompt="a man <|image|> at sea", width=128, height=128
    )
    assert sending.scene_of(shown("facediffuser", people, picture)).prompts["source_prompt"] == "a man at sea"


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Place]:
    """Drag & place, whose form makes this request whatever its controls hold."""

    def make(request: Request | None) -> Place:
        place = joined()["dreamfuse"]

        def made(values: Any) -> Request:
            if request is None:
                raise BadRequest("Please choose a scene first.")
            return request

        monkeypatch.setattr(place.form, "request", made)
        return place

    return make


def test_only_who_can_take_it_is_offered(filled: Callable[..., Place]) -> None:
    everybody = list(joined().values())
    found = sending.offered(filled(fuse(prompt="a mug")), everybody, None, [])
    assert [t.key for t in found.input] == ["collage", "cat", COMPARE]  # nobody to draw, no edit to make
    assert found.result == []
    found = sending.offered(filled(None), everybody, shown("dreamfuse", fuse(), noise(7)), [])
    assert found.input == []
    assert [t.key for t in found.result] == ["dreamfuse", "collage", "cat", "dit4edit", COMPARE]
    assert "choose a scene" in found.said


def test_compare_gets_the_request_itself_and_a_result_as_a_scene(filled: Callable[..., Place]) -> None:
    request = fuse(prompt="a mug", seed=4)
    place, everybody = filled(request), list(joined().values())
    parcel = sending.packed(place, everybody, COMPARE, INPUT, None, [])
    assert isinstance(parcel.case, Case)
    assert parcel.case.own is request
    parcel = sending.packed(place, everybody, COMPARE, RESULT, shown("dreamfuse", request, noise(7)), [])
    assert parcel.case is not None
    assert parcel.case.own is None
    assert np.array_equal(parcel.case.bundle.scene, noise(7))  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="no such tab"):
        sending.packed(place, everybody, "elsewhere", INPUT, None, [])


def test_a_parcel_is_opened_once_and_by_nobody_else(filled: Callable[..., Place]) -> None:
    place, everybody, state = filled(fuse(prompt="a mug")), list(joined().values()), gr.State(None)
    parcel = sending.packed(place, everybody, "cat", INPUT, None, [])
    target = joined()["cat"]
    assert sending._receiver(place, state)(parcel) == {state: parcel}
    update = sending._receiver(target, state)(parcel)
    assert update[state] is None
    assert isinstance(update[target.form.shared[0].component], MaskValue)
    assert "The input of Drag &amp; place. The object is drawn from its words" in update[target.notice]


def test_people_travel_in_memory_only(filled: Callable[..., Place], monkeypatch: pytest.MonkeyPatch) -> None:
    people = made("facediffuser", references=(noise(9),), prompt="a man <|image|>", width=128, height=128)
    place = joined()["facediffuser"]
    monkeypatch.setattr(place.form, "request", lambda values: people)
    monkeypatch.setattr(parts, "stored", lambda *a, **k: pytest.fail("a file was written"))
    parcel = sending.packed(place, list(joined().values()), COMPARE, INPUT, None, [])
    desk = Desk()
    desk.add(parcel.case)  # type: ignore[arg-type]
    (seen,) = board(desk, Choice()).inputs
    assert [one.label for one in seen.pictures] == ["person 1"]
    assert seen.pictures[0].address.startswith("data:image/jpeg")
    assert desk.folder is None
