"""Collages as the authors keep them: a folder of PNGs from the notebook, or the web app's JSON. Plain.

Both stand on a square canvas of 512 pixels. Placement is brought to ours: the centre of what is not transparent.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import cv2
import numpy as np

from models import pictures
from models.collage.dials import NEW, Dials
from models.collage.layers import MOST_LAYERS, SIZE, Collage, Layer, prompt_of, within
from models.collage.records import MOST_CHARACTERS, number, parsed, records, text
from models.contract import BadRequest, Placed
from models.pixels import alpha_box

SIDE = SIZE[0]
SETTINGS = {"numInferenceSteps": "steps", "guidanceScale": "guidance_scale", "seed": "seed"}
NAMES = {"collagePrompt": "prompt"}  # of the saved states; their other names differ in case only
MOST_POINTS = 10_000  # of a polygon


def read_folder(folder: str | Path, prompt: str = "", alternates: bool = False) -> Collage:
    """A scene's folder, or the `layers` in it: `_0000_football.png` is the top layer, `_0003_tan_wall.png` lies deep.

    The prompt names the layers if none is given. Pictures named `alt` replace nothing and are left out unless asked
    for. Raises `BadRequest` for a folder without layers and for pictures that cannot be used.
    """
    root = Path(folder)
    root = root / "layers" if (root / "layers").is_dir() else root
    names = sorted((p for p in root.glob("*.png") if p.is_file()), reverse=True) if root.is_dir() else []
    chosen = [p for p in names if alternates or "alt" not in _words(p).split()]
    if not chosen:
        raise BadRequest(f"{root!s:.200} has no layers; it should hold files like _0000_teddy_bear.png.")
    if len(chosen) > MOST_LAYERS:
        raise BadRequest(f"{root!s:.200} has {len(chosen)} layers; the limit is {MOST_LAYERS}.")
    layers = within(_whole(root, path) for path in chosen)
    return Collage(prompt or prompt_of([layer.text for layer in layers]), layers)


def _whole(root: Path, path: Path) -> Layer:
    """A picture of the whole canvas."""
    image = pictures.decode(_inside(root, path), "rgba", path.name)
    return Layer(_at(image, 0, 0, 1.0, 0.0, _words(path)), Dials())


def read_json(file: str | Path) -> Collage:
    """The web app's JSON, its bundled examples and its saved states alike; pictures lie in the file's own folder.

    A picture is a data URL, or a name in that folder or below; of a web address only the last part is looked for.
    Raises `BadRequest` for everything that is no such collage.
    """
    path = Path(file)
    try:
        held = path.read_bytes()
    except OSError:
        raise BadRequest(f"{path!s:.200} cannot be read.") from None
    record = _camel(parsed(held, path.name))
    found = sorted(enumerate(records(record.get("layers"), "layers")), key=lambda pair: number(pair[1], "id", pair[0]))
    if len(found) > MOST_LAYERS:
        raise BadRequest(f"{path.name} has {len(found)} layers; the limit is {MOST_LAYERS}.")
    layers = within(_layer(path.parent, layer) for _, layer in found)
    given = {theirs: ours for theirs, ours in SETTINGS.items() if record.get(theirs) is not None}
    settings = {ours: number(record, theirs, 0, -1, 2**31 - 1) for theirs, ours in given.items()}
    for whole in {"steps", "seed"} & settings.keys():
        settings[whole] = int(settings[whole])
    return Collage(text(record, "prompt") or _pieces(record), layers, settings=settings)


def _layer(root: Path, record: Mapping[str, Any]) -> Layer:
    image = _cropped(_picture(root, text(record, "originalImgUrl", most=MOST_CHARACTERS)), record.get("polygon") or [])
    transform = record.get("transform") or {}
    position = transform.get("position") if isinstance(transform, dict) else None
    if not isinstance(position, dict):
        raise BadRequest("A layer's “transform” must have a “position”.")
    left, top = (int(SIDE * number(position, axis, 0.0, -4, 5)) for axis in "xy")  # towards zero, as published
    factor = SIDE * number(transform, "scale", 1 / SIDE, 1e-6, 8)
    width = max(1, int(image.shape[1] * factor))
    turn = -number(transform, "rotation", 0.0, -3600, 3600)  # the authors' server turns against the clock
    placed = _at(image, left, top, width / image.shape[1], turn, text(record, "textPrompt"))
    dials = Dials(
        number(record, "cacStrength", NEW.positive),
        number(record, "negativeStrength", NEW.negative),
        number(record, "noiseStrength", NEW.noise),
        number(record, "cannyStrength", NEW.canny),
    )
    return Layer(placed, dials, number(record, "opacity", 1.0) > 0, key=text(record, "key"))


def _at(image: np.ndarray, left: float, top: float, factor: float, angle: float, words: str) -> Placed:
    """A picture `factor` times its size, its corner at (left, top) of the canvas, turned about its own middle."""
    box = alpha_box(image[..., 3])
    if box is None:
        raise BadRequest(f"The layer “{words[:60]}” is fully transparent.")
    height, width = image.shape[:2]
    across, down = factor * (box[0] + box[2] - width) / 2, factor * (box[1] + box[3] - height) / 2
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    x = left + factor * width / 2 + cos * across - sin * down
    y = top + factor * height / 2 + sin * across + cos * down
    return Placed(image, x / SIDE, y / SIDE, factor * (box[2] - box[0]) / SIDE, angle, prompt=words)


def _cropped(image: np.ndarray, polygon: Any) -> np.ndarray:
    """The picture inside a polygon given in 0..1 of it, cut to the polygon's bounding box; all of it without one."""
    if not polygon:
        return image
    points = records(polygon, "polygon")
    if len(points) < 3 or len(points) > MOST_POINTS:
        raise BadRequest(f"A polygon has {len(points)} points; it needs at least three.")
    sides = np.array(image.shape[1::-1])
    corners = np.array([[number(p, axis, 0.0, -1, 2) for axis in "xy"] for p in points]) * sides
    whole = np.clip(np.rint(corners), 0, sides - 1).astype(np.int32)
    inside = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(inside, [whole], 1)
    (left, top), (right, bottom) = whole.min(axis=0), whole.max(axis=0) + 1
    cut = image.copy()
    cut[..., 3] *= inside
    return cut[top:bottom, left:right]


