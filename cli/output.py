"""Where pictures of the command line go, checked before the run and not after minutes of work."""

from __future__ import annotations

import os
from pathlib import Path

from models.contract import BadRequest


def check(path: Path) -> None:
    """Make the folder of an output file; raises `BadRequest` if the file could not be written there."""
    if path.suffix.lower() != ".png":
        raise BadRequest(f"“{path}” must end in .png: the recipe and the exact pixels need that format.")
    if path.is_dir():
        raise BadRequest(f"{path} is a folder; please name a file in it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(f"The folder {path.parent} cannot be made ({error.strerror}).") from None
    if not os.access(path.parent, os.W_OK):
        raise BadRequest(f"The folder {path.parent} may not be written to; please choose another with --out.")


def names(path: Path, count: int) -> list[Path]:
    """FILE.png for one picture, FILE-1.png, FILE-2.png, ... for several."""
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{k + 1}{path.suffix}") for k in range(count)]
