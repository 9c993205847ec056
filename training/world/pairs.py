"""Edits for prompt editing: two scenes that share everything but one thing, with both captions."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from . import compose
from .assets import identity_rows, sprite_rows
from .captioned import SceneBatch, draw_scenes, plan_objects, seeded
from .grammar import fix_articles, locate, scene_phrase, thing_text
from .layout import draw_person, draw_scene, place_objects, stand, wear
from .people import CLOTHES_OF, clothes_phrase, extent
from .plan import Look, Plan, Scene, Size, Split, Thing
from .splits import is_held_out_combination, sprites_of
from .words import (
    COLOUR_NAMES,
    EXPRESSIONS,
    MEADOWS,
    SCENE_NAMES,
    SKIES,
    STYLE_NAMES,
    STYLES,
    WALL_COLOURS,
    join_list,
    with_article,
)

KINDS = ("swap", "recolour", "add", "remove", "restyle", "background", "place", "clothes", "expression", "wear")
KIND_WEIGHTS = (5, 5, 3, 3, 3, 3, 3, 2, 1, 1)
FLAT = tuple(k for k in SCENE_NAMES if k != "shelf")  # kinds that share one ground line

Sides = tuple[Scene, list[Thing], Scene, list[Thing]]  # before, after


@dataclass(frozen=True)
class EditBatch:
    """Pairs of scenes. ``source`` and ``target`` are scene batches with the shared caption wording.

    ``region`` (B, 1, H, W) float 0..1: where the edit acts (the edited thing before and after; everything but the
    things when the background changes; everything when the style does). ``changed`` (B, 1, H, W) bool: pixels that
    differ by more than 2 %, shadows included. ``kinds`` (B,) index in ``EDIT_KINDS``; ``edited`` (B,) slot of the
    edited thing in the batch that has it (the target, but the source for "remove"), -1 for scene edits.
    """

    source: SceneBatch
    target: SceneBatch
    region: Tensor
    changed: Tensor
    kinds: Tensor
    edited: Tensor


def edit_swap(rng: random.Random, scene: Scene, things: list[Thing], slot: int, size: Size) -> Sides:
    old = things[slot]
    pool = sprites_of("held_out" if old.sprite in sprites_of("held_out") else "train")
    taken = {sprite_rows()[t.sprite]["noun"] for t in things}
    rows = [(s, sprite_rows()[s]) for s in pool]
    sprite = rng.choice([s for s, row in rows if row["noun"] not in taken and row["kind"] != "air"])
    base = compose.thing_box(old, size)[3] / size[0]
    new = stand(replace(old, sprite=sprite), old.x, base, old.width, size)
    return scene, things, scene, [*things[:slot], new, *things[slot + 1 :]]


def edit_recolour(rng: random.Random, scene: Scene, things: list[Thing], slot: int, size: Size) -> Sides:
    old = things[slot]
    banned = (old.colour, sprite_rows()[old.sprite]["colour"])
    new = replace(old, colour=rng.choice([c for c in COLOUR_NAMES if c not in banned]))
    return scene, things, scene, [*things[:slot], new, *things[slot + 1 :]]


def edit_add(rng: random.Random, scene: Scene, things: list[Thing], slot: int, size: Size) -> Sides:
    return scene, things[:slot] + things[slot + 1 :], scene, things


def edit_remove(rng: random.Random, scene: Scene, things: list[Thing], slot: int, size: Size) -> Sides:
    return scene, things, scene, things[:slot] + things[slot + 1 :]


def edit_restyle(rng: random.Random, scene: Scene, things: list[Thing], slot: int, size: Size) -> Sides:
    return scene, things, replace(scene, style=rng.choice(STYLE_NAMES[1:])), things


def edit_background(rng: random.Random, scene: Scene, things: list[Thing], slot: int, size: Size) -> Sides:
    """Another colour of the wall, floor, sky or meadow."""
    if scene.kind == "studio":
        colour = rng.choice([c for c in WALL_COLOURS if c != scene.back])
        return scene, things, replace(scene, back=colour, ground=colour), things
    if scene.kind in ("room", "table", "meadow") and rng.random() < 0.5:
        palette = MEADOWS if scene.kind == "meadow" else WALL_COLOURS
        colour = rng.choice([c for c in palette if c not in (scene.ground, scene.back)])
        return scene, things, replace(scene, ground=colour), things
    palette = WALL_COLOURS if scene.kind in ("room", "table") else SKIES
    colour = rng.choice([c for c in palette if c not in (scene.ground, scene.back)])
    return scene, things, replace(scene, back=colour), things


def edit_place(rng: random.Random, scene: Scene, things: list[Thing], slot: int, size: Size) -> Sides:
    """The same things somewhere else."""
    other = draw_scene(rng, tuple(k for k in FLAT if k != scene.kind), styled=False)
    return scene, things, replace(other, horizon=scene.horizon, light=scene.light), things


def edit_person(rng: random.Random, kind: str, scene: Scene, person: Thing, size: Size, objects: Split) -> Sides:
    """Other clothes, another expression, or a hat."""
    look = person.look
    assert look is not None
    if kind == "wear":
        pool = sprites_of(objects, ("hat",))
        return scene, [person], scene, [person, wear(person, rng.choice(pool), rng, size)]
    new: Look
    if kind == "expression":
        new = replace(look, expression=rng.choice([e for e in EXPRESSIONS if e != look.expression]))
    else:
        style = identity_rows()[look.identity]["set"]
        clothes = rng.choice(CLOTHES_OF[style]) if rng.random() < 0.3 else look.clothes
        colour = rng.choice([c for c in WALL_COLOURS if c != look.clothes_colour])
        new = replace(look, clothes=clothes, clothes_colour=colour)
    return scene, [person], scene, [same_head(person, new, size)]


def same_head(person: Thing, look: Look, size: Size) -> Thing:
    """Another look of a person with the head where it was, although clothes change the width of the bust."""
    assert person.look is not None
    old, new = extent(person.look), extent(look)
    if person.flip:
        old, new = (-old[2], old[1], -old[0], old[3]), (-new[2], new[1], -new[0], new[3])
    scale = person.width / (old[2] - old[0])
    x = person.x + scale * (new[0] + new[2] - old[0] - old[2]) / 2
    y = person.y + scale * (new[1] + new[3] - old[1] - old[3]) / 2 * size[1] / size[0]
    return replace(person, look=look, x=x, y=y, width=scale * (new[2] - new[0]))


EDITS = {
    "swap": edit_swap, "recolour": edit_recolour, "add": edit_add, "remove": edit_remove, "restyle": edit_restyle,
    "background": edit_background, "place": edit_place,
}  # fmt: skip


def word_thing(thing: Thing, feature: str) -> tuple[str, str]:
    """(layer text, phrase) of a thing, always in the same words, so that both captions stay aligned."""
    if thing.look is None:
        text = thing_text(thing)
        return text, with_article(text, str(sprite_rows()[thing.sprite]["noun"]))
    noun = identity_rows()[thing.look.identity]["noun"]
    text = f"{EXPRESSIONS[thing.look.expression]} {noun}" if feature == "expression" else noun
    worn = f" wearing {clothes_phrase(thing.look)}" if feature == "clothes" else ""
    return text, with_article(text, "") + worn


def word_scene(scene: Scene, things: list[Thing], feature: str, wording: int) -> Plan:
    """A plan with the caption of one side; ``wording`` fixes every free choice of words."""
    texts, phrases = zip(*(word_thing(t, feature) for t in things), strict=True)
    core = " wearing ".join(phrases) if feature == "wear" else join_list(list(phrases))
    where = scene_phrase(random.Random(wording), scene)
    prefix, suffix = STYLES[scene.style]
    caption = fix_articles(f"{prefix}{core} {where}{suffix}")
    return Plan(scene, tuple(things), caption, texts, locate(caption, list(texts)))


def fits(plan: Plan, want: bool) -> bool:
    """Whether any painted thing is (``want``) or none is (not ``want``) a held-out combination."""
    painted = [(sprite_rows()[t.sprite]["noun"], t.colour) for t in plan.things if t.look is None and t.colour]
    return any(is_held_out_combination(noun, colour, plan.scene.kind) for noun, colour in painted) == want


def try_edit(rng: random.Random, kind: str, size: Size, split: Split) -> tuple[Plan, Plan, int]:
    """One edit before the split's rule is checked: both sides and the edited slot."""
    objects: Split = "held_out" if split == "held_out" else "train"
    scene = draw_scene(rng, FLAT, styled=False)
    if kind in ("clothes", "expression", "wear"):
        wide = min(1.0, (size[0] / size[1]) ** 0.5)
        person = draw_person(rng, scene, size, objects, rng.uniform(0.35, 0.65), rng.uniform(0.7, 1.0) * wide)
        sides, slot = edit_person(rng, kind, scene, person, size, objects), 1 if kind == "wear" else 0
    else:
        count = rng.choice((2, 2, 3)) if kind in ("add", "remove") else rng.choice((1, 1, 2))
        things = plan_objects(rng, scene, size, objects, count)
        if all(sprite_rows()[t.sprite]["kind"] == "air" for t in things):
            things = place_objects(rng, scene, [replace(t, sprite=sprites_of(objects)[0]) for t in things[:1]], size)
        slot = rng.randrange(len(things))
        sides = EDITS[kind](rng, scene, things, min(slot, len(things) - 1), size)
        slot = -1 if kind in ("restyle", "background", "place") else slot
    wording = rng.randrange(2**30)
    before, after = (word_scene(s, t, kind, wording) for s, t in (sides[:2], sides[2:]))
    return before, after, slot


