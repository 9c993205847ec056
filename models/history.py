"""What one visitor made, in a folder of his own: list, read, thumbnail, delete. Plain.

A name that comes from a browser is looked for in that folder alone: it is one part of a path, of a regular file and no
link, and the file carries a recipe of Easel's. Whatever else lies there is neither shown nor deleted. Results of a
request with a private field (pictures of people) are never kept here.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from models import pictures, recipe
from models.catalog import SPECS
from models.contract import BadRequest, Request, options
from models.pixels import fit_within, resize
from models.recipe import Recipe

SMALL = 256  # longest side of a thumbnail in pixels
WORDS = 300  # characters of a prompt in a list
CHUNKS = 64  # of a PNG before its pixels; the recipe is the first text of them
SIGNATURE, END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
# A link is not followed, and a pipe is not waited for.
FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
GONE = "There is no such picture in your history any more; please look again."
AWAY = "The folder of the history cannot be reached; put it back or start Easel with another one."


@dataclass(frozen=True)
class Entry:
    """A kept picture as it is listed: its file's name, the method's key, the words it was made from, seconds since
    1970 when it was saved."""

    name: str
    method: str
    seed: int
    words: str
    when: float


def private(kind: type[Request]) -> bool:
    """Whether requests of this type hold pictures of people: their results are in no history."""
    return any(option.private for option in options(kind).values())


@dataclass(frozen=True)
class History:
    """The pictures of one visitor below `root`; `visitor` is the key or the name that tells him from others."""

    root: Path
    visitor: str

    @property
    def folder(self) -> Path:
        """His own folder, named by a hash: a key that can be read on the disk would open it to others."""
        return self.root / f"visitor-{hashlib.sha256(f'easel {self.visitor}'.encode()).hexdigest()[:32]}"

    def keep(self, name: str, image: np.ndarray, told: Recipe, inputs: Mapping[str, np.ndarray]) -> None:
        """Write a picture with its recipe; raises `BadRequest` where the disk refuses."""
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            why = recipe.DISK.get(error.errno or 0, str(error.strerror))
            raise BadRequest(f"The folder of your history could not be made: {why}.") from None
        recipe.write_png(self._own() / name, image, told, inputs)

    def entries(self, method: str = "") -> list[Entry]:
        """Every picture, or those of one method, newest first; raises `BadRequest` where the folder cannot be read."""
        try:
            with os.scandir(self._own()) as found:
                files = [(one.name, one.stat(follow_symlinks=False)) for one in found if _named(one.name)]
        except FileNotFoundError:
            if self.root.is_dir():
                return []
            raise BadRequest(AWAY) from None
        except OSError:
            raise BadRequest(AWAY) from None
        listed = []
        for name, status in sorted(files, key=lambda one: (one[1].st_mtime_ns, one[0]), reverse=True):
            told = _read(self.folder / name, status.st_mtime_ns, status.st_size) if _whole(status) else None
            if told is not None and method in ("", told[0]):
                listed.append(Entry(name, *told, status.st_mtime))
        return listed

    def recipe(self, name: str) -> Recipe:
        """What made the picture of this name; raises `BadRequest`."""
        with self._opened(name) as file:
            return _shown(file)

    def data(self, name: str) -> bytes:
        """The file of this name, once it is known to be Easel's; raises `BadRequest`."""
        with self._opened(name) as file:
            _shown(file)
            file.seek(0)
            return file.read()

    def thumbnail(self, name: str) -> bytes:
        """A small WebP of the picture of this name, remembered; raises `BadRequest` where its pixels are broken."""
        status = self._status(name)
        return _small(self, name, status.st_mtime_ns, status.st_size)

    def delete(self, names: Iterable[str]) -> int:
        """Delete pictures; returns how many of the names were there. Raises `BadRequest` where the disk refuses."""
        known = {entry.name for entry in self.entries()}
        wanted = [name for name in dict.fromkeys(names) if name in known]
        for name in wanted:
            try:
                (self.folder / name).unlink(missing_ok=True)
            except OSError as error:
                why = recipe.DISK.get(error.errno or 0, f"the system says “{error.strerror}”").partition(";")[0]
                raise BadRequest(f"{name} could not be deleted: {why}.") from None
        return len(wanted)

    def _own(self) -> Path:
        """The folder; one that leads elsewhere is nobody's."""
        if self.folder.is_symlink():
            raise BadRequest(AWAY)
        return self.folder

    def _status(self, name: str) -> os.stat_result:
        folder = self._own()
        try:
            status = (folder / name).lstat() if _named(name) else None
        except OSError:
            status = None
        if status is None or not _whole(status):
            raise BadRequest(GONE)
        return status

    def _opened(self, name: str) -> BinaryIO:
        self._status(name)
        try:
            handle = os.open(self.folder / name, FLAGS)
        except OSError:
            raise BadRequest(GONE) from None
        file = os.fdopen(handle, "rb")
        if not _whole(os.fstat(handle)):  # another file has its name by now
            file.close()
            raise BadRequest(GONE)
        return file


