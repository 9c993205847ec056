"""A collage between its editor, its request and its files: read, written, opened and saved."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from gradio.utils import get_upload_folder

from demos.canvas import LayerScene, PlacedLayer, with_layer
from demos.canvas.parts import stored
from demos.canvas.scene import MAX_LAYERS
from models import pictures
from models.collage import files, published
from models.collage.dials import Dials
from models.collage.layers import Collage, Layer, within
from models.collage.spec import CollageRequest, collage_of, fields_of
from models.contract import BadRequest, Placed, options
from models.fields import checked

FIELDS = ("layers", "width", "height", "colour")  # of the request, that the editor holds
PLACE = ("x", "y", "scale", "angle", "flip")
DIALS = ("positive", "negative", "noise", "canny")
STATE = ("visible", "locked")
NAME = re.compile(r"[\w-]{1,40}")
CAMERA = {"img", "image", "dsc", "dscn", "pxl", "photo", "picture", "screenshot", "untitled", "download", "scan"}


# --- the editor and the request's fields


@lru_cache(maxsize=24)
def _picture(path: str, name: str) -> np.ndarray:
    """A file of the cache, whose path contains its hash; every run asks for the same ones again."""
    picture = pictures.decode(path, "rgba", name)
    picture.setflags(write=False)
    return picture


def read_scene(scene: LayerScene) -> dict[str, Any]:
    """The request fields that the editor holds. Raises `BadRequest` for a layer of which nothing can be seen."""
    return {
        "layers": within(_layer(placed) for placed in ordered(scene)),
        "width": scene.width,
        "height": scene.height,
        "colour": scene.colour,
    }


def write_scene(fields: Mapping[str, Any]) -> LayerScene:
    """The editor that holds these request fields; the dials are as given and follow no size.

    Raises `BadRequest` for more layers than it has room for.
    """
    if (count := len(fields.get("layers", ()))) > MAX_LAYERS:
        raise BadRequest(f"The collage has {count} layers; the editor here has room for {MAX_LAYERS}.")
    scene = LayerScene(**{name: fields[name] for name in ("width", "height", "colour") if name in fields})
    for layer in fields.get("layers", ()):
        given = {name: getattr(layer.placed, name) for name in PLACE}
        given |= {name: getattr(layer.dials, name) for name in DIALS}
        given |= {name: getattr(layer, name) for name in STATE}
        if NAME.fullmatch(layer.key) and layer.key not in {other.id for other in scene.layers}:
            given["id"] = layer.key
        scene = with_layer(scene, layer.placed.image, layer.text, **given, auto=False)
    return scene


def ordered(scene: LayerScene) -> list[PlacedLayer]:
    """The layers from back to front."""
    return sorted(scene.layers, key=lambda layer: layer.z)


def shown(scene: LayerScene) -> list[PlacedLayer]:
    """Those that are not hidden, from back to front: the order in which the request counts them."""
    return [layer for layer in ordered(scene) if layer.visible]


def _layer(placed: PlacedLayer) -> Layer:
    image = _picture(placed.image.path, f"The layer “{placed.prompt[:60]}”")
    place = {name: getattr(placed, name) for name in PLACE}
    dials = Dials(**{name: getattr(placed, name) for name in DIALS})
    return Layer(Placed(image, **place, prompt=placed.prompt), dials, placed.visible, placed.locked, placed.id)


# --- files


def save(fields: Mapping[str, Any]) -> str:
    """The path of a new `.collage.zip` in Gradio's cache that holds the collage of these fields and their settings; a
    picture that is changed is no part of it. Raises `BadRequest`."""
    collage = collage_of(CollageRequest(**{**fields, "previous": None, "edited": ""}))
    words = "-".join(re.findall(r"\w+", collage.shown[-1].text)[:3])
    return str(stored(files.encode(collage), "zip", f"{words[:40] or 'layers'}.collage").path)


def fields_in(paths: Sequence[str]) -> dict[str, Any]:
    """All request fields of a saved collage, or of one in the authors' formats: their JSON with the pictures that it
    names beside it, or the PNGs of a scene's folder. What a file does not say is as on a new page.

    Raises `BadRequest` for everything that is no collage.
    """
    known = options(CollageRequest)
    usual = {name: CollageRequest.__dataclass_fields__[name].default for name in known}
    found = fields_of(_opened([Path(path) for path in paths]))
    return usual | {name: checked(known[name], value) for name, value in found.items()}


def _opened(paths: Sequence[Path]) -> Collage:
    kinds = {path.suffix.lower() for path in paths}
    if kinds == {".zip"} and len(paths) == 1:
        return files.decode(paths[0])
    if ".zip" in kinds or not kinds <= {".json", ".png", ".jpg", ".jpeg", ".webp"}:
        raise BadRequest(f"Please choose one {files.SUFFIX}, or a collage's JSON together with its pictures.")
    if not kinds & {".json", ".png"}:
        raise BadRequest("Photographs are no collage; “Add a picture…” makes a layer of each.")
    with tempfile.TemporaryDirectory(dir=_cache()) as folder:  # uploads lie in a folder each
        for path in paths:
            shutil.copyfile(path, Path(folder) / path.name)
        found = sorted(Path(folder).glob("*.json"))
        return published.read_json(found[0]) if found else published.read_folder(folder)


def _cache() -> Path:
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# --- words


def plain_words(name: str) -> str:
    """A file's name as words: `_0003_red-teapot (2).png` -> `red teapot`; nothing for a camera's own."""
    words = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", Path(name).stem.removesuffix(".collage"))
    return "" if not words or words[0].lower() in CAMERA else " ".join(words).lower()[:60]
