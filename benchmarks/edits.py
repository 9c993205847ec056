"""Drawn edits for prompt editing: two scenes that share everything but one thing, and what a judge may be asked.

The result of every edit holds a thing in a combination of colour and place that no training picture has: the edited
thing, or for scene edits and removals one that is to stay. The world's own pairs offer that for swaps and new colours;
the other kinds are planned here from its parts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

import numpy as np

from models import pixels, regions
from training import world
from training.world import captioned, layout, pairs
from training.world.assets import sprite_rows
from training.world.plan import Plan, Scene, Thing
from training.world.words import GREY_STYLES

KINDS = ("swap", "recolour", "add", "remove", "restyle", "background")
MARGIN = 1 / 16  # of the side: what an edit may touch beyond the pixels that differ, one latent at 128 px
DIFFERENT = 0.02  # of white: pixels that do, shadows included
COVERED = 0.05  # of a pixel by the edge of what is edited
NOUNS_READ = 5  # likeliest nouns of all: the true one is among them in 7 of 10 drawn pictures, another in 2 of 100
PATCH = 1 / 4  # of the side: what is looked at of a wall or a floor

Box = tuple[float, float, float, float]  # in pixels
Question = Literal["object", "colour", "style", "scene", "noun"]


@dataclass(frozen=True)
class Word:
    """A word of a prompt as the judge may be asked for it: where, which question, which answer.

    `instead` is the answer before the edit, None where there was none. `among` = so many of the likeliest answers
    are right enough, 0 = any, if only it is likelier than `instead`.
    """

    box: Box
    question: Question
    answer: int
    instead: int | None = None
    among: int = 1


@dataclass(frozen=True, eq=False)
class Pair:
    """An edit; pictures are uint8 HxWx3, `outside` is bool HxW: what the edit has no business with.

    asked: the word that is to be true after it. kept: (as it stands before, as it should stand after) of every other
    word of things that the judge knows. name: the thing in the unseen combination.
    """

    kind: str
    source: np.ndarray
    truth: np.ndarray
    source_prompt: str
    target_prompt: str
    asked: Word
    kept: tuple[tuple[Word, Word], ...]
    outside: np.ndarray
    name: str


def draw(kind: str, size: int, seed: int) -> Pair:
    """One edit of a kind on a square of `size` pixels."""
    before, after, slot = plan(random.Random(seed), kind, (size, size))
    source, target = (captioned.draw_scenes([one], (size, size)) for one in (before, after))
    changed = (source.image - target.image).abs().amax(1)[0] > DIFFERENT
    if kind != "background":  # its region is all but the things, though only the wall or only the floor changes
        changed |= pairs.edit_region(source, target, 0, kind, slot)[0] > COVERED
    grown = regions.grow(np.where(changed.numpy(), np.uint8(255), np.uint8(0)), round(MARGIN * size))
    sides = (_Side(before, source), _Side(after, target))
    return Pair(
        kind,
        _picture(source),
        _picture(target),
        before.caption,
        after.caption,
        _asked(kind, sides, slot, changed.numpy()),
        _kept(sides, kind, slot),
        grown == 0,
        _noun(before if kind == "remove" else after, 1 - slot if kind == "remove" else slot),
    )


def plan(rng: random.Random, kind: str, size: world.Size) -> tuple[Plan, Plan, int]:
    """Both sides, and the slot of the edited thing; for scene edits that of the unseen one."""
    if kind in ("swap", "recolour"):
        return pairs.plan_edit(rng, kind, size, "combos")
    while True:
        scene = layout.draw_scene(rng, pairs.FLAT, styled=False)
        count = 2 if kind in ("add", "remove") else rng.choice((1, 1, 2))
        things = captioned.plan_objects(rng, scene, size, "combos", count)
        unseen = [number for number, thing in enumerate(things) if _unseen(thing, scene)]
        if len(unseen) != 1:
            continue
        slot = 1 - unseen[0] if kind == "remove" else unseen[0]
        sides = pairs.EDITS[kind](rng, scene, things, slot, size)
        wording = rng.randrange(2**30)
        before, after = (pairs.word_scene(place, there, kind, wording) for place, there in (sides[:2], sides[2:]))
        if before.caption != after.caption:  # some colours of places stand in no caption
            return before, after, slot


def _unseen(thing: Thing, scene: Scene) -> bool:
    noun = sprite_rows()[thing.sprite]["noun"]
    return thing.colour is not None and world.is_held_out_combination(noun, thing.colour, scene.kind)


def _noun(side: Plan, slot: int) -> str:
    return str(sprite_rows()[side.things[slot].sprite]["noun"])


def _picture(batch: world.SceneBatch) -> np.ndarray:
    return pixels.to_bytes(255 * batch.image[0].permute(1, 2, 0).numpy())


@dataclass(frozen=True, eq=False)
class _Side:
    """A scene as planned and as drawn."""

    plan: Plan
    drawn: world.SceneBatch

    def word(self, question: Question, slot: int, instead: int | None = None) -> Word:
        """The object or the colour of a thing, in its box."""
        labels = {"object": self.drawn.objects, "colour": self.drawn.colours}[question]
        box = [float(edge) for edge in self.drawn.boxes[0, slot]]
        high = self.drawn.image.shape[-1]
        left, top, right, bottom = (min(max(edge, 0.0), float(high)) for edge in box)
        among = NOUNS_READ if question == "object" else 1
        return Word((left, top, right, bottom), question, int(labels[0, slot]), instead, among)

    def painted(self, slot: int) -> bool:
        """Whether the caption names the thing's colour and the picture shows it."""
        return self.plan.things[slot].colour is not None and self.plan.scene.style not in GREY_STYLES


