"""Which token of the source prompt a token of the target prompt stands for. Plain.

Words are found in the text and tokens by their character offsets, so any tokenizer will do, also one without a
first token such as T5's. The way from words to maps is that of prompt-to-prompt (arXiv 2208.01626, section 3.2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

import numpy as np

from models.contract import BadRequest

Change = Literal["equal", "replace", "insert", "delete"]
Mode = Literal["replace", "refine"]
Span = tuple[int, int]

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")  # a word with its apostrophes, or one mark of punctuation


def normalised(prompt: str) -> str:
    """The prompt as the encoder is to read it: lower case, no space at the ends, single spaces inside."""
    return " ".join(prompt.lower().split())


@dataclass(frozen=True)
class Words:
    """A prompt's words and their tokens.

    spans: each word's first character and the one past its last; punctuation stands alone.
    tokens: each word's tokens. A token that covers parts of two words is in both lists.
    owned: each word's tokens, every token in exactly one list.
    eos: the index of the end token, the last that carries meaning.
    """

    text: str
    spans: tuple[Span, ...]
    tokens: tuple[tuple[int, ...], ...]
    owned: tuple[tuple[int, ...], ...]
    eos: int

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, word: int) -> str:
        start, end = self.spans[word]
        return self.text[start:end]

    def tokens_of(self, word: int) -> list[int]:
        """The tokens that word number `word` is made of, none if the encoder had no room for it."""
        return list(self.tokens[word])


def words(text: str, offsets: Sequence[Span]) -> Words:
    """Find the words of a normalised prompt and their tokens.

    offsets: characters of every token, as a fast tokenizer returns them for exactly this text: the end token and the
        padding after it cover none.
    """
    spans = tuple(found.span() for found in _WORD.finditer(text))
    eos = len(offsets)
    while eos and offsets[eos - 1][0] == offsets[eos - 1][1]:
        eos -= 1
    tokens: list[list[int]] = [[] for _ in spans]
    owned: list[list[int]] = [[] for _ in spans]
    for token, (start, end) in enumerate(offsets[:eos]):
        touched = [n for n, (first, last) in enumerate(spans) if start < last and first < end]
        if not touched:  # a space that stands alone belongs to the word that it opens, the last one to the last word
            touched = [n for n, (first, _) in enumerate(spans) if end <= first or n == len(spans) - 1][:1]
        for n in touched:
            tokens[n].append(token)
        if touched:
            owned[touched[0]].append(token)
    return Words(text, spans, tuple(map(tuple, tokens)), tuple(map(tuple, owned)), eos)


def word_tokens(words: Words, phrase: str) -> list[int]:
    """The tokens of every place where the words of `phrase` stand in the prompt, in ascending order.

    Raises `BadRequest` if the prompt does not have them, or only past what the encoder reads.
    """
    wanted = [found.group() for found in _WORD.finditer(normalised(phrase))]
    if not wanted:
        raise BadRequest("Choose a word of the prompt.")
    known = [words[n] for n in range(len(words))]
    starts = [n for n in range(len(known)) if known[n : n + len(wanted)] == wanted]
    if not starts:
        raise BadRequest(f'"{phrase.strip()}" is not in the prompt "{words.text}"; choose words that are.')
    found = {token for start in starts for n in range(len(wanted)) for token in words.tokens[start + n]}
    if not found:
        raise BadRequest(f'"{phrase.strip()}" stands past the end of what the text encoder reads; shorten the prompt.')
    return sorted(found)


@dataclass(frozen=True, eq=False)
class Alignment:
    """How the source's attention to its tokens is handed to the target's tokens.

    mapping: (length, length) float64, the share of source token i that target token j gets; words that both
        prompts have map token by token, a replaced word spreads over its replacement. A new word's column and a
        deleted word's row are zero, and so is everything past the end tokens.
    refined: (length,) int64, the source token of a word that both prompts have; -1 = a new word, or padding.
    pairs: the difference in words, for people: (change, source words, target words).
    """

    mapping: np.ndarray
    refined: np.ndarray
    pairs: tuple[tuple[Change, tuple[str, ...], tuple[str, ...]], ...]
    source: Words
    target: Words

    @property
    def alpha(self) -> np.ndarray:
        """(length,) float64: 1 where the target token has a counterpart in the source, 0 for new words and padding."""
        found: np.ndarray = (self.mapping != 0).any(axis=0).astype(float)
        return found

    @property
    def mode(self) -> Mode:
        """`replace` if some words stand in for others, `refine` if words only came or went."""
        return "replace" if any(change == "replace" for change, _, _ in self.pairs) else "refine"

    @property
    def identical(self) -> bool:
        """Whether every token up to the end is the same token in both prompts."""
        live = self.target.eos + 1
        return self.source.eos == self.target.eos and bool((self.refined[:live] == np.arange(live)).all())


def align(source: Words, target: Words, length: int) -> Alignment:
    """Align two prompts word by word, for an encoder that reads `length` tokens of each."""
    if max(source.eos, target.eos) >= length:
        raise ValueError(f"The prompts have {source.eos + 1} and {target.eos + 1} tokens, the encoder reads {length}.")
    mapping, refined, pairs = np.zeros((length, length)), np.full(length, -1), []
    before, after = ([side[n] for n in range(len(side))] for side in (source, target))
    for change, i0, i1, j0, j1 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        pairs.append((change, tuple(before[i0:i1]), tuple(after[j0:j1])))
        for i, j in _counterparts(source.owned[i0:i1], target.owned[j0:j1]):
            if len(i) == len(j):
                mapping[i, j] = 1
            elif j:
                mapping[np.ix_(i, j)] = 1 / len(j)
            if change == "equal" and len(i) == len(j):
                refined[list(j)] = i
    mapping[source.eos, target.eos] = 1
    refined[target.eos] = source.eos
    return Alignment(mapping, refined, tuple(pairs), source, target)


def _counterparts(
    source: Sequence[tuple[int, ...]], target: Sequence[tuple[int, ...]]
) -> list[tuple[list[int], list[int]]]:
    """Tokens of words that pair up; a span of n words against another number of them is one pair."""
    if len(source) == len(target):
        return [(list(i), list(j)) for i, j in zip(source, target, strict=True)]
    return [([t for word in source for t in word], [t for word in target for t in word])]
