"""What CAT-Diffusion is trained with: features for the semantic inpainter, noise for the U-Net."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Region = Literal["all", "masked"]


def distillation_loss(
    pred: Tensor, truth: Tensor, pred_pooled: Tensor, truth_pooled: Tensor, mask: Tensor, region: Region = "all"
) -> Tensor:
    """Squared error (scalar) of predicted features of the picture without its hole, plus that of the pooled one.

    `pred`, `truth` (B, N, D): the vision tower's last hidden state without the class token, not layer-normed;
    `pred_pooled`, `truth_pooled` (B, 1, D); `mask` (B, 1, g, g) or (B, N, 1), 1 where a patch touches the hole.
    region: the released code sums the error over "all" tokens and divides by the masked ones and one more, all of
    the batch together; "masked" is the paper's words: the error of the masked tokens only, over their number.
    """
    hidden = mask.flatten(1).float()
    errors = (pred.float() - truth.float()).square().mean(2)
    if region == "all":
        spatial = errors.sum() / (hidden.sum() + 1)
    else:
        spatial = (errors * hidden).sum() / hidden.sum().clamp_min(torch.finfo(torch.float32).eps)
    return spatial + (pred_pooled.float() - truth_pooled.float()).square().mean()


def noise_loss(predicted: Tensor, noise: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared error (scalar) of the predicted noise (B, C, h, w), unweighted as published.

    `weights` (B, 1, h, w) are ours: how much each place counts, brought to a mean of one.
    """
    errors = (predicted.float() - noise.float()).square()
    if weights is not None:
        errors = errors * (weights / weights.mean())
    return errors.mean()
