"""Captioned scenes: one to four things with masks, boxes, layer texts and labels."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from . import compose
from .assets import nouns, sprite_rows
from .grammar import finish
from .layout import draw_object, draw_occluder, draw_person, draw_scene, hold, place_objects, wear
from .people import attributes
from .plan import Plan, Scene, Size, Split, Thing
from .splits import sprites_of
from .words import COLOUR_NAMES, GREY_STYLES, SCENE_NAMES, STYLE_NAMES

MAX_LAYERS = 5


@dataclass(frozen=True)
class SceneBatch:
    """Captioned scenes; pictures float32 in 0..1, boxes in pixels (x0, y0, x1, y1), unclipped.

    ``image``, ``plate`` (B, 3, H, W): the scene and the same place without its things.
    ``masks`` (B, L, H, W): what is visible of each thing after occlusion, back to front; soft at the edges.
    ``boxes`` (B, L, 4) whole tight boxes; ``present`` (B, L) bool; ``front`` (B, H, W) the occluder's alpha.
    ``objects`` (B, L): index in ``nouns()``, -1 a person, -2 absent. ``colours`` (B, L): index in ``COLOUR_NAMES``, the
    natural colour where nothing was painted; -1 unknown, or in a style without colours. ``people`` (B, L, 6): hair
    style, hair colour, skin, facial hair, eyewear, noun, all -1 for objects. ``kinds``, ``styles`` (B,).
    ``captions``; ``texts`` and ``spans`` per layer (character offsets in the caption). ``plans`` can be drawn again.
    """

    image: Tensor
    plate: Tensor
    masks: Tensor
    boxes: Tensor
    present: Tensor
    front: Tensor
    objects: Tensor
    colours: Tensor
    people: Tensor
    kinds: Tensor
    styles: Tensor
    captions: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    spans: tuple[tuple[tuple[int, int], ...], ...]
    plans: tuple[Plan, ...]


def seeded(seed: int | torch.Generator) -> random.Random:
    """The stream of decisions behind a batch; a generator is advanced by one draw."""
    if isinstance(seed, torch.Generator):
        seed = int(torch.randint(2**62, (1,), generator=seed).item())
    return random.Random(seed)


def plan_objects(rng: random.Random, scene: Scene, size: Size, split: Split, count: int) -> list[Thing]:
    """Objects with different nouns; "combos" gives the first one a combination that training never sees."""
    things: list[Thing] = []
    names: set[str] = set()
    coloured = 0.0 if scene.style in GREY_STYLES else 0.45
    for i in range(count):
        own: Split = "train" if split == "combos" and i else split
        thing = draw_object(rng, scene, own, 1.0 if own == "combos" else coloured, names)
        while own == "combos" and thing.colour is None:
            thing = draw_object(rng, scene, own, 1.0, names)
        names.add(sprite_rows()[thing.sprite]["noun"])
        things.append(thing)
    return place_objects(rng, scene, things, size)


def plan_portrait(rng: random.Random, scene: Scene, size: Size, split: Split) -> list[Thing]:
    """One or two people, perhaps with something in front of them."""
    pair, coloured = rng.random() < 0.3, 0.0 if scene.style in GREY_STYLES else 0.4
    wide = min(1.0, (size[0] / size[1]) ** 0.5)
    spots = [(0.28, 0.62), (0.72, 0.62)] if pair else [(rng.uniform(0.35, 0.65), rng.uniform(0.7, 1.0))]
    people = [
        draw_person(rng, scene, size, split, x + rng.uniform(-0.04, 0.04), w * rng.uniform(0.9, 1.05) * wide)
        for x, w in spots
    ]
    if rng.random() < 0.35:
        item = draw_object(rng, scene, "train" if split == "combos" else split, coloured, set())
        people.append(hold(people[-1], replace(item, shadow="none"), rng, size))
    elif rng.random() < 0.2:
        who = people[-1]
        pool = sprites_of("held_out" if split == "held_out" else "train", ("hat",))
        people.append(wear(who, rng.choice(pool), rng, size))
    return people


def plan_scene(
    rng: random.Random,
    size: Size,
    split: Split = "train",
    people: float = 0.25,
    kinds: tuple[str, ...] = SCENE_NAMES,
    styled: bool = True,
    counts: tuple[int, ...] = (1, 1, 1, 2, 2, 2, 3, 4),
) -> Plan:
    """One captioned scene; ``people`` is the share of portraits."""
    scene = draw_scene(rng, kinds, styled)
    if split == "combos" and scene.style in GREY_STYLES:
        scene = replace(scene, style="day")
    if rng.random() < people and scene.kind != "shelf":
        things = plan_portrait(rng, scene, size, split)
        return finish(rng, scene, things, list(range(len(things))))
    things = plan_objects(rng, scene, size, split, rng.choice(counts))
    if len(things) == 1 and rng.random() < 0.12 and scene.kind != "shelf":
        scene = replace(scene, occluder=draw_occluder(rng, things[0], size))
    return finish(rng, scene, things)


def labels(plans: list[Plan], layers: int) -> dict[str, Tensor]:
    """Label tensors of planned scenes; see ``SceneBatch``."""
    objects = torch.full((len(plans), layers), -2)
    colours = torch.full((len(plans), layers), -1)
    people = torch.full((len(plans), layers, 6), -1)
    for b, plan in enumerate(plans):
        for k, thing in enumerate(plan.things):
            objects[b, k] = -1 if thing.look else nouns().index(sprite_rows()[thing.sprite]["noun"])
            if thing.look:
                people[b, k] = torch.tensor(attributes(thing.look.identity))
            else:
                word = thing.colour or sprite_rows()[thing.sprite]["colour"]
                word = None if plan.scene.style in GREY_STYLES else word
                colours[b, k] = COLOUR_NAMES.index(word) if word else -1
    kinds = torch.tensor([SCENE_NAMES.index(p.scene.kind) for p in plans])
    styles = torch.tensor([STYLE_NAMES.index(p.scene.style) for p in plans])
    return {"objects": objects, "colours": colours, "people": people, "kinds": kinds, "styles": styles}


def draw_scenes(plans: list[Plan], size: Size, device: torch.device | str = "cpu") -> SceneBatch:
    """Draw captioned plans."""
    drawn = compose.draw(plans, size, device)
    layers = drawn.alpha.shape[1]
    known = {k: v.to(device) for k, v in labels(plans, layers).items()}
    return SceneBatch(
        image=drawn.image,
        plate=drawn.plate,
        masks=drawn.alpha,
        boxes=drawn.boxes,
        present=known["objects"] > -2,
        front=drawn.front,
        captions=tuple(p.caption for p in plans),
        texts=tuple(p.texts for p in plans),
        spans=tuple(p.spans for p in plans),
        plans=tuple(plans),
        **known,
    )


def scenes(
    count: int,
    size: Size = (128, 128),
    seed: int | torch.Generator = 0,
    split: Split = "train",
    device: torch.device | str = "cpu",
    people: float = 0.25,
    kinds: tuple[str, ...] = SCENE_NAMES,
    styled: bool = True,
    counts: tuple[int, ...] = (1, 1, 1, 2, 2, 2, 3, 4),
) -> SceneBatch:
    """``count`` captioned scenes; ``split="combos"`` pairs training objects with colours and places never trained."""
    rng = seeded(seed)
    share = 0.0 if split == "combos" else people
    return draw_scenes([plan_scene(rng, size, split, share, kinds, styled, counts) for _ in range(count)], size, device)


def captions(count: int, seed: int = 0, split: Split = "train") -> list[str]:
    """Captions alone, for tokenizers; nothing is drawn."""
    rng = seeded(seed)
    return [plan_scene(rng, (128, 128), split).caption for _ in range(count)]


@torch.no_grad()
def layer_canvases(batch: SceneBatch) -> Tensor:
    """The unlit things in place, straight alpha: (B, L, 4, H, W), zeros where absent."""
    size = (batch.image.shape[2], batch.image.shape[3])
    out = batch.image.new_zeros(*batch.masks.shape[:2], 4, *size)
    rows = [(b, k, t) for b, p in enumerate(batch.plans) for k, t in enumerate(p.things)]
    pixels = compose.draw_unlit([t for _, _, t in rows], size, batch.image.device)
    out[torch.tensor([b for b, _, _ in rows]), torch.tensor([k for _, k, _ in rows])] = straighten(pixels)
    return out


def straighten(pixels: Tensor) -> Tensor:
    """Premultiplied RGBA (..., 4, H, W) -> straight; colour is white where nothing is."""
    alpha = pixels[..., 3:, :, :]
    rgb = torch.where(alpha > 1e-3, pixels[..., :3, :, :] / alpha.clamp(min=1e-3), torch.ones_like(alpha))
    return torch.cat([rgb.clamp(0, 1), alpha], -3)


@torch.no_grad()
def layer_crops(batch: SceneBatch, side: int = 64) -> Tensor:
    """The unlit things cut to a square around their boxes, straight alpha: (B, L, 4, side, side)."""
    out = batch.image.new_zeros(*batch.masks.shape[:2], 4, side, side)
    rows = [(b, k, t) for b, p in enumerate(batch.plans) for k, t in enumerate(p.things)]
    whole = [fill_square(t, side) for _, _, t in rows]
    pixels = compose.draw_unlit(whole, (side, side), batch.image.device)
    out[torch.tensor([b for b, _, _ in rows]), torch.tensor([k for _, k, _ in rows])] = straighten(pixels)
    return out


def fill_square(thing: Thing, side: int, fill: float = 0.94) -> Thing:
    """The thing centred in a square canvas, its longer side ``fill`` of it."""
    box = compose.thing_box(replace(thing, width=1.0), (side, side))
    return replace(thing, x=0.5, y=0.5, width=fill / max(1.0, (box[3] - box[1]) / side))
