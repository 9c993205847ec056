"""What training may draw: objects, identities and combinations that are held out never appear in it."""

from __future__ import annotations

import hashlib
import json
import random
from functools import lru_cache

from .assets import FOLDER, identity_count, sprite_rows
from .plan import Split


@lru_cache(maxsize=1)
def held_out() -> tuple[frozenset[str], frozenset[int]]:
    """(families, identities) of the committed list."""
    table = json.loads((FOLDER / "held_out.json").read_text())
    return frozenset(table["families"]), frozenset(table["people"])


@lru_cache(maxsize=64)
def sprites_of(split: Split, kinds: tuple[str, ...] = ()) -> tuple[int, ...]:
    """Sprite indices of a split, optionally of some kinds only; "combos" uses the training objects."""
    families = held_out()[0]
    want = split == "held_out"
    return tuple(
        i
        for i, row in enumerate(sprite_rows())
        if (row["family"] in families) == want and (not kinds or row["kind"] in kinds)
    )


@lru_cache(maxsize=8)
def identities_of(split: Split) -> tuple[int, ...]:
    """Identity indices of a split."""
    people, want = held_out()[1], split == "held_out"
    return tuple(i for i in range(identity_count()) if (i in people) == want)


@lru_cache(maxsize=65536)
def is_held_out_combination(noun: str, colour: str, scene: str) -> bool:
    """Whether training never shows this object in this colour in this kind of scene (one in eight).

    The rule is a hash, so it needs no list: sha256("easel noun|colour|scene") modulo 8 is 0.
    """
    return hashlib.sha256(f"easel {noun}|{colour}|{scene}".encode()).digest()[0] % 8 == 0


def pick_colour(rng: random.Random, noun: str, scene: str, split: Split, names: tuple[str, ...]) -> str | None:
    """A colour attribute that the split may combine with this object and scene, None when there is none."""
    want = split == "combos"
    allowed = [c for c in names if is_held_out_combination(noun, c, scene) == want]
    return rng.choice(allowed) if allowed else None
