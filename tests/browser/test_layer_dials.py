"""The layer editor's dials, drawing and files, against the arithmetic of `models.collage`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from models import pictures
from models.collage.composing import compose
from models.collage.dials import PRESETS, Dials, auto, extent
from models.collage.layers import Collage, Layer
from models.contract import Placed
from models.pixels import resize
from tests.browser.stacker import EDITOR, WORDS, Stacker

Files = dict[str, Path]
FIELD, EGG, WALL, SKY = WORDS
DIALS = [field.name for field in dataclasses.fields(Dials)]


def dials(layer: dict[str, Any]) -> Dials:
    return Dials(**{name: layer[name] for name in DIALS})


def collage_of(value: dict[str, Any], size: tuple[int, int] | None = None) -> Collage:
    """What Python would draw of the editor's value."""
    placed = [
        Placed(
            pictures.decode(layer["image"]["path"], "rgba", "it"),
            *(layer[name] for name in ("x", "y", "scale", "angle", "flip")),
            prompt=f"word{k}",
        )
        for k, layer in enumerate(value["layers"])
        if layer["visible"]
    ]
    colour = tuple(bytes.fromhex(value["colour"][1:]))
    layers = tuple(Layer(one) for one in placed)
    prompt = ", ".join(one.prompt for one in placed)
    return Collage(prompt, layers, size or (value["height"], value["width"]), colour)


@pytest.mark.parametrize("shape", ["1:1", "9:16"])
def test_dials_follow_size_as_python_has_it_until_one_is_moved(stacked: Stacker, shape: str) -> None:
    stacked.choose_setting("set=format", shape)
    for row, scale in enumerate((3, 33, 71, 150)):
        stacked.place(row, scale=scale)
    stacked.mark(0, "eye")  # the topmost is the topmost of what is shown
    value = stacked.value
    size = value["height"], value["width"]
    assert (size == (512, 512)) == (shape == "1:1")
    for row, layer in enumerate(stacked.layers):
        picture = pictures.decode(layer["image"]["path"], "rgba", "it")
        expected = auto(extent(Placed(picture, scale=layer["scale"]), size), row == 1)
        assert dataclasses.astuple(dials(layer)) == pytest.approx(dataclasses.astuple(expected), abs=1e-9)
        assert layer["auto"]
    stacked.select(2)
    stacked.turn("stay", 0.5)
    changed = stacked.layers[2]
    expected = dataclasses.replace(dials(changed), positive=Dials.plain(0.5, 0, 0).positive, negative=0.45)
    assert (dials(changed), changed["auto"]) == (expected, False)
    stacked.turn("look", 0.9)
    stacked.turn("freedom", 0.15)
    held = dials(stacked.layers[2])
    assert held == Dials.plain(0.5, 0.9, 0.15)
    stacked.place(2, scale=20)
    assert dials(stacked.layers[2]) == held
    for name, preset in PRESETS.items():
        stacked.choose_setting("preset", name)
        assert dials(stacked.layers[2]) == preset
    stacked.page.click(f"{EDITOR} .exact summary")
    stacked.turn("positive", 9, "dial")
    assert stacked.layers[2]["positive"] == 2
    assert stacked.page.locator(f"{EDITOR} [data-preset]").input_value() == "own"
    stacked.choose_setting("preset", "auto")
    assert stacked.layers[2]["auto"]
    assert stacked.layers[2]["positive"] < 0.6


@pytest.mark.parametrize("shape", ["1:1", "3:2"])
def test_the_canvas_draws_what_python_composes(stacked: Stacker, shape: str) -> None:
    stacked.choose_setting("set=format", shape)
    stacked.act("flip", 2)
    stacked.place(2, angle=25, scale=55)
    stacked.place(1, x=100)
    stacked.mark(0, "eye")
    stacked.place(3, scale=90)
    stacked.page.fill(f"{EDITOR} [data-set=colour]", "#20c040")
    stacked.page.wait_for_timeout(800)
    stacked.page.focus(stacked.canvas)
    stacked.press("Escape")
    value = stacked.value
    assert value["colour"] == "#20c040"
    stacked.canvas_size = (value["width"], value["height"])
    drawn = stacked.picture()
    expected = compose(collage_of(value)).flat
    difference = np.abs(drawn.astype(int) - resize(expected, drawn.shape[:2])).max(axis=2)
    assert np.median(difference) <= 2
    assert (difference > 40).mean() < 0.015  # edges only


