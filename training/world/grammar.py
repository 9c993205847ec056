"""What a plan says in words, with the place of each thing's text in the caption."""

from __future__ import annotations

import random
from collections.abc import Iterator

from .assets import nouns, sprite_rows
from .people import describe
from .plan import Plan, Scene, Thing
from .words import (
    CLOTHES,
    COLOUR_NAMES,
    DAY_PREFIXES,
    EXPRESSIONS,
    FUNCTION_WORDS,
    GREY_STYLES,
    GROUND_TEXTURES,
    HAIR_COLOURS,
    HAIR_PHRASES,
    MARKER,
    OCCLUDERS,
    SCENES,
    SKINS,
    STYLES,
    WALL_TEXTURES,
    join_list,
    with_article,
)


def thing_text(thing: Thing) -> str:
    """ "blue teapot": the layer text of an object."""
    noun = str(sprite_rows()[thing.sprite]["noun"])
    return f"{thing.colour} {noun}" if thing.colour else noun


def thing_phrase(thing: Thing) -> str:
    """ "a blue teapot", "some red grapes"."""
    return with_article(thing_text(thing), str(sprite_rows()[thing.sprite]["noun"]))


def natural_text(rng: random.Random, thing: Thing, grey: bool = False) -> str:
    """The layer text, where an unpainted object may be called by its natural colour."""
    own = sprite_rows()[thing.sprite]["colour"]
    if thing.colour is None and own and rng.random() < 0.3 and not grey:
        return f"{own} {sprite_rows()[thing.sprite]['noun']}"
    return thing_text(thing)


def scene_phrase(rng: random.Random, scene: Scene, terse: bool = False, grey: bool = False) -> str:
    """ "on a blue floor in front of a green wall"; ``terse`` may leave out what is behind, ``grey`` the colours."""
    ground, back = SCENES[scene.kind]
    words = {
        "g": scene.ground,
        "b": scene.back,
        "gt": GROUND_TEXTURES.get(scene.ground_texture, "") if rng.random() < 0.6 else "",
        "bt": WALL_TEXTURES.get(scene.back_texture, "") if rng.random() < 0.6 else "",
    }
    keep_back = back and (not terse or rng.random() < 0.5) and (scene.kind in ("room", "table", "shelf") or not terse)
    out = f"{ground} {back}" if keep_back else ground
    if grey:
        out = out.replace("{g} ", "").replace("{b} ", "")
    return fix_articles(out.format(**words))


def fix_articles(text: str) -> str:
    """ "a orange wall" -> "an orange wall"."""
    words = text.split(" ")
    for i, word in enumerate(words[:-1]):
        if word == "a" and words[i + 1][0] in "aeiou":
            words[i] = "an"
    return " ".join(words)


def dress(rng: random.Random, scene: Scene, core: str, terse: bool = False) -> str:
    """A whole caption: style prefix, what is there, where, style suffix."""
    prefix, suffix = STYLES[scene.style]
    lead = rng.choice(DAY_PREFIXES) if not prefix and not suffix else prefix
    behind = f" {OCCLUDERS[scene.occluder.kind]}" if scene.occluder else ""
    return f"{lead}{core}{behind} {scene_phrase(rng, scene, terse, scene.style in GREY_STYLES)}{suffix}"


def relation(rng: random.Random, first: Thing, second: Thing, behind: bool | None) -> str:
    """How the first of two things stands to the second, true in the picture; ``behind`` None when side by side."""
    apart = second.x - first.x
    options = ["and", "and", "next to"]
    if abs(apart) > 0.55 * min(first.width, second.width):
        options += ["to the left of" if apart > 0 else "to the right of"] * 2
    elif behind is not None:
        options += ["behind" if behind else "in front of"] * 3
    return rng.choice(options)


def locate(caption: str, texts: list[str]) -> tuple[tuple[int, int], ...]:
    """Character spans of the layer texts, in order, each after the one before."""
    spans, start = [], 0
    for text in texts:
        start = caption.index(text, start)
        spans.append((start, start + len(text)))
        start += len(text)
    return tuple(spans)


def caption_things(
    rng: random.Random, scene: Scene, things: list[Thing], depths: list[int] | None = None
) -> tuple[str, list[str]]:
    """A caption of up to four things and each thing's text, in the order of ``things``; larger depths are nearer."""
    texts, phrases = [], []
    grey = scene.style in GREY_STYLES
    for thing in things:
        if thing.look is None:
            text = natural_text(rng, thing, grey)
            texts.append(text)
            phrases.append(with_article(text, str(sprite_rows()[thing.sprite]["noun"])))
        else:
            lead, clause = describe(rng, thing.look, grey)
            texts.append(lead)
            phrases.append(f"{with_article(lead, '')} {clause}".strip())
    solid = all(t.look is None for t in things)
    if len(things) == 2 and solid:
        behind = None if depths is None else depths[0] < depths[1]
        core = f"{phrases[0]} {relation(rng, things[0], things[1], behind)} {phrases[1]}"
    elif not solid and things[-1].look is None:
        verb = "wearing" if things[-1].y < things[-2].y else "holding"
        core = f"{join_list(phrases[:-1])} {verb} {phrases[-1]}"
    else:
        core = join_list(phrases)
    return dress(rng, scene, core, terse=rng.random() < 0.25), texts


def finish(rng: random.Random, scene: Scene, things: list[Thing], order: list[int] | None = None) -> Plan:
    """A captioned plan. ``order`` is the order of mention (default: random); things stay back to front."""
    mention = order if order is not None else rng.sample(range(len(things)), len(things))
    caption, texts = caption_things(rng, scene, [things[i] for i in mention], mention)
    spans = locate(caption, texts)
    back = sorted(range(len(mention)), key=lambda k: mention[k])
    return Plan(scene, tuple(things), caption, tuple(texts[k] for k in back), tuple(spans[k] for k in back))


def vocabulary() -> tuple[str, ...]:
    """Every word that a caption can hold, sorted; held-out objects included, the face marker excluded."""

    def sources() -> Iterator[str]:
        yield FUNCTION_WORDS
        yield from nouns()
        yield from COLOUR_NAMES
        for ground, back in SCENES.values():
            yield from (ground, back)
        for prefix, suffix in STYLES.values():
            yield from (prefix, suffix)
        for table in (GROUND_TEXTURES, WALL_TEXTURES, OCCLUDERS, HAIR_PHRASES, EXPRESSIONS, CLOTHES):
            yield from table.values()
        yield from (*HAIR_COLOURS, *SKINS, *DAY_PREFIXES, "beard", "moustache", "goatee", "glasses", "sunglasses")

    words: set[str] = set()
    for text in sources():
        words.update(split_words(text))
    return tuple(sorted(words))


def split_words(text: str) -> list[str]:
    """The words of a caption without commas, markers and placeholders."""
    plain = text.replace(MARKER, " ").replace(",", " ")
    for mark in ("{g}", "{b}", "{gt}", "{bt}", "{c}"):
        plain = plain.replace(mark, " ")
    return plain.split()
