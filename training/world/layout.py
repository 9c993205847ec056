"""Random plans: which place, which light, what stands where."""

from __future__ import annotations

import random
from dataclasses import replace

from .assets import identity_rows, sprite_rows
from .compose import thing_box
from .people import HEADS, draw_look, extent
from .plan import Light, Look, Occluder, Scene, Size, Split, Thing
from .splits import pick_colour, sprites_of
from .words import (
    COLOUR_NAMES,
    GROUND_TEXTURES,
    INDOOR,
    MEADOWS,
    OCCLUDERS,
    SCENE_NAMES,
    SKIES,
    STYLE_NAMES,
    WALL_COLOURS,
    WALL_TEXTURES,
)

SCENE_WEIGHTS = {"room": 5, "table": 4, "shelf": 2, "studio": 4, "meadow": 2, "beach": 2, "road": 2, "lake": 1}
STYLE_WEIGHTS = {"day": 14}
AIRY = ("meadow", "beach", "road", "snow", "desert", "city", "lake")
WORN = ("hat", "glasses")


def draw_light(rng: random.Random) -> Light:
    """A light from anywhere above, warm, cold or neutral."""
    warmth, bright = rng.gauss(0, 0.07), rng.uniform(0.82, 1.06)
    tint = (bright * (1 + warmth), bright, bright * (1 - 1.2 * warmth))
    depth = rng.uniform(0.15, 0.45) if rng.random() < 0.6 else -rng.uniform(0.15, 0.35)
    return Light(rng.choice((-1, 1)) * rng.uniform(0.25, 1.0), depth, rng.uniform(0.45, 1.0), tint)


def draw_scene(rng: random.Random, kinds: tuple[str, ...] = SCENE_NAMES, styled: bool = True) -> Scene:
    """An empty place; ``kinds`` restricts it, ``styled=False`` keeps it in plain day."""
    kind = rng.choices(kinds, [SCENE_WEIGHTS.get(k, 1) for k in kinds])[0]
    back = rng.choice(WALL_COLOURS if kind in INDOOR else SKIES)
    ground = back if kind == "studio" else rng.choice(MEADOWS if kind == "meadow" else WALL_COLOURS)
    while kind in ("room", "table", "shelf") and ground == back:
        ground = rng.choice(WALL_COLOURS)
    plain = kind in ("studio", "shelf")
    low, high = (0.42, 0.56) if kind in ("table", "studio") else (0.58, 0.72) if kind == "shelf" else (0.40, 0.62)
    style = rng.choices(STYLE_NAMES, [STYLE_WEIGHTS.get(s, 1) for s in STYLE_NAMES])[0]
    return Scene(
        kind=kind,
        ground=ground,
        back=back,
        ground_texture="plain" if plain else rng.choice(tuple(GROUND_TEXTURES)),
        back_texture="plain" if kind == "studio" or rng.random() < 0.45 else rng.choice(tuple(WALL_TEXTURES)),
        horizon=rng.uniform(low, high),
        light=draw_light(rng),
        style=style if styled else "day",
        offsets=(rng.random(), rng.random(), rng.random(), rng.random()),
    )


def draw_colour(rng: random.Random, sprite: int, scene: Scene, split: Split) -> str | None:
    """A colour attribute other than the sprite's own, allowed in this scene by the split."""
    row = sprite_rows()[sprite]
    names = tuple(c for c in COLOUR_NAMES if c != row["colour"])
    return pick_colour(rng, row["noun"], scene.kind, split, names)


def draw_object(rng: random.Random, scene: Scene, split: Split, coloured: float, avoid: set[str]) -> Thing:
    """An object of the split, with a colour attribute with probability ``coloured``; not yet placed."""
    pool = sprites_of(split)
    sprite = rng.choice(pool)
    while sprite_rows()[sprite]["noun"] in avoid or (sprite_rows()[sprite]["kind"] == "air" and scene.kind not in AIRY):
        sprite = rng.choice(pool)
    colour = draw_colour(rng, sprite, scene, split) if rng.random() < coloured else None
    angle = 2 * round(rng.gauss(0, 4)) if rng.random() < 0.25 else 0
    return Thing(sprite=sprite, colour=colour, angle=angle, flip=rng.random() < 0.5)


def shape(thing: Thing, size: Size) -> float:
    """Height of a thing's box as a fraction of the picture's height, per unit of ``width``."""
    box = thing_box(replace(thing, width=1.0), size)
    return (box[3] - box[1]) / size[0]


def stand(thing: Thing, x: float, base: float, width: float, size: Size, room: float = 0.97) -> Thing:
    """Put a thing with its lower edge at ``base``, made smaller where it would leave the picture at the top."""
    tall = shape(thing, size)
    top = min(base - 0.01, room)
    width = min(width, top / tall, 0.98)
    x = min(max(x, width / 2 + 0.01), 0.99 - width / 2)
    return replace(thing, x=x, y=base - width * tall / 2, width=width)


def ground_line(rng: random.Random, scene: Scene) -> float:
    """A height at which an object's base may stand."""
    if scene.kind == "shelf":
        return scene.horizon + rng.uniform(0.03, 0.075)
    low = scene.horizon + 0.28 * (1 - scene.horizon)
    return rng.uniform(low, 0.93 if scene.kind == "table" else 0.97)


