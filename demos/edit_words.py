"""What changes between two prompts, word by word, while they are typed; a word of the target can be given a weight.

The words are those of the alignment that the method itself uses, found by white space: no tokenizer, no model.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import GradioModel
from pydantic import Field

from demos.canvas.parts import Quiet, Valued, small_parts
from models.contract import BadRequest
from models.dit4edit.alignment import Words, align, normalised, words
from models.dit4edit.presets import kind_of
from models.dit4edit.spec import TARGETS
from models.dit4edit.weights import HIGH, LOW, word_weights

HERE = Path(__file__).parent
KINDS = {  # what people call the kinds of edit
    "auto": "Automatic",
    "swap": "Swap an object",
    "add": "Add",
    "remove": "Remove",
    "restyle": "Restyle",
    "pose": "Pose",
}
MOST = 1000  # characters of a prompt that are compared: no encoder reads that far
LONG = 4  # words that are replaced at once and hardly keep their places
SAY = "Describe the picture, then say what it shall show in the same words: what differs is shown here."
CLICK = "Click a word to give it another weight."
BARE = "Without words for the source nothing can be held in place; describe the picture first."
SAME = "Source and target say the same: nothing will change."
APART = "No word is the same, so nothing is held in place; write the target with the source's words."
_SPACED = re.compile(r"\S+")


class Piece(GradioModel):  # type: ignore[misc]
    """A word: `change` is "same", "new" or "gone"; `weight` is None where there can be none."""

    text: str
    change: str = "same"
    weight: float | None = None


class Line(GradioModel):  # type: ignore[misc]
    """A target prompt against the source: the kind of edit that the words tell, and the words of both in order."""

    kind: str
    pieces: list[Piece]


class WordsValue(GradioModel):  # type: ignore[misc]
    """All that is shown."""

    lines: list[Line] = Field(default_factory=list)
    hints: list[str] = Field(default_factory=list)


class EditWords(Valued, gr.HTML, metaclass=Quiet):  # type: ignore[misc]
    """Shows a `WordsValue`. Its event `weigh` comes with a `word` and the `factor` that it was given."""

    data_model = WordsValue

    def __init__(self, value: WordsValue | None = None, **more: Any) -> None:
        super().__init__(
            value,
            **small_parts(HERE, "edit_words"),
            low=LOW,
            high=HIGH,
            **more,
        )


def compared(source: str, target: str, weights: str = "", kind: str = "auto") -> WordsValue:
    """The difference between a source prompt and the lines of a target prompt, and what to know about it."""
    try:
        given, wrong = word_weights(weights), ""
    except BadRequest as error:
        given, wrong = {}, str(error)
    before, found, hints = _words(source), [], []
    lines = [line for line in target.splitlines() if line.strip()]
    for line in lines[:TARGETS]:
        after = _words(line)
        pairs = align(before, after, max(before.eos, after.eos) + 1).pairs
        weighed = _factors(after, given)
        tells = kind_of([change for change, _, _ in pairs], bool(given)) if kind == "auto" else kind
        same = all(change == "equal" for change, _, _ in pairs)
        found.append(Line(kind="" if same and not given else KINDS[tells], pieces=_pieces(pairs, weighed)))
        hints += _hints(before, pairs, same and not given)
    if len(lines) > TARGETS:
        hints.insert(0, f"There are {len(lines)} target prompts; {TARGETS} lines are the most at once.")
    known = [_plain(_words(line)) for line in lines]
    hints += [f"“{phrase}” has a weight, but no target says it." for phrase in given if not _any_has(known, phrase)]
    hints = [wrong] * bool(wrong) + (hints or [CLICK if found else SAY])
    return WordsValue(lines=found, hints=list(dict.fromkeys(hints)))


def weighed(weights: str, word: str, factor: float) -> str:
    """The text of the weights with this word's set; 1 takes it out. Raises `BadRequest` if the text is not readable."""
    given = {phrase: value for phrase, value in word_weights(weights).items() if normalised(phrase) != normalised(word)}
    if factor != 1:
        given[word] = min(max(factor, LOW), HIGH)
    return ", ".join(f"{phrase}: {value:g}" for phrase, value in given.items())


def _words(prompt: str) -> Words:
    text = normalised(prompt[:MOST])
    return words(text, [*(found.span() for found in _SPACED.finditer(text)), (0, 0)])


def _plain(prompt: Words) -> list[str]:
    return [prompt[n] for n in range(len(prompt))]


def _starts(known: list[str], phrase: str) -> list[int]:
    wanted = _plain(_words(phrase))
    return [n for n in range(len(known)) if wanted and known[n : n + len(wanted)] == wanted]


def _any_has(prompts: list[list[str]], phrase: str) -> bool:
    return any(_starts(known, phrase) for known in prompts)


def _factors(target: Words, given: dict[str, float]) -> list[float]:
    """The weight of every word of the target; a later phrase wins."""
    known = _plain(target)
    found = [1.0] * len(known)
    for phrase, factor in given.items():
        for start in _starts(known, phrase):
            for n in range(start, start + len(_words(phrase))):
                found[n] = factor
    return found


def _pieces(pairs: Any, weighed: list[float]) -> list[Piece]:
    pieces, place = [], 0
    for change, before, after in pairs:
        if change != "equal":
            pieces += [Piece(text=word, change="gone") for word in before]
        for word in after:
            weight = weighed[place] if word[0].isalnum() else None
            pieces.append(Piece(text=word, change="same" if change == "equal" else "new", weight=weight))
            place += 1
    return pieces


def _hints(source: Words, pairs: Any, same: bool) -> list[str]:
    """Why the edit of a target may disappoint, as far as its words tell."""
    if not len(source):
        return [BARE]
    if same:
        return [SAME]
    if not any(change == "equal" for change, _, _ in pairs):
        return [APART]
    found = []
    for change, before, after in pairs:
        if change == "replace" and max(len(before), len(after)) >= LONG:
            found.append(f"“{' '.join(before)}” and “{' '.join(after)}” are matched as one; keep more words the same.")
        elif change == "replace" and len(before) != len(after):
            found.append(f"“{' '.join(after)}” shares the place of “{' '.join(before)}”.")
    return found
