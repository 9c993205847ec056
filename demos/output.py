"""Result pictures on disk: PNG files in Gradio's cache, with the recipe inside or stripped."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from demos import history_visitor
from models import pictures, recipe, runtime
from models.contract import BadRequest, Request, Result
from models.history import History, private

QUICK = 1  # compression of files that are looked at: a photograph takes seconds at the usual 6


@dataclass(frozen=True)
class Picture:
    """One result on disk: a PNG without text, one that carries the recipe, and the recipe itself."""

    plain: str
    signed: str
    recipe: recipe.Recipe


@dataclass(frozen=True)
class Before:
    """That a result was made before: with which versions of the libraries, and the button that draws it again."""

    versions: Mapping[str, str]
    button: str


@dataclass(frozen=True)
class Shown:
    """The last result on a visitor's page: its pictures, what can be seen beside them, and which ones are chosen."""

    pictures: tuple[Picture, ...]
    extras: Mapping[str, str]  # name -> file
    facts: Mapping[str, Any]
    chosen: int = 0
    beside: str = ""  # the name of the extra on the slider's left
    before: Before | None = None  # None = made on this visit

    def file(self, keep_recipe: bool) -> str:
        """The chosen picture's file for a download."""
        picture = self.pictures[self.chosen]
        return picture.signed if keep_recipe else picture.plain


def save(key: str, request: Request, result: Result, extras: Sequence[str] = (), before: Before | None = None) -> Shown:
    """Write the pictures of a run, and those of the named extras that it has, into a new folder of the cache, which
    Gradio clears after a day.

    With `--output-dir` each picture is kept there too, under a name with the time and the seed; with `--history` in the
    visitor's own folder instead. A history that cannot be written is said in the facts as `unkept`: the result is here.
    Nothing is kept of what was made `before`; its recipe names the libraries of that time.
    """
    folder = Path(get_upload_folder()) / uuid.uuid4().hex
    folder.mkdir(parents=True)
    written, facts = [], dict(result.facts)
    for index, picture in enumerate(result.images):
        told, inputs = runtime.recorded(key, request, result, index)
        told = replace(told, versions=before.versions) if before else told
        number = f"{told.seed}-{told.picture + 1}" if told.picture else str(told.seed)
        signed = folder / f"{key}-{number}.png"
        plain = folder / f"{key}-{number}-plain.png"
        recipe.write_png(signed, picture, told, inputs)
        plain.write_bytes(pictures.encode(picture, QUICK))
        written.append(Picture(str(plain), str(signed), told))
        if before:
            continue
        kept = f"{key}-{time.strftime('%Y%m%d-%H%M%S')}-{number}-{folder.name[:4]}.png"
        if history := _history():
            with _said(facts):
                if not private(type(request)):
                    history.keep(kept, picture, told, inputs)
        elif runtime.settings.output_dir:
            recipe.write_png(Path(runtime.settings.output_dir) / kept, picture, told, inputs)
    seen = {name: folder / f"{name}.png" for name in extras if name in result.extras}
    for name, file in seen.items():
        file.write_bytes(pictures.encode(result.extras[name], QUICK))
    return Shown(tuple(written), {name: str(file) for name, file in seen.items()}, facts, before=before)


def _history() -> History | None:
    """The history of the visitor whose run it is; a caller of an endpoint has none."""
    who = history_visitor.current() if runtime.settings.history_dir else ""
    return History(Path(runtime.settings.history_dir), who) if who else None


@contextlib.contextmanager
def _said(facts: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except BadRequest as error:
        facts["unkept"] = str(error)
