"""Prompt edit before a browser sees it: words compared and weighed, a canvas that may be empty, facts in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest

from demos import dit4edit, examples
from demos.canvas import MaskValue
from demos.canvas.mask import opened
from demos.diagnostics import diagnostics, told_apart
from demos.edit_words import APART, BARE, CLICK, KINDS, SAME, SAY, EditWords, WordsValue, compared, weighed
from demos.result import Figure, ResultPanel
from demos.widgets import lacking
from models import inventory, pictures, runtime
from models.catalog import SPECS
from models.contract import BadRequest, Result, Weights, options
from models.dit4edit.presets import KINDS as DECIDED
from models.dit4edit.spec import KINDS as CHOICES
from tests import editor
from training import make_edit_examples

SPEC = SPECS["dit4edit"]
CAT, DOG = "A photo of a cat on grass", "a photo of a dog on grass"


def noise(height: int = 90, width: int = 120) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def spot(height: int = 90, width: int = 120) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[30:60, 40:80] = 255
    return mask


def seen(value: WordsValue, line: int = 0) -> list[tuple[str, str]]:
    return [(piece.text, piece.change) for piece in value.lines[line].pieces if piece.change != "same"]


def test_the_words_that_differ_are_marked_and_nothing_else() -> None:
    value = compared(CAT, DOG)
    assert [piece.text for piece in value.lines[0].pieces] == ["a", "photo", "of", "a", "cat", "dog", "on", "grass"]
    assert seen(value) == [("cat", "gone"), ("dog", "new")]
    assert value.lines[0].kind == KINDS["swap"]
    assert value.hints == [CLICK]


@pytest.mark.parametrize(
    ("target", "kind", "differs"),
    [
        ("a photo of a black cat on grass", "add", [("black", "new")]),
        ("a photo of a cat", "remove", [("on", "gone"), ("grass", "gone")]),
        ("a photo of a cat on grass, at night", "add", [(",", "new"), ("at", "new"), ("night", "new")]),
    ],
)
def test_the_kind_of_edit_is_what_the_words_tell(target: str, kind: str, differs: list[tuple[str, str]]) -> None:
    value = compared(CAT, target)
    assert seen(value) == differs
    assert value.lines[0].kind == KINDS[kind]
    assert compared(CAT, target, kind="pose").lines[0].kind == KINDS["pose"]


def test_every_kind_has_a_plain_name() -> None:
    assert tuple(KINDS) == CHOICES
    assert {"auto", *DECIDED} == set(KINDS)
    told = options(SPEC.request)
    assert all(tuple(names) == told[name].choices for name, names in dit4edit.PLAIN.items())


@pytest.mark.parametrize(
    ("source", "target", "weights", "says"),
    [
        ("", "", "", SAY),
        ("", DOG, "", BARE),
        (CAT, f"  {CAT.upper()} ", "", SAME),
        ("one cat", "some dogs", "", APART),
        ("a cat sits", "a very large red dog sits", "", "matched as one"),
        ("a cat sits", "a big dog sits", "", "“big dog” shares the place of “cat”"),
        (CAT, DOG, "hat: 2", "“hat” has a weight"),
        (CAT, DOG, "dog 2", "is no weight"),
        (CAT, "\n".join([DOG] * 5), "", "4 lines are the most"),
    ],
)
def test_what_may_disappoint_is_said_before_a_run(source: str, target: str, weights: str, says: str) -> None:
    hints = compared(source, target, weights).hints
    assert any(says in hint for hint in hints)
    assert len(hints) == len(set(hints))


def test_a_weight_is_a_change() -> None:
    value = compared(CAT, CAT, "cat: 2")
    assert SAME not in value.hints
    assert value.lines[0].kind == KINDS["restyle"]


def test_weights_stand_at_their_words_in_every_target() -> None:
    value = compared(CAT, f"{DOG}\n\n a red dog, on a red  table", "Red Dog: 2, on: -1")
    first, second = ([(p.text, p.weight) for p in line.pieces if p.change != "gone"] for line in value.lines)
    assert ("on", -1.0) in first
    assert ("dog", 1.0) in first
    assert second[1:4] == [("red", 2.0), ("dog", 2.0), (",", None)]  # punctuation has none
    assert second[-2:] == [("red", 1.0), ("table", 1.0)]


def test_a_word_is_weighed_in_the_text_and_taken_out_again() -> None:
    text = weighed("", "dog", 1.5)
    assert text == "dog: 1.5"
    text = weighed(text, "red hat", 0.25)
    assert text == "dog: 1.5, red hat: 0.25"
    assert weighed(text, "Dog", 9) == "red hat: 0.25, Dog: 4"  # the most
    assert weighed(text, "dog", 1) == "red hat: 0.25"
    with pytest.raises(BadRequest, match="no weight"):
        weighed("dog", "cat", 2)


def test_text_from_outside_stays_text_and_long_prompts_are_cut() -> None:
    value = compared("<b>a</b> ${1} {{x}}", "<i>a</i> ${1} {{x}}")
    assert {"<", "$", "{"} <= {piece.text for piece in value.lines[0].pieces}
    with gr.Blocks():
        assert EditWords(value).postprocess(value) == value
    long = compared("word " * 1500, "other word " * 1500)
    assert 0 < len(long.lines[0].pieces) < 500


def test_every_example_is_a_request_that_can_be_run() -> None:
    found = examples.load("dit4edit")
    assert len(found) >= 7
    kinds = set()
    for example in found:
        files = {r: pictures.decode(path, dit4edit.FILES[r], example.title) for r, path in example.files.items()}
        request = SPEC.request(**files, **example.fields)
        assert not runtime.describe("dit4edit", request)["unchanged"]
        value = compared(request.source_prompt, request.target_prompt, kind=request.kind)
        assert APART not in value.hints
        kinds |= {line.kind for line in value.lines}
        small = pictures.decode(example.thumbnail, "rgb", example.title).astype(float)
        assert np.abs(small - make_edit_examples.thumbnail(**files)).mean() < 8  # WebP's loss
    assert kinds == {KINDS[kind] for kind in ("swap", "add", "remove", "restyle")}


def test_a_caption_is_edited_in_one_place() -> None:
    assert make_edit_examples.told("a red cat", "cat", "dog") == "a red dog"
    with pytest.raises(ValueError, match="does not stand once"):
        make_edit_examples.told("a cat and a cat", "cat", "dog")


def test_picture_and_mask_are_both_optional_on_the_canvas() -> None:
    assert dit4edit.read_canvas(MaskValue()) == {"image": None, "mask": None}
    assert dit4edit.write_canvas({"image": None, "mask": None}) == MaskValue()
    alone = dit4edit.read_canvas(dit4edit.write_canvas({"image": noise()}))
    assert (alone["image"] == noise()).all()
    assert alone["mask"] is None
    both = dit4edit.read_canvas(dit4edit.write_canvas({"image": noise(), "mask": spot()}))
    assert (both["mask"] == spot()).all()
    inverted = opened(MaskValue(), noise()).model_copy(update={"invert": True})
    assert dit4edit.read_canvas(inverted)["mask"] is None  # nothing was marked


def test_absent_weights_are_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "missing", lambda preset: [])
    assert "easel-card" not in lacking(SPEC, "pocket", dit4edit.LACKING)
    monkeypatch.setattr(inventory, "missing", lambda preset: [Weights("assets/pocket/x", "a.B")] * 2)
    said = lacking(SPEC, "pocket", dit4edit.LACKING)
    assert said.count("assets/pocket/x") == 1
    assert "nothing can be edited yet" in said


@pytest.mark.parametrize("stride", [2, 4, 8])
@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.5, 0.75, 0.9])
def test_the_share_that_merging_leaves_is_the_method_s(ratio: float, stride: int) -> None:
    from models.dit4edit.merging import kept

    share = kept(ratio, stride, 64, 128) / (64 * 128)
    said = dit4edit.kept_share(ratio, stride)
    assert f"{100 * share:.0f} % of the tokens" in said
    assert ("the least" in said) == (ratio > 1 - 1 / stride**2)


FACTS: dict[str, Any] = {
    "kinds": ["swap", "add"],
    "psnr_encoded": 33.04,
    "psnr_reconstruction": None,
    "noise": {"std": 1.018, "mean": 0.121, "correlation": 0.034},
    "evaluations": 40,
    "inversion_reused": True,
    "kept_tokens": "16 of 64",
}


def test_diagnostics_are_words() -> None:
    said = diagnostics(FACTS, 1)
    assert said["Kind of edit"] == "Add"
    assert said["Source rebuilt"] == "exactly; the autoencoder alone 33.0 dB"
    parts = "deviation 1.02 (1 is best), correlation 0.03 (0 is best), channel means up to 0.12"
    assert said["Source's noise"] == parts
    assert "means" not in diagnostics({**FACTS, "noise": {"std": 1.0, "correlation": 0.0}})["Source's noise"]
    assert said["Network calls"] == "40; the source is from before"
    assert said["Tokens after merging"] == "16 of 64"
    assert "Tokens after merging" not in diagnostics({**FACTS, "kept_tokens": "64 of 64"})
    assert diagnostics({"kept_pixels": [1], "steps": 3}) == {}


def test_the_page_shows_everything_that_the_method_tells() -> None:
    from tests.methods import dit4edit_parts as toy

    with toy.parts() as parts:
        made = toy.result(parts, target_prompt="a blue cat\na cat", comparisons=True, mask=None)
    assert set(made.extras) == {*dit4edit.SIDES, "words"}
    assert set(made.facts) - {"seeds"} == set(editor.told(toy.request(mask=None), made.images))
    said = diagnostics(made.facts, 1)
    assert {"Kind of edit", "Source rebuilt", "Source's noise", "Network calls"} == set(said)


def test_prompts_are_told_apart_by_the_words_that_differ() -> None:
    walls = [f"a whale in front of a {colour} wall" for colour in ("green", "blue")]
    assert told_apart(walls) == ["green", "blue"]
    assert told_apart(["a red disc and a square", "a red disc"]) == ["and square", "a red disc"]
    assert told_apart(["the same", "the same"]) == ["the same", "the same"]
    assert told_apart(["a street, at night", "a sepia street"]) == ["at night", "sepia"]
    assert told_apart([]) == []


def test_every_target_has_its_title_and_halves_of_the_slider_match(monkeypatch: pytest.MonkeyPatch) -> None:
    class Told:
        seed, picture, seconds = 5, 0, 1.0

    monkeypatch.setattr(runtime, "recorded", lambda *_: (Told, {}))
    monkeypatch.setattr("demos.output.recipe.write_png", lambda file, picture, told, inputs: Path(file).touch())
    monkeypatch.setattr("demos.result.asdict", lambda told: {})
    with gr.Blocks():
        panel = ResultPanel("dit4edit", "empty", dit4edit.SIDES, "before | after", {"words": Figure("W", "how")})
    extras = {"input": noise(), "reconstruction": noise(32, 64), "words": noise(20, 30)}
    result = Result((noise(), noise()), extras, {"steps": 3, "titles": ["one", "two"], **FACTS})
    request: Any = None
    update = panel.finished(request, result, None, True)
    assert [title for _, title in update[panel.gallery]["value"]] == ["one", "two"]
    slider, shown = panel._beside(update[panel.state], "reconstruction")
    assert pictures.decode(slider[0], "rgb", "left").shape == noise().shape
    assert pictures.decode(shown.extras["words"], "rgb", "words").shape == (20, 30, 3)
    assert "Swap an object" in update[panel.facts]
