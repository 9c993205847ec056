"""CAT-Diffusion's rows: things hidden in drawn scenes, in combinations with colours and places that no model saw."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import sets
from benchmarks.contract import Measured, Row
from models import pixels, runtime
from models.cat.conditions import Parts, imagine, read_words, see
from models.cat.preprocess import resized
from models.cat.spec import InpaintRequest
from models.contract import Preset, Result
from models.loading import POCKET
from training import export, judge, world

LEAST = 1000  # cases of a committed table: KID needs that many crops
SHEET = 64  # of them are on the contact sheet
CENTRE = 256  # training pictures whose mean feature is taken off

ROWS = (
    Row(
        "gap",
        "gap closed on masked tokens, mean-centred CLIP features",
        "",
        "gap",
        floor=0.2,
        aim=0.34,
        beside={"cosine of the prediction": "near", "of the masked picture": "near_masked"},
    ),
    Row(
        "label",
        "what the judge sees in the hole is the asked thing",
        "",
        "label_ours",
        floor=0.0,
        aim=0.0,
        against="label_plain",
        better=True,
        beside={"without the visual prompt": "label_plain", "true picture": "label_truth"},
    ),
    Row(
        "colour",
        "and it has the asked colour",
        "",
        "colour_ours",
        floor=0.0,
        aim=0.0,
        against="colour_plain",
        better=True,
        beside={"without the visual prompt": "colour_plain", "true picture": "colour_truth"},
    ),
    Row(
        "kid",
        "KID x 1000 of crops around the hole (the judge's features): what the visual prompt takes off",
        "",
        "kid_saved",
        floor=0.0,
        aim=0.0,
        better=True,
        beside={"KID with it": "kid_ours", "KID without it": "kid_plain"},
    ),
)
OF_ALL = {"gap", "kid_ours", "kid_plain", "kid_saved"}  # numbers that a few cases cannot tell
NOTE = (
    "Unseen combinations of thing, colour and place; half of the holes are boxes. Baseline: the same U-Net and noise "
    "with the zero prompt, which it met in training. The judge's own accuracy on the true pictures stands beside. The "
    "gap is (prediction - masked picture) / (1 - masked picture) of mean cosines; its cosines have the mean feature of "
    "training pictures taken off. Intervals of gap and KID rest on each case's first-order influence."
)


@dataclass(frozen=True)
class Case:
    """A request, the picture before the hole, and the hidden thing: its box in pixels and its labels."""

    request: InpaintRequest
    truth: np.ndarray
    box: tuple[float, float, float, float]
    name: str
    labels: dict[str, int]
    groups: tuple[str, ...]


def draw(count: int, seed: int, preset: Preset, sprites: Path | None) -> Sequence[Case]:
    """Holes over unseen combinations, at the preset's size; each from a seed of its own. Other cut-outs have no words
    that were trained: raises ValueError."""
    if sprites is not None:
        raise ValueError("A word that was never trained cannot be drawn; these rows take no sprites.")
    return [_draw_one(seed, index, preset) for index in range(count)]


def _draw_one(seed: int, index: int, preset: Preset) -> Case:
    own = int.from_bytes(hashlib.sha256(f"cat {seed} {index}".encode()).digest()[:6])
    batch = world.holes(1, (preset.size, preset.size), own, "combos")
    truth = pixels.to_bytes(255 * batch.image[0].permute(1, 2, 0).numpy())
    mask = (batch.mask[0, 0] * 255).byte().numpy()
    request = InpaintRequest(
        image=truth,
        mask=mask,
        prompt=batch.texts[0],
        seed=seed + index,
        preset=preset.name,
        region="squash",
        paste_back=False,
        comparisons="on",
    )
    labels = {"object": int(batch.objects[0]), "colour": int(batch.colours[0])}
    left, top, right, bottom = batch.boxes[0].tolist()
    inside = mask[int(top) : int(bottom), int(left) : int(right)]
    shape = "box" if inside.mean() > 0.98 * 255 else "outline"
    noun = world.nouns()[labels["object"]]
    groups = (shape, world.SCENE_NAMES[int(batch.kinds[0])])
    return Case(request, truth, (left, top, right, bottom), noun, labels, groups)


def measure(case: Case, preset: Preset) -> Measured:
    """Fill the hole with and without the visual prompt from the same noise, and ask the judge about both."""
    made = run(case.request) | {"truth": case.truth}
    found = dict(zip(("near", "near_masked"), nearness(case, preset), strict=True))
    for name, picture in made.items():
        right = judged(picture, case)
        found |= {f"label_{name}": right["object"], f"colour_{name}": right["colour"]}
    request = case.request
    seen = np.where(request.mask[..., None] > 0, 0, request.image)
    pictures = {"picture": request.image, "hole": seen, "plain": made["plain"], "ours": made["ours"]}
    texts = {"hole": request.prompt, "ours": f"{found['near']:.2f} ({found['near_masked']:.2f})"}
    return Measured(case.name, case.groups, found, pictures, texts)


def run(request: InpaintRequest) -> dict[str, np.ndarray]:
    """The method's raw pictures, "ours" and "plain", the one without the visual prompt."""
    for event in runtime.run("cat", request):
        if isinstance(event, Result):
            return {"ours": event.images[0], "plain": event.extras["plain"]}
    raise RuntimeError("The run ended without a picture.")