def natural_width(thing: Thing) -> float:
    return float(sprite_rows()[thing.sprite]["width"]) if thing.look is None else 1.0


def place_objects(rng: random.Random, scene: Scene, things: list[Thing], size: Size) -> list[Thing]:
    """Stand objects side by side with a little overlap, returned back to front."""
    count = len(things)
    span = {1: (0.45, 0.78), 2: (0.32, 0.48), 3: (0.24, 0.35), 4: (0.19, 0.27)}[count]
    square = min(1.0, (size[0] / size[1]) ** 0.5 * 1.05)
    slots = list(range(count))
    rng.shuffle(slots)
    placed = []
    for slot, thing in zip(slots, things, strict=True):
        x = (slot + 0.5 + rng.uniform(-0.22, 0.22)) / count if count > 1 else rng.uniform(0.3, 0.7)
        base = ground_line(rng, scene)
        near = 0.72 + 0.28 * (base - scene.horizon) / (1 - scene.horizon) if scene.kind != "shelf" else 0.85
        width = rng.uniform(*span) * near * natural_width(thing) ** 0.4 * square
        kind = sprite_rows()[thing.sprite]["kind"]
        if kind == "air" and rng.random() < 0.7:
            base = scene.horizon * rng.uniform(0.55, 0.95)
            thing = replace(thing, shadow="none")
        placed.append(stand(thing, x, base, min(width, 0.8), size))
    return sorted(placed, key=lambda t: thing_box(t, size)[3])


def place_person(rng: random.Random, look: Look, size: Size, x: float, width: float, scene: Scene) -> Thing:
    """A bust that rises from the lower edge of the picture; ``width`` is that of its tile over the picture's."""
    left, _, right, _ = extent(look)
    thing = Thing(look=look, flip=rng.random() < 0.5, shadow="wall" if scene.kind in INDOOR else "none")
    return stand(thing, x, 1.0 + rng.uniform(0, 0.02), width * (right - left) / 2, size)


def draw_person(rng: random.Random, scene: Scene, size: Size, split: Split, x: float, width: float) -> Thing:
    people_split: Split = "held_out" if split == "held_out" else "train"
    return place_person(rng, draw_look(rng, people_split), size, x, width, scene)


def wear(person: Thing, sprite: int, rng: random.Random, size: Size) -> Thing:
    """A hat or glasses on a person's head."""
    assert person.look is not None
    style = identity_rows()[person.look.identity]["set"]
    centre, top, bottom, width, eyes = HEADS[style]
    left, upper, right, _ = extent(person.look)
    scale = person.width / (right - left)  # picture widths per half tile
    stretch = size[1] / size[0]
    if person.flip:
        centre, left, right = -centre, -right, -left
    box = thing_box(person, size)
    x = box[0] / size[1] + (centre - left) * scale
    row = sprite_rows()[sprite]
    ratio = {"glasses": 0.80}.get(row["kind"], 1.55 if row["noun"] == "sun hat" else 1.08) * rng.uniform(0.95, 1.06)
    item = Thing(sprite=sprite, width=ratio * width * scale, shadow="none", flip=rng.random() < 0.5)
    line = eyes if row["kind"] == "glasses" else top + 0.26 * (bottom - top)
    y = box[1] / size[0] + (line - upper) * scale * stretch
    tall = shape(item, size) * item.width
    return replace(item, x=x, y=y if row["kind"] == "glasses" else y - tall / 2)


def hold(person: Thing, thing: Thing, rng: random.Random, size: Size) -> Thing:
    """An object in front of a person's chest."""
    box = thing_box(person, size)
    width = person.width * rng.uniform(0.42, 0.62)
    tall = shape(thing, size) * width
    x = person.x + rng.uniform(-0.22, 0.22) * person.width
    y = box[3] / size[0] - tall * rng.uniform(0.42, 0.55) - 0.01
    return replace(thing, x=x, y=y, width=width, shadow="none", angle=0)


def draw_occluder(rng: random.Random, target: Thing, size: Size) -> Occluder:
    """Something in front of a thing that leaves a good part of it in sight."""
    left, top, right, bottom = thing_box(target, size)
    tall = (bottom - top) / size[0]
    kind = rng.choice(tuple(OCCLUDERS))
    low = min(bottom / size[0] + rng.uniform(0.02, 0.10), 1.05)
    if kind in ("crate", "bush", "rock"):  # hides one side
        width = rng.uniform(0.7, 1.1) * target.width
        x = target.x + rng.choice((-1, 1)) * (target.width * rng.uniform(0.30, 0.55) + width * 0.25)
        height = max(tall * rng.uniform(0.45, 0.75), 0.6 * width * size[1] / size[0])
    else:  # hides the lower part, all across
        width, x = rng.uniform(1.2, 1.5), 0.5
        cover = rng.uniform(0.30, 0.55) if kind not in ("bars", "fence") else rng.uniform(0.5, 0.9)
        height = tall * cover + (low - bottom / size[0])
    return Occluder(kind, x, low - height / 2, width, height)