def _picture(root: Path, url: str) -> np.ndarray:
    if url.startswith("data:"):
        try:
            held = base64.b64decode(url.partition(",")[2], validate=True)
        except binascii.Error:
            raise BadRequest("A layer's picture is a damaged data URL.") from None
        return pictures.decode(held, "rgba", "a layer's picture")
    parts = urlsplit(url)
    remote = bool(parts.scheme or parts.netloc)
    name = unquote(parts.path).replace("\\", "/").rsplit("/", 1)[-1] if remote else url
    if not name:
        raise BadRequest("A layer has no picture; “originalImgUrl” should name one.")
    if Path(name).is_absolute() or "\\" in name or "\0" in name:
        raise BadRequest(f"“{name[:80]}” leads out of the collage's folder; only pictures in it are read.")
    return pictures.decode(_inside(root, root / name), "rgba", name[:80])


def _inside(root: Path, path: Path) -> Path:
    """The path, once links are followed; raises `BadRequest` if it leaves the folder."""
    real = path.resolve()
    if not real.is_relative_to(root.resolve()):
        raise BadRequest(f"“{path.name[:80]}” leads out of the collage's folder; only pictures in it are read.")
    return real


def _words(path: Path) -> str:
    """`_0004_bento_box.png` -> `bento box`."""
    return path.stem.split("_", 2)[-1].replace("_", " ").replace("-", " ")


def _pieces(record: Mapping[str, Any]) -> str:
    """The prompt of a saved state, whose pieces are free text and layers by turns."""
    if record.get("inputTokenData") is None:
        return ""
    found = (text(piece, "data").strip() for piece in records(record["inputTokenData"], "inputTokenData"))
    return " ".join(piece for piece in found if piece)


def _camel(record: Mapping[str, Any], depth: int = 4) -> dict[str, Any]:
    """The record with its names, and those of its layers, in the web app's way: `guidance_scale` -> `guidanceScale`."""
    named = {}
    for key, value in record.items():
        name = re.sub(r"_([a-z])", lambda found: found.group(1).upper(), key)
        if depth and isinstance(value, list):
            value = [_camel(one, depth - 1) if isinstance(one, dict) else one for one in value]
        elif name == "layers" and isinstance(value, dict):
            value = {k: _camel(v, depth - 1) if isinstance(v, dict) else v for k, v in value.items()}
        named[NAMES.get(name, name)] = value
    return named
