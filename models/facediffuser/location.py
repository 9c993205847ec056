"""Where Face-diffuser's converted weights lie on this machine. Plain."""

from __future__ import annotations

import os
from pathlib import Path

from models.loading import cache_folder


def weights_folder() -> Path:
    """The folder of EASEL_FACE, else `face` in the user's cache; absolute, whether it exists or not."""
    chosen = os.environ.get("EASEL_FACE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return cache_folder("face")
