"""A desk with people on it: files of them, the left-hand side of Face reference, and results, for its page tests."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from demos.face_cards import CardsValue
from demos.face_people import People
from demos.face_side import Side
from demos.output import save
from models import pictures
from models.contract import Result
from models.facediffuser.spec import SPEC, FaceRequest

TWO = "a man <|image|> and a woman <|image|> on a beach"


def png(seed: int = 0, height: int = 160, width: int = 240) -> bytes:
    """A file of random blocks, which no two seeds share."""
    blocks = np.random.default_rng(seed).integers(0, 256, (height // 40, width // 40, 3), np.uint8)
    return pictures.encode(np.kron(blocks, np.ones((40, 40, 1), np.uint8)))


def address(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def brought(side: Side, value: CardsValue, people: People, prompt: str = "", **event: Any) -> dict[Any, Any]:
    """What the side answers to a picture."""
    told = {"data": address(png()), "name": "a.png", "file": 1, "dropped": False, **event}
    return side._added(value, people, prompt, "pocket", 512, False, gr.EventData(None, told))


def with_people(side: Side, count: int, prompt: str = TWO) -> tuple[CardsValue, People]:
    """The cards, as a browser has them, of that many people."""
    people: People = {}
    value = CardsValue()
    for k in range(count):
        answer = brought(side, value, people, prompt, data=address(png(k)), file=k + 1)[side.cards]
        changed = {card.id: card for card in answer.cards}
        value = CardsValue(cards=[changed.pop(one.id, one) for one in value.cards] + list(changed.values()))
    return value, people


def desk() -> Side:
    """The left-hand side, wired."""
    with gr.Blocks():
        made = Side(SPEC)
        made.connect()
    return made


def finished(references_given: tuple[np.ndarray, ...], **more: Any) -> tuple[FaceRequest, Result]:
    """A request and what a run of it gave."""
    request = FaceRequest(
        references=references_given, prompt=TWO, seed=9, steps=4, scene_until=0.1, preset="pocket", memory="full"
    )
    facts = {"method": "facediffuser", "seed": 9, "preset": "pocket", "steps": 4, "guidance_scale": 5.0}
    facts |= {"memory": "full", "device": "cpu", "threads": 1, "seconds": 1.0, **more}
    return request, Result((np.zeros((64, 64, 3), np.uint8),), {"maps": np.zeros((288, 192, 3), np.uint8)}, facts)


def result_of(*seeds: int) -> bytes:
    """A result's file, as the page writes it."""
    people = tuple(pictures.decode(png(seed), "rgb", "it") for seed in seeds)
    return Path(save("facediffuser", *finished(people)).pictures[0].signed).read_bytes()
