"""DreamFuse's rows: unseen objects fused into drawn places whose true fusion is known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import measures
from benchmarks.contract import Measured, Row
from benchmarks.cutouts import in_place_of_held_out
from models import latents, pixels, runtime
from models.contract import Preset, Result
from models.dreamfuse.spec import DreamFuseRequest, object_matrix, placed_box
from training import world

NEAR, FAR = 1.5, 2.0  # times the object's box: where the fusion shows, and beyond which nothing should change
WORTH = 0.01  # of the picture: an outside smaller than this is not measured
LEAST = 64  # cases of a committed table

ROWS = (
    Row(
        "inside",
        "PSNR to the true fusion inside 1.5x the object's box",
        "dB",
        "inside_ours",
        floor=2.0,
        aim=5.0,
        against="inside_paste",
        beside={
            "raw paste": "inside_paste",
            "Poisson": "inside_poisson",
            "by positional affine": "inside_affine",
            "autoencoder's copy of the truth": "inside_round_trip",
        },
    ),
    Row(
        "outside",
        "PSNR to the clean plate outside 2x the box",
        "dB",
        "outside_ours",
        floor=-4.0,
        aim=-1.0,
        against="outside_round_trip",
        beside={"autoencoder's copy of the plate": "outside_round_trip"},
    ),
    Row(
        "region",
        "IoU of the changed region's box with the asked box",
        "",
        "region_ours",
        floor=0.7,
        aim=0.85,
        beside={"raw paste": "region_paste", "true fusion": "region_truth"},
    ),
)
NOTE = (
    "The difference of the first row is to the raw paste, of the second to the autoencoder's own round trip. "
    "Pocket is told the place by direct transform, its object's pixels already there; beside it by the position ids. "
    "The changed region leaves shadows out; the true fusion shows what is attainable, since occluders hide parts."
)


@dataclass(frozen=True)
class Case:
    """A request and what its result should be; pictures are uint8 HxWx3."""

    request: DreamFuseRequest
    truth: np.ndarray
    name: str
    kind: str
    recoloured: bool


def draw(count: int, seed: int, preset: Preset, sprites: Path | None) -> Sequence[Case]:
    """Cases of objects that no model saw, at the preset's size; each from a seed of its own."""
    kinds = tuple(k for k in world.FUSION_KINDS if sprites is None or k != "wear")  # no hats among just any cut-outs
    with in_place_of_held_out(sprites):
        return [_draw_one(seed, index, preset, kinds) for index in range(count)]


def _draw_one(seed: int, index: int, preset: Preset, kinds: tuple[str, ...]) -> Case:
    own = int.from_bytes(hashlib.sha256(f"dreamfuse {seed} {index}".encode()).digest()[:6])
    batch = world.fusion(1, (preset.size, preset.size), own, "held_out", kinds=kinds)
    return as_case(batch, seed + index, preset)


def as_case(batch: world.FusionBatch, seed: int, preset: Preset) -> Case:
    """The one sample of a batch as a request for raw output, and its truth."""
    foreground = _picture(batch.foreground)
    x, y, scale = _placement(foreground, batch.box_fg[0].tolist(), batch.box[0].tolist(), preset.size)
    request = DreamFuseRequest(
        background=_picture(batch.background),
        foreground=foreground,
        x=x,
        y=y,
        scale=scale,
        prompt=batch.captions[0],
        seed=seed,
        preset=preset.name,
        keep_detail="off",
        background_lock=False,
    )
    kind, noun = world.FUSION_KINDS[int(batch.kinds[0])], world.nouns()[int(batch.objects[0])]
    return Case(request, _picture(batch.fused), noun, kind, int(batch.colours[0]) >= 0)


def _picture(one: torch.Tensor) -> np.ndarray:
    """(1, C, H, W) in 0..1 -> uint8 HxWxC."""
    return pixels.to_bytes(255 * one[0].permute(1, 2, 0).numpy())