@torch.inference_mode()
def nearness(case: Case, preset: Preset) -> tuple[float, float]:
    """Mean cosine to the true picture's features over masked tokens, of the imagined features and of those of the
    masked picture, all with the mean of training pictures taken off."""
    with runtime.cache.lease(preset.components) as lease:
        parts = Parts(lease, preset, "cpu")
        views = parts.views(case.truth, case.request.mask)
        semantics = imagine(parts, views, read_words(parts, case.request.prompt), case.request.prompt)
        side = views.clip_picture.shape[0]
        truth = see(parts, resized(case.truth, (side, side)))[0]
        masked = torch.from_numpy(views.patch_mask).flatten().bool()
        mean = centre(parts, preset, side)
    near = (F.cosine_similarity(x - mean, truth - mean, dim=-1)[0] for x in (semantics.predicted, semantics.seen))
    ours, before = (float(cosines[masked].mean()) for cosines in near)
    return ours, before


def centre(parts: Parts, preset: Preset, side: int) -> torch.Tensor:
    """The mean patch feature (C,) of training pictures."""

    def compute() -> torch.Tensor:
        batch = world.holes(CENTRE, (preset.size, preset.size), 0, "train")
        pictures = (pixels.to_bytes(255 * image.permute(1, 2, 0).numpy()) for image in batch.image)
        return torch.stack([see(parts, resized(p, (side, side)))[0].mean((0, 1)) for p in pictures]).mean(0)

    mean: torch.Tensor = parts.components.remember(("clip_vision", "centre", preset.size, CENTRE), compute)
    return mean


@cache
def the_judge() -> judge.Judge:
    """The shipped classifier, which no method uses."""
    model: judge.Judge = judge.Judge.from_pretrained(POCKET / "judge", torch_dtype=torch.float32)
    model.eval().requires_grad_(False)
    return model


def crop(picture: np.ndarray, case: Case) -> torch.Tensor:
    """What is asked about, (1, 3, 64, 64) in 0..1: the hidden thing's box in a uint8 picture."""
    image = torch.tensor(picture).permute(2, 0, 1)[None].float() / 255
    return world.crop(image, torch.tensor([case.box]), judge.JudgeConfig.side)


def judged(picture: np.ndarray, case: Case) -> dict[str, float]:
    """By question 1 where the judge gives the asked answer, else 0."""
    answers = the_judge()(crop(picture, case))
    return {name: float(int(answers[name][0].argmax()) == label) for name, label in case.labels.items()}


def finish(cases: Sequence[Case], measured: Sequence[Measured]) -> list[Measured]:
    """Add the numbers of the whole set, taken apart into one per case."""
    features = {}
    for name in ("ours", "plain", "picture"):
        seen = [the_judge().features(crop(m.pictures[name], c)) for c, m in zip(cases, measured, strict=True)]
        features[name] = torch.cat(seen).numpy()
    near, masked = (np.array([m.numbers[k] for m in measured]) for k in ("near", "near_masked"))
    kids = {name: 1000 * sets.kid(features[name], features["picture"]) for name in ("ours", "plain")}
    columns = {
        "gap": sets.ratio(near - masked, 1 - masked),
        "kid_ours": kids["ours"],
        "kid_plain": kids["plain"],
        "kid_saved": kids["plain"] - kids["ours"],
    }
    rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return [
        replace(m, numbers={**m.numbers, **{k: float(v) for k, v in row.items()}})
        for m, row in zip(measured, rows, strict=True)
    ]


def world_digest() -> str:
    """sha256 of the world's code and art and of the judge."""
    return hashlib.sha256(f"{world.digest()} {export.digest(POCKET / 'judge')}".encode()).hexdigest()
