"""Markers in prompts: published ids, agreement with a tokenizer that knows the marker, and every refusal."""

from __future__ import annotations

import re
from typing import Any

import pytest

from models.contract import BadRequest
from models.facediffuser.markers import MARKER, check_pictures, from_alias, insert, read, without
from tests.methods.dreamfuse_tiny import clip_tokenizer

START, END = 49406, 49407
BOOK = "a man <|image|> and a woman <|image|> are reading a book together"
COVER = "a magazine cover of a man <|image|> and a man <|image|> standing next to each other"
PROMPTS = (
    BOOK,
    COVER,
    "a police officer <|image|> in Tokyo",
    "a man<|image|>and a woman<|image|>",
    "A Man  <|image|>\n in the rain; a GIRL <|image|>!",
    "the player's <|image|> shirt, a skateboarder <|image|>",
    "ein Mädchen <|image|> und 女 <|image|> 2 3",
    "a man <|image|> " + "very " * 90,
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return clip_tokenizer()


@pytest.fixture(scope="module")
def knowing() -> Any:
    """A tokenizer with the marker as one more special token, as the authors have it."""
    made = clip_tokenizer()
    made.add_tokens([MARKER], special_tokens=True)
    assert made.convert_tokens_to_ids(MARKER) == 49408
    return made


def reference(knowing: Any, prompt: str) -> tuple[list[int], list[int]]:
    """Clean ids with start and end, and slots, by scanning the ids of a tokenizer that knows the marker."""
    ids: list[int] = []
    slots: list[int] = []
    for token in knowing(prompt, truncation=False, verbose=False)["input_ids"]:
        if token == 49408:
            slots.append(len(ids) - 1)
        else:
            ids.append(token)
    return ids, slots


def test_the_published_ids(tokenizer: Any) -> None:
    marked = read(tokenizer, BOOK)
    clean = [START, 320, 786, 537, 320, 2308, 631, 2337, 320, 1116, 1952, END]
    assert list(marked.ids) == clean + [END] * 65
    assert marked.slots == (2, 5)
    assert marked.nouns == ("man", "woman")
    assert (marked.used, marked.dropped) == (12, "")


def test_the_published_slots(tokenizer: Any) -> None:
    marked = read(tokenizer, COVER)
    assert (marked.slots, marked.used) == ((6, 9), 16)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_ids_and_slots_are_those_of_a_tokenizer_that_knows_the_marker(
    tokenizer: Any, knowing: Any, prompt: str
) -> None:
    ids, slots = reference(knowing, prompt)
    marked = read(tokenizer, prompt)
    assert list(marked.slots) == slots
    assert marked.used == len(ids)
    assert marked.ids[:76] == (*ids, *[END] * 77)[:76]
    assert marked.ids[76] == END
    assert len(marked.ids) == 77


def test_only_the_last_token_of_a_noun_is_its_slot(tokenizer: Any) -> None:
    marked = read(tokenizer, "a skateboarderess <|image|>")
    assert marked.nouns == ("skateboarderess",)
    assert marked.used == marked.slots[0] + 2
    assert marked.slots[0] > 2


@pytest.mark.parametrize(
    ("before", "noun"),
    [("a police officer", "officer"), ("the man's", "man's"), ("a twenty-year-old", "twenty-year-old"), ("女", "女")],
)
def test_a_slot_belongs_to_the_word_before_its_marker(tokenizer: Any, before: str, noun: str) -> None:
    assert read(tokenizer, f"{before} {MARKER} smiles").nouns == (noun,)


def test_the_tokenizer_is_left_as_it_was() -> None:
    tokenizer = clip_tokenizer()
    tokenizer("a man")
    before = tokenizer.backend_tokenizer.to_str()
    read(tokenizer, BOOK)
    assert tokenizer.backend_tokenizer.to_str() == before
    assert len(tokenizer) == 49408
    assert len(tokenizer(MARKER)["input_ids"]) > 3


def test_other_lengths_and_what_is_cut(tokenizer: Any) -> None:
    marked = read(tokenizer, "a man <|image|> with a red hat, a boat <b> and rain", length=8)
    assert marked.ids == (*read(tokenizer, "a man <|image|> with a red hat").ids[:7], END)
    assert marked.used == 16
    assert marked.dropped == ", a boat <b> and rain"
    assert read(tokenizer, "a man <|image|> with a red hat", length=8).dropped == ""
    assert MARKER not in read(tokenizer, f"a man {MARKER} on a big red bus", length=6).dropped


def test_a_pad_id_of_its_own_is_used() -> None:
    tokenizer = clip_tokenizer()
    tokenizer.pad_token = "!"
    assert read(tokenizer, "man <|image|>").ids == (START, 786, END, *[0] * 74)


def test_the_last_token_that_is_read_may_be_a_slot(tokenizer: Any) -> None:
    assert read(tokenizer, "very " * 74 + "man <|image|>").slots == (75,)
    assert read(tokenizer, "very " * 74 + "man <|image|> happy").dropped == "happy"


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("a man in the rain", "The prompt marks nobody; please put <|image|> after"),
        ("", "The prompt marks nobody"),
        ("imgur, a man", "The prompt marks nobody"),
        ("a man img in the rain", "The prompt says “img”; the marker here is <|image|>"),
        ("A MAN <|IMAGE|>", "The marker is written in small letters: <|image|>, not <|IMAGE|>"),
        ("a man <|image|>, a man <|Image|>", "not <|Image|>"),
        ("<|image|> a man", "The prompt begins with <|image|>"),
        (" \n<|image|> a man", "The prompt begins with <|image|>"),
        ("a man <|image|> <|image|>", "Markers 1 and 2 follow the same word"),
        ("a man <|image|>, a boy <|image|><|image|>", "Markers 2 and 3 follow the same word"),
        ("a man, <|image|>", "Marker 1 follows “man,”"),
        ("a man <|image|> and <|image|>!", None),
        ("a man <|image|> ( <|image|>", "Marker 2 follows “(”"),
        ("very " * 75 + "man <|image|>", "Marker 1, after “man”, stands past the 75 tokens"),
    ],
)
def test_what_cannot_be_read_is_refused(tokenizer: Any, prompt: str, sentence: str | None) -> None:
    if sentence is None:  # odd, but a word is a word
        assert read(tokenizer, prompt).nouns == ("man", "and")
        return
    with pytest.raises(BadRequest, match=re.escape(sentence)):
        read(tokenizer, prompt)


