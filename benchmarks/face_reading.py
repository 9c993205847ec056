"""What a judge reads of people in a picture: where they seem to be, who they are, which words of the prompt are there.

No model is told where in its picture somebody shall be. So many boxes are asked, as large and as high as the world's
people are, and those that look most like a person count together. The asked answers play no part in that choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import measures
from benchmarks.edits import Box, Word
from benchmarks.faces import Drawn, Person
from benchmarks.rows.cat import the_judge
from benchmarks.rows.dit4edit import reads
from training import judge, world

# Shares of the picture's width, of one person, and of two from left to right.
CENTRES = {1: (np.linspace(0.34, 0.66, 7),), 2: (np.linspace(0.21, 0.33, 4), np.linspace(0.67, 0.79, 4))}
WIDTHS = {1: np.linspace(0.42, 0.82, 6), 2: np.linspace(0.34, 0.46, 4)}
TALL = (1.15, 1.3, 1.45)  # heights over widths
BEST = 8  # boxes that count


class Seen(NamedTuple):
    """Somebody in a picture: the mean box, and probabilities (answers,) by question, the mean over the boxes."""

    box: Box
    answers: Mapping[str, Tensor]


@cache
def candidates(count: int, place: int, side: int) -> Tensor:
    """(N, 4) boxes in pixels in which the `place`-th of `count` people may be, all down to the lower edge."""
    found = [
        (x - width / 2, 1 - width * tall, x + width / 2, 1.0)
        for x in CENTRES[count][place]
        for width in WIDTHS[count]
        for tall in TALL
    ]
    return (torch.tensor(found, dtype=torch.float32) * side).clamp(0, side)


@torch.inference_mode()
def find(picture: np.ndarray, count: int) -> list[Seen]:
    """The people of a uint8 picture, `count` of them, left to right: the boxes that look most like a person."""
    found = []
    for place in range(count):
        boxes = candidates(count, place, picture.shape[0])
        logits = ask(picture, boxes)
        best = logits["object"].log_softmax(1)[:, -1].topk(BEST).indices
        left, top, right, bottom = boxes[best].mean(0).tolist()
        means = {name: values[best].softmax(1).mean(0) for name, values in logits.items()}
        found.append(Seen((left, top, right, bottom), means))
    return found


@torch.inference_mode()
def look(picture: np.ndarray, people: Sequence[Person]) -> list[Seen]:
    """The same where it is known where everybody is: the true picture's boxes."""
    logits = ask(picture, torch.tensor([person.box for person in people]))
    probabilities = {name: values.softmax(1) for name, values in logits.items()}
    return [Seen(one.box, {name: p[k] for name, p in probabilities.items()}) for k, one in enumerate(people)]


def ask(picture: np.ndarray, boxes: Tensor) -> dict[str, Tensor]:
    """The judge's logits (N, answers) by question, of boxes (N, 4) of a uint8 picture."""
    image = torch.tensor(picture).permute(2, 0, 1)[None].float() / 255
    crops = world.crop(image.expand(len(boxes), -1, -1, -1), boxes, judge.JudgeConfig.side)
    answers: dict[str, Tensor] = the_judge()(crops)
    return answers


def recovered(seen: Seen, person: Person) -> float:
    """The share of somebody's attributes that are read."""
    right = [int(seen.answers[name].argmax()) == answer for name, answer in person.answers.items()]
    return float(np.mean(right))


def told(picture: np.ndarray, seen: Sequence[Seen], drawn: Drawn) -> float:
    """The share of the prompt's words that are read, those about somebody where they are seen."""
    right = [reads(picture, word) for word in drawn.words]
    for one, person in zip(seen, drawn.people, strict=True):
        for word in person.words:
            if word.question == "noun":
                right.append(int(one.answers["noun"].argmax()) == word.answer)
            else:
                right.append(reads(picture, moved(word, person.box, one.box, picture.shape[0])))
    return float(np.mean(right))


def moved(word: Word, before: Box, after: Box, side: int) -> Word:
    """The word where it stands after a person has gone from one box to another; it stays if that is outside."""
    wide, tall = ((after[k + 2] - after[k]) / (before[k + 2] - before[k]) for k in (0, 1))
    left, right = (after[0] + (word.box[k] - before[0]) * wide for k in (0, 2))
    top, bottom = (after[1] + (word.box[k] - before[1]) * tall for k in (1, 3))
    box = measures.clipped((left, top, right, bottom), (side, side))
    return replace(word, box=box) if box[0] < box[2] and box[1] < box[3] else word
