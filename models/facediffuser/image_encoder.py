"""A reference picture as one vector, by CLIP's vision tower and its projection."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor
from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD


def embed(encoder: Any, pictures: Tensor) -> Tensor:
    """Squares (B, K, 3, S, S) in 0..1 -> image vectors (B, K, D), projected and of any length.

    encoder: a `CLIPVisionModelWithProjection`; squares of another size than its own are brought to it by the
    antialiased bilinear filter in float32, which half precision does not have everywhere.
    """
    side = int(encoder.config.image_size)
    pixels = pictures.flatten(0, 1).float()
    if pixels.shape[-2:] != (side, side):
        pixels = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
    mean, std = (pixels.new_tensor(v)[:, None, None] for v in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    seen = encoder(pixel_values=((pixels - mean) / std).to(encoder.dtype))
    vectors: Tensor = seen.image_embeds.unflatten(0, pictures.shape[:2])
    return vectors
