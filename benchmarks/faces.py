"""Drawn people for the rows of Face reference: one or two whom no model saw, described in a place.

Only the people are held out: what they wear or hold and where they are has words that were trained. With each case
stands what a judge may be asked about a picture of it: who somebody is, and which words of the prompt there are.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from torch import Tensor

from benchmarks import measures
from benchmarks.edits import Box, Question, Word, fullest
from models import pixels
from training import judge, world
from training.world import compose, identity, layout
from training.world.assets import sprite_rows
from training.world.grammar import dress, fix_articles
from training.world.identity import Subject
from training.world.people import attributes, change_clothes
from training.world.plan import Plan
from training.world.words import GREY_STYLES, MARKER, NOUNS, join_list

KINDS = ("one", "two")
WHO = tuple(question for question in judge.PEOPLE if question != "noun")  # what stays the same about somebody
IN_COLOUR = ("hair_colour", "skin")  # which a grey picture does not show
AMONG: Mapping[Question, int] = {"object": 5, "scene": 3, "colour": 3}  # likeliest answers that count as read, else 1
REFERENCE = 256  # pixels on a side
PATCH = 1 / 4  # of the side: what is looked at of a wall or a floor
CHEST = (0.15, 0.78, 0.85, 1.0)  # where clothes are looked at: left, top, right, bottom as shares of a person's box
COVERED = 0.05  # of a pixel by somebody or something
GROUNDS, BACKS = ("floor", "table", "meadow"), ("wall", "sky", "background")  # whose colours a prompt may tell


@dataclass(frozen=True)
class Person:
    """Somebody: the number of the identity, the right answers to `WHO` as far as a picture can show them, the box in
    the true picture, and what else the prompt says about them, with boxes in the true picture too."""

    identity: int
    answers: Mapping[str, int]
    box: Box
    words: tuple[Word, ...]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A case: what is given, and what is asked about the result.

    references: of each person, uint8 `REFERENCE` on a side, in the order of the prompt's markers.
    truth: (S, S, 3) uint8, a picture that the prompt describes. people: from left to right, which is the same order.
    words: those of the place. name: the people's.
    """

    kind: str
    place: str
    prompt: str
    references: tuple[np.ndarray, ...]
    truth: np.ndarray
    people: tuple[Person, ...]
    words: tuple[Word, ...]
    name: str


def draw(count: int, seed: int, size: int) -> list[Drawn]:
    """One person and two people in turn, at `size` pixels on a side; each from a seed of its own.

    Nobody comes twice before all have come once, alone or with somebody; couples are the same ones each time.
    """
    alone, couples = _order(seed)
    found = []
    for index in range(count):
        turn = index // 2
        who = couples[turn % len(couples)] if index % 2 else (alone[turn % len(alone)],)
        found.append(draw_one(who, size, _own(seed, str(index))))
    return found


def _own(seed: int, what: str) -> int:
    return int.from_bytes(hashlib.sha256(f"face {seed} {what}".encode()).digest()[:6])


