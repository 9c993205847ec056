"""Which tokens of the prompt belong to which layer. Plain.

A layer's words are found in the text, whole words only and in any case, and its tokens by their character offsets,
so any fast tokenizer will do. Nothing is guessed: what cannot be found is refused with the layer's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from models.contract import BadRequest

Span = tuple[int, int]  # first character and the one past the last
Tokens = tuple[int, ...]  # places in the sequence that the encoder reads, the start token being 0
LENGTH = 77  # tokens that CLIP reads, the start and the end among them


def find(prompt: str, texts: Sequence[str]) -> tuple[Span, ...]:
    """Where each layer's words stand in the prompt.

    Longer texts choose first, so that "table" does not take a part of "coffee table"; the k-th of several layers with
    equal words takes the k-th place that is free.
    Raises `BadRequest` for a layer without words, and for words that the prompt lacks or has given to another layer.
    """
    wanted = [tuple(text.casefold().split()) for text in texts]
    for number, words in enumerate(wanted):
        if not words:
            raise BadRequest(f"Layer {number + 1} has no words; please write what it shows.")
    found: dict[int, Span] = {}
    for number in sorted(range(len(texts)), key=lambda n: (-len(" ".join(wanted[n])), n)):
        places = _places(prompt, texts[number])
        free = [place for place in places if not any(_overlap(place, taken) for taken in found.values())]
        if not free:
            raise BadRequest(_refusal(prompt, texts, number, places, found))
        found[number] = free[0]
    return tuple(found[number] for number in range(len(texts)))


def align(prompt: str, texts: Sequence[str], offsets: Sequence[Span], length: int = LENGTH) -> tuple[Tokens, ...]:
    """Each layer's tokens, ascending; no two layers share one.

    offsets: characters of every token of exactly this prompt, as `offsets` returns them: start and end cover none.
    Raises `BadRequest` as `find`, and for words past the `length` tokens that the encoder reads.
    """
    aligned: list[Tokens] = []
    owner: dict[int, str] = {}
    for text, (first, last) in zip(texts, find(prompt, texts), strict=True):
        tokens = tuple(n for n, (start, end) in enumerate(offsets) if start < last and first < end)
        if not tokens or tokens[-1] > length - 2:
            raise BadRequest(
                f"“{text}” stands past the {length - 2} tokens that the text encoder reads; please shorten the prompt."
            )
        if shared := [token for token in tokens if token in owner]:
            raise BadRequest(f"“{text}” and “{owner[shared[0]]}” share a sign; please put a space between them.")
        owner |= dict.fromkeys(tokens, text)
        aligned.append(tokens)
    return tuple(aligned)


def offsets(tokenizer: Any, prompt: str) -> list[Span]:
    """The characters of every token of the prompt, however long it is."""
    found = tokenizer(prompt, truncation=False, verbose=False, return_offsets_mapping=True)
    return [(int(start), int(end)) for start, end in found["offset_mapping"]]


def splice(
    ids: Sequence[int], aligned: Sequence[Tokens], learned: Sequence[int | None], length: int = LENGTH
) -> tuple[list[int], list[Tokens]]:
    """Put a learned token before each layer's words: the new ids, and every layer's tokens in them.

    ids: the prompt's ids with start and end, without padding. learned: the id that stands for a layer's look, None
    where nothing was learned; such a layer's tokens only move.
    Raises `BadRequest` if there are more than `length` ids then, `ValueError` for unequal numbers of layers.
    """
    before: dict[int, int] = {}
    for tokens, new in zip(aligned, learned, strict=True):
        if new is not None:
            before[tokens[0]] = new
    spliced: list[int] = []
    places: dict[int, int] = {}
    for place, token in enumerate(ids):
        if place in before:
            spliced.append(before[place])
        places[place] = len(spliced)
        spliced.append(token)
    if len(spliced) > length:
        raise BadRequest(f"What was learned of the layers makes {len(spliced)} tokens; the limit is {length}.")
    moved = []
    for tokens in aligned:
        own = tuple(places[token] for token in tokens)
        moved.append((own[0] - 1, *own) if tokens[0] in before else own)
    return spliced, moved


def _places(prompt: str, text: str) -> list[Span]:
    words = text.split()
    before = r"(?<!\w)" if re.match(r"\w", words[0]) else ""  # a sign may follow a word directly
    after = r"(?!\w)" if re.match(r"\w", words[-1][-1]) else ""
    pattern = before + r"\s+".join(map(re.escape, words)) + after
    return [found.span() for found in re.finditer(pattern, prompt, re.IGNORECASE)]


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _refusal(prompt: str, texts: Sequence[str], number: int, places: Sequence[Span], found: dict[int, Span]) -> str:
    text = " ".join(texts[number].split())
    if not places:
        return f"“{text}” is not in the prompt; please write it there, or give the layer words of the prompt."
    takers = (texts[n] for n, span in found.items() if any(_overlap(span, place) for place in places))
    taker = " ".join(next(takers).split())
    return f"“{text}” is in the prompt only where “{taker}” has it already; please write it once more for its layer."
