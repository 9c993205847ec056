"""Which words of a collage's prompt belong to which layer, shown while they are typed.

They are found as the method finds them, by whole words of the text: no tokenizer, no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import GradioModel
from pydantic import Field

from demos.canvas.parts import Quiet, Valued, small_parts
from models.collage.alignment import Span, find
from models.collage.layers import prompt_of
from models.contract import BadRequest

HERE = Path(__file__).parent
MOST = 2000  # characters of a prompt that are looked at: no encoder reads that far
BUILT = "Built from the layers, front to back. Write a prompt to say more; keep each layer's words in it."
NONE = "Each layer's words are marked here, in the prompt that names them."


class Piece(GradioModel):  # type: ignore[misc]
    """A stretch of the prompt. `layer` is the place, from the back, of the shown layer that it belongs to."""

    text: str
    layer: int | None = None


class CollageWordsValue(GradioModel):  # type: ignore[misc]
    """The prompt in pieces, the layers' words that it lacks, and a sentence about it."""

    pieces: list[Piece] = Field(default_factory=list)
    lacking: list[Piece] = Field(default_factory=list)
    said: str = NONE
    bad: bool = False


class CollageWords(Valued, gr.HTML, metaclass=Quiet):  # type: ignore[misc]
    """Shows a `CollageWordsValue`."""

    data_model = CollageWordsValue

    def __init__(self, value: CollageWordsValue | None = None, **more: Any) -> None:
        super().__init__(
            value,
            **small_parts(HERE, "collage_words"),
            **more,
        )


def bound(prompt: str, texts: Sequence[str]) -> CollageWordsValue:
    """The words of the layers that are shown, back to front, in the prompt; an empty one is built from them."""
    if not texts:
        return CollageWordsValue()
    built = not prompt.strip()
    written = prompt_of([text for text in texts if text.strip()]) if built else prompt[:MOST]
    places, said = _found(written, texts)
    pieces, at = [], 0
    for number, (first, last) in sorted(places.items(), key=lambda item: item[1]):
        pieces += [Piece(text=written[at:first]), Piece(text=written[first:last], layer=number)]
        at = last
    pieces.append(Piece(text=written[at:]))
    lacking = [Piece(text=text.strip() or "no words", layer=n) for n, text in enumerate(texts) if n not in places]
    return CollageWordsValue(
        pieces=[piece for piece in pieces if piece.text],
        lacking=lacking,
        said=said or (BUILT if built else ""),
        bad=bool(said),
    )


def _found(prompt: str, texts: Sequence[str]) -> tuple[dict[int, Span], str]:
    """Where the layers' words stand, as many as there are, and the sentence about those that are not there."""
    try:
        return dict(enumerate(find(prompt, texts))), ""
    except BadRequest as error:
        said = str(error)
    kept: list[int] = []
    for number in range(len(texts)):
        try:
            find(prompt, [texts[n] for n in (*kept, number)])
        except BadRequest:
            continue
        kept.append(number)
    return dict(zip(kept, find(prompt, [texts[n] for n in kept]), strict=True)), said
