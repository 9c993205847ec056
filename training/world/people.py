"""People: layered, tinted parts of one identity and the clothes and expression of the day."""

from __future__ import annotations

import random
from functools import lru_cache

import torch
from torch import Tensor

from ..hold_out import BEARD, GLASSES, HAIR
from .assets import identity_rows, load_parts
from .plan import Look, Split
from .splits import identities_of
from .words import (
    BEARDS,
    CLOTHES,
    COLOURS,
    EXPRESSIONS,
    EYEWEAR,
    HAIR_COLOURS,
    HAIR_PHRASES,
    HAIR_STYLES,
    NOUNS,
    SKINS,
    WALL_COLOURS,
    with_article,
)

SLOTS = ("head", "clothes", "face", "hair", "beard", "glasses")
# The head in half tiles from the tile's centre: centre x, top, bottom, width, line of the eyes.
HEADS = {"personas": (0.0, -0.59, 0.45, 0.875, -0.07), "avataaars": (0.03, -0.74, 0.33, 0.80, -0.21)}
CLOTHES_OF = {
    "personas": ("squared", "rounded", "checkered"),
    "avataaars": ("blazer", "sweater", "hoodie", "overall", "shirt", "scoop", "vneck"),
}
BLACK = (0.11, 0.10, 0.13)


def hair_style(identity: int) -> str:
    row = identity_rows()[identity]
    return HAIR[row["set"]][row["hair"]][0]


def eyewear(identity: int) -> str:
    row = identity_rows()[identity]
    return GLASSES[row["set"]].get(row["glasses"], "none")


def facial_hair(identity: int) -> str:
    row = identity_rows()[identity]
    return BEARD[row["set"]].get(row["beard"], "none")


@lru_cache(maxsize=1024)
def attributes(identity: int) -> tuple[int, int, int, int, int, int]:
    """Label indices: hair style, hair colour (-1 when bald), skin, facial hair, eyewear, noun."""
    row = identity_rows()[identity]
    colour = -1 if row["hair_colour"] == "none" else tuple(HAIR_COLOURS).index(row["hair_colour"])
    return (
        HAIR_STYLES.index(hair_style(identity)),
        colour,
        tuple(SKINS).index(row["skin"]),
        BEARDS.index(facial_hair(identity)),
        EYEWEAR.index(eyewear(identity)),
        NOUNS.index(row["noun"]),
    )


def draw_look(rng: random.Random, split: Split, bare_eyes: bool = False) -> Look:
    """A person of a split in random clothes."""
    pool = identities_of(split)
    identity = rng.choice(pool)
    while bare_eyes and eyewear(identity) != "none":
        identity = rng.choice(pool)
    return change_clothes(rng, identity)


def change_clothes(rng: random.Random, identity: int) -> Look:
    """The same person on another day."""
    style = identity_rows()[identity]["set"]
    return Look(identity, rng.choice(CLOTHES_OF[style]), rng.choice(WALL_COLOURS), rng.choice(tuple(EXPRESSIONS)))


def part_names(look: Look) -> list[tuple[str, str, str]]:
    """The parts of a person from back to front, as (set, slot, name)."""
    row = identity_rows()[look.identity]
    chosen = {
        "head": "head", "clothes": look.clothes, "face": look.expression, "hair": row["hair"],
        "beard": row["beard"], "glasses": row["glasses"],
    }  # fmt: skip
    return [(row["set"], slot, chosen[slot]) for slot in SLOTS if chosen[slot] != "none"]


def part_tint(look: Look, slot: str) -> tuple[float, float, float]:
    row = identity_rows()[look.identity]
    if slot == "head":
        return SKINS[row["skin"]]
    if slot == "clothes":
        return COLOURS[look.clothes_colour]
    if slot in ("hair", "beard"):
        return HAIR_COLOURS.get(row["hair_colour"], HAIR_COLOURS["brown"])
    return BLACK


def extent(look: Look) -> tuple[float, float, float, float]:
    """Tight box (left, top, right, bottom) in half tiles from the tile's centre."""
    parts = load_parts("cpu")
    boxes = [parts.boxes[parts.index[name]] for name in part_names(look)]
    return (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))


def draw(looks: list[Look], small: bool, device: torch.device) -> Tensor:
    """Premultiplied RGBA tiles (P, 4, side, side), side 80 when ``small`` else 160."""
    parts = load_parts(str(device))
    base, tint = parts.base[small], parts.tint[small]
    side = base.shape[-1]
    out = torch.zeros(len(looks), 4, side, side, device=device)
    for slot in SLOTS:
        rows = [
            (i, parts.index[name], *part_tint(look, slot))
            for i, look in enumerate(looks)
            for name in part_names(look)
            if name[1] == slot
        ]
        if not rows:
            continue
        who, which = (torch.tensor([r[k] for r in rows]).to(device) for k in (0, 1))
        colour = torch.tensor([r[2:] for r in rows]).to(device)[:, :, None, None]
        layer = base[which]
        layer[:, :3] += tint[which] * colour
        out[who] = layer + out[who] * (1 - layer[:, 3:])
    return out


def describe_identity(rng: random.Random, identity: int, grey: bool) -> list[str]:
    """Phrases of what stays the same, in random number: "long red hair", "glasses"."""
    row = identity_rows()[identity]
    hair = HAIR_PHRASES[hair_style(identity)]
    phrases = [hair.replace("{c} ", "") if grey else hair.format(c=row["hair_colour"])]
    if facial_hair(identity) != "none":
        phrases.append(f"a {facial_hair(identity)}")
    if eyewear(identity) != "none":
        phrases.append(eyewear(identity))
    if rng.random() < 0.4 and not grey:
        phrases.append(f"{row['skin']} skin")
    return phrases


def clothes_phrase(look: Look, grey: bool = False) -> str:
    """ "a green hoodie", "blue overalls"."""
    word = CLOTHES[look.clothes]
    dressed = word if grey else f"{look.clothes_colour} {word}"
    return dressed if word == "overalls" else with_article(dressed, word)


def describe(rng: random.Random, look: Look, grey: bool = False) -> tuple[str, str]:
    """(noun with a leading adjective or none, clauses after it) of a person as drawn."""
    noun = identity_rows()[look.identity]["noun"]
    if rng.random() < 0.15:
        noun = "person"
    lead = f"{EXPRESSIONS[look.expression]} " if rng.random() < 0.35 else ""
    clauses = []
    if rng.random() < 0.85:
        phrases = describe_identity(rng, look.identity, grey)
        clauses.append("with " + " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases))
    if rng.random() < 0.6:
        clauses.append(f"wearing {clothes_phrase(look, grey)}")
    return lead + noun, " ".join(clauses)
