"""How well a picture shows what was asked for, by a CLIP whose two towers were trained together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.facediffuser import references
from models.facediffuser.conditions import Parts
from models.facediffuser.image_encoder import embed

SHARES = (1.0, 0.75, 0.5)  # of a picture's shorter side: the squares in which a person is looked for


def crops(picture: np.ndarray) -> list[np.ndarray]:
    """Squares of a uint8 HxWx3 picture, each overlapping its neighbours by half at least: 14 of one that is square."""
    height, width = picture.shape[:2]
    found = []
    for share in SHARES:
        side = round(share * min(height, width))
        for top in _starts(height, side):
            found += [picture[top : top + side, left : left + side] for left in _starts(width, side)]
    return found


def _starts(length: int, side: int) -> list[int]:
    count = math.ceil(2 * (length - side) / side) + 1
    return [round(k * (length - side) / max(1, count - 1)) for k in range(count)]


@torch.no_grad()
def scores(parts: Parts, pictures: Sequence[np.ndarray], ids: tuple[int, ...], vectors: Tensor) -> list[dict[str, Any]]:
    """For each uint8 picture "prompt", the cosine of the whole of it with the caption's `ids`, and "people", for each
    of `vectors` (1, K, D) the best cosine with one of its `crops`.

    Empty where the preset has no `clip`, whose own vision tower its image encoder then is.
    """
    if "clip" not in parts.preset.components:
        return []
    clip = parts.components["clip"]
    text = clip.get_text_features(torch.tensor([ids], device=parts.device)).pooler_output.float()
    return [_score(parts, picture, text, vectors[0].float()) for picture in pictures]


def _score(parts: Parts, picture: np.ndarray, text: Tensor, vectors: Tensor) -> dict[str, Any]:
    encoder = parts.components["image_encoder"]
    side = int(encoder.config.image_size)
    seen = torch.from_numpy(references.encoder_input([picture, *crops(picture)], side, side)).to(parts.device)
    found = embed(encoder, seen[None])[0].float()  # the whole picture, then its squares
    prompt = float(F.cosine_similarity(found[:1], text))
    people = F.cosine_similarity(found[1:, None], vectors[None], dim=-1).amax(0)
    return {"prompt": round(prompt, 4), "people": [round(float(one), 4) for one in people]}
