"""CAT's own networks at toy size with random weights."""

from __future__ import annotations

from typing import Any

import torch

from models.cat.semantic_inpainter import SemanticInpainter
from models.cat.unet import CATUNet2DConditionModel
from tests import tiny

PROMPT, TOKENS = 20, 4  # width and length of the visual prompt
GRID, WIDTH, LABEL = 4, 16, 10


def unet(seed: int = 0, **changes: Any) -> CATUNet2DConditionModel:
    """The tiny U-Net with nine input channels and four adapters on 64, 16, 64 and 64 tokens."""
    base = tiny.unet(seed, in_channels=9, **changes)
    return CATUNet2DConditionModel.from_base(base, PROMPT, seed=seed + 1).requires_grad_(False)


def inpainter(seed: int = 0, **changes: Any) -> SemanticInpainter:
    """Two layers over a 4x4 grid."""
    config = {
        "hidden_size": WIDTH,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "grid": GRID,
        "label_size": LABEL,
        "label_intermediate": 12,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SemanticInpainter(**(config | changes)).eval().requires_grad_(False)
