"""Words of layers and their tokens, with CLIP's published vocabulary."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest

from models.collage.alignment import align, find, offsets, splice
from models.contract import BadRequest
from tests.methods.dreamfuse_tiny import clip_tokenizer

BENTO = "a bento box with rice, edamame, ginger, and sushi"
TOYS = "a teddy bear, a wood train, and an american football, in front of a tan background"
DISHES = ("bento box", "rice", "edamame", "ginger", "sushi")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return clip_tokenizer()


@pytest.mark.parametrize(
    ("prompt", "texts", "tokens"),
    [
        (BENTO, DISHES, [(2, 3, 4), (6,), (8, 9, 10), (12,), (15,)]),
        (TOYS, ("teddy bear", "wood train", "american football", "background"), [(2, 3), (6, 7), (11, 12), (19,)]),
        (TOYS.upper(), ("Background", "teddy  BEAR"), [(19,), (2, 3)]),
        ("rice beside rice", ("rice", "rice"), [(1,), (3,)]),
        ("a table by a coffee table", ("table", "coffee table"), [(2,), (5, 6)]),
        ("a coffee table, a table", ("table", "coffee table"), [(6,), (2, 3)]),
        ("a carpet under a car", ("car",), [(5,)]),
        ("car " * 74 + "rice", ("rice",), [(75,)]),  # the last one that has room
    ],
)
def test_layers_get_the_tokens_of_their_words(
    tokenizer: Any, prompt: str, texts: Sequence[str], tokens: list[tuple[int, ...]]
) -> None:
    assert align(prompt, texts, offsets(tokenizer, prompt)) == tuple(tokens)


def test_places_are_in_characters() -> None:
    assert find("A Coffee\n table, rice", ("rice", "coffee table")) == ((17, 21), (2, 15))


@pytest.mark.parametrize(
    ("prompt", "texts", "sentence"),
    [
        ("a coffee table", ("coffee table", "table"), "“table” is in the prompt only where “coffee table” has it"),
        ("some rice", ("rice", "rice"), "“rice” is in the prompt only where “rice” has it"),
        ("a carpet", ("car",), "“car” is not in the prompt"),
        ("a car", ("car", "\n"), "Layer 2 has no words"),
        ("car " * 75 + "rice", ("rice",), "“rice” stands past the 75 tokens"),
        ("what?! a car", ("?", "!"), "“!” and “?” share a sign"),
    ],
)
def test_what_cannot_be_aligned_is_refused_by_name(
    tokenizer: Any, prompt: str, texts: Sequence[str], sentence: str
) -> None:
    with pytest.raises(BadRequest, match=re.escape(sentence)):
        align(prompt, texts, offsets(tokenizer, prompt))


def test_learned_tokens_go_before_the_words_of_their_layers_only(tokenizer: Any) -> None:
    aligned = align(BENTO, DISHES, offsets(tokenizer, BENTO))
    ids = tokenizer(BENTO)["input_ids"]
    spliced, tokens = splice(ids, aligned, [49408, None, None, None, None])
    assert spliced == [*ids[:2], 49408, *ids[2:]]
    assert tokens == [(2, 3, 4, 5), (7,), (9, 10, 11), (13,), (16,)]


def test_learned_tokens_stand_where_added_ones_would(tokenizer: Any) -> None:
    """`a <1> bento box with <2> rice, edamame, ginger, and <3> sushi`, the ids of the plain prompt unchanged."""
    aligned = align(BENTO, DISHES, offsets(tokenizer, BENTO))
    ids = tokenizer(BENTO)["input_ids"]
    spliced, tokens = splice(ids, aligned, [49408, 49409, None, None, 49410])
    assert tokens == [(2, 3, 4, 5), (7, 8), (10, 11, 12), (14,), (17, 18)]
    assert len(spliced) - 1 == 19
    assert [i for i in spliced if i < 49408] == ids
    assert [spliced[own[0]] for own in tokens] == [49408, 49409, 843, 9718, 49410]
    assert (ids[1], ids[-2]) == (320, 11729)


def test_learned_tokens_that_have_no_room_are_refused(tokenizer: Any) -> None:
    prompt = "rice " * 75
    aligned = align(prompt, ["rice"], offsets(tokenizer, prompt))
    with pytest.raises(BadRequest, match="78 tokens; the limit is 77"):
        splice(tokenizer(prompt)["input_ids"], aligned, [49408])
