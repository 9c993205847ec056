"""Collage Diffusion's rows on drawn collages and a tiny random U-Net."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import collages, fidelity
from benchmarks.rows import collage
from benchmarks.rows.cat import the_judge
from models import catalog, loading, runtime
from models.cache import ModelCache
from models.collage import dials
from models.collage.alignment import align, offsets
from models.collage.spec import SPEC
from models.contract import Weights
from tests import tiny
from training import world

POCKET = SPEC.presets["pocket"]
STOCK = loading.load_component
LOOK = {"steps": 2, "batch": 1, "learning_rate": 0.5, "every": 1, "at_once": 8}


def load_tiny(weights: Weights) -> Any:
    """The shipped autoencoder and CLIP, and a random U-Net that fits them."""
    if not weights.source.endswith("sd_unet"):
        return STOCK(weights)
    words = STOCK(POCKET.components["text_encoder"]).config.hidden_size
    return tiny.unet(in_channels=8, out_channels=8, cross_attention_dim=words)


@pytest.fixture
def tiny_pocket(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The catalogue's preset with a tiny random U-Net behind the real runtime, at four steps."""
    torch.set_num_threads(1)
    components = {k: dataclasses.replace(w, dtype=w.dtype and "float32") for k, w in POCKET.components.items()}
    settings = {**POCKET.settings, "look": LOOK}
    preset = dataclasses.replace(POCKET, steps=4, size=128, components=components, settings=settings)
    monkeypatch.setitem(catalog.SPECS, "collage", dataclasses.replace(SPEC, presets={"pocket": preset}))
    monkeypatch.setattr(loading, "load_component", load_tiny)
    monkeypatch.setattr(runtime, "cache", ModelCache(load_tiny))
    monkeypatch.setattr(runtime, "settings", runtime.Settings(threads=1, preset="pocket"))
    return preset


@pytest.fixture(scope="module")
def drawn() -> list[collages.Drawn]:
    return collages.draw(6, 3, 128)


def test_cases_do_not_depend_on_their_number() -> None:
    preset = dataclasses.replace(POCKET, size=64)
    many, few = collage.draw(3, 5, preset, None), collage.draw(2, 5, preset, None)
    assert [c.request.digest() for c in many[:2]] == [c.request.digest() for c in few]
    assert many[0].request.digest() != collage.draw(1, 6, preset, None)[0].request.digest()
    assert [c.request.seed for c in many] == [5, 6, 7]


def test_words_are_of_unseen_combinations_and_objects_are_unseen(drawn: list[collages.Drawn]) -> None:
    families = world.held_out()[0]
    rows = {row["noun"]: row for row in collages.sprite_rows()}
    assert [one.kind for one in drawn] == ["words", "objects"] * 3
    for one in drawn:
        texts = [layer.text for layer in one.collage.layers[1:]]
        held = [rows[name]["family"] in families for name in one.names]
        assert held == [one.kind == "objects"] * len(texts)
        assert 2 <= len(texts) <= 4
        for text, label in zip(texts, one.labels, strict=True):
            assert text.endswith(world.nouns()[label])
        assert one.name in one.names
        if one.kind == "words":
            colours = [text.split()[0] for text, name in zip(texts, one.names, strict=True) if name == one.name]
            assert world.is_held_out_combination(one.name, colours[0], one.place)


def test_collages_align_and_have_one_kept_layer(drawn: list[collages.Drawn]) -> None:
    tokenizer = STOCK(POCKET.components["tokenizer"])
    for one in drawn:
        made = one.collage
        assert all(align(made.prompt, [x.text for x in made.layers], offsets(tokenizer, made.prompt)))
        assert set(world.split_words(made.prompt)) <= set(world.vocabulary())
        assert [k for k, layer in enumerate(made.layers) if layer.dials.noise == 0] == [one.kept]
        assert one.kept >= 1
        for k, layer in enumerate(made.layers):
            own = dials.auto(dials.extent(layer.placed, made.size), k == len(made.layers) - 1)
            assert layer.dials == (dataclasses.replace(own, noise=0.0) if k == one.kept else own)


def test_boxes_hold_the_things_and_enough_is_seen_of_each(drawn: list[collages.Drawn]) -> None:
    for one in drawn:
        for (left, top, right, bottom), visible in zip(one.boxes, one.stack.visible[1:], strict=True):
            rows, columns = np.nonzero(visible > 0.5)
            assert left - 1 <= columns.min() <= columns.max() <= right + 1
            assert top - 1 <= rows.min() <= rows.max() <= bottom + 1
            assert visible.mean() > collages.LEAST
        region = one.kept_region
        assert region.any()
        assert (one.stack.visible[one.kept][region] > 0.5).all()
        shadows = np.abs(one.truth.astype(int) - one.stack.flat).mean()
        assert 1 < shadows < 40  # the same scene, with light


