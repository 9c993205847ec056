"""DiT4Edit's rows on drawn edits and a tiny random PixArt."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import edits, fidelity, measures
from benchmarks.contract import Measured
from benchmarks.rows import dit4edit
from models import catalog, loading, runtime
from models.cache import ModelCache
from models.contract import Weights
from models.dit4edit.baselines import SDEDIT_STRENGTH
from models.dit4edit.spec import SPEC
from tests.methods import dit4edit_parts as toy
from training import world

POCKET = SPEC.presets["pocket"]
STOCK = loading.load_component


def load_tiny(weights: Weights) -> Any:
    """The shipped T5 and autoencoder, and a random PixArt that fits them."""
    if not weights.source.endswith("pixart"):
        return STOCK(weights)
    with torch.random.fork_rng():
        words = STOCK(POCKET.components["text_encoder"]).config.d_model
        return toy.transformer(in_channels=8, out_channels=8, caption_channels=words).eval()


@pytest.fixture
def tiny_pocket(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The catalogue's preset with a tiny random transformer behind the real runtime, at four steps."""
    torch.set_num_threads(1)
    components = {k: dataclasses.replace(w, dtype=w.dtype and "float32") for k, w in POCKET.components.items()}
    preset = dataclasses.replace(POCKET, steps=4, components=components)
    monkeypatch.setitem(catalog.SPECS, "dit4edit", dataclasses.replace(SPEC, presets={"pocket": preset}))
    monkeypatch.setattr(loading, "load_component", load_tiny)
    monkeypatch.setattr(runtime, "cache", ModelCache(load_tiny))
    monkeypatch.setattr(runtime, "settings", runtime.Settings(threads=1, preset="pocket"))
    return preset


@pytest.fixture(scope="module")
def pairs() -> dict[str, list[edits.Pair]]:
    return {kind: [edits.draw(kind, 128, seed) for seed in (1, 2)] for kind in edits.KINDS}


def test_every_kind_leads_to_an_unseen_combination_and_changes_only_what_it_should(
    pairs: dict[str, list[edits.Pair]],
) -> None:
    for kind, drawn in pairs.items():
        for pair in drawn:
            text = pair.target_prompt
            colours = [c for c in world.COLOUR_NAMES if f"{c} {pair.name}" in text]
            assert any(
                world.is_held_out_combination(pair.name, colour, scene)
                for colour in colours
                for scene in world.SCENE_NAMES
            ), text
            assert pair.source_prompt != text
            differs = np.abs(pair.source.astype(int) - pair.truth).max(axis=2)
            assert differs[pair.outside].max(initial=0) <= 6, kind  # 0.02 of white
            assert differs[~pair.outside].max() > 30, kind
            assert (pair.outside.mean() < 0.05) == (kind == "restyle"), kind


def test_the_asked_word_is_what_the_prompts_differ_by(pairs: dict[str, list[edits.Pair]]) -> None:
    names = {"object": world.nouns(), "colour": world.COLOUR_NAMES}
    for kind, drawn in pairs.items():
        for pair in drawn:
            asked, old, new = pair.asked, pair.source_prompt.split(), pair.target_prompt.split()
            if kind == "restyle":
                assert world.STYLE_NAMES[asked.instead or 0] == "day"
                assert asked.question == "style"
                continue
            word = names[asked.question][asked.answer].split()[-1]
            told = (word in old, word in new) if kind in ("remove", "swap", "add") else (True, word in new)
            assert told == {"remove": (True, False), "swap": (False, True), "add": (False, True)}.get(
                kind, (True, True)
            )
            left, top, right, bottom = asked.box
            assert 0 <= left < right <= 128
            assert 0 <= top < bottom <= 128
            before, after = (p[int(top) : int(bottom), int(left) : int(right)] for p in (pair.source, pair.truth))
            assert np.abs(before.astype(int) - after).mean() > 3, kind  # the edit is in the box
            for was, now in pair.kept:
                assert (was.question, was.answer) == (now.question, now.answer)
                assert was.answer >= 0


