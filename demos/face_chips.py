"""Which word of the prompt stands for which picture, by the real tokenizer, while the prompt is typed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.data_classes import GradioModel
from pydantic import Field

from demos.canvas.parts import Quiet, Valued, small_parts
from models import runtime
from models.contract import BadRequest
from models.facediffuser import markers
from models.facediffuser.markers import MARKER, MOST
from models.facediffuser.spec import FaceRequest

HERE = Path(__file__).parent
START = "Add people, describe the scene, and put the marker after the word of each person."
NOBODY = np.zeros((8, 8, 3), np.uint8)  # stands in for every picture: words are read without looking at any


class Chip(GradioModel):  # type: ignore[misc]
    """A person: the token of the word, -1 where the prompt has none for the picture, and the thumbnail's address."""

    noun: str
    slot: int = -1
    picture: str = ""


class ChipsValue(GradioModel):  # type: ignore[misc]
    """All that is shown. `offer` is the prompt that one click would make, shown as `offered`."""

    chips: list[Chip] = Field(default_factory=list)
    used: int = 0
    length: int = 0  # tokens that the text encoder reads
    said: str = START
    bad: bool = False
    offer: str = ""
    offered: str = ""


class FaceChips(Valued, gr.HTML, metaclass=Quiet):  # type: ignore[misc]
    """Shows a `ChipsValue`; its button writes a marker at the caret of the box that `prompt` selects. Its event `take`
    comes with the `offer` that was clicked."""

    data_model = ChipsValue

    def __init__(self, prompt: str, value: ChipsValue | None = None, **more: Any) -> None:
        super().__init__(value, **small_parts(HERE, "face_chips"), prompt=prompt, marker=MARKER, **more)


def tied(prompt: str, nouns: Sequence[str], pictures: Sequence[str], settings: Mapping[str, Any]) -> ChipsValue:
    """The people of a prompt against the cards: their words and the addresses of their thumbnails, in order.

    settings: further fields of the request, such as the preset whose tokenizer reads the prompt.
    """
    count = prompt.count(MARKER)
    offer = offered(prompt, nouns)
    if not prompt.strip() and not nouns:
        return ChipsValue()
    try:
        told = _described(prompt, count, settings)
    except BadRequest as error:
        waiting = [Chip(noun=noun, picture=picture) for noun, picture in zip(nouns, pictures, strict=True)]
        bad = bool(nouns) and bool(prompt.strip())
        said = str(error) if prompt.strip() else START
        return ChipsValue(chips=waiting, said=said, bad=bad, offer=offer, offered=shown(offer))
    chips = [
        Chip(noun=noun, slot=slot, picture=pictures[k] if k < len(pictures) else "")
        for k, (noun, slot) in enumerate(zip(told["nouns"], told["slots"], strict=True))
    ]
    chips += [Chip(noun=noun, picture=pictures[k]) for k, noun in enumerate(nouns) if k >= count]
    said, bad = _said(count, len(pictures), str(told["dropped"]))
    return ChipsValue(chips=chips, used=told["used"], length=told["length"], said=said, bad=bad)


def offered(prompt: str, nouns: Sequence[str]) -> str:
    """A prompt that marks these people, made from one that marks nobody; empty where nothing can be offered."""
    if not nouns or MARKER in prompt:
        return ""
    rewritten = markers.from_alias(prompt)
    if rewritten != prompt:
        return rewritten
    try:
        return markers.insert(prompt, len(nouns))
    except BadRequest:
        pass
    if markers.PERSON.search(prompt) or not all(nouns):
        return ""
    people = [f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun} {MARKER}" for noun in nouns]
    led = " and ".join(filter(None, (", ".join(people[:-1]), people[-1])))
    return f"{led}, {prompt.strip()}" if prompt.strip() else led


def shown(offer: str) -> str:
    """An offer as people read it, with numbers in the markers' places."""
    numbers = iter(range(1, offer.count(MARKER) + 1))
    return re.sub(rf"\s*{re.escape(MARKER)}", lambda _: f" [{next(numbers)}]", offer)


def with_noun(prompt: str, place: int, noun: str) -> str:
    """The prompt with another word before the marker of this place, counted from 0; itself where there is none."""
    pieces = prompt.split(MARKER)
    if not noun or not 0 <= place < len(pieces) - 1:
        return prompt
    pieces[place] = re.sub(r"\w(?:[\w'’-]*\w)?(\s*)$", lambda found: noun + found.group(1), pieces[place])
    return MARKER.join(pieces)


def _described(prompt: str, count: int, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    if count > MOST:
        raise BadRequest(f"The prompt marks {count} people; the models can tell {MOST} apart at most.")
    return runtime.describe(
        "facediffuser", FaceRequest(references=(NOBODY,) * max(count, 1), prompt=prompt, **settings)
    )


def _said(count: int, given: int, dropped: str) -> tuple[str, bool]:
    """What to say of markers and pictures, and whether it stops a run."""
    try:
        markers.check_pictures(count, given)
    except BadRequest as error:
        return str(error), given > 0
    return (f"Too long: “{dropped}” is not read.", True) if dropped else ("", False)