def test_overlays_say_what_is_kept_and_which_words_are_where(stacked: Stacker) -> None:
    stacked.place(2, scale=45, y=60)
    stacked.act("remove", 3)
    plain = stacked.picture()
    stacked.page.click(f"{EDITOR} [data-show=freedom]")
    stacked.select(1)
    stacked.turn("freedom", 1)
    stacked.select(2)
    stacked.turn("freedom", 0)
    free, kept = stacked.pixel(0.05, 0.05), stacked.pixel(0.2, 0.6)
    assert free == pytest.approx(0.72 * np.array([253, 231, 37]) + 0.28 * 150, abs=3)  # the highest of the layers
    assert kept[0] < 130
    assert kept[1] < 100
    assert np.abs(stacked.picture().astype(int) - plain).mean() > 20
    stacked.page.click(f"{EDITOR} [data-show=freedom]")
    stacked.select(1)
    before = stacked.picture()
    stacked.page.click(f"{EDITOR} [data-show=words]")
    stacked.settle()
    changed = np.abs(stacked.picture().astype(int) - before).max(axis=2) > 20
    middle = changed[int(0.6 * len(changed)), int(0.3 * len(changed))]
    assert middle
    assert 0.005 < changed.mean() < 0.1


def test_another_picture_takes_a_layers_place(stacked: Stacker, files: Files) -> None:
    former = stacked.layers[2]
    stacked.select(2)
    stacked.page.set_input_files(f"{EDITOR} [data-role=replace] input", files["plain"])
    stacked.page.wait_for_function(f"document.querySelector('{EDITOR} .busy').hidden")
    new = stacked.layers[2]
    assert new["image"]["path"] != former["image"]["path"]
    assert {n: new[n] for n in ("id", "x", "y", "prompt", "z")} == {
        n: former[n] for n in ("id", "x", "y", "prompt", "z")
    }
    stacked.act("undo")
    assert stacked.layers[2]["image"]["path"] == former["image"]["path"]


def test_what_is_done_while_a_picture_is_read_is_not_lost(stacked: Stacker, files: Files, tmp_path: Path) -> None:
    (tmp_path / "slow.png").write_bytes(files["plain"].read_bytes())
    stacked.page.set_input_files(f"{EDITOR} .tools [data-role=layer] input", tmp_path / "slow.png")
    expect(stacked.page.locator(f"{EDITOR} .busy")).to_be_visible()
    stacked.drag(stacked.at(0.3, 0.6), stacked.at(0.5, 0.5))
    stacked.act("remove", 0)
    assert stacked.rows.count() == 3
    (files["scene"].parent / "go").touch()
    expect(stacked.rows).to_have_count(4, timeout=20_000)
    stacked.act("flip", 0)
    assert [layer["prompt"] for layer in stacked.layers] == ["", WALL, EGG, FIELD]
    assert stacked.layers[2]["x"] == pytest.approx(0.5, abs=0.006)


def test_too_many_layers_and_bad_files_are_refused_in_words(stacker: Stacker, files: Files, tmp_path: Path) -> None:
    many = []
    for k in range(17):
        Image.fromarray(np.full((8, 8, 3), 12 * k, np.uint8)).save(tmp_path / f"{k}.png")
        many.append(tmp_path / f"{k}.png")
    stacker.add(*many, rows=16)
    said = stacker.page.locator(f"{EDITOR} .busy")
    expect(said).to_have_text("There are 16 layers already; please delete one first.")
    stacker.press("Escape")
    stacker.act("duplicate", 0)
    assert stacker.rows.count() == 16
    stacker.act("remove", 0)
    expect(said).to_be_hidden()
    stacker.page.set_input_files(f"{EDITOR} .tools [data-role=layer] input", files["text"])
    stacker.page.wait_for_function("document.querySelector('#told textarea').value.startsWith('layer: ')")
    assert stacker.rows.count() == 15
    (tmp_path / "mine.collage.zip").write_bytes(b"PK")
    stacker.drop(tmp_path / "mine.collage.zip")
    stacker.page.wait_for_function("document.querySelector('#told textarea').value.startsWith('collage: ')")


def test_the_host_is_asked_for_an_object_of_a_picture(stacked: Stacker) -> None:
    stacked.act("extract")
    asked = stacked.page.locator("#asked textarea, #asked input").first
    expect(asked).not_to_have_value("")
    assert stacked.parsed(asked.input_value()) == stacked.value
