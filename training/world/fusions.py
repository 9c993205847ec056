"""Fusion samples for drag and place: an uploaded object, a place without it, and the true picture with it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from . import compose
from .assets import identity_rows, nouns, prop_index, sprite_rows
from .captioned import seeded, straighten
from .grammar import dress, fix_articles, thing_phrase
from .layout import (
    draw_colour,
    draw_light,
    draw_occluder,
    draw_person,
    draw_scene,
    ground_line,
    place_objects,
    shape,
    stand,
    wear,
)
from .people import HEADS, extent
from .plan import Plan, Scene, Shadow, Size, Split, Thing
from .splits import sprites_of
from .words import COLOUR_NAMES, GREY_STYLES, INDOOR, PROPS, STYLE_NAMES, WALL_COLOURS, with_article

KINDS = ("place", "behind", "wear", "print", "style")
KIND_WEIGHTS = (46, 16, 10, 12, 16)


@dataclass(frozen=True)
class FusionBatch:
    """Fusion samples; pictures float32 in 0..1, boxes in pixels (x0, y0, x1, y1), right and bottom exclusive.

    ``foreground`` (B, 4, H, W): the object as a user uploads it, straight alpha, unlit, any rotation and flip already
    in the pixels, 40 to 90 % of its canvas (white where transparent). ``background``, ``fused`` (B, 3, H, W): the
    clean place (with its people and occluders) and the truth. ``placement`` (B, 4): x, y, scale, angle (0).
    ``box_fg``, ``box`` (B, 4): the object's tight box in the foreground canvas and in the scene, unclipped.
    ``mask`` (B, 1, H, W): the object's visible pixels. ``kinds`` (B,) index in ``FUSION_KINDS``; ``objects``,
    ``colours`` (B,): labels, colour -1 when nothing is painted. ``captions``: "" for 70 %.
    """

    foreground: Tensor
    background: Tensor
    fused: Tensor
    placement: Tensor
    box_fg: Tensor
    box: Tensor
    mask: Tensor
    kinds: Tensor
    objects: Tensor
    colours: Tensor
    captions: tuple[str, ...]
    plans: tuple[Plan, ...]


def draw_item(rng: random.Random, split: Split, kinds: tuple[str, ...] = (), tilt: float = 0.35) -> Thing:
    """An object of the split, often tilted, sometimes turned at random."""
    angle = 0
    if rng.random() < tilt:
        angle = 2 * rng.randrange(180) if rng.random() < 0.15 else 2 * round(rng.gauss(0, 9))
    return Thing(sprite=rng.choice(sprites_of(split, kinds)), angle=angle, flip=rng.random() < 0.5)


def draw_scale(rng: random.Random, large: bool) -> float:
    """Width of the object over the picture's: 0.12 to 0.7, mostly 0.25 to 0.5; ``large`` keeps to 0.4 to 0.7."""
    return rng.uniform(0.40, 0.70) if large else min(0.70, max(0.12, rng.triangular(0.12, 0.70, 0.33)))


def limit(thing: Thing, width: float, size: Size, room: float = 0.86) -> float:
    """A width at which the object is no taller than ``room`` of the picture."""
    return min(width, room / shape(thing, size))


def set_down(rng: random.Random, scene: Scene, thing: Thing, size: Size, large: bool) -> Thing:
    """Where a user drops an object: mostly on the ground, sometimes on a wall or in the sky, mostly whole."""
    width = limit(thing, draw_scale(rng, large), size)
    tall = width * shape(thing, size)
    spill = 0.18 * width if rng.random() < 0.12 else 0.0
    x = rng.uniform(width / 2 - spill, 1 - width / 2 + spill)
    if sprite_rows()[thing.sprite]["kind"] == "air" or rng.random() < 0.10:
        y = rng.uniform(tall / 2, max(tall / 2 + 0.01, scene.horizon - tall / 2))
        hung: Shadow = "wall" if scene.kind in INDOOR else "none"
        return replace(thing, x=x, y=y, width=width, shadow=hung)
    return replace(thing, x=x, y=max(ground_line(rng, scene), tall) - tall / 2, width=width)


def plan_place(rng: random.Random, scene: Scene, size: Size, split: Split, large: bool) -> tuple[Scene, list[Thing]]:
    """An object set down, in a place that may already hold a person or other objects."""
    item = set_down(rng, scene, draw_item(rng, split), size, large)
    others: list[Thing] = []
    chance = rng.random()
    safe: Split = "held_out" if split == "held_out" else "train"
    if chance < 0.22:
        loose = [Thing(sprite=rng.choice(sprites_of(safe)), flip=rng.random() < 0.5) for _ in range(rng.choice((1, 2)))]
        others = place_objects(rng, scene, loose, size)
    elif chance < 0.34 and scene.kind != "shelf":
        others = [draw_person(rng, scene, size, safe, rng.uniform(0.25, 0.75), rng.uniform(0.55, 0.9))]
    return scene, [*(replace(t, in_plate=True) for t in others), item]


