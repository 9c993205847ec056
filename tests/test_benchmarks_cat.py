"""CAT-Diffusion's rows on drawn cases and tiny real models; numbers of whole sets against their definitions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import fidelity, sets
from benchmarks.rows import cat
from benchmarks.statistics import clustered_mean
from models import catalog, loading, runtime
from models.cache import ModelCache
from models.cat.semantic_inpainter import SemanticInpainter
from models.cat.spec import SPEC
from models.cat.unet import CATUNet2DConditionModel
from models.contract import Weights
from tests import tiny
from training import world

POCKET = SPEC.presets["pocket"]
STOCK = loading.load_component


def load_tiny(weights: Weights) -> Any:
    """The shipped autoencoder and CLIP, and a random U-Net and inpainter that fit them."""
    name = weights.class_name.rpartition(".")[2]
    if name not in ("SemanticInpainter", "CATUNet2DConditionModel"):
        return STOCK(weights)
    vision, text = (STOCK(POCKET.components[k]).config for k in ("clip_vision", "text_encoder"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name == "SemanticInpainter":
            return SemanticInpainter(
                hidden_size=vision.hidden_size,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=1,
                grid=vision.image_size // vision.patch_size,
                label_size=text.hidden_size,
                label_intermediate=16,
            ).eval()
        base = tiny.unet(in_channels=17, out_channels=8, cross_attention_dim=text.hidden_size)
        return CATUNet2DConditionModel.from_base(base, vision.hidden_size).eval()


@pytest.fixture
def tiny_pocket(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The catalogue's preset with tiny random weights behind the real runtime, at two steps."""
    torch.set_num_threads(1)
    components = {k: dataclasses.replace(w, dtype=w.dtype and "float32") for k, w in POCKET.components.items()}
    preset = dataclasses.replace(POCKET, steps=2, components=components)
    spec = dataclasses.replace(SPEC, presets={"pocket": preset})
    monkeypatch.setitem(catalog.SPECS, "cat", spec)
    monkeypatch.setattr(loading, "load_component", load_tiny)
    monkeypatch.setattr(runtime, "cache", ModelCache(load_tiny))
    monkeypatch.setattr(runtime, "settings", runtime.Settings(threads=1, preset="pocket"))
    return preset


def test_a_ratios_parts_have_the_ratio_as_their_mean_and_spread_as_it_does() -> None:
    rng = np.random.default_rng(0)
    lower = rng.uniform(0.5, 1.5, 400)
    upper = 0.3 * lower + rng.normal(0, 0.1, 400)
    parts = sets.ratio(upper, lower)
    assert parts.mean() == pytest.approx(upper.mean() / lower.mean())
    drawn = rng.integers(400, size=(2000, 400))
    bootstrap = np.std(upper[drawn].mean(1) / lower[drawn].mean(1))
    assert parts.std() / 20 == pytest.approx(bootstrap, rel=0.1)


def test_kid_is_the_unbiased_distance_by_definition() -> None:
    rng = np.random.default_rng(1)
    drawn, true = rng.normal(0.3, 1, (7, 5)), rng.normal(0, 1, (7, 5))
    kernel = [[(float(a @ b) / 5 + 1) ** 3 for b in (*drawn, *true)] for a in (*drawn, *true)]
    terms = [
        kernel[i][j] + kernel[7 + i][7 + j] - kernel[i][7 + j] - kernel[j][7 + i]
        for i in range(7)
        for j in range(7)
        if i != j
    ]
    assert sets.kid(drawn, true).mean() == pytest.approx(sum(terms) / 42)
    with pytest.raises(ValueError, match="at least two"):
        sets.kid(drawn[:1], true[:1])


