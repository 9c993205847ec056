"""Checkpoints with one key that does not fit, as every converter must refuse them."""

from __future__ import annotations

import torch
from torch import Tensor

WORDS = {
    "missing": "missing",
    "renamed": "unknown|missing",
    "extra": "unknown",
    "shape": "not \\(",
}  # how -> what is said


def spoil(state: dict[str, Tensor], key: str, how: str) -> str:
    """Spoil a key of `state` in place, one of the ways in `WORDS`; the pattern of what must be said of it."""
    value = state[key]
    if how == "shape":
        state[key] = torch.cat([value, value])
    elif how == "extra":
        state[f"{key}_2"] = value.clone()
    else:
        del state[key]
        if how == "renamed":
            state[key.replace(".weight", ".wait").replace(".bias", ".base")] = value
    return WORDS[how]