@cache
def _order(seed: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Held-out identities in random order, and all of them in couples that a judge can tell apart."""
    rng, everyone = random.Random(_own(seed, "order")), list(world.identities_of("held_out"))
    alone = rng.sample(everyone, len(everyone))
    while True:
        row = rng.sample(everyone, len(everyone) // 2 * 2)
        couples = list(zip(row[::2], row[1::2], strict=True))
        if all(attributes(a) != attributes(b) for a, b in couples):
            return alone, couples


def draw_one(who: tuple[int, ...], size: int, seed: int) -> Drawn:
    """A picture of these identities, left to right, and another one of each."""
    rng, square = random.Random(seed), (size, size)
    made, subjects = plan(rng, who, square)
    drawn = compose.draw([made], square)
    shown, _ = identity.draw_references(rng, [subjects], len(who), REFERENCE, "cpu")
    return Drawn(
        KINDS[len(who) - 1],
        made.scene.kind,
        made.caption,
        tuple(picture(one) for one in shown[0]),
        picture(drawn.image[0]),
        tuple(_person(subject, made, square) for subject in subjects),
        _of_the_place(made, drawn.alpha[0].amax(0).numpy() > COVERED),
        "person " + " and ".join(map(str, who)),
    )


def plan(rng: random.Random, who: tuple[int, ...], size: world.Size) -> tuple[Plan, list[Subject]]:
    """As the world plans its face samples, but of given identities and with trained things."""
    scene = layout.draw_scene(rng, identity.KINDS)
    two = len(who) == 2
    people = []
    for one, spot in zip(who, (0.27, 0.73) if two else (rng.uniform(0.35, 0.65),), strict=True):
        width, x = rng.uniform(0.56, 0.66) if two else rng.uniform(0.65, 1.05), spot + rng.uniform(-0.03, 0.03)
        people.append(identity.draw_subject(rng, scene, change_clothes(rng, one), size, x, width, "train"))
    things = [one.person for one in people] + [one.extra for one in people if one.extra is not None]
    words = dress(rng, scene, join_list([one.phrase for one in people]), terse=rng.random() < 0.3)
    return Plan(scene, tuple(things), fix_articles(words)), people


def picture(planes: Tensor) -> np.ndarray:
    """A float CxHxW picture in 0..1 as uint8 HxWxC."""
    return pixels.to_bytes(255 * planes.permute(1, 2, 0).numpy())


def _person(subject: Subject, made: Plan, size: world.Size) -> Person:
    look, extra = subject.person.look, subject.extra
    assert look is not None
    known = dict(zip(judge.PEOPLE, attributes(look.identity), strict=True))
    box, held = measures.clipped(compose.thing_box(subject.person, size), size), " holding " in subject.phrase
    grey = made.scene.style in GREY_STYLES
    words = []
    said = subject.phrase.partition(MARKER)[0].split()[-1]
    if said == NOUNS[known["noun"]]:
        words.append(Word(box, "noun", known["noun"]))
    if subject.says_clothes and not held and not grey:
        left, top, right, bottom = (box[k % 2] + share * (box[k % 2 + 2] - box[k % 2]) for k, share in enumerate(CHEST))
        words.append(_word((left, top, right, bottom), "colour", world.COLOUR_NAMES.index(look.clothes_colour)))
    row = None if extra is None else sprite_rows()[extra.sprite]
    if extra is not None and row is not None:
        place = measures.clipped(compose.thing_box(extra, size), size)
        words.append(_word(place, "object", world.nouns().index(row["noun"])))
    unseen = set(IN_COLOUR) if grey else set()
    if row is not None and row["kind"] == "glasses" and not held:  # put on, over the person's own or none
        unseen.add("eyewear")
    answers = {name: known[name] for name in WHO if known[name] >= 0 and name not in unseen}
    return Person(look.identity, answers, box, tuple(words))


def _of_the_place(made: Plan, covered: np.ndarray) -> tuple[Word, ...]:
    """What kind of place it is, its style unless it is plain day, and its colours where the prompt tells them."""
    scene, side = made.scene, covered.shape[0]
    whole: Box = (0.0, 0.0, float(side), float(side))
    words = [_word(whole, "scene", world.SCENE_NAMES.index(scene.kind))]
    if scene.style != "day":
        words.append(_word(whole, "style", world.STYLE_NAMES.index(scene.style)))
    if scene.style in GREY_STYLES:
        return tuple(words)
    rows = (np.arange(side)[:, None] + 0.5) / side
    above = rows < (1.0 if scene.kind == "studio" else scene.horizon)
    said = set(world.split_words(made.caption))
    for nouns, colour, region in ((GROUNDS, scene.ground, ~above), (BACKS, scene.back, above)):
        if said & set(nouns):
            box = fullest(region & ~covered, round(PATCH * side))
            words.append(_word(box, "colour", world.COLOUR_NAMES.index(colour)))
    return tuple(words)


def _word(box: Box, question: Question, answer: int) -> Word:
    return Word(box, question, answer, among=AMONG.get(question, 1))