def test_kid_of_one_distribution_is_about_zero_and_its_parts_spread_as_it_does() -> None:
    rng = np.random.default_rng(2)
    same = [sets.kid(rng.normal(0, 1, (300, 8)), rng.normal(0, 1, (300, 8))).mean() for _ in range(20)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 20**0.5 + 1e-3
    repeated = [sets.kid(rng.normal(0.6, 1, (300, 8)), rng.normal(0, 1, (300, 8))) for _ in range(40)]
    between = np.std([parts.mean() for parts in repeated])
    assert np.mean([parts.std() for parts in repeated]) / 300**0.5 == pytest.approx(between, rel=0.35)
    found = clustered_mean(repeated[0].tolist(), list(range(300)))
    assert found.low > 0  # another distribution is told from the truth


def test_cases_are_unseen_combinations_and_do_not_depend_on_their_number() -> None:
    many, few = cat.draw(3, 5, POCKET, None), cat.draw(2, 5, POCKET, None)
    assert [c.request.digest() for c in many[:2]] == [c.request.digest() for c in few]
    for case in many:
        assert case.request.prompt.split()[0] == world.COLOUR_NAMES[case.labels["colour"]]
        assert case.name == world.nouns()[case.labels["object"]]
        assert world.is_held_out_combination(case.name, world.COLOUR_NAMES[case.labels["colour"]], case.groups[1])
        left, top, right, bottom = (int(v) for v in case.box)
        assert (case.request.mask[top + 2 : bottom - 2, left + 2 : right - 2] > 0).mean() > 0.3
        assert not case.request.paste_back
        assert case.request.guidance_scale == 0  # the preset's own
    with pytest.raises(ValueError, match="never trained"):
        cat.draw(1, 0, POCKET, cat.POCKET)


def test_a_set_measures_every_number_of_every_row(tiny_pocket: Any) -> None:
    measured = fidelity.measure_all(cat, tiny_pocket, 3, 0, None)
    wanted = {key for row in cat.ROWS for key in (row.ours, row.against, *row.beside.values()) if key}
    assert wanted | {"near", "near_masked"} == set(measured[0].numbers)
    again = fidelity.measure_all(cat, tiny_pocket, 2, 0, None, whole=False)
    for first, second in zip(measured, again, strict=False):
        assert {k: v for k, v in first.numbers.items() if k not in cat.OF_ALL} == second.numbers
    case = cat.draw(1, 0, tiny_pocket, None)[0]
    made, pictures = cat.run(case.request), measured[0].pictures
    assert np.array_equal(made["ours"], pictures["ours"])
    assert not np.array_equal(made["ours"], made["plain"])
    assert measured[0].numbers["label_truth"] == cat.judged(case.truth, case)["object"]
    near, masked = (np.array([m.numbers[k] for m in measured]) for k in ("near", "near_masked"))
    gap = np.mean([m.numbers["gap"] for m in measured])
    assert gap == pytest.approx((near.mean() - masked.mean()) / (1 - masked.mean()))
    for row in cat.ROWS:
        fidelity.summarise(row, [fidelity.as_case(i, m) for i, m in enumerate(measured)])


def test_the_truth_has_no_gap_and_the_masked_picture_closes_none(
    tiny_pocket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = cat.draw(1, 0, tiny_pocket, None)[0]
    near, masked = cat.nearness(case, tiny_pocket)
    assert -1 <= near < masked < 1  # a random inpainter knows less than the masked picture
    stock, side = cat.imagine, POCKET.size

    def seen(*arguments: Any) -> Any:
        found = stock(*arguments)
        return dataclasses.replace(found, predicted=found.seen)

    def true(parts: Any, *arguments: Any) -> Any:
        found = stock(parts, *arguments)
        return dataclasses.replace(found, predicted=cat.see(parts, cat.resized(case.truth, (side, side)))[0])

    monkeypatch.setattr(cat, "imagine", seen)
    assert cat.nearness(case, tiny_pocket) == (masked, masked)
    monkeypatch.setattr(cat, "imagine", true)
    assert cat.nearness(case, tiny_pocket)[0] == pytest.approx(1)
