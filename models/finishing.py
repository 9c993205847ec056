"""What the methods' finished pictures share: kept pixels counted, kept detail decided. Plain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.contract import Preset


@dataclass(frozen=True, eq=False)
class Finished:
    """A picture of the original's size, how many pixels should have kept their value, and how many did not."""

    picture: np.ndarray
    kept: int
    kept_changed: int


def keeps_detail(preset: Preset, wanted: str) -> bool:
    """Whether the change is carried to the full-resolution picture: "on", "off", or "auto", the preset's word."""
    return bool(preset.settings.get("keep_detail")) if wanted == "auto" else wanted == "on"


def kept_facts(finished: Sequence[Finished]) -> dict[str, list[int]]:
    """What a result's facts say of kept pixels, for each picture."""
    return {
        "kept_pixels": [one.kept for one in finished],
        "kept_pixels_changed": [one.kept_changed for one in finished],
    }
