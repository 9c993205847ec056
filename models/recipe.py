"""What was run, as JSON in the text of the PNG that it made, with the input pictures beside it.

Layout: an uncompressed iTXt chunk `easel:recipe` (JSON, at most 64 kB) and, for each input that fits, a tEXt
chunk `easel:input:<name>` (a PNG in base64). Text is not compressed because Pillow refuses to expand over 1 MiB.
`replay.py` makes recipes from requests and requests from recipes.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from models import pictures
from models.contract import BadRequest, Kind

SCHEMA = 1
RECIPE_LIMIT = 64_000  # bytes of JSON
INPUT_LIMIT = 32_000_000  # bytes of base64, all inputs together
FILE_LIMIT = 512_000_000  # bytes of a file that is read
PIXEL_LIMIT = 3 * pictures.MAX_PIXELS  # of all inputs together, known before any is decoded
RECIPE_KEY, INPUT_KEY = "easel:recipe", "easel:input:"
KINDS: dict[int, Kind] = {1: "mask", 3: "rgb", 4: "rgba"}  # by channels
DISK = {
    errno.ENOSPC: "the disk is full; free some space or choose another output folder",
    errno.EDQUOT: "your disk quota is used up; free some space or choose another output folder",
    errno.EFBIG: "the file would be larger than this system allows; switch the inputs in the file off",
    errno.EACCES: "the folder may not be written; choose another output folder",
    errno.EROFS: "the folder may not be written; choose another output folder",
    errno.ENOENT: "the folder does not exist; choose another output folder",
    errno.ENOTDIR: "the folder does not exist; choose another output folder",
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What decides the pixels of one picture, and what it took. Numbers and text; pictures by their sha256."""

    method: str  # key of the catalogue
    request: Mapping[str, Any]  # fields of the request; a picture is {"picture": name, "sha256": ..., "shape": ...}
    seed: int  # resolved, of this very picture
    preset: str  # resolved
    weights: Mapping[str, Mapping[str, str]]  # component -> source, revision, sha256, ...
    versions: Mapping[str, str]  # library -> version
    device: str
    dtype: str
    threads: int
    memory: str
    seconds: float
    picture: int = 0  # which one of a run whose pictures are made together
    facts: Mapping[str, Any] = field(default_factory=dict)  # of the method, for people; not needed for a replay
    schema: int = SCHEMA

    def to_json(self) -> str:
        """JSON of at most 64 kB; facts are left out if they do not fit. Raises `BadRequest` if prompts do not."""
        for recipe in (self, dataclasses.replace(self, facts={})):
            text = json.dumps(dataclasses.asdict(recipe), ensure_ascii=False, default=_plain)
            if len(text.encode("utf-8", "surrogatepass")) <= RECIPE_LIMIT:
                return text if _encodable(text) else json.dumps(json.loads(text))
        raise BadRequest("The prompts are too long to be stored with the picture; shorten them or leave it out.")

    @staticmethod
    def from_json(text: str) -> Recipe:
        """A recipe from text that anyone may have written; raises `BadRequest`."""
        if len(text) > RECIPE_LIMIT:
            raise BadRequest("The recipe in this file is too large to be one of Easel's.")
        try:
            data = json.loads(text)
            schema = data.pop("schema")
        except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
            raise BadRequest("The recipe in this file is damaged; please use the file as it was saved.") from None
        if type(schema) is not int or schema > SCHEMA:
            raise BadRequest("The recipe in this file was written by a newer Easel; please update.")
        known = {f.name for f in dataclasses.fields(Recipe)}
        data.setdefault("picture", 0)
        wrong = [name for name in known - {"schema", "facts"} if not _fits(name, data.get(name))]
        if wrong or not isinstance(data.setdefault("facts", {}), dict):
            raise BadRequest(f"The recipe in this file has no usable “{min(wrong, default='facts')}”.")
        return Recipe(**{name: value for name, value in data.items() if name in known})


def _plain(value: Any) -> Any:
    """Numpy numbers and paths as JSON; arrays in facts are told by their shape only."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return {"shape": list(value.shape)}
    return str(value)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: JSON's ASCII form can carry it
        return False
    return True


def _fits(name: str, value: Any) -> bool:
    if name in ("method", "preset", "device", "dtype", "memory"):
        return isinstance(value, str)
    if name in ("seed", "threads"):
        return type(value) is int
    if name == "picture":
        return type(value) is int and value >= 0
    if name == "seconds":
        return type(value) in (int, float)
    if name == "weights" and isinstance(value, dict):
        return all(isinstance(w, dict) and _all_text(w) for w in value.values())
    return isinstance(value, dict) and (name == "request" or _all_text(value))


def _all_text(values: Mapping[str, Any]) -> bool:
    return all(isinstance(v, str) for v in values.values())


def picture_sha256(picture: np.ndarray) -> str:
    """sha256 of a picture's shape and pixels: the same for every lossless file of it."""
    return hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).hexdigest()


