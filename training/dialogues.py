"""Dialogues about things in pictures: a click or a box, an answer, a correction, and what each answer costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Sam2Model

from models.masks import BOTTOM_RIGHT, TOP_LEFT
from training.clicks import boxes_of, corrections, points_in, shaken

BOX = torch.tensor([TOP_LEFT, BOTTOM_RIGHT])
MEMORY = 0.75  # how often an answer is shown the one before it, as the app does
LAYERS = 5  # things in a picture at most
LEAST = 0.002  # of the picture that is seen of a thing


def choose(owner: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`count` things of each picture (N, H, W), again and again where there are fewer: the rows (N * count,) they are
    from and their masks (N * count, H, W), bool. Where too little is seen of a thing, any other is asked for instead.
    """
    seen = torch.stack([(owner == k).flatten(1).sum(1) for k in range(1, LAYERS + 1)], 1).cpu() / owner[0].numel()
    weight = (seen > LEAST).float() + 1e-6 * (seen > 0) + 1e-12
    chosen = torch.multinomial(weight, count, replacement=True, generator=generator).flatten() + 1
    rows = torch.arange(len(owner)).repeat_interleave(count).to(owner.device)
    return rows, owner[rows] == chosen[:, None, None].to(owner)


def mask_loss(logits: Tensor, truth: Tensor, focal: float) -> Tensor:
    """Focal loss (gamma 2) and dice of logits (N, M, h, w) against soft masks (N, 1, h, w): (N, M).

    Without the usual alpha of 0.25: it holds a model that is still unsure below one half everywhere.
    """
    likely = logits.sigmoid()
    surprise = F.binary_cross_entropy_with_logits(logits, truth.expand_as(logits), reduction="none")
    weight = (likely - truth).square()
    overlap = (likely * truth).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (likely.sum((2, 3)) + truth.sum((2, 3)) + 1)
    return focal * (surprise * weight).mean((2, 3)) + dice


def overlaps(logits: Tensor, truth: Tensor) -> Tensor:
    """IoU (N, M) of logits (N, M, h, w) with masks (N, 1, h, w) where both are cut at one half."""
    found, wanted = logits > 0, truth > 0.5
    return (found & wanted).sum((2, 3)) / (found | wanted).sum((2, 3)).clamp_min(1)


@dataclass
class Talk:
    """A dialogue about some things: their pictures' maps, their masks, and what was said so far."""

    maps: list[Tensor]  # each (N, C, h, w)
    truth: Tensor  # (N, 1, h, w): the share of each cell that is covered
    masks: Tensor  # (N, H, W) bool
    points: Tensor  # (N, P, 2) pixels x, y
    labels: Tensor  # (N, P): 1 in, 0 out, 2 and 3 a box's corners
    said: Tensor | None = None  # (N, 1, h, w): the last answer's logits


def answer(model: Sam2Model, talk: Talk, several: bool, remember: bool) -> tuple[Tensor, Tensor]:
    """Logits (N, M, h, w) and expected IoU (N, M); `several` asks for three candidates, else one."""
    out = model(
        image_embeddings=talk.maps,
        input_points=talk.points[:, None],
        input_labels=talk.labels[:, None],
        input_masks=talk.said if remember else None,
        multimask_output=several,
    )
    return out.pred_masks[:, 0].float(), out.iou_scores[:, 0].float()


def converse(
    model: Sam2Model, talk: Talk, rounds: int, focal: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Loss of a dialogue of some rounds, the mean over them, and each round's mean IoU (rounds,)."""
    losses, reached = [], []
    side = talk.truth.shape[-1]
    cell = talk.masks.shape[-1] // side
    for turn in range(rounds):
        several = talk.labels.shape[1] == 1  # one click may mean the part or the whole
        remember = talk.said is not None and bool(torch.rand((), generator=generator) < MEMORY)
        logits, expected = answer(model, talk, several, remember)
        scores = overlaps(logits, talk.truth)
        each = mask_loss(logits, talk.truth, focal)
        losses.append(each.amin(1).mean() + F.mse_loss(expected, scores))
        best = expected.argmax(1, keepdim=True)
        reached.append(scores.gather(1, best).mean().detach())
        if turn + 1 < rounds:
            talk.said = logits.gather(1, best[:, :, None, None].expand(-1, -1, side, side)).detach()
            spots, labels = corrections(talk.truth[:, 0] > 0.5, talk.said[:, 0] > 0, generator)
            spots = (spots + torch.rand(spots.shape, generator=generator).to(spots.device)) * cell - 0.5
            talk.points = torch.cat([talk.points, spots[:, None]], 1)
            talk.labels = torch.cat([talk.labels, labels[:, None]], 1)
    return torch.stack(losses).mean(), torch.stack(reached)


def begin(maps: list[Tensor], owner: Tensor, count: int, clicks: bool, generator: torch.Generator) -> Talk:
    """A dialogue about `count` things of each picture that begins with a click, or else with a box.

    `owner` (N, H, W) says whose each pixel is, 0 nobody's; `maps` are the pictures' (see `Talk`).
    """
    rows, masks = choose(owner, count, generator)
    if clicks:
        points, labels = points_in(masks, generator)[:, None], torch.ones(1, dtype=torch.long)
    else:
        points, labels = shaken(boxes_of(masks), owner.shape[-1], generator).view(-1, 2, 2), BOX
    truth = F.avg_pool2d(masks[:, None].float(), 4)
    return Talk([m[rows] for m in maps], truth, masks, points, labels.to(owner.device).expand(len(points), -1))