def plan_behind(rng: random.Random, scene: Scene, size: Size, split: Split, large: bool) -> tuple[Scene, list[Thing]]:
    """An object that something of the scene partly covers."""
    item = set_down(rng, scene, draw_item(rng, split, tilt=0.15), size, large)
    return replace(scene, occluder=draw_occluder(rng, item, size)), [item]


def plan_wear(rng: random.Random, scene: Scene, size: Size, split: Split, large: bool) -> tuple[Scene, list[Thing]]:
    """A hat or glasses on somebody."""
    safe: Split = "held_out" if split == "held_out" else "train"
    wide = min(1.0, (size[0] / size[1]) ** 0.5)
    person = draw_person(rng, scene, size, safe, rng.uniform(0.3, 0.7), rng.uniform(0.8 if large else 0.6, 0.95) * wide)
    kinds = ("glasses",) if rng.random() < 0.4 and without_glasses(person) else ("hat",)
    item = wear(person, rng.choice(sprites_of(split, kinds)), rng, size)
    return scene, [replace(person, in_plate=True), item]


def without_glasses(person: Thing) -> bool:
    return person.look is not None and identity_rows()[person.look.identity]["glasses"] == "none"


def chest(person: Thing, size: Size) -> tuple[float, float, float]:
    """Centre and width of the part of a shirt that can be printed on, fractions of the picture."""
    assert person.look is not None
    left, top, right, bottom = extent(person.look)
    box = compose.thing_box(person, size)
    scale = person.width / (right - left)
    centre = HEADS[identity_rows()[person.look.identity]["set"]][0]
    x = box[0] / size[1] + ((-centre + right) if person.flip else (centre - left)) * scale
    return x, box[3] / size[0] - 0.25 * scale * size[1] / size[0], scale


def plan_print(rng: random.Random, scene: Scene, size: Size, split: Split, large: bool) -> tuple[Scene, list[Thing]]:
    """The object as a mark on a shirt, a mug, a sign or the wall, taking over the surface's shading."""
    mark = replace(draw_item(rng, split, tilt=0.2), shadow="none", printed=True)
    safe: Split = "held_out" if split == "held_out" else "train"
    surface = rng.choice(("shirt", "mug", "sign", "wall") if scene.kind in INDOOR else ("shirt", "sign"))
    if surface == "shirt" and scene.kind != "shelf":
        wide = min(1.0, (size[0] / size[1]) ** 0.5)
        person = draw_person(rng, scene, size, safe, rng.uniform(0.4, 0.6), rng.uniform(1.3, 1.75) * wide)
        lift = 0.02 if rng.random() < 0.5 else 0.0
        person = replace(person, y=person.y - lift)
        x, y, scale = chest(person, size)
        width = min(0.46 * scale, 0.34 * scale * size[1] / size[0] / shape(mark, size))
        return scene, [replace(person, in_plate=True), replace(mark, x=x, y=y, width=width)]
    if surface in PROPS:
        return scene, print_on_prop(rng, scene, size, mark, surface, large)
    width = limit(mark, draw_scale(rng, large), size, 0.85 * scene.horizon)
    tall = width * shape(mark, size)
    x, y = rng.uniform(width / 2, 1 - width / 2), rng.uniform(tall / 2, max(tall / 2, scene.horizon - tall / 2))
    return scene, [replace(mark, x=x, y=y, width=width)]


def print_on_prop(rng: random.Random, scene: Scene, size: Size, mark: Thing, name: str, large: bool) -> list[Thing]:
    """A mug or a sign in the scene, and the mark on it."""
    prop = Thing(
        sprite=prop_index(name), colour=rng.choice(WALL_COLOURS) if name == "mug" and rng.random() < 0.6 else None
    )
    width = limit(prop, rng.uniform(0.55 if large else 0.35, 0.75), size, 0.8)
    prop = stand(prop, rng.uniform(0.3, 0.7), ground_line(rng, scene), width, size)
    box = compose.thing_box(prop, size)
    # the printable part of each prop, as fractions of its box
    cx, cy, room_x, room_y = (0.385, 0.56, 0.40, 0.50) if name == "mug" else (0.50, 0.365, 0.62, 0.52)
    tall, wide = (box[3] - box[1]) / size[0], (box[2] - box[0]) / size[1]
    width = min(room_x * wide, room_y * tall / shape(mark, size)) * rng.uniform(0.8, 1.0)
    x, y = box[0] / size[1] + cx * wide, box[1] / size[0] + cy * tall
    return [replace(prop, in_plate=True), replace(mark, x=x, y=y, width=width)]


PLANNERS = {"place": plan_place, "behind": plan_behind, "wear": plan_wear, "print": plan_print, "style": plan_place}


def caption(rng: random.Random, kind: str, scene: Scene, things: list[Thing]) -> str:
    """A caption of the fused picture."""
    item, others = thing_phrase(things[-1]), things[:-1]
    if kind == "wear":
        assert others[0].look is not None
        noun = identity_rows()[others[0].look.identity]["noun"]
        core = f"a {noun} wearing {item}"
    elif kind == "print":
        core = f"{item} printed on {surface_phrase(things, scene.style in GREY_STYLES)}"
    else:
        core = item
    return fix_articles(dress(rng, scene, core, terse=rng.random() < 0.4))