def stored_pictures(recipe: Recipe) -> dict[str, Mapping[str, Any]]:
    """Name -> {"sha256": ..., "shape": ...} of every picture the request mentions; raises `BadRequest`."""
    return {entry["picture"]: entry for entry in _mentions(recipe.request, depth=0)}


def _mentions(value: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    if depth > 8:
        raise BadRequest("The recipe in this file is nested too deeply to be one of Easel's.")
    if isinstance(value, Mapping) and "picture" in value:
        shape, names = value.get("shape"), (value["picture"], value.get("sha256"))
        sides = shape if isinstance(shape, list | tuple) else []
        if not (len(sides) in (2, 3) and all(type(n) is int and n > 0 for n in sides)):
            raise BadRequest("A picture in this recipe has no size; please use the file as it was saved.")
        if not all(isinstance(n, str) for n in names) or (sides[2] if len(sides) == 3 else 1) not in KINDS:
            raise BadRequest("A picture in this recipe is not described; please use the file as it was saved.")
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _mentions(item, depth + 1)


# --- files ------------------------------------------------------------------------------------------------


def write_png(
    path: str | Path,
    image: np.ndarray,
    recipe: Recipe | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a uint8 picture with its recipe and, as far as 32 MB go, its input pictures; all or nothing.

    Raises `BadRequest` in words when the disk refuses, and leaves no part of a file behind.
    """
    text = PngImagePlugin.PngInfo()
    if recipe is not None:
        text.add_itxt(RECIPE_KEY, recipe.to_json())
        for name, data in _fitting(inputs or {}):
            text.add_text(INPUT_KEY + name, data)
    file = BytesIO()
    Image.fromarray(image).save(file, "PNG", pnginfo=text)
    _write(Path(path), file.getvalue())


def _fitting(inputs: Mapping[str, np.ndarray]) -> Iterator[tuple[str, str]]:
    room = INPUT_LIMIT
    for name, picture in inputs.items():
        # Twice the room is what a photograph may measure before compression; more is not worth the seconds.
        if len(name) > 60 or picture.nbytes > 2 * room:
            continue
        data = base64.b64encode(pictures.encode(picture, compress_level=2)).decode()
        if len(data) <= room:
            room -= len(data)
            yield name, data


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
        os.replace(part, path)
    except OSError as error:
        why = DISK.get(error.errno or 0, f"the system says “{error.strerror}”; choose another output folder")
        raise BadRequest(f"{path.name} could not be saved: {why}.") from error
    finally:
        with contextlib.suppress(OSError):  # where there is no folder there is no part either
            part.unlink()


def read_png(source: str | Path | bytes) -> tuple[Recipe, dict[str, np.ndarray]]:
    """The recipe of a PNG and the input pictures it carries, each compared with its sha256.

    The file may come from anyone: sizes are checked before pixels are decoded. Raises `BadRequest`.
    """
    size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size if Path(source).is_file() else 0
    if not 0 < size <= FILE_LIMIT:
        raise BadRequest("This file is missing, empty or too large to hold a recipe; please choose an Easel PNG.")
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=("PNG",)) as image:
            text = {k: v for k, v in image.info.items() if isinstance(k, str) and isinstance(v, str)}
    except Exception:  # a parser meets hostile bytes here
        raise BadRequest("This file is not a PNG that can be read, so it has no recipe to replay.") from None
    if RECIPE_KEY not in text:
        raise BadRequest("This picture carries no recipe: Easel did not make it, or the recipe was stripped.")
    recipe = Recipe.from_json(text[RECIPE_KEY])
    mentioned = stored_pictures(recipe)
    if sum(math.prod(entry["shape"][:2]) for entry in mentioned.values()) > PIXEL_LIMIT:
        raise BadRequest("The pictures of this recipe are too large to be read back.")
    return recipe, {n: _unpack(n, text[INPUT_KEY + n], e) for n, e in mentioned.items() if INPUT_KEY + n in text}


def _unpack(name: str, text: str, entry: Mapping[str, Any]) -> np.ndarray:
    changed = BadRequest(f"“{name}” in this file is not the picture that was used; please use the file as saved.")
    height, width, *channels = entry["shape"]
    try:
        data = base64.b64decode(text, validate=True)
        with Image.open(BytesIO(data), formats=("PNG",)) as header:
            if header.size != (width, height):
                raise changed
    except (OSError, SyntaxError, ValueError, binascii.Error, Image.DecompressionBombError):
        raise changed from None
    picture = pictures.decode(data, KINDS[channels[0] if channels else 1], name)
    if picture_sha256(picture) != entry["sha256"]:
        raise changed
    return picture
