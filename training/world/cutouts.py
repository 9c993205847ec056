"""What other recipes cut out of captioned scenes: holes with a text, and labelled crops."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .assets import sprite_rows
from .captioned import SceneBatch, scenes, seeded
from .plan import Size, Split
from .splits import is_held_out_combination
from .words import SCENE_NAMES


@dataclass(frozen=True)
class HoleBatch:
    """Described holes; pictures float32 in 0..1.

    ``image`` (B, 3, H, W); ``mask`` (B, 1, H, W) 1 in the hole, 0 elsewhere, hard; ``texts``: the hidden thing's layer
    text ("blue teapot"; a person's noun); ``boxes`` (B, 4) its box clipped to the picture; ``objects``, ``colours``,
    ``kinds``, ``styles`` (B,) labels as in ``SceneBatch``; ``slots`` (B,) which layer; ``scenes`` the whole batch.
    """

    image: Tensor
    mask: Tensor
    texts: tuple[str, ...]
    boxes: Tensor
    objects: Tensor
    colours: Tensor
    kinds: Tensor
    styles: Tensor
    slots: Tensor
    scenes: SceneBatch


@dataclass(frozen=True)
class CropBatch:
    """Labelled crops (B, 3, side, side) in 0..1 for the judge; labels as in ``SceneBatch``."""

    crops: Tensor
    objects: Tensor
    colours: Tensor
    people: Tensor
    kinds: Tensor
    styles: Tensor
    texts: tuple[str, ...]


def crop(images: Tensor, boxes: Tensor, side: int = 64, margin: float = 0.08) -> Tensor:
    """Square crops (B, C, side, side) around boxes (B, 4) in pixels, grown by ``margin``; the border is repeated."""
    height, width = images.shape[2:]
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) * (0.5 + margin)
    centre = (boxes[:, 2:] + boxes[:, :2]) / 2
    size = centre.new_tensor([width, height])
    theta = centre.new_zeros(len(boxes), 2, 3)
    theta[:, :, 2] = 2 * centre / size - 1
    theta[:, 0, 0], theta[:, 1, 1] = 2 * half[:, 0] / width, 2 * half[:, 0] / height
    grid = F.affine_grid(theta, [len(boxes), 1, 2 * side, 2 * side], align_corners=False)
    return F.avg_pool2d(F.grid_sample(images, grid, padding_mode="border", align_corners=False), 2)


def pick_layers(batch: SceneBatch, seed: int | torch.Generator, least: float = 0.35) -> Tensor:
    """One layer per scene (B,), at random among those of which enough can be seen; the largest if none is."""
    rng = seeded(seed)
    seen = batch.masks.sum((2, 3))
    wide, tall = batch.boxes[..., 2] - batch.boxes[..., 0], batch.boxes[..., 3] - batch.boxes[..., 1]
    share = (seen / (wide * tall).clamp(min=1)).masked_fill(~batch.present, 0).cpu()
    slots = []
    for row in share:
        good = [k for k, v in enumerate(row.tolist()) if v > least * 0.6]
        slots.append(rng.choice(good) if good else int(row.argmax()))
    return torch.tensor(slots).to(batch.image.device)


def clip_boxes(boxes: Tensor, size: Size) -> Tensor:
    """Boxes (B, 4) cut at the picture's border."""
    high = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    return torch.minimum(boxes.clamp(min=0), high)


def box_masks(boxes: Tensor, size: Size) -> Tensor:
    """Filled boxes (B, 1, H, W) of 0 and 1."""
    x = torch.arange(size[1], device=boxes.device)[None, None, :] + 0.5
    y = torch.arange(size[0], device=boxes.device)[None, :, None] + 0.5
    x0, y0, x1, y1 = (boxes[:, i, None, None] for i in range(4))
    return ((x > x0) & (x < x1) & (y > y0) & (y < y1)).float()[:, None]


def holes(
    count: int,
    size: Size = (128, 128),
    seed: int | torch.Generator = 0,
    split: Split = "train",
    device: torch.device | str = "cpu",
    people: float = 0.15,
    boxes: float = 0.5,
) -> HoleBatch:
    """``count`` holes over one thing each: its dilated outline, or its box with probability ``boxes``."""
    rng = seeded(seed)
    batch = scenes(count, size, rng.randrange(2**62), split, device, people)
    slots = torch.zeros_like(batch.kinds) if split == "combos" else pick_layers(batch, rng.randrange(2**62))
    if split == "combos":
        slots = held_out_slots(batch)
    rows = torch.arange(count, device=slots.device)
    tight = clip_boxes(batch.boxes[rows, slots], size)
    grow = 2 * max(1, min(size) // 48) + 1
    outline = F.max_pool2d((batch.masks[rows, slots][:, None] > 0.1).float(), grow, 1, grow // 2)
    square = torch.tensor([rng.random() < boxes for _ in range(count)]).to(slots.device)[:, None, None, None]
    picked = slots.tolist()
    return HoleBatch(
        image=batch.image,
        mask=torch.where(square, box_masks(tight, size), outline),
        texts=tuple(batch.texts[b][k] for b, k in enumerate(picked)),
        boxes=tight,
        objects=batch.objects[rows, slots],
        colours=batch.colours[rows, slots],
        kinds=batch.kinds,
        styles=batch.styles,
        slots=slots,
        scenes=batch,
    )


def held_out_slots(batch: SceneBatch) -> Tensor:
    """The layer of each "combos" scene that carries the held-out combination."""
    slots = [
        next(
            k
            for k, t in enumerate(plan.things)
            if t.colour and is_held_out_combination(sprite_rows()[t.sprite]["noun"], t.colour, plan.scene.kind)
        )
        for plan in batch.plans
    ]
    return torch.tensor(slots).to(batch.image.device)


def crops(
    count: int,
    side: int = 64,
    seed: int | torch.Generator = 0,
    split: Split = "train",
    device: torch.device | str = "cpu",
    size: Size = (128, 128),
    people: float = 0.3,
    kinds: tuple[str, ...] = SCENE_NAMES,
) -> CropBatch:
    """``count`` labelled crops of one thing each with a little of the scene around it."""
    rng = seeded(seed)
    batch = scenes(count, size, rng.randrange(2**62), split, device, people, kinds)
    slots = pick_layers(batch, rng.randrange(2**62))
    rows = torch.arange(count, device=slots.device)
    jitter = torch.tensor([[rng.uniform(-0.06, 0.06) for _ in range(4)] for _ in range(count)]).to(slots.device)
    tight = batch.boxes[rows, slots]
    span = (tight[:, 2:] - tight[:, :2]).repeat(1, 2)
    return CropBatch(
        crops=crop(batch.image, clip_boxes(tight + jitter * span, size), side),
        objects=batch.objects[rows, slots],
        colours=batch.colours[rows, slots],
        people=batch.people[rows, slots],
        kinds=batch.kinds,
        styles=batch.styles,
        texts=tuple(batch.texts[b][k] for b, k in enumerate(slots.tolist())),
    )
