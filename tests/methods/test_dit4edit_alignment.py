"""Tokens of two prompts are matched by words; the expected lists are worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import T5Tokenizer

from models.contract import BadRequest
from models.dit4edit.alignment import Alignment, Words, align, normalised, word_tokens, words
from tests.methods.dit4edit_tiny import LENGTH, split


def entries(alignment: Alignment) -> list[tuple[int, int, float]]:
    return [(int(i), int(j), float(alignment.mapping[i, j])) for i, j in zip(*alignment.mapping.nonzero(), strict=True)]


def test_a_word_that_becomes_two_tokens_shares_its_attention_and_the_rest_moves_along() -> None:
    found = align(split("a photo of a lion sitting on grass"), split("a photo of a tig|er sitting on grass"), LENGTH)
    straight = [(0, 0, 1.0), (1, 1, 1.0), (2, 2, 1.0), (3, 3, 1.0)]
    moved = [(5, 6, 1.0), (6, 7, 1.0), (7, 8, 1.0), (8, 9, 1.0)]
    assert entries(found) == [*straight, (4, 4, 0.5), (4, 5, 0.5), *moved]
    assert found.alpha.tolist() == [1.0] * 10 + [0.0] * 4
    assert found.mapping[:9].sum(axis=1).tolist() == [1.0] * 9
    assert found.mode == "replace"
    assert found.refined.tolist() == [0, 1, 2, 3, -1, -1, 5, 6, 7, 8, -1, -1, -1, -1]


def test_the_tail_after_a_word_of_another_length_is_not_off_by_one() -> None:
    found = align(split("a lion on grass"), split("a ti|ger on grass"), LENGTH)
    assert entries(found) == [(0, 0, 1.0), (1, 1, 0.5), (1, 2, 0.5), (2, 3, 1.0), (3, 4, 1.0), (4, 5, 1.0)]


def test_new_words_have_no_counterpart() -> None:
    found = align(split("a photo of a lion on grass"), split("a photo of a red lion on the grass"), LENGTH)
    assert found.refined[:10].tolist() == [0, 1, 2, 3, -1, 4, 5, -1, 6, 7]
    assert found.alpha.tolist() == [1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0]
    assert found.mode == "refine"
    assert [pair for pair in found.pairs if pair[0] != "equal"] == [("insert", (), ("red",)), ("insert", (), ("the",))]


def test_a_shorter_target_gets_nothing_on_its_padding() -> None:
    found = align(split("a photo of a red lion on the grass"), split("a lion", padding=4), LENGTH)
    assert found.alpha.tolist() == [1, 1, 1] + [0] * 11
    assert found.refined.tolist() == [0, 5, 9] + [-1] * 11
    assert found.mapping[:, 3:].sum() == 0
    assert found.mode == "refine"


def test_a_span_of_other_words_is_matched_word_by_word_where_the_numbers_agree() -> None:
    same = align(split("a red li|on runs"), split("a blue tiger runs"), LENGTH)
    assert entries(same) == [(0, 0, 1.0), (1, 1, 1.0), (2, 2, 1.0), (3, 2, 1.0), (4, 3, 1.0), (5, 4, 1.0)]
    fewer = align(split("a red lion runs"), split("a cat runs"), LENGTH)
    assert entries(fewer) == [(0, 0, 1.0), (1, 1, 1.0), (2, 1, 1.0), (3, 2, 1.0), (4, 3, 1.0)]
    more = align(split("a cat runs"), split("a red li|on runs"), LENGTH)
    third = 1 / 3
    assert entries(more) == [(0, 0, 1.0), (1, 1, third), (1, 2, third), (1, 3, third), (2, 4, 1.0), (3, 5, 1.0)]


@pytest.mark.parametrize("prompt", ["a lion on grass", "a ti|ger, on grass", ""])
def test_a_prompt_aligned_with_itself_is_the_identity_up_to_its_end(prompt: str) -> None:
    found = align(split(prompt), split(prompt, padding=2), LENGTH)
    live = found.target.eos + 1
    expected = np.diag([1.0] * live + [0.0] * (LENGTH - live))
    np.testing.assert_array_equal(found.mapping, expected)
    assert found.identical
    assert not align(split("a lion"), split("a cat"), LENGTH).identical
    assert not align(split("a lion"), split("a lion runs"), LENGTH).identical


def test_empty_prompts_share_their_end_only() -> None:
    found = align(split(""), split("a lion"), LENGTH)
    assert entries(found) == [(0, 2, 1.0)]
    assert found.pairs == (("insert", (), ("a", "lion")),)


def test_words_of_a_real_tokenizer() -> None:
    """T5 has no first token, keeps punctuation on the word and may open a word with a piece that is only the space."""
    pieces = ["▁a", "▁photo", "▁of", "▁lion", "▁tig", "er", "▁", "x", "y", ",", "'", "s"]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), *((p, -2.0 - n) for n, p in enumerate(pieces))]
    tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=0)

    def read(prompt: str) -> Words:
        found = tokenizer(prompt, padding="max_length", max_length=LENGTH, return_offsets_mapping=True)
        assert tokenizer.convert_ids_to_tokens(found.input_ids).index("</s>") == words(prompt, found.offset_mapping).eos
        return words(prompt, found.offset_mapping)

    tiger = read("a photo of a tiger, xy")
    assert [tiger[n] for n in range(len(tiger))] == ["a", "photo", "of", "a", "tiger", ",", "xy"]
    assert [tiger.tokens_of(n) for n in range(4, 7)] == [[4, 5], [6], [7, 8, 9]]
    assert word_tokens(read("a photo of a lion"), "lion") == [4]
    assert word_tokens(tiger, "Tiger") == [4, 5]


def test_a_token_over_two_words_belongs_to_both_and_is_matched_once() -> None:
    glued = words("lion, lion.", [(0, 5), (5, 10), (10, 11), (0, 0)])  # lion, | space and lion | .
    assert glued.tokens == ((0,), (0,), (1,), (2,))
    assert glued.owned == ((0,), (), (1,), (2,))
    found = align(glued, split("lion cat|.", padding=1), LENGTH)
    assert found.mapping.sum(axis=0).max() <= 1
    assert found.mapping[0, 0] == 1


def test_a_space_that_stands_alone_opens_the_next_word() -> None:
    found = words("a lion", [(0, 1), (1, 2), (2, 6), (0, 0)])
    assert found.tokens == ((0,), (1, 2))
    assert words("a ", [(0, 1), (1, 2), (0, 0)]).tokens == ((0, 1),)


def test_phrases_are_found_wherever_they_stand() -> None:
    prompt = split("a red lion and a red tig|er's cub|,")
    assert [prompt[n] for n in range(len(prompt))] == ["a", "red", "lion", "and", "a", "red", "tiger's", "cub", ","]
    assert word_tokens(prompt, "red") == [1, 5]
    assert word_tokens(prompt, " Red  tiger's ") == [5, 6, 7]
    assert word_tokens(prompt, "cub,") == [8, 9]


@pytest.mark.parametrize("phrase", ["dog", "lion red", "lio", "", "  "])
def test_words_that_are_not_in_the_prompt_are_refused(phrase: str) -> None:
    with pytest.raises(BadRequest, match=r"prompt"):
        word_tokens(split("a red lion"), phrase)


def test_words_past_the_limit_have_no_tokens() -> None:
    cut = words("a red lion", [(0, 1), (2, 5), (0, 0)])
    assert cut.tokens_of(2) == []
    with pytest.raises(BadRequest, match="shorten"):
        word_tokens(cut, "lion")
    found = align(cut, split("a red lion"), LENGTH)
    assert entries(found) == [(0, 0, 1.0), (1, 1, 1.0), (2, 3, 1.0)]
    assert found.refined[2] == -1
    with pytest.raises(ValueError, match="reads 3"):
        align(cut, split("a red lion"), 3)


def test_prompts_are_lower_case_with_single_spaces() -> None:
    assert normalised("  A Photo\n of\ta  LION, ok ") == "a photo of a lion, ok"