def surface_phrase(things: list[Thing], grey: bool) -> str:
    """What a mark is printed on."""
    if len(things) == 1:
        return "a wall"
    below = things[0]
    if below.look is not None:
        return "a shirt" if grey else with_article(f"{below.look.clothes_colour} shirt", "")
    name = PROPS[below.sprite - prop_index(PROPS[0])]
    return with_article(f"{below.colour} {name}" if below.colour and not grey else name, "")


def plan_fusion(rng: random.Random, size: Size, split: Split, large: bool, kinds: tuple[str, ...]) -> tuple[str, Plan]:
    """One fusion: its kind and its plan; the object is the plan's last thing."""
    kind = rng.choices(kinds, [KIND_WEIGHTS[KINDS.index(k)] for k in kinds])[0]
    scene = draw_scene(rng, styled=False)
    if kind == "style":
        scene = replace(scene, style=rng.choice(STYLE_NAMES[1:]), light=draw_light(rng))
    if kind == "wear" and scene.kind == "shelf":
        scene = replace(scene, kind="room")
    scene, things = PLANNERS[kind](rng, scene, size, split, large)
    item = things[-1]
    written = rng.random() < 0.3
    if written and scene.style not in GREY_STYLES and (rng.random() < 0.5 or split == "combos"):
        things[-1] = replace(item, colour=draw_colour(rng, item.sprite, scene, split))
    return kind, Plan(scene, tuple(things), caption(rng, kind, scene, things) if written else "")


def upload(rng: random.Random, item: Thing, size: Size) -> Thing:
    """The object alone on its canvas, 40 to 90 % of it, in its own colours."""
    tall = shape(item, size)
    fill = rng.uniform(0.40, 0.90)
    width = min(fill, fill / tall)
    high = width * tall
    x, y = (0.5 + rng.uniform(-0.5, 0.5) * (0.98 - span) for span in (width, high))
    return replace(item, colour=None, x=x, y=y, width=width, printed=False)


def fusion(
    count: int,
    size: Size = (128, 128),
    seed: int | torch.Generator = 0,
    split: Split = "train",
    device: torch.device | str = "cpu",
    large: bool = False,
    kinds: tuple[str, ...] = KINDS,
) -> FusionBatch:
    """``count`` fusion samples; ``large`` draws placements of 0.4 to 0.7 only (an easier start)."""
    rng = seeded(seed)
    planned = [plan_fusion(rng, size, split, large, kinds) for _ in range(count)]
    plans = [plan for _, plan in planned]
    items = [plan.things[-1] for plan in plans]
    uploads = [upload(rng, item, size) for item in items]
    drawn = compose.draw(plans, size, device)
    where = torch.device(device)
    last = torch.tensor([len(plan.things) - 1 for plan in plans]).to(where)
    rows = torch.arange(count, device=where)
    pixels = draw_uploads(uploads, size, where)
    classes = [nouns().index(sprite_rows()[t.sprite]["noun"]) for t in items]
    return FusionBatch(
        foreground=straighten(pixels),
        background=drawn.plate,
        fused=drawn.image,
        placement=torch.tensor([[t.x, t.y, t.width, 0.0] for t in items]).to(where),
        box_fg=torch.tensor([compose.thing_box(t, size) for t in uploads]).to(where),
        box=drawn.boxes[rows, last],
        mask=drawn.alpha[rows, last][:, None],
        kinds=torch.tensor([KINDS.index(kind) for kind, _ in planned]).to(where),
        objects=torch.tensor(classes).to(where),
        colours=torch.tensor([COLOUR_NAMES.index(t.colour) if t.colour else -1 for t in items]).to(where),
        captions=tuple(plan.caption for plan in plans),
        plans=tuple(plans),
    )


@torch.no_grad()
def draw_uploads(things: list[Thing], size: Size, device: torch.device) -> Tensor:
    """Premultiplied canvases (B, 4, H, W), a few at a time."""
    step = max(1, (8 if device.type == "cpu" else 256) * 128 * 128 // (size[0] * size[1]))
    return torch.cat([compose.draw_unlit(things[i : i + step], size, device) for i in range(0, len(things), step)])


@torch.no_grad()
def paste(batch: FusionBatch) -> Tensor:
    """The raw paste (B, 3, H, W): the uploaded pixels moved box to box over the background, nothing else."""
    count, _, height, width = batch.foreground.shape
    a, b = batch.box_fg, batch.box
    scale = (a[:, 2:] - a[:, :2]) / (b[:, 2:] - b[:, :2])
    size = scale.new_tensor([width, height])
    shift = a[:, :2] - b[:, :2] * scale
    theta = scale.new_zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = scale[:, 0], scale[:, 1]
    theta[:, :, 2] = scale + 2 * shift / size - 1
    alpha = batch.foreground[:, 3:]
    solid = torch.cat([batch.foreground[:, :3] * alpha, alpha], 1)
    grid = torch.nn.functional.affine_grid(theta, list(solid.shape), align_corners=False)
    moved = torch.nn.functional.grid_sample(solid, grid, align_corners=False)
    return batch.background * (1 - moved[:, 3:]) + moved[:, :3]