def _placement(
    foreground: np.ndarray, source: Sequence[float], target: Sequence[float], size: int
) -> tuple[float, float, float]:
    """x, y and scale that move the drawn box `source` onto `target`.

    The world's boxes reach to the faintest edge, a request speaks of the solid one (`pixels.alpha_box`).
    """
    box = pixels.alpha_box(foreground[..., 3])
    assert box is not None  # every object of the world has solid pixels
    across = (target[2] - target[0]) / (source[2] - source[0])
    down = (target[3] - target[1]) / (source[3] - source[1])
    x = target[0] + ((box[0] + box[2]) / 2 - source[0]) * across
    y = target[1] + ((box[1] + box[3]) / 2 - source[1]) * down
    return x / size, y / size, (box[2] - box[0]) * across / size


def measure(case: Case, preset: Preset) -> Measured:
    """Fuse once as the preset does, and once by the paper's positional affine; paste and clone; compare all with the
    truth."""
    request, truth = case.request, case.truth
    plate, matrix = request.background, object_matrix(request)
    made = {
        "ours": run(request),
        "affine": run(request.replace(variant="positional-affine")),
        "paste": pixels.paste(plate, request.foreground, matrix)[0],
        "poisson": pixels.poisson(plate, request.foreground, matrix)[0],
        "round_trip": round_trip(truth, preset),
    }
    size, asked = plate.shape[:2], placed_box(request)
    near = measures.inside(measures.scaled(asked, NEAR), size)
    found = {f"inside_{name}": measures.psnr(picture, truth, near) for name, picture in made.items()}
    far, copy = ~measures.inside(measures.scaled(asked, FAR), size), round_trip(plate, preset)
    if far.mean() >= WORTH:
        found["outside_ours"] = measures.psnr(made["ours"], plate, far)
        found["outside_round_trip"] = measures.psnr(copy, plate, far)
    # Raw output is compared with the autoencoder's copy of the plate, or its blur would count as a change.
    for name, before, after in (
        ("ours", copy, made["ours"]),
        ("paste", plate, made["paste"]),
        ("truth", plate, truth),
    ):
        box = measures.changed_box(before, after)
        found[f"region_{name}"] = measures.box_iou(box, measures.clipped(asked, size))
    return Measured(case.name, _groups(case), found, _pictures(case, made), _captions(case, found))


def run(request: DreamFuseRequest) -> np.ndarray:
    """The method's raw picture."""
    for event in runtime.run("dreamfuse", request):
        if isinstance(event, Result):
            return event.images[0]
    raise RuntimeError("The run ended without a picture.")


@torch.inference_mode()
def round_trip(picture: np.ndarray, preset: Preset) -> np.ndarray:
    """What the preset's autoencoder makes of a picture: no result of raw output can be nearer than that."""
    with runtime.cache.lease({"vae": preset.components["vae"]}) as lease:
        vae = lease["vae"]
        encoded = latents.encode(vae, latents.to_pixels(picture.copy()))  # torch wants to own what it reads
        decoded: np.ndarray = latents.to_pictures(latents.decode(vae, encoded))[0]
        return decoded


def _groups(case: Case) -> tuple[str, ...]:
    prompt = "prompt with a new colour" if case.recoloured else "prompt" if case.request.prompt else "no prompt"
    return case.kind, prompt


def _pictures(case: Case, made: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        "background": case.request.background,
        "object": pixels.flatten(case.request.foreground),
        "raw paste": made["paste"],
        "ours": made["ours"],
        "truth": case.truth,
    }


def _captions(case: Case, found: dict[str, float]) -> dict[str, str]:
    """Under each picture: the kind, the object, PSNR inside 1.5x the box, the prompt."""
    return {
        "background": case.kind,
        "object": case.name,
        "raw paste": f"{found['inside_paste']:.1f} dB",
        "ours": f"{found['inside_ours']:.1f} dB",
        "truth": case.request.prompt,
    }


def world_digest() -> str:
    """sha256 of the world's code and art."""
    digest: Any = world.digest()
    return str(digest)
