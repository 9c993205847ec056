"""Choose what is never drawn in training: whole families of objects, and one person in five.

Run once, before anything samples: ``python -m training.hold_out``. It writes

* ``assets/sprites/people.json``: the identities, a fixed table drawn from the parts;
* ``assets/sprites/held_out.json``: the rule, the held-out families and the held-out identities.

Rule for objects: within each kind, families in the order of ``sha256("easel " + family)`` are held out
until a fifth of the kind's sprites is reached (rounded, at least one family).
Rule for people: identities in the order of ``sha256("easel " + key)``, the first fifth.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

SPRITE_LIST = Path(__file__).with_name("sprites.txt")
FOLDER = Path(__file__).parents[1] / "assets" / "sprites"
PEOPLE = 600

# Hair part -> (words, noun it suggests). The noun is what a caption calls the person.
HAIR: dict[str, dict[str, tuple[str, str]]] = {
    "personas": {
        "long": ("long", "woman"), "sideShave": ("shaved", "person"), "shortCombover": ("short", "man"),
        "curlyHighTop": ("curly", "person"), "bobCut": ("bob", "woman"), "curly": ("afro", "person"),
        "pigtails": ("pigtails", "woman"), "curlyBun": ("bun", "woman"), "buzzcut": ("bald", "man"),
        "bobBangs": ("bob", "woman"), "bald": ("bald", "man"), "balding": ("balding", "man"),
        "bunUndercut": ("bun", "person"), "fade": ("short", "man"), "straightBun": ("bun", "woman"),
        "extraLong": ("long", "woman"), "mohawk": ("mohawk", "person"),
    },
    "avataaars": {
        "bob": ("bob", "woman"), "bun": ("bun", "person"), "curly": ("wavy", "woman"),
        "curvy": ("wavy", "woman"), "dreads": ("dreadlocks", "person"), "fro": ("afro", "person"),
        "longButNotTooLong": ("bob", "woman"), "miaWallace": ("bob", "woman"),
        "shavedSides": ("shaved", "person"), "straight01": ("long", "woman"),
        "straight02": ("long", "woman"), "dreads01": ("dreadlocks", "man"), "frizzle": ("mohawk", "person"),
        "shaggy": ("shaggy", "person"), "shaggyMullet": ("shaggy", "person"), "shortCurly": ("curly", "man"),
        "shortFlat": ("short", "man"), "shortRound": ("short", "man"), "shortWaved": ("short", "man"),
        "sides": ("balding", "man"), "theCaesar": ("short", "man"), "bigHair": ("wavy", "woman"),
    },
}  # fmt: skip
BEARD = {
    "personas": {"beardMustache": "beard", "walrus": "moustache", "goatee": "goatee"},
    "avataaars": {
        "beardLight": "beard", "beardMedium": "beard", "beardMajestic": "beard",
        "moustacheFancy": "moustache", "moustacheMagnum": "moustache",
    },
}  # fmt: skip
GLASSES = {
    "personas": {"glasses": "glasses", "sunglasses": "sunglasses"},
    "avataaars": {
        "prescription01": "glasses", "prescription02": "glasses", "round": "glasses",
        "sunglasses": "sunglasses", "wayfarers": "sunglasses",
    },
}  # fmt: skip
HAIR_COLOURS = ("black", "brown", "blond", "red", "grey", "pink", "blue")
SKINS = ("pale", "tan", "brown", "dark")


def rank(key: str) -> str:
    """A fixed pseudo-random order of names."""
    return hashlib.sha256(f"easel {key}".encode()).hexdigest()


def families() -> dict[str, dict[str, int]]:
    """kind -> family -> number of sprites, from ``sprites.txt``."""
    out: dict[str, dict[str, int]] = {}
    for line in SPRITE_LIST.read_text().splitlines():
        if line and not line.startswith("#"):
            head, items = line.split(":")
            kind, family = head.split()
            out.setdefault(kind, {})[family] = len(items.split(","))
    return out


def held_out_families() -> list[str]:
    """Families never drawn in training, a fifth of every kind."""
    chosen = []
    for sizes in families().values():
        quota, taken = max(1, round(sum(sizes.values()) / 5)), 0
        for family in sorted(sizes, key=rank):
            if taken and taken + sizes[family] > quota:
                continue
            if taken < quota:
                chosen.append(family)
                taken += sizes[family]
    return sorted(chosen)


def draw_identity(rng: random.Random) -> dict[str, str]:
    """One identity: parts and colours that stay the same in every picture of the person."""
    style = rng.choice(sorted(HAIR))
    hair = rng.choice(sorted(HAIR[style]))
    noun = HAIR[style][hair][1]
    bearded = noun != "woman" and rng.random() < 0.5
    beard = rng.choice(sorted(BEARD[style])) if bearded else "none"
    glasses = rng.choice(sorted(GLASSES[style])) if rng.random() < 0.4 else "none"
    bald = HAIR[style][hair][0] == "bald" and beard == "none"
    return {
        "set": style, "hair": hair, "beard": beard, "glasses": glasses,
        "hair_colour": "none" if bald else rng.choice(HAIR_COLOURS), "skin": rng.choice(SKINS),
        "noun": "man" if bearded else noun,
    }  # fmt: skip


def identities() -> list[dict[str, str]]:
    """The fixed table of distinct people."""
    rng = random.Random(2311)
    table: dict[str, dict[str, str]] = {}
    while len(table) < PEOPLE:
        person = draw_identity(rng)
        table.setdefault(" ".join(person.values()), person)
    return list(table.values())


def main() -> None:
    people = identities()
    keys = [" ".join(p.values()) for p in people]
    out = {
        "rule": " ".join((__doc__ or "").split("Rule for objects:")[1].split()),
        "families": held_out_families(),
        "people": sorted(sorted(range(PEOPLE), key=lambda i: rank(keys[i]))[: PEOPLE // 5]),
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = ",\n".join(json.dumps(p) for p in people)
    (FOLDER / "people.json").write_text(f"[\n{rows}\n]\n")
    (FOLDER / "held_out.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