@pytest.mark.parametrize(
    ("subjects", "pictures", "sentence"),
    [
        (1, 0, "There is no reference picture"),
        (1, 2, "marks 1 person, but there are 2 pictures"),
        (0, 2, "marks no people, but there are 2 pictures"),
        (2, 1, "marks 2 people, but there is 1 picture;"),
        (5, 5, "5 reference pictures; the models can tell 4 people apart"),
    ],
)
def test_pictures_that_do_not_match_are_refused(subjects: int, pictures: int, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        check_pictures(subjects, pictures)


def test_matching_pictures_pass() -> None:
    for number in range(1, 5):
        check_pictures(number, number)


@pytest.mark.parametrize(
    ("prompt", "count", "marked"),
    [
        ("a man and a woman reading", 2, "a man <|image|> and a woman <|image|> reading"),
        ("A Woman, smiling", 1, "A Woman <|image|>, smiling"),
        ("a human with a manly mango", 0, "a human with a manly mango"),
        ("a man-made lake, the girl's hat, a boy", 1, "a man-made lake, the girl's hat, a boy <|image|>"),
        ("a girl scientist and a police officer", 2, "a girl scientist <|image|> and a police officer <|image|>"),
        ("people and a person", 1, "people and a person <|image|>"),
    ],
)
def test_markers_are_offered_after_words_for_people(prompt: str, count: int, marked: str) -> None:
    assert insert(prompt, count) == marked


@pytest.mark.parametrize(
    ("prompt", "count", "sentence"),
    [
        ("a man and a woman", 1, "has 2 words for people (such as man, woman, child), but there is 1 picture"),
        ("two cats", 2, "has no words for people"),
        ("a man <|image|> and a woman", 2, "has <|image|> already"),
    ],
)
def test_nothing_is_guessed(prompt: str, count: int, sentence: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(sentence)):
        insert(prompt, count)


def test_the_alias_is_a_whole_word(tokenizer: Any) -> None:
    assert from_alias("a man img, imgur and a girl img") == f"a man {MARKER}, imgur and a girl {MARKER}"
    assert read(tokenizer, from_alias("a man img and a woman img are reading a book together")) == read(tokenizer, BOOK)


def test_captions_for_people_have_no_markers() -> None:
    assert without("a man <|image|>and a woman <|image|> .") == "a man and a woman ."