def test_the_fullest_square_agrees_with_trying_all() -> None:
    region = np.random.default_rng(0).random((9, 12)) < 0.4
    held = {(x, y): region[y : y + 4, x : x + 4].sum() for y in range(6) for x in range(9)}
    left, top, right, bottom = edits.fullest(region, 4)
    assert held[int(left), int(top)] == max(held.values())
    assert (right - left, bottom - top) == (4, 4)


def test_the_judge_finds_most_true_edits_done_and_undone_ones_not(pairs: dict[str, list[edits.Pair]]) -> None:
    done, undone = [], []
    for drawn in pairs.values():
        for pair in drawn:
            for found, picture in ((done, pair.truth), (undone, pair.source)):
                asked = dit4edit.asked_is_read(pair, picture, pair.source)
                found.append(asked and dit4edit.kept_are_read(pair, picture, pair.source))
            assert dit4edit.kept_are_read(pair, pair.source, pair.source) or pair.kind in ("swap", "add", "remove")
    assert np.mean(done) > 0.5
    assert np.mean(undone) < 0.2


def with_answers(monkeypatch: pytest.MonkeyPatch, by_grey: dict[int, list[float]]) -> None:
    """A judge that goes by the grey level of the picture."""
    monkeypatch.setattr(dit4edit, "answers", lambda picture, *_: torch.tensor(by_grey[int(picture[0, 0, 0])]))


def flat(grey: int) -> np.ndarray:
    return np.full((32, 32, 3), grey, np.uint8)


