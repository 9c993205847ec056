"""What is timed of Collage Diffusion: whole pictures with and without the bias, looks learned together and apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import examples, looks, page, tables
from models.collage import files, looking
from models.collage.composing import compose
from models.collage.conditions import Parts
from models.collage.spec import CollageRequest, fields_of
from tests.methods import collage_tiny as tiny


@pytest.fixture
def parts() -> Iterator[Parts]:
    torch.set_num_threads(1)
    with tiny.parts() as made:
        yield made


def test_the_timed_collage_has_four_layers_that_can_be_sent_as_a_file(tmp_path: Path) -> None:
    request = examples.example("collage")
    assert isinstance(request, CollageRequest)
    assert len(request.collage.shown) == 4
    assert compose(request.collage).uncovered.max() == 0
    sent = page.endpoint_arguments(request, tmp_path)
    assert list(sent) == ["collage"]
    again = CollageRequest(**fields_of(files.decode(sent["collage"]["path"])))
    assert again.digest() == request.digest()


def test_alone_every_layer_is_shown_once() -> None:
    collage = tiny.request().collage
    shown = [one.shown for one in looks.alone(collage)]
    assert [layers[0].text for layers in shown] == list(tiny.TEXTS)
    assert all(len(layers) == 1 for layers in shown)


def test_looks_are_learned_anew_in_every_round(parts: Parts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EASEL_CACHE", str(tmp_path))
    collage, learned, stock = tiny.request().collage, [], looking.learn

    def counted(*arguments: object, **named: object) -> object:
        learned.append(len(arguments[2]))  # type: ignore[arg-type]
        return stock(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(looking, "learn", counted)
    things = {
        "joint": looks.learning(parts, [collage], (64, 64), 2),
        "apart": looks.learning(parts, looks.alone(collage), (64, 64), 2),
    }
    found = looks.in_turn(things, rounds=2)
    assert learned == 3 * [3, 1, 1, 1]
    assert all(seconds > 0 for seconds in found.values())
    assert os.environ["EASEL_CACHE"] == str(tmp_path)
    assert not list(tmp_path.iterdir())


def test_timed_rungs_differ_by_what_they_are_named_for(parts: Parts) -> None:
    calls: list[int] = []
    unet = parts.components["unet"]
    unet.register_forward_hook(lambda *_: calls.append(1))
    request = tiny.request(keep_detail="off")
    for variant in looks.RUNGS.values():
        calls.clear()
        looks.picture(parts, request.replace(variant=variant))()
        assert len(calls) == 4  # 0.8 of five steps, however the layers are held


def test_looks_stand_in_the_speed_table_as_ratios() -> None:
    found = {"device": "cpu", "layers": 4, "stock_s": 2.0, "bias_s": 3.0, "all_s": 3.5, "joint_s": 10.0,
             "separate_s": 16.0, "look_steps": 10, "own_look_steps": 150, "bias_over_stock": 1.5,
             "all_over_stock": 1.75, "separate_over_joint": 1.6}  # fmt: skip
    lines = tables.looks(found)
    assert all(len(line) == 3 for line in lines)
    text = " ".join(cell for line in lines for cell in line)
    assert "plain img2img, 2.00 s: 1.50 times" in text
    assert "1.75 times plain img2img" in text
    assert "16.0 s: 1.60 times; 150.0 s for all 150 steps" in text
