"""The masks' rows: unseen objects in drawn scenes, clicked and boxed as in the app, and GrabCut asked the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import measures
from benchmarks.contract import Measured, Row
from benchmarks.cutouts import in_place_of_held_out
from models import pixels, runtime
from models.contract import Preset
from models.cutout import Point
from models.segment import GRABCUT, SegmentRequest
from training import world

LEAST = 200  # cases of a committed table
SEEN = 0.005  # of the picture: a thing of which less is seen is not asked for
DEEP = 0.5  # of the greatest distance to the edge: nobody clicks on the rim
AWAY = 0.03  # of the picture's side: how far outside the object the excluding click lies

ROWS = (
    Row(
        "click",
        "IoU of one click",
        "",
        "click_ours",
        floor=0.80,
        aim=0.90,
        beside={"GrabCut": "click_grabcut", "best of the three candidates": "click_best", "soft edges": "click_soft"},
    ),
    Row(
        "negative",
        "IoU of one click and one excluding click",
        "",
        "negative_ours",
        floor=0.85,
        aim=0.93,
        beside={"GrabCut": "negative_grabcut"},
    ),
    Row("box", "IoU of a box", "", "box_ours", floor=0.88, aim=0.95, beside={"GrabCut": "box_grabcut"}),
)
NOTE = (
    "The truth is what is seen of the object. Clicks are drawn before any model is asked, and GrabCut gets the same. "
    "Masks are hard, as the model gives them; soft edges are the page's default."
)


@dataclass(frozen=True)
class Case:
    """An object in a scene and what is asked about it: picture uint8 HxWx3, truth bool HxW, points and box in
    pixels."""

    image: np.ndarray
    truth: np.ndarray
    name: str
    groups: tuple[str, ...]
    click: Point
    negative: Point
    box: pixels.Box


def draw(count: int, seed: int, preset: Preset, sprites: Path | None) -> Sequence[Case]:
    """Objects that no model saw, at the preset's size: of each scene, from a seed of its own, every object in it."""
    cases: list[Case] = []
    with in_place_of_held_out(sprites):
        index = 0
        while len(cases) < count:
            own = int.from_bytes(hashlib.sha256(f"masks {seed} {index}".encode()).digest()[:6])
            cases += cases_of(world.scenes(1, (preset.size, preset.size), own, "held_out"), own)
            index += 1
    return cases[:count]


def cases_of(scene: world.SceneBatch, seed: int) -> list[Case]:
    """One case for each object of the one scene of a batch; people are in the way but are not asked for."""
    image = pixels.to_bytes(255 * scene.image[0].permute(1, 2, 0).numpy())
    seen = (scene.masks[0] > 0.5).numpy()  # (L, H, W)
    rng = np.random.default_rng(seed)
    cases = []
    for k, number in enumerate(scene.objects[0].tolist()):
        if number < 0 or seen[k].mean() < SEEN:
            continue
        others = np.asarray(np.delete(seen, k, 0).any(axis=0))
        left, top, right, bottom = measures.mask_box(seen[k]) or (0, 0, 0, 0)
        cases.append(
            Case(
                image=image,
                truth=seen[k],
                name=world.nouns()[number],
                groups=(_company(scene, k),),
                click=inner_point(seen[k], rng),
                negative=outer_point(seen[k], others, rng),
                box=(int(left), int(top), int(right), int(bottom)),
            )
        )
    return cases


def _company(scene: world.SceneBatch, k: int) -> str:
    if bool((scene.objects[0] == -1).any()):
        return "with a person"
    if bool(scene.front[0].any()):
        return "behind something"
    return "alone" if int(scene.present[0].sum()) == 1 else "among other objects"


