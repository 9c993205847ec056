"""What the subject model (SDM) is trained with: noise, on some batches of the people only, and where words attend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import QKV, Edit, Site, edited, sites

LOCALISATION = 1e-3  # weight of the localisation loss, as the released script sets it
MASKED = 0.5  # of the batches are judged inside the people only
EPSILON = 1e-5


def noise_loss(predicted: Tensor, wanted: Tensor, masks: Tensor | None = None) -> Tensor:
    """Mean squared error (scalar) of predictions (B, C, h, w).

    With `masks` (B, K, H, W), the subjects of 0..1, both are multiplied by their union at the latents' size first. The
    mean stays over all places, so that a batch with small people counts less.
    """
    predicted, wanted = predicted.float(), wanted.float()
    if masks is not None:
        union = masks.float().amax(1, keepdim=True)
        union = F.interpolate(union, wanted.shape[-2:], mode="bilinear", align_corners=False)
        predicted, wanted = predicted * union, wanted * union
    return F.mse_loss(predicted, wanted)


def localisation_loss(maps: Sequence[Tensor], masks: Tensor, present: Tensor) -> Tensor:
    """How much more the places around a subject attend to its word than its own do (scalar; -1 at best).

    maps: per attention layer (B, heads, h * w, K), row by row, the probability of each subject's token.
    masks: (B, K, H, W) of 0..1, H:W as h:w; present: (B, K), which of the subjects there are.
    Per head and subject the mean outside less the mean inside; the mean over the subjects of a picture, zero where it
    has none, then over heads, pictures and layers.
    """
    there = present.to(masks.device).float()[:, None]  # (B, 1, K)
    losses = []
    for found in maps:
        height, width = _grid(found.shape[2], masks.shape[2:])
        inside = F.interpolate(masks.float(), (height, width), mode="bilinear", antialias=True)
        inside = inside.flatten(2).transpose(1, 2)[:, None]  # (B, 1, h * w, K)
        own = (found * inside).sum(2) / (inside.sum(2) + EPSILON)
        around = (found * (1 - inside)).sum(2) / ((1 - inside).sum(2) + EPSILON)
        losses.append((((around - own) * there).sum(2) / there.sum(2).clamp_min(1)).mean())
    return torch.stack(losses).mean()


def _grid(places: int, size: Sequence[int]) -> tuple[int, int]:
    """Height and width of a layer with so many places, over a picture of `size`."""
    height = round((places * size[0] / size[1]) ** 0.5)
    if places % max(1, height):
        raise ValueError(f"A layer of {places} places does not go with masks of {tuple(size)}.")
    return height, places // height


def middle(unet: nn.Module) -> tuple[Site, ...]:
    """The cross-attention sites whose maps are trained: all but those of the first and of the last group of blocks."""
    cross = [site for site in sites(unet) if site.kind == "cross"]
    last = max((site.name.split(".")[1] for site in cross if site.name.startswith("up_blocks.")), default="", key=int)
    outer = ("down_blocks.0.", f"up_blocks.{last}.")
    return tuple(site for site in cross if not site.name.startswith(outer))


@contextmanager
def watched(unet: nn.Module, slots: Tensor) -> Iterator[list[Tensor]]:
    """Inside the block, each call of `unet` adds the maps of its `middle` sites to the list, in order, with gradients.

    slots: (B, K), the token of each subject; below zero where there is none, whose map means nothing.
    """
    chosen = frozenset(middle(unet))
    maps: list[Tensor] = []

    def attend(_: Site, qkv: QKV) -> Tensor:
        logits = qkv.q.float() @ qkv.k.float().transpose(2, 3) * qkv.q.shape[-1] ** -0.5
        if qkv.bias is not None:
            logits = logits + qkv.bias.float()
        probabilities = logits.softmax(-1)
        tokens = slots.to(logits.device).clamp_min(0)[:, None, None].expand(*logits.shape[:3], -1)
        maps.append(probabilities.gather(3, tokens))
        out: Tensor = (probabilities @ qkv.v.float()).to(qkv.v.dtype)
        return out

    with edited(unet, Edit(chosen.__contains__, attend=attend)):
        yield maps
