"""Identity samples for the face method: references of a person, and that person in a described scene."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from . import compose
from .assets import identity_rows, nouns, sprite_rows
from .captioned import seeded
from .grammar import dress, fix_articles, thing_phrase
from .layout import draw_scene, hold, place_person, wear
from .people import attributes, change_clothes, clothes_phrase, draw_look, eyewear
from .plan import Look, Plan, Scene, Size, Split, Thing
from .splits import sprites_of
from .words import (
    COLOUR_NAMES,
    EXPRESSIONS,
    GREY_STYLES,
    MARKER,
    SCENE_NAMES,
    STYLE_NAMES,
    join_list,
    with_article,
)

KINDS = tuple(k for k in SCENE_NAMES if k != "shelf")


@dataclass(frozen=True)
class FaceBatch:
    """People of known identity; pictures float32 in 0..1, boxes in pixels, K subject slots per picture.

    ``references`` (B, K, 3, R, R) and ``reference_masks`` (B, K, 1, R, R): another picture of each subject (other
    clothes, expression, light and background; a third with noise for a background); zeros where absent.
    ``image`` (B, 3, H, W); ``masks`` (B, K, H, W) visible people; ``boxes`` (B, K, 4) unclipped.
    ``subjects`` (B,); ``identities`` (B, K) -1 absent; ``attributes`` (B, K, 6) as in ``SceneBatch.people``.
    ``clothes``, ``expressions`` (B, K): index of the colour word and of the expression, -1 absent; ``named`` (B, K, 2)
    bool: whether the prompt says them. ``extras`` (B, K): noun index of what is worn or held, -1 none.
    ``kinds``, ``styles`` (B,). ``prompts`` hold "<|image|>" after each subject's noun, left to right in slot order;
    ``captions`` are the same without it.
    """

    references: Tensor
    reference_masks: Tensor
    image: Tensor
    masks: Tensor
    boxes: Tensor
    subjects: Tensor
    identities: Tensor
    attributes: Tensor
    clothes: Tensor
    expressions: Tensor
    named: Tensor
    extras: Tensor
    kinds: Tensor
    styles: Tensor
    prompts: tuple[str, ...]
    captions: tuple[str, ...]
    plans: tuple[Plan, ...]


@dataclass(frozen=True)
class Subject:
    """One person of a face sample: the placed bust, what it wears or holds, and the words said about it."""

    person: Thing
    extra: Thing | None
    phrase: str
    says_clothes: bool
    says_expression: bool


def draw_subject(
    rng: random.Random, scene: Scene, look: Look, size: Size, x: float, width: float, safe: Split
) -> Subject:
    """Place one person, dress the prompt, perhaps add a hat, glasses or something in front."""
    person = place_person(rng, look, size, x, width, scene)
    noun = identity_rows()[look.identity]["noun"] if rng.random() < 0.9 else "person"
    says_expression, says_clothes = rng.random() < 0.35, rng.random() < 0.6
    lead = f"{EXPRESSIONS[look.expression]} {noun}" if says_expression else noun
    clauses: list[str] = []
    extra = None
    if says_clothes:
        clauses.append(f"wearing {clothes_phrase(look, scene.style in GREY_STYLES)}")
    chance = rng.random()
    if chance < 0.15:
        worn = ("hat", "glasses") if eyewear(look.identity) == "none" else ("hat",)
        extra = wear(person, rng.choice(sprites_of(safe, worn)), rng, size)
        clauses.append(f"wearing {thing_phrase(extra)}")
    elif chance < 0.35:
        extra = hold(person, Thing(sprite=rng.choice(sprites_of(safe)), shadow="none"), rng, size)
        clauses.append(f"holding {thing_phrase(extra)}")
    phrase = f"{with_article(lead, '')} {MARKER} {' and '.join(clauses)}".strip()
    return Subject(person, extra, phrase, says_clothes, says_expression)


def plan_face(rng: random.Random, size: Size, split: Split, pair: bool) -> tuple[Plan, list[Subject], str]:
    """One picture of one or two people, left to right."""
    safe: Split = "held_out" if split == "held_out" else "train"
    scene = draw_scene(rng, KINDS)
    looks = [draw_look(rng, safe)]
    while pair and len(looks) < 2:
        other = draw_look(rng, safe)
        if attributes(other.identity) != attributes(looks[0].identity):
            looks.append(other)
    wide = min(1.0, (size[0] / size[1]) ** 0.5)
    spots = [0.27, 0.73] if pair else [rng.uniform(0.35, 0.65)]
    people = []
    for look, spot in zip(looks, spots, strict=True):
        width = rng.uniform(0.56, 0.66) if pair else rng.uniform(0.65, 1.05)
        people.append(draw_subject(rng, scene, look, size, spot + rng.uniform(-0.03, 0.03), width * wide, safe))
    things = [s.person for s in people] + [s.extra for s in people if s.extra is not None]
    prompt = fix_articles(dress(rng, scene, join_list([s.phrase for s in people]), terse=rng.random() < 0.3))
    return Plan(scene, tuple(things), prompt), people, prompt


def plan_reference(rng: random.Random, look: Look, side: int) -> Plan:
    """Another picture of the same person, alone and large."""
    scene = draw_scene(rng, ("studio", "studio", "room", "meadow", "beach"), styled=False)
    again = change_clothes(rng, look.identity)
    person = place_person(rng, again, (side, side), rng.uniform(0.42, 0.58), rng.uniform(0.85, 1.15), scene)
    return Plan(replace(scene, style="day"), (person,))


def draw_references(
    rng: random.Random, people: list[list[Subject]], slots: int, side: int, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """References and their masks, (B, K, 3, R, R) and (B, K, 1, R, R)."""
    where = [(b, k) for b, row in enumerate(people) for k in range(len(row))]
    looks = [subject.person.look for row in people for subject in row]
    plans = [plan_reference(rng, look, side) for look in looks if look is not None]
    drawn = compose.draw(plans, (side, side), device)
    alpha = drawn.alpha[:, :1]
    generator = torch.Generator().manual_seed(rng.randrange(2**62))
    static = torch.rand(drawn.image.shape, generator=generator).to(drawn.image.device)
    noisy = (torch.rand(len(plans), 1, 1, 1, generator=generator) < 0.33).float().to(drawn.image.device)
    lone = drawn.image * alpha + static * (1 - alpha)
    pictures = drawn.image + (lone - drawn.image) * noisy
    rows, columns = (torch.tensor([w[i] for w in where]).to(drawn.image.device) for i in (0, 1))
    references = pictures.new_zeros(len(people), slots, 3, side, side)
    masks = pictures.new_zeros(len(people), slots, 1, side, side)
    references[rows, columns], masks[rows, columns] = pictures, alpha
    return references, masks


def subject_labels(people: list[list[Subject]], slots: int) -> dict[str, Tensor]:
    """Label tensors of the subjects; see ``FaceBatch``."""
    out = {name: torch.full((len(people), slots), -1) for name in ("identities", "clothes", "expressions", "extras")}
    out["attributes"] = torch.full((len(people), slots, 6), -1)
    out["named"] = torch.zeros(len(people), slots, 2, dtype=torch.bool)
    for b, row in enumerate(people):
        for k, subject in enumerate(row):
            look = subject.person.look
            assert look is not None
            out["identities"][b, k] = look.identity
            out["attributes"][b, k] = torch.tensor(attributes(look.identity))
            out["clothes"][b, k] = COLOUR_NAMES.index(look.clothes_colour)
            out["expressions"][b, k] = tuple(EXPRESSIONS).index(look.expression)
            out["named"][b, k] = torch.tensor([subject.says_clothes, subject.says_expression])
            if subject.extra is not None:
                out["extras"][b, k] = nouns().index(sprite_rows()[subject.extra.sprite]["noun"])
    return out


def faces(
    count: int,
    size: Size = (128, 128),
    seed: int | torch.Generator = 0,
    split: Split = "train",
    device: torch.device | str = "cpu",
    pairs: float = 0.3,
    reference_side: int = 128,
) -> FaceBatch:
    """``count`` identity samples; ``pairs`` is the share with two people. Every tensor has two subject slots."""
    rng = seeded(seed)
    planned = [plan_face(rng, size, split, rng.random() < pairs) for _ in range(count)]
    plans, people = [p[0] for p in planned], [p[1] for p in planned]
    drawn = compose.draw(plans, size, device)
    references, reference_masks = draw_references(rng, people, 2, reference_side, device)
    subjects = torch.tensor([len(row) for row in people]).to(device)
    present = torch.arange(2, device=subjects.device)[None] < subjects[:, None]
    pad = max(0, 2 - drawn.alpha.shape[1])
    alpha = torch.nn.functional.pad(drawn.alpha, (0, 0, 0, 0, 0, pad))[:, :2]
    boxes = torch.nn.functional.pad(drawn.boxes, (0, 0, 0, pad))[:, :2]
    prompts = tuple(p[2] for p in planned)
    return FaceBatch(
        references=references,
        reference_masks=reference_masks,
        image=drawn.image,
        masks=alpha * present[..., None, None],
        boxes=boxes * present[..., None],
        subjects=subjects,
        kinds=torch.tensor([SCENE_NAMES.index(p.scene.kind) for p in plans]).to(device),
        styles=torch.tensor([STYLE_NAMES.index(p.scene.style) for p in plans]).to(device),
        prompts=prompts,
        captions=tuple(" ".join(p.replace(MARKER, "").split()) for p in prompts),
        plans=tuple(plans),
        **{name: value.to(device) for name, value in subject_labels(people, 2).items()},
    )