def _named(name: Any) -> bool:
    """Whether this is the name of a PNG and of nothing else: no part of a path, no drive, no hidden file."""
    if not isinstance(name, str) or not name.lower().endswith(".png") or name.startswith("."):
        return False
    return len(name) < 256 and name.isprintable() and not set(name) & set('/\\:*?"<>|')


def _whole(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and 0 < status.st_size <= recipe.FILE_LIMIT


@lru_cache(maxsize=20_000)
def _read(path: Path, changed: int, size: int) -> tuple[str, int, str] | None:
    """Method, seed and words of a file with this time and size; None if it is none of Easel's, or private."""
    try:
        with os.fdopen(os.open(path, FLAGS), "rb") as file:
            told = _shown(file)
    except (OSError, BadRequest):
        return None
    return told.method, told.seed, _words(told.request)


@lru_cache(maxsize=600)
def _small(history: History, name: str, changed: int, size: int) -> bytes:
    picture = pictures.decode(history.data(name), "rgb", name)
    height, width = fit_within((picture.shape[0], picture.shape[1]), SMALL)
    file = BytesIO()
    Image.fromarray(resize(picture, (height, width))).save(file, "WEBP", quality=80, method=2)
    return file.getvalue()


def _shown(file: BinaryIO) -> Recipe:
    """The recipe of a file that a history shows; raises `BadRequest`."""
    try:
        told = Recipe.from_json(_text(file))
    except (struct.error, LookupError, ValueError):  # `BadRequest` is one of the last
        raise BadRequest(GONE) from None
    spec = SPECS.get(told.method)
    if spec is None or private(spec.request):
        raise BadRequest(GONE)
    return told


def _text(file: BinaryIO) -> str:
    """The recipe's JSON, read without the inputs and the pixels that follow it; raises `ValueError`."""
    if file.read(8) != SIGNATURE:
        raise ValueError("no PNG")
    file.seek(-len(END), os.SEEK_END)
    if file.read() != END:
        raise ValueError("cut short")
    file.seek(8)
    for _ in range(CHUNKS):
        size, kind = struct.unpack(">I4s", file.read(8))
        if kind in (b"IDAT", b"IEND"):
            break
        if kind == b"iTXt" and size <= recipe.RECIPE_LIMIT + 100:
            keyword, _, rest = file.read(size).partition(b"\0")
            if keyword == recipe.RECIPE_KEY.encode() and rest[:1] == b"\0":  # not compressed
                return rest[2:].split(b"\0", 2)[2].decode()  # after a language and a translated keyword
            size = 0
        file.seek(size + 4, os.SEEK_CUR)
    raise ValueError("no recipe")


def _words(request: Mapping[str, Any]) -> str:
    """The words for what a picture shows, on one line."""
    told = [request[name] for name in ("target_prompt", "prompt") if isinstance(request.get(name), str)]
    line = " ".join(next(filter(None, told), "").split())
    return line if len(line) <= WORDS else line[: WORDS - 1] + "…"
