"""Saliency-adaptive noise fusion (section 3.3 of arXiv 2311.10329): each place goes to the model that it matters to.

A model's response is what its condition adds to its prediction. As released: the guidance scale is inside the
saliency, the channels are averaged before the softmax, and the softmax runs over the places of one sample, so that
both maps have the same total and a strong response cannot take everything.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

POOL = 4  # side of the box that smooths; zeros around the map count, so its border is weaker


class Fused(NamedTuple):
    """One step of both models: `noise` (n, C, h, w) as given; `mask` (n, h, w) bool, true where the subject model's
    is taken; both saliencies (n, h, w), float32."""

    noise: Tensor
    mask: Tensor
    saliency_t: Tensor
    saliency_s: Tensor


def fuse(response_t: Tensor, response_s: Tensor, guided_t: Tensor, guided_s: Tensor, scale: float) -> Fused:
    """Take every place's noise, all channels of it, from the model that is more salient there.

    response_t, response_s: (n, C, h, w), condition less anchor, of the scene and of the subject model; h, w from 2.
    guided_t, guided_s: (n, C, h, w), their guided noises. scale: the guidance scale of both.
    Samples do not see each other. Ties go to the scene model.
    """
    saliency_t, saliency_s = saliency(response_t, scale), saliency(response_s, scale)
    mask = subjects(saliency_t, saliency_s)
    return Fused(torch.where(mask[:, None], guided_s, guided_t), mask, saliency_t, saliency_s)


def saliency(response: Tensor, scale: float) -> Tensor:
    """|scale x response|, averaged over channels and smoothed: (n, C, h, w) -> (n, h, w), float32."""
    return smoothed((scale * response.float()).abs().mean(dim=1))


def smoothed(maps: Tensor) -> Tensor:
    """A box of 4x4 over zero padding, which leaves one row and column less, stretched back: (n, h, w), h, w from 2."""
    pooled = F.avg_pool2d(maps[:, None], POOL, stride=1, padding=1, count_include_pad=True)
    return F.interpolate(pooled, maps.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


def subjects(saliency_t: Tensor, saliency_s: Tensor) -> Tensor:
    """(n, h, w) bool: where the subject model's softmax over all places is the larger one.

    Compared as logarithms: the probabilities themselves, about 1 / (h w), tie in half precision.
    """
    return _log_softmax(saliency_s) > _log_softmax(saliency_t)


def _log_softmax(maps: Tensor) -> Tensor:
    maps = maps.float()
    return maps - torch.logsumexp(maps.flatten(1), dim=1)[:, None, None]
