"""Result pictures on disk: PNG files in Gradio's cache, with the recipe inside or stripped."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from models import pictures, recipe, runtime
from models.contract import Request, Result

QUICK = 1  # compression of files that are looked at: a photograph takes seconds at the usual 6


@dataclass(frozen=True)
class Picture:
    """One result on disk: a PNG without text, one that carries the recipe, and the recipe itself."""

    plain: str
    signed: str
    recipe: recipe.Recipe


@dataclass(frozen=True)
class Shown:
    """The last result on a visitor's page: its pictures, what can be seen beside them, and which ones are chosen."""

    pictures: tuple[Picture, ...]
    extras: Mapping[str, str]  # name -> file
    facts: Mapping[str, Any]
    chosen: int = 0
    beside: str = ""  # the name of the extra on the slider's left

    def file(self, keep_recipe: bool) -> str:
        """The chosen picture's file for a download."""
        picture = self.pictures[self.chosen]
        return picture.signed if keep_recipe else picture.plain


def save(key: str, request: Request, result: Result, extras: Sequence[str] = ()) -> Shown:
    """Write the pictures of a run, and those of the named extras that it has, into a new folder of the cache, which
    Gradio clears after a day.

    With `--output-dir` each picture is kept there too, under a name with the time and the seed.
    """
    folder = Path(get_upload_folder()) / uuid.uuid4().hex
    folder.mkdir(parents=True)
    written = []
    for index, picture in enumerate(result.images):
        told, inputs = runtime.recorded(key, request, result, index)
        number = f"{told.seed}-{told.picture + 1}" if told.picture else str(told.seed)
        signed = folder / f"{key}-{number}.png"
        plain = folder / f"{key}-{number}-plain.png"
        recipe.write_png(signed, picture, told, inputs)
        plain.write_bytes(pictures.encode(picture, QUICK))
        written.append(Picture(str(plain), str(signed), told))
        if runtime.settings.output_dir:
            kept = f"{key}-{time.strftime('%Y%m%d-%H%M%S')}-{number}-{folder.name[:4]}.png"
            recipe.write_png(Path(runtime.settings.output_dir) / kept, picture, told, inputs)
    seen = {name: folder / f"{name}.png" for name in extras if name in result.extras}
    for name, file in seen.items():
        file.write_bytes(pictures.encode(result.extras[name], QUICK))
    return Shown(tuple(written), {name: str(file) for name, file in seen.items()}, result.facts)