@pytest.mark.parametrize(
    ("word", "read"),
    [
        (edits.Word((0, 0, 9, 9), "colour", 0), True),
        (edits.Word((0, 0, 9, 9), "colour", 1), False),
        (edits.Word((0, 0, 9, 9), "object", 1, None, 2), True),
        (edits.Word((0, 0, 9, 9), "object", 1, 0, 2), False),
        (edits.Word((0, 0, 9, 9), "colour", 1, 2, 0), True),
        (edits.Word((0, 0, 9, 9), "colour", 2, 1, 0), False),
    ],
)
def test_a_word_is_read_among_the_likeliest_and_ahead_of_the_old_one(
    word: edits.Word, read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_answers(monkeypatch, {7: [0.6, 0.3, 0.1]})
    assert dit4edit.reads(flat(7), word) == read


def test_removing_must_halve_the_word_and_kept_words_count_only_where_they_were_read(
    monkeypatch: pytest.MonkeyPatch, pairs: dict[str, list[edits.Pair]]
) -> None:
    with_answers(monkeypatch, {1: [0.6, 0.4], 2: [0.45, 0.55], 3: [0.2, 0.8]})
    word = edits.Word((0, 0, 9, 9), "object", 0)
    pair = dataclasses.replace(pairs["remove"][0], asked=word, kept=((word, word),))
    assert not dit4edit.asked_is_read(pair, flat(2), flat(1))
    assert dit4edit.asked_is_read(pair, flat(3), flat(1))
    assert not dit4edit.kept_are_read(pair, flat(3), flat(1))
    assert dit4edit.kept_are_read(pair, flat(2), flat(3))


def test_cases_take_the_kinds_in_turn_and_do_not_depend_on_their_number() -> None:
    many, few = dit4edit.draw(3, 5, POCKET, None), dit4edit.draw(2, 5, POCKET, None)
    assert [c.request.digest() for c in many[:2]] == [c.request.digest() for c in few]
    assert [c.pair.kind for c in many] == ["swap", "recolour", "add"]
    for case in many:
        assert case.request.keep_detail == "off"
        assert not case.request.paste_back
        assert case.request.mask is None
        assert case.request.steps == 0  # the preset's own
    assert dit4edit.LEAST >= 64
    assert dit4edit.LEAST % len(edits.KINDS) == 0
    with pytest.raises(ValueError, match="never trained"):
        dit4edit.draw(1, 0, POCKET, dit4edit.POCKET)


def test_a_set_measures_the_method_and_every_baseline(tiny_pocket: Any) -> None:
    measured = fidelity.measure_all(dit4edit, tiny_pocket, 2, 0, None)
    again = fidelity.measure_all(dit4edit, tiny_pocket, 1, 0, None, whole=False)
    assert {k: v for k, v in measured[0].numbers.items() if k not in dit4edit.OF_ALL} == again[0].numbers
    case, pictures = dit4edit.draw(1, 0, tiny_pocket, None)[0], again[0].pictures
    assert list(measured[0].pictures) == ["source", "true", "ours", *dit4edit.BASELINES]
    assert len({p.tobytes() for p in pictures.values()}) == len(pictures) - 1  # four steps take 0.65 for 0.8
    result = dit4edit.run(case.request)
    assert np.array_equal(pictures["ours"], result.images[0])
    copy = result.extras["encoded"]
    most = measures.psnr(copy, case.pair.source, case.pair.outside)
    for name in ("ours", "mutual", "sdedit_50"):
        value = measures.psnr(pictures[name], case.pair.source, case.pair.outside)
        assert again[0].numbers[f"outside_{name}"] == pytest.approx(min(most, value))
        assert (f"background_{name}" in again[0].numbers) == bool(again[0].numbers[f"success_{name}"])
    cases = [fidelity.as_case(i, m) for i, m in enumerate(measured)]
    found = fidelity.summaries(dit4edit.ROWS, cases)
    assert {"success", "asked", "outside"} <= {row["key"] for row in found}
    assert len(found) + len(fidelity.unmeasured(dit4edit.ROWS, cases)) == len(dit4edit.ROWS)


def test_sdedit_at_the_usual_strength_is_the_methods_own_and_ddim_agrees_with_its_definition(tiny_pocket: Any) -> None:
    request = dit4edit.draw(1, 0, tiny_pocket, None)[0].request
    found = dit4edit.more(request, {"here": SDEDIT_STRENGTH, "other": 1.0})
    own = dit4edit.run(request).extras
    assert np.array_equal(found["here"], own["sdedit"])
    assert not np.array_equal(found["here"], found["other"])
    assert not np.array_equal(own["ddim"], own["inversion"])
    # The method with its controls off, told to invert by DDIM, samples at first order too.
    off = request.replace(inversion="ddim", control="none", words_until=0.0)
    assert np.array_equal(own["ddim"], dit4edit.run(off).images[0])


def one(successes: dict[str, float], outside: dict[str, float]) -> Measured:
    numbers = {f"{kind}_{name}": v for kind in ("success", "asked") for name, v in successes.items()}
    numbers |= {f"outside_{name}": v for name, v in outside.items()}
    numbers |= {f"background_{name}": outside[name] for name, v in successes.items() if v}
    tile = {name: flat(n) for n, name in enumerate(("source", "true", *successes))}
    return Measured("thing", ("swap",), numbers, tile, dict.fromkeys(tile, ""))


def test_the_best_baseline_succeeds_most_and_of_equals_keeps_more() -> None:
    names = ("ours", "inversion", "ddim", "prompt-to-prompt", "mutual", "sdedit_50", "sdedit_65", "sdedit_80")
    outside = dict(zip(names, range(19, 27), strict=True)) | {"ours": 20}
    first = one(dict(zip(names, (1, 1, 0, 0, 0, 0, 1, 1), strict=True)), outside)
    second = one(dict(zip(names, (1, 0, 1, 0, 1, 0, 1, 1), strict=True)), outside)
    found = dit4edit.finish([], [first, second])
    assert found[0].numbers["success_sdedit"] == found[0].numbers["success_best"] == 1
    assert found[0].numbers["outside_sdedit"] == found[0].numbers["background_best"] == 26  # 0.8 over 0.65
    assert np.array_equal(found[0].pictures["sdedit"], first.pictures["sdedit_80"])
    rows = fidelity.summaries(dit4edit.ROWS[2:3], [fidelity.as_case(i, m) for i, m in enumerate(found)])
    assert rows[0]["judged"]["mean"] == pytest.approx(20 - 26)


def test_a_row_without_any_case_is_named_and_not_averaged() -> None:
    cases = [{"index": 0, "cluster": "a", "groups": ["swap"], "numbers": {"success_ours": 1.0}}]
    assert fidelity.summaries(dit4edit.ROWS, cases) == []
    told = fidelity.unmeasured(dit4edit.ROWS, cases)
    assert told == [row.measure for row in dit4edit.ROWS]
