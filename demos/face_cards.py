"""The people's cards: pictures in the order of the prompt's markers, each with the word that it stands for.

The browser owns which cards there are and in which order; Python adds cards, and says what is seen on them. A picture
goes up inside the event `add` and never becomes a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import GradioModel
from pydantic import Field

from demos.canvas.parts import Quiet, Valued, small_parts
from demos.face_people import MOST_BYTES, People
from models.facediffuser.markers import MOST

HERE = Path(__file__).parent
NOUN = "person"
SUGGESTED = ("man", "woman", "boy", "girl", "child", "person")
LONGEST = 40  # characters of a noun


class Card(GradioModel):  # type: ignore[misc]
    """A person. Only Python sends `picture`, the address of the square; a browser keeps it and sends none back."""

    id: str
    noun: str = NOUN
    picture: str = ""
    said: str = ""
    name: str = ""


class CardsValue(GradioModel):  # type: ignore[misc]
    """From a browser: all cards in order. To it: cards that are new or changed, or with `fresh` all there are.

    answered: the file that this is the answer to, by the browser's count.
    """

    cards: list[Card] = Field(default_factory=list)
    fresh: bool = False
    answered: int = 0


class FaceCards(Valued, gr.HTML, metaclass=Quiet):  # type: ignore[misc]
    """Events: `bring` with a file's `data` address, its `name`, the count `file` and whether it was `dropped`; `remove`
    with an `id`; `rename` with an `id`, its `place` from 0 and the `noun`; `order` when cards changed places."""

    data_model = CardsValue

    def __init__(self, value: CardsValue | None = None, **more: Any) -> None:
        super().__init__(
            value,
            **small_parts(HERE, "face_cards"),
            most=MOST,
            bytes=MOST_BYTES,
            nouns=list(SUGGESTED),
            **more,
        )

    def preprocess(self, payload: CardsValue | None) -> CardsValue:
        """The value with at most `MOST` cards, each once: anyone can post anything."""
        cards = {card.id: card for card in (payload or CardsValue()).cards}
        return CardsValue(cards=[tidy(card) for card in list(cards.values())[:MOST]])


def tidy(card: Card) -> Card:
    """The card with one short word or none."""
    changed: Card = card.model_copy(update={"noun": " ".join(card.noun.split())[:LONGEST], "picture": ""})
    return changed


def card(id: str, people: People, noun: str | None = None) -> Card:
    """The card of a kept person as it is drawn."""
    known = people[id]
    drawn = {"picture": known.square, "said": known.said, "name": known.name}
    return Card(id=id, **drawn, noun=NOUN if noun is None else noun)
