"""Drawn collages for the rows of Layer collage: an empty place and two to four things pasted into it unlit.

Two kinds. In `words` all things are trained, one of them in a combination of colour and place that no training picture
has: the judge can be asked for them. In `objects` no model saw any of the things, so that only a learned look can tell
what they are like. In both, one thing is to be kept as it is.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.cutouts import in_place_of_held_out
from models.collage.composing import Stack, compose
from models.collage.layers import GREY, Collage
from models.pixels import to_bytes
from training import judge, world
from training.scene_layers import collage
from training.world import captioned, compose as drawing, layout
from training.world.assets import sprite_rows
from training.world.plan import Plan, Split, Thing

KINDS: dict[str, Split] = {"words": "combos", "objects": "held_out"}
PLACES = ("room", "table", "studio", "shelf")  # walls and what stands before them
COUNTS = (2, 3, 4)
SEEN = 0.4  # of a thing's own pixels at least, and
LEAST = 0.01  # of the picture: what is smaller, nobody can name
KEPT = 0.5  # of a pixel: less of a layer than that is its edge

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


@dataclass(frozen=True, eq=False)
class Drawn:
    """A collage of a place and things, at one pixel of the models each.

    stack: its layers drawn. truth: (H, W, 3) uint8, the same scene with light and shadows. boxes, labels, names: of the
    things, which are layers 1 to n; labels are numbers of the judge's nouns. kept: the layer whose noise is 0.
    name: the unseen thing's, the nearest one's where there are several.
    """

    kind: str
    place: str
    collage: Collage
    stack: Stack
    truth: np.ndarray
    boxes: tuple[Box, ...]
    labels: tuple[int, ...]
    names: tuple[str, ...]
    kept: int
    name: str

    @property
    def kept_region(self) -> np.ndarray:
        """Bool (H, W): where the kept layer is seen."""
        region: np.ndarray = self.stack.visible[self.kept] > KEPT
        return region


def draw(count: int, seed: int, size: int, sprites: Path | None = None) -> list[Drawn]:
    """Collages of both kinds in turn, of unseen objects only where `sprites` are given; each from a seed of its own."""
    kinds = list(KINDS) if sprites is None else ["objects"]
    with in_place_of_held_out(sprites):
        return [draw_one(kinds[index % len(kinds)], size, _own(seed, index)) for index in range(count)]


def _own(seed: int, index: int) -> int:
    return int.from_bytes(hashlib.sha256(f"collage {seed} {index}".encode()).digest()[:6])


def draw_one(kind: str, size: int, seed: int) -> Drawn:
    """One collage on a square canvas of `size` pixels, of all of whose things enough is seen."""
    rng, square = random.Random(seed), (size, size)
    while True:
        scene = layout.draw_scene(rng, PLACES, styled=False)
        things = captioned.plan_objects(rng, scene, square, KINDS[kind], rng.choice(COUNTS))
        made = _with_kept(collage(scene, things, square, rng.randrange(2**30)), 1 + rng.randrange(len(things)))
        stack = compose(made)
        if _all_seen(stack):
            break
    lit = drawing.draw([Plan(scene, tuple(things))], square)
    names = tuple(_noun(thing) for thing in things)
    return Drawn(
        kind,
        scene.kind,
        made,
        stack,
        to_bytes(255 * lit.image[0].permute(1, 2, 0).numpy()),
        tuple((box[0], box[1], box[2], box[3]) for box in lit.boxes[0].tolist()),
        tuple(world.nouns().index(name) for name in names),
        names,
        next(k for k, layer in enumerate(made.layers) if layer.dials.noise == 0),
        next(_noun(t) for t in reversed(things) if kind == "objects" or _is_unseen(t, scene.kind)),
    )


def _with_kept(made: Collage, kept: int) -> Collage:
    layers = list(made.layers)
    layers[kept] = layers[kept].replace(dials=replace(layers[kept].dials, noise=0.0))
    return made.replace(layers=tuple(layers))


def _all_seen(stack: Stack) -> bool:
    own = (stack.drawn[1:, ..., 3] / 255).sum((1, 2))
    seen = stack.visible[1:].sum((1, 2))
    return bool((seen > SEEN * own).all() and (seen > LEAST * stack.flat[..., 0].size).all())


def _noun(thing: Thing) -> str:
    return str(sprite_rows()[thing.sprite]["noun"])


def _is_unseen(thing: Thing, place: str) -> bool:
    return thing.colour is not None and world.is_held_out_combination(_noun(thing), thing.colour, place)


# --- what a judge is asked


def crops(picture: np.ndarray, boxes: Sequence[Box]) -> torch.Tensor:
    """(N, 3, 64, 64) in 0..1: squares around boxes of a uint8 picture, as the judge learned to see them."""
    image = torch.tensor(picture).permute(2, 0, 1)[None].float() / 255
    return world.crop(image.expand(len(boxes), -1, -1, -1), torch.tensor(boxes), judge.JudgeConfig.side)


def alone(picture: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """A picture where a layer is seen (H, W) in 0..1, and grey elsewhere; uint8."""
    weight = visible[..., None]
    return to_bytes(picture * weight + np.array(GREY, np.float32) * (1 - weight))


@torch.inference_mode()
def ranks(model: judge.Judge, picture: np.ndarray, drawn: Drawn) -> list[int]:
    """For every thing: how many nouns the judge holds for likelier than its own where it lies."""
    logits = model(crops(picture, drawn.boxes))["object"]
    return [int((row > row[label]).sum()) for row, label in zip(logits, drawn.labels, strict=True)]


@torch.inference_mode()
def likeness(model: judge.Judge, picture: np.ndarray, drawn: Drawn) -> list[float]:
    """For every thing: the cosine of the judge's features between the picture and the layer, both only where the layer
    is seen."""
    found = []
    for visible, box in zip(drawn.stack.visible[1:], drawn.boxes, strict=True):
        pair = [crops(alone(shown, visible), [box]) for shown in (picture, drawn.stack.flat)]
        features = model.features(torch.cat(pair))
        found.append(float(torch.nn.functional.cosine_similarity(features[0], features[1], dim=0)))
    return found