def inner_point(mask: np.ndarray, rng: np.random.Generator) -> Point:
    """A pixel of a bool mask HxW well inside it: at least `DEEP` of its deepest pixel's distance from the edge."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return _any_of(depth >= DEEP * depth.max(), rng)


def outer_point(mask: np.ndarray, others: np.ndarray, rng: np.random.Generator) -> Point:
    """A pixel just outside a mask, `AWAY` from it: on or nearest to what else stands there, or anywhere around."""
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    away = AWAY * mask.shape[0]
    ring = (distance >= away) & (distance < away + 2)
    if not ring.any():
        ring = distance == distance.max()
    if others.any():
        reach = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        ring &= reach <= reach[ring].min()
    return _any_of(ring, rng)


def _any_of(region: np.ndarray, rng: np.random.Generator) -> Point:
    y, x = np.argwhere(region)[rng.integers(int(region.sum()))]
    return float(x), float(y)


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of a uint8 mask, cut at 128, with a bool one; 1 where both are empty."""
    inside = found >= 128
    union = int((inside | truth).sum())
    return float((inside & truth).sum()) / union if union else 1.0


def measure(case: Case, preset: Preset) -> Measured:
    """Ask the preset's model and GrabCut by a click, by two clicks and by a box, through the app's own runtime."""
    prompts: Mapping[str, dict[str, Any]] = {
        "click": {"points": (case.click,)},
        "negative": {"points": (case.click, case.negative), "labels": (1, 0)},
        "box": {"box": case.box},
    }
    found, masks = {}, {}
    for name, prompt in prompts.items():
        for who, model in (("ours", preset.name), ("grabcut", GRABCUT)):
            asked = SegmentRequest(image=case.image, soft_edges=False, model=model, **prompt)
            masks[f"{name}_{who}"] = runtime.segment(asked).mask
            found[f"{name}_{who}"] = iou(masks[f"{name}_{who}"], case.truth)
    soft = SegmentRequest(image=case.image, model=preset.name, points=(case.click,))
    found["click_soft"] = iou(runtime.segment(soft).mask, case.truth)
    found["click_best"] = max(iou(mask, case.truth) for mask in candidates(case, preset))
    return Measured(case.name, case.groups, found, _pictures(case, masks), _captions(case, found))


def candidates(case: Case, preset: Preset) -> np.ndarray:
    """All masks that the preset's model offers for the click, uint8 NxHxW."""
    from models.masks import Sam2Masker

    with runtime.cache.lease(preset.components) as lease:
        masker = Sam2Masker(lease["sam2"], lambda key, compute: lease.remember(("sam2", *key), compute))
        return masker.mask(masker.embed(case.image), (case.click,), (1,))[0]


def _pictures(case: Case, masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    asked = case.image.copy()
    radius = max(3, round(0.02 * asked.shape[0]))
    for point, colour in ((case.click, (0, 220, 0)), (case.negative, (230, 0, 0))):
        cv2.circle(asked, (int(point[0]), int(point[1])), radius, colour, thickness=-1)
        cv2.circle(asked, (int(point[0]), int(point[1])), radius, (255, 255, 255), thickness=1)
    cv2.rectangle(asked, case.box[:2], (case.box[2] - 1, case.box[3] - 1), (255, 255, 255), thickness=1)
    shown = {"asked": asked, "truth": lit(case.image, case.truth)}
    shown |= {f"ours: {name}": lit(case.image, masks[f"{name}_ours"] >= 128) for name in ("click", "negative", "box")}
    return shown | {"GrabCut: click": lit(case.image, masks["click_grabcut"] >= 128)}


def lit(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture with everything outside a bool mask turned dark."""
    return np.where(mask[..., None], image, image // 5)


def _captions(case: Case, found: Mapping[str, float]) -> dict[str, str]:
    shown = {f"ours: {name}": f"{found[f'{name}_ours']:.2f}" for name in ("click", "negative", "box")}
    return {"asked": case.name, "truth": case.groups[0], **shown, "GrabCut: click": f"{found['click_grabcut']:.2f}"}


def world_digest() -> str:
    """sha256 of the world's code and art."""
    digest: Any = world.digest()
    return str(digest)
