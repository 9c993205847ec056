"""Face reference's words: who is who in a prompt, what is offered, the timeline's cost, what a run tells."""

from __future__ import annotations

import math

import gradio as gr
import pytest

from demos import face_facts
from demos.face_chips import START, offered, shown, tied
from demos.face_timeline import Ends, FaceTimeline, readout, write_ends
from tests.face_desk import TWO

POCKET = {"preset": "pocket"}


# --- who is who


def test_words_tokens_and_thumbnails_are_tied() -> None:
    value = tied(TWO, ["x", "y"], ["one", "two"], POCKET)
    assert [(chip.noun, chip.slot, chip.picture) for chip in value.chips] == [("man", 2, "one"), ("woman", 5, "two")]
    assert (value.said, value.bad, value.offer) == ("", False, "")
    assert 8 < value.used < value.length


@pytest.mark.parametrize(
    ("prompt", "people", "slots", "says", "bad"),
    [
        ("", 0, [], START, False),
        ("", 2, [-1, -1], START, False),
        ("a beach", 1, [-1], "marks nobody", True),
        (TWO, 0, [2, 5], "no reference picture", False),
        (TWO, 1, [2, 5], "marks 2 people, but there is 1 picture", True),
        (TWO, 3, [2, 5, -1], "marks 2 people, but there are 3 pictures", True),
        ("a man <|image|> <|image|>", 2, [-1, -1], "follow the same word", True),
        ("<|image|> a man", 1, [-1], "begins with", True),
        ("a man <|IMAGE|>", 1, [-1], "small letters", True),
        (5 * "a man <|image|> ", 4, [-1] * 4, "marks 5 people", True),
        (200 * "very " + "old man <|image|>", 1, [-1], "stands past", True),
        ("a man <|image|> " + 200 * "very ", 1, [2], "Too long", True),
    ],
)
def test_what_is_wrong_with_a_prompt_is_said_where_it_is_typed(
    prompt: str, people: int, slots: list[int], says: str, bad: bool
) -> None:
    value = tied(prompt, ["person"] * people, ["p"] * people, POCKET)
    assert [chip.slot for chip in value.chips] == slots
    assert says in value.said
    assert value.bad is bad


@pytest.mark.parametrize(
    ("prompt", "nouns", "offer"),
    [
        ("a man and a woman at sea", ["person"] * 2, "a man <|image|> and a woman <|image|> at sea"),
        ("a man img reads", ["person"], "a man <|image|> reads"),
        ("", ["man", "actor"], "a man <|image|> and an actor <|image|>"),
        ("on a beach", ["man"], "a man <|image|>, on a beach"),
        ("a man and a woman", ["person"] * 3, ""),  # whom the third one is, nobody knows
        ("a beach", ["man", ""], ""),
        ("a man", [], ""),
        (TWO, ["person"] * 2, ""),
    ],
)
def test_markers_are_offered_where_it_is_clear_whom_they_mean(prompt: str, nouns: list[str], offer: str) -> None:
    assert offered(prompt, nouns) == offer
    if offer:
        assert not tied(offer, nouns, ["p"] * len(nouns), POCKET).bad


def test_an_offer_is_shown_with_numbers() -> None:
    assert shown("a man <|image|> and a woman <|image|>") == "a man [1] and a woman [2]"


# --- the timeline


def test_the_readout_counts_what_a_run_makes() -> None:
    # PNDM at 20 steps is 21 iterations: 0..6, 7..12, 13..20; each model's call is two evaluations
    said = readout(Ends(scene_until=0.3, subject_from=0.6), "both", False, "released", 0, "pocket")
    assert "7 scene / 6 fused / 8 subject steps" in said
    assert f"{2 * (7 + 6) + 2 * (6 + 8)} network calls" in said
    said = readout(Ends(scene_until=0.3, subject_from=0.6), "scene", False, "paper", 10, "pocket")
    assert "10 scene / 0 fused / 0 subject" in said
    assert "20 network calls" in said
    assert "each model alone" in readout(Ends(), "both", True, "fast", 8, "pocket")


def test_a_setting_that_cannot_be_run_has_no_readout() -> None:
    assert "steps" not in readout(Ends(), "none", False, "released", 0, "pocket")


@pytest.mark.parametrize(
    ("first", "last", "wanted"),
    [(0.7, 0.4, (0.4, 0.4)), (-3.0, 9.0, (0.0, 1.0)), (math.nan, math.inf, (0.3, 1.0)), (0.123456, 0.5, (0.1235, 0.5))],
)
def test_ends_from_outside_are_in_order(first: float, last: float, wanted: tuple[float, float]) -> None:
    with gr.Blocks():
        bar = FaceTimeline()
    ends = bar.preprocess(Ends.model_construct(scene_until=first, subject_from=last))
    assert (ends.scene_until, ends.subject_from) == wanted
    assert bar.preprocess(None) == Ends() == write_ends({})


# --- facts


def test_a_run_tells_its_calls_its_scores_and_its_warnings() -> None:
    facts = {
        "evaluations": 40, "all_evaluations": 84, "from_prefix": True, "stages": "7 scene / 6 fused / 8 subject steps",
        "nouns": ["man", "man"], "warnings": ["One.", "Two."],
        "scores": [{"prompt": 0.25, "people": [0.5, 0.75]}, {"prompt": 0.3, "people": [0.1, 0.2]}],
    }  # fmt: skip
    told = face_facts.told(facts, 1)
    assert told["Network calls"] == "40 (both models throughout: 84), scene stage taken from the last run"
    assert told["Likeness"] == "man (1) 0.10, man (2) 0.20"
    assert told["Prompt"] == "0.30"
    assert told["Note"] == "One. Two."
    assert face_facts.told({"evaluations": 3}) == {}
