"""Prompts with a marker after the word of each person that a reference picture stands for. Plain.

The marker never reaches a text encoder: the prompt is split at it and its pieces are encoded one by one, which gives
the ids that a tokenizer with the marker as an added token gives, less the marker's. So the tokenizer stays as it is,
and captions with and without references have the same ids row by row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from models.contract import BadRequest

MARKER = "<|image|>"
ALIAS = re.compile(r"(?<!\w)img(?!\w)")  # what FastComposer's demos write; as a part of "imgur" it is none
LENGTH = 77  # tokens that CLIP reads, the start and the end among them
MOST = 4  # subjects that the published models were trained to tell apart
# Words for one person each; "people" or "men" would be several for one picture.
NOUNS = (
    "man|woman|person|boy|girl|guy|lady|gentleman|child|kid|baby|toddler|teenager|player|actor|actress|artist|athlete|"
    "bride|chef|cook|dancer|doctor|driver|farmer|firefighter|groom|musician|nurse|officer|pilot|rider|runner|"
    "scientist|singer|skateboarder|skier|snowboarder|soldier|student|surfer|swimmer|teacher|worker"
)
PERSON = re.compile(rf"(?<![\w'’-])(?:{NOUNS})(?![\w'’-])", re.IGNORECASE)


@dataclass(frozen=True)
class Marked:
    """A prompt as the text encoder reads it.

    ids: `length` clean ids with start and end, padded by the tokenizer's pad id; too long ones are cut before the end.
    slots: the token of each subject, ascending; the k-th belongs to the k-th picture.
    nouns: the word of each slot, whose last token that is.
    used: tokens that the whole prompt takes, start and end included; more than `length` means that some were cut.
    dropped: the words that were cut.
    """

    ids: tuple[int, ...]
    slots: tuple[int, ...]
    nouns: tuple[str, ...]
    used: int
    dropped: str


def read(tokenizer: Any, prompt: str, length: int = LENGTH) -> Marked:
    """Find the subjects of a prompt; `tokenizer` is any fast one with a start, an end and a pad id, not changed.

    Raises `BadRequest` for no marker, a misspelt one, one that follows no word, two for one word, or one past the
    tokens that are read.
    """
    check_spelling(prompt)
    pieces = prompt.split(MARKER)
    ids, ends = [int(tokenizer.bos_token_id)], [0]  # where in the prompt each token ends
    slots: list[int] = []
    nouns: list[str] = []
    start = 0
    for number, piece in enumerate(pieces, 1):
        found = tokenizer(piece, add_special_tokens=False, truncation=False, verbose=False, return_offsets_mapping=True)
        ids += found["input_ids"]
        ends += [start + int(end) for _, end in found["offset_mapping"]]
        start += len(piece) + len(MARKER)
        if number == len(pieces):
            break
        nouns.append(_noun(piece, bool(found["input_ids"]), number))
        slots.append(len(ids) - 1)
        if slots[-1] > length - 2:
            raise BadRequest(
                f"Marker {number}, after “{nouns[-1]}”, stands past the {length - 2} tokens that the text encoder "
                "reads; please shorten the prompt."
            )
    used = len(ids) + 1
    dropped = prompt[ends[length - 2] :].replace(MARKER, "").strip() if used > length else ""
    clean = [*ids[: length - 1], int(tokenizer.eos_token_id)]
    clean += [int(tokenizer.pad_token_id)] * (length - len(clean))
    return Marked(tuple(clean), tuple(slots), tuple(nouns), used, dropped)


def check_pictures(subjects: int, pictures: int) -> None:
    """Raise `BadRequest` unless there is one picture per marked subject, and no more of them than `MOST`."""
    if pictures == 0:
        raise BadRequest("There is no reference picture; please add one for each person that the prompt marks.")
    if pictures > MOST:
        raise BadRequest(f"There are {pictures} reference pictures; the models can tell {MOST} people apart at most.")
    if subjects < pictures:
        raise BadRequest(
            f"The prompt marks {_many(subjects, 'person')}, but there are {pictures} pictures; "
            f"please put {MARKER} after the word of every person."
        )
    if subjects > pictures:
        raise BadRequest(
            f"The prompt marks {_many(subjects, 'person')}, but there {_are(pictures)}; "
            "please add pictures or take markers out."
        )


def insert(prompt: str, count: int) -> str:
    """Put a marker after the prompt's words for people, if these are exactly `count`: an offer, never silent.

    Of words that stand directly together ("girl scientist") the last one is the person.
    Raises `BadRequest` where there is a marker already, or another number of such words.
    """
    if MARKER in prompt:
        raise BadRequest(f"The prompt has {MARKER} already.")
    words = list(PERSON.finditer(prompt))
    together = [prompt[one.end() : next_.start()].isspace() for one, next_ in zip(words, words[1:], strict=False)]
    ends = [word.end() for word, followed in zip(words, [*together, False], strict=False) if not followed]
    if len(ends) != count:
        raise BadRequest(
            f"The prompt has {_many(len(ends), 'word')} for people (such as man, woman, child), but there "
            f"{_are(count)}; please put {MARKER} after each person's word yourself."
        )
    for end in reversed(ends):
        prompt = f"{prompt[:end]} {MARKER}{prompt[end:]}"
    return prompt


def from_alias(prompt: str) -> str:
    """The prompt with each whole word "img" turned into the marker."""
    return ALIAS.sub(MARKER, prompt)


def without(prompt: str) -> str:
    """The caption for people to read: no markers, and no double spaces where they stood."""
    return " ".join(prompt.replace(MARKER, " ").split())


def check_spelling(prompt: str) -> None:
    """Raise `BadRequest` where no marker, or none in small letters, is in the prompt."""
    alike = re.findall(re.escape(MARKER), prompt, re.IGNORECASE)
    wrong = [found for found in alike if found != MARKER]
    if wrong:
        raise BadRequest(f"The marker is written in small letters: {MARKER}, not {wrong[0]}.")
    if alike:
        return
    if ALIAS.search(prompt):
        raise BadRequest(f"The prompt says “img”; the marker here is {MARKER}, as in “a man {MARKER} on a beach”.")
    raise BadRequest(f"The prompt marks nobody; please put {MARKER} after the word for the person: “a man {MARKER}”.")


def _noun(piece: str, has_tokens: bool, number: int) -> str:
    """The last word before a marker."""
    if not has_tokens and number == 1:
        raise BadRequest(f"The prompt begins with {MARKER}; please put it after the word for the person.")
    if not has_tokens:
        raise BadRequest(f"Markers {number - 1} and {number} follow the same word; each needs a person of its own.")
    found = re.search(r"\w(?:[\w'’-]*\w)?\s*$", piece)
    if found is None:
        raise BadRequest(f"Marker {number} follows “{piece.split()[-1]}”; please put it right after a word.")
    return found.group().strip()


def _many(count: int, noun: str) -> str:
    plural = {"person": "people", "word": "words"}[noun]
    return f"1 {noun}" if count == 1 else f"{count or 'no'} {plural}"


def _are(pictures: int) -> str:
    return "is 1 picture" if pictures == 1 else f"are {pictures} pictures"