def _asked(kind: str, sides: tuple[_Side, _Side], slot: int, changed: np.ndarray) -> Word:
    before, after = sides
    if kind in ("swap", "recolour"):
        question: Question = "object" if kind == "swap" else "colour"
        old = before.word(question, slot).answer
        return after.word(question, slot, old if old >= 0 else None)
    if kind == "add":
        return after.word("object", slot)
    if kind == "remove":
        return before.word("object", slot)
    if kind == "restyle":
        side = float(changed.shape[0])
        styles = [world.STYLE_NAMES.index(one.plan.scene.style) for one in (after, before)]
        return Word((0.0, 0.0, side, side), "style", styles[0], styles[1])
    old_scene, scene = before.plan.scene, after.plan.scene
    words = (scene.back, old_scene.back) if scene.back != old_scene.back else (scene.ground, old_scene.ground)
    new, old = (world.COLOUR_NAMES.index(word) for word in words)
    return Word(fullest(changed, round(PATCH * changed.shape[0])), "colour", new, old, among=0)


def fullest(region: np.ndarray, side: int) -> Box:
    """The square of `side` pixels that holds most of a region (bool HxW); the first of several."""
    sums = np.pad(region.astype(np.int64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    held = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = (int(v) for v in np.unravel_index(held.argmax(), held.shape))
    return float(left), float(top), float(left + side), float(top + side)


def _kept(sides: tuple[_Side, _Side], kind: str, slot: int) -> tuple[tuple[Word, Word], ...]:
    """Nouns, and colours that captions name, of things that are on both sides."""
    before, after = sides
    found = []
    for old, new in _same(kind, slot, len(before.plan.things), len(after.plan.things)):
        edited = kind in ("swap", "recolour") and new == slot
        if not (edited and kind == "swap"):
            found.append((before.word("object", old), after.word("object", new)))
        if not (edited and kind == "recolour") and before.painted(old) and after.painted(new):
            found.append((before.word("colour", old), after.word("colour", new)))
    return tuple(found)


def _same(kind: str, slot: int, before: int, after: int) -> list[tuple[int, int]]:
    """The slots of things that are on both sides."""
    if kind == "add":
        return list(zip(range(before), [k for k in range(after) if k != slot], strict=True))
    if kind == "remove":
        return list(zip([k for k in range(before) if k != slot], range(after), strict=True))
    return list(zip(range(before), range(after), strict=True))