def test_the_judge_reads_more_things_in_the_paste_than_in_the_empty_place() -> None:
    words = collages.draw(16, 1, 128)[::2]
    pasted = [rank for one in words for rank in collages.ranks(the_judge(), one.stack.flat, one)]
    empty = [
        rank for one in words for rank in collages.ranks(the_judge(), one.collage.layers[0].placed.image[..., :3], one)
    ]
    assert np.median(pasted) < 15 < np.median(empty)
    one = words[0]
    logits = the_judge()(collages.crops(one.stack.flat, one.boxes[:1]))["object"][0]
    order = logits.argsort(descending=True).tolist()
    assert collages.ranks(the_judge(), one.stack.flat, one)[0] == order.index(one.labels[0])


def test_a_layer_is_most_alike_itself_and_what_lies_beside_it_does_not_count(drawn: list[collages.Drawn]) -> None:
    one = drawn[1]
    same = collages.likeness(the_judge(), one.stack.flat, one)
    assert same == pytest.approx([1] * len(one.names), abs=1e-5)
    other = one.stack.flat.copy()
    other[one.stack.visible[1] == 0] = 7
    assert collages.likeness(the_judge(), other, one)[0] == pytest.approx(1, abs=1e-5)
    grey = np.full_like(one.stack.flat, 128)
    assert max(collages.likeness(the_judge(), grey, one)) < 0.99


def test_a_set_measures_every_number_of_every_row(tiny_pocket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_CACHE", "/nowhere")
    measured = fidelity.measure_all(collage, tiny_pocket, 2, 0, None)
    assert os.environ["EASEL_CACHE"] == "/nowhere"  # what is learned goes to a folder of its own
    assert not Path("/nowhere").exists()
    wanted = {key for row in collage.ROWS for key in (row.ours, row.against, *row.beside.values()) if key}
    assert wanted <= {key for one in measured for key in one.numbers}
    cases = [fidelity.as_case(k, one) for k, one in enumerate(measured)]
    counts = {row.key: len(fidelity.complete(row, cases)) for row in collage.ROWS}
    assert counts == {"label": 1, "among": 1, "look": 1, "kept": 2}
    assert [one.groups[0] for one in measured] == ["words", "objects"]
    for one in measured:
        assert tuple(one.pictures) == collage.RUNGS
    assert (measured[0].pictures["gh+ca+ti"] == 255).all()
    made = [measured[1].pictures[name] for name in collage.RUNGS]
    assert all(not np.array_equal(a, b) for k, a in enumerate(made) for b in made[k + 1 :])
    again = fidelity.measure_all(collage, tiny_pocket, 1, 0, None)
    assert again[0].numbers == measured[0].numbers


def test_numbers_are_of_raw_output(tiny_pocket: Any) -> None:
    case = collage.draw(1, 0, tiny_pocket, None)[0]
    assert (case.request.keep_detail, case.request.variant, case.request.ladder) == ("off", "all", True)
    assert case.request.guidance_scale == 0  # the preset's own
    made, one = collage.run(case.request), collage.measure(case, tiny_pocket)
    region = case.drawn.kept_region
    error = ((made["all"].astype(float) - case.drawn.stack.flat)[region] ** 2).mean()
    assert one.numbers["kept_all"] == pytest.approx(10 * np.log10(255**2 / error))
    ranks = np.array(collages.ranks(the_judge(), made["gh+ca"], case.drawn))
    assert one.numbers["label_gh+ca"] == (ranks == 0).mean()
    assert one.numbers["among_gh+ca"] == (ranks < 5).mean()
    assert one.numbers["label_truth"] <= one.numbers["among_truth"]


def test_ones_own_cutouts_are_measured_by_their_looks(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:40, :40]
    disc = np.zeros((40, 40, 4), np.uint8)
    disc[np.hypot(rows - 20, columns - 20) < 18] = (250, 60, 20, 255)
    for name in ("red_disc", "blue_disc", "old_disc", "new_disc"):
        Image.fromarray(disc).save(tmp_path / f"{name}.png")
    found = collage.draw(2, 0, POCKET, tmp_path)
    assert all(case.drawn.kind == "objects" for case in found)
    assert all(name.endswith("disc") for case in found for name in case.drawn.names)
