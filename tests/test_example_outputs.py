"""What is kept of the examples' runs: each is of the request that its click makes, with the weights that ship."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest

from cli import serve
from demos import sending
from demos.tabs import TABS
from models import example_outputs, examples, pictures, recipe, replay, runtime
from models.catalog import SPECS
from models.contract import BadRequest, Request
from training import make_example_outputs

AGAIN = "{}; run `python -m training.make_example_outputs` and commit what it writes"
MOST_BYTES = 4_000_000
FACE = "facediffuser"


class Page:
    """The five tabs, and their handlers as a browser calls them."""

    def __init__(self) -> None:
        with gr.Blocks() as self.blocks, sending.places() as joined:
            for key, tab in TABS.items():
                with gr.Tab(key):
                    tab(SPECS[key])
        self.places = {place.key: place for place in joined}
        self.events = list(self.blocks.fns.values())

    def _click(self, key: str) -> Any:
        strip = next(b for b in self.blocks.blocks.values() if getattr(b, "elem_id", "") == f"{key}-examples")
        return next(event for event in self.events if (strip._id, "click") in event.targets)

    def clicked(self, key: str, number: int) -> list[Any]:
        """The values of the form's components after a click on an example of a new page."""
        people: dict[str, Any] = {}
        event = SimpleNamespace(index=number)
        fill = self._click(key).fn
        updates = fill(people, event) if key == FACE else fill(event)
        values = []
        for component in self.places[key].form.components:
            value = updates.get(component, gr.skip())
            if value == gr.skip():
                model, value = component.data_model, component.value
                value = model(**value) if model and isinstance(value, dict) else value
            values.append(people if isinstance(component, gr.State) else value)
        return values

    def request(self, key: str, number: int) -> Request:
        """The request of such a click."""
        return self.places[key].form.request(self.clicked(key, number))

    def looked(self, key: str, values: list[Any]) -> Mapping[Any, Any]:
        """What follows a click: the result's panel, or a new value of a state whose change starts a run."""
        event = self._click(key)
        for _ in ("one moment", "the result"):
            event = next(after for after in self.events if after.trigger_after == event._id)
        return event.fn(None, True, *values)  # type: ignore[no-any-return]

    def asks(self, update: Mapping[Any, Any]) -> bool:
        """Whether an update starts a run."""
        (state,) = update
        return any((state._id, "change") in event.targets for event in self.events)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """The page of a server that shows what is kept; building it reads nothing of that."""
    before, load = runtime.settings, example_outputs.load
    runtime.configure(stored_examples=True)
    del example_outputs.load
    found = Page()
    example_outputs.load = load
    yield found
    runtime.settings = before


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may run."""
    monkeypatch.setattr(runtime, "run", None)


@pytest.mark.parametrize("key", list(SPECS))
def test_a_click_on_an_example_asks_for_what_is_kept_and_current(page: Page, key: str) -> None:
    kept = {output.title: output for output in example_outputs.load(key)}
    stale = []
    for number, example in enumerate(examples.load(key)):
        request = page.request(key, number)
        alike = example_outputs.Output("", example_outputs.now(key, examples.request(SPECS[key], example)), (), (), {})
        assert not example_outputs.changes(alike, example_outputs.now(key, request))  # the maker's and the click's
        output = kept.pop(example.title, None)
        if output is None:
            stale.append(f"“{example.title}” is not kept")
        elif changes := example_outputs.changes(output, example_outputs.now(key, request)):
            stale.append(f"“{example.title}”: {', '.join(changes)}")
        else:
            assert output.result(request).images  # each with the sha256 of what was made
    stale += [f"“{title}” is no example any more" for title in kept]
    assert not stale, AGAIN.format("; ".join(stale))


def test_what_is_kept_is_small_and_of_files_that_are_named() -> None:
    folders = [examples.FOLDER / key for key in SPECS]
    named = {folder / name for folder in folders for name in make_example_outputs.files_of(folder)}
    found = {file for folder in folders for pattern in ("*-result*", "*-beside*") for file in folder.glob(pattern)}
    assert found == named
    assert sum(file.stat().st_size for file in named) < MOST_BYTES


@pytest.mark.parametrize("key", list(SPECS))
@pytest.mark.usefixtures("still")
def test_a_kept_result_is_a_whole_result(page: Page, key: str) -> None:
    number = len(examples.load(key)) - 2  # the edit with several targets
    values = page.clicked(key, number)
    output = example_outputs.load(key)[number]
    place = page.places[key]
    update = page.looked(key, values)
    shown = update[place.panel.state]
    assert [p.recipe.picture for p in shown.pictures] == list(range(len(output.pictures)))
    for picture, sha256 in zip(shown.pictures, output.sha256, strict=True):
        told, inputs = recipe.read_png(picture.signed)
        assert dataclasses.replace(told, picture=0, request={}) == dataclasses.replace(output.recipe, request={})
        assert recipe.picture_sha256(pictures.decode(picture.signed, "rgb", "it")) == sha256
        assert recipe.picture_sha256(pictures.decode(picture.plain, "rgb", "it")) == sha256
        if key == FACE:
            assert not inputs
        else:
            again = replay.to_request(told, inputs, SPECS[key].request)
            assert again.digest() == runtime.resolve(SPECS[key], place.form.request(values))[0].digest()
    assert set(shown.extras) == set(output.extras) | set(output.inputs)
    assert update[place.panel.download]["interactive"]
    line = update[place.panel.facts]
    assert "with these settings; press “" in line
    assert "Time" not in line


@pytest.mark.usefixtures("still")
def test_another_setting_other_weights_and_a_damaged_file_are_run(
    page: Page, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    values, outputs = page.clicked("cat", 0), example_outputs.load("cat")
    form = page.places["cat"].form
    steps = [component.elem_id for component in form.components].index("cat-steps")
    assert page.asks(page.looked("cat", [*values[:steps], 7, *values[steps + 1 :]]))
    vae = {**outputs[0].recipe.weights["vae"], "sha256": "0" * 64}
    older = dataclasses.replace(outputs[0].recipe, weights={**outputs[0].recipe.weights, "vae": vae})
    for one in (
        dataclasses.replace(outputs[0], recipe=older),
        dataclasses.replace(outputs[0], pictures=(tmp_path / "gone.webp",)),
        dataclasses.replace(outputs[0], pictures=outputs[1].pictures),
    ):
        monkeypatch.setattr(example_outputs, "load", lambda key, one=one: [one])
        assert page.asks(page.looked("cat", values))
    monkeypatch.setattr(example_outputs, "load", lambda key: outputs)
    assert len(page.looked("cat", values)) > 1


def test_the_maker_makes_what_is_not_current_and_the_same_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(examples.FOLDER / FACE, tmp_path / FACE)
    for module in (examples, example_outputs):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    index, example = tmp_path / FACE / "outputs.json", examples.load(FACE)[0]
    request = examples.request(SPECS[FACE], example)
    kept = json.loads(index.read_text())
    picture = example_outputs.found(FACE, request).result(request).images[0]  # type: ignore[union-attr]
    stale = json.loads(index.read_text())
    stale[0]["recipe"]["weights"]["sdm"]["sha256"] = "0" * 64
    stale[0]["pictures"] = ["left-over.webp"]
    (tmp_path / FACE / "left-over.webp").touch()
    index.write_text(json.dumps(stale))
    make_example_outputs.main(["--only", FACE])
    made = json.loads(index.read_text())
    assert made[1:] == kept[1:]
    assert made[0]["pictures"] == kept[0]["pictures"]
    assert not (tmp_path / FACE / "left-over.webp").exists()
    again = example_outputs.found(FACE, request).result(request).images[0]  # type: ignore[union-attr]
    off = np.abs(again.astype(float) - picture.astype(float))
    assert off.mean() < 1  # another machine rounds differently


@pytest.mark.parametrize(
    ("environment", "changes", "stored"),
    [
        ({}, {}, False),
        ({}, {"host": "0.0.0.0"}, True),
        ({}, {"share": True}, True),
        ({"SPACE_ID": "somebody/easel"}, {}, True),
        ({"SPACE_ID": "somebody/easel"}, {"examples": "run"}, False),
        ({}, {"examples": "stored"}, True),
    ],
)
def test_where_others_come_in_kept_results_are_shown(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], changes: dict[str, Any], stored: bool
) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    told = {"host": "127.0.0.1", "share": False, "examples": None, **changes}
    assert serve.stored_examples(argparse.Namespace(**told)) is stored


def test_a_variable_that_says_neither_is_refused() -> None:
    with pytest.raises(BadRequest, match="EASEL_EXAMPLES is “often”"):
        serve.stored_examples(argparse.Namespace(host="127.0.0.1", share=False, examples="often"))