def plan_edit(rng: random.Random, kind: str, size: Size, split: Split) -> tuple[Plan, Plan, int]:
    """One edit that obeys the split; "combos" asks for a target that training never sees."""
    for _ in range(400):
        before, after, slot = try_edit(rng, kind, size, split)
        if fits(before, False) and fits(after, split == "combos") and before.things and after.things:
            return before, after, slot
    raise RuntimeError(f'Edit "{kind}" cannot reach a held-out combination; leave it out of `kinds`.')


def edits(
    count: int,
    size: Size = (128, 128),
    seed: int | torch.Generator = 0,
    split: Split = "train",
    device: torch.device | str = "cpu",
    kinds: tuple[str, ...] = KINDS,
) -> EditBatch:
    """``count`` edits. For ``split="combos"`` only "swap", "recolour" and "place" have targets."""
    rng = seeded(seed)
    allowed = tuple(k for k in kinds if split != "combos" or k in ("swap", "recolour", "place"))
    names = rng.choices(allowed, [KIND_WEIGHTS[KINDS.index(k)] for k in allowed], k=count)
    planned = [plan_edit(rng, name, size, split) for name in names]
    source = draw_scenes([p[0] for p in planned], size, device)
    target = draw_scenes([p[1] for p in planned], size, device)
    edited = torch.tensor([p[2] for p in planned]).to(device)
    rows = enumerate(zip(names, planned, strict=True))
    region = torch.stack([edit_region(source, target, i, name, plan[2]) for i, (name, plan) in rows])
    changed = (source.image - target.image).abs().amax(1, keepdim=True) > 0.02
    indices = torch.tensor([KINDS.index(n) for n in names]).to(device)
    return EditBatch(source, target, region, changed, indices, edited)


def edit_region(source: SceneBatch, target: SceneBatch, row: int, kind: str, slot: int) -> Tensor:
    """Where one edit acts, (1, H, W)."""
    if kind == "restyle":
        return torch.ones_like(source.masks[row, :1])
    if slot < 0:
        return 1 - source.masks[row].sum(0, keepdim=True).clamp(0, 1)
    layers = []
    if kind not in ("add", "wear"):
        layers.append(source.masks[row, slot])
    if kind != "remove":
        layers.append(target.masks[row, slot])
    return torch.stack(layers).amax(0)[None]
