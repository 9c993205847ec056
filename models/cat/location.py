"""Where a converted CAT-Diffusion checkpoint lies on this machine. Plain."""

from __future__ import annotations

import os
from pathlib import Path

from models.loading import cache_folder


def weights_folder() -> Path:
    """The folder of EASEL_CAT, else `cat` in the user's cache; absolute, whether it exists or not."""
    chosen = os.environ.get("EASEL_CAT")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return cache_folder("cat")
