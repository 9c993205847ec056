"""`.collage.zip`: one file with `collage.json` and a PNG per layer; what is written comes back equal. Plain.

Nothing is unpacked to disk: pictures are read by name out of the archive, so no name can lead anywhere else.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from models import pictures
from models.collage.dials import Dials
from models.collage.layers import GREY, MOST_LAYERS, SIZE, Collage, Layer, within
from models.collage.records import number, parsed, records, text, truth
from models.contract import BadRequest, Placed

SCHEMA, RECORD, SUFFIX = "collage/1", "collage.json", ".collage.zip"
MOST_BYTES = 200_000_000  # of the file, and of one picture in it
WRITTEN = (1980, 1, 1, 0, 0, 0)  # the oldest date that a zip can hold: equal collages are equal files


def encode(collage: Collage) -> bytes:
    """The collage as the bytes of a `.collage.zip`."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        entries = []
        for position, layer in enumerate(collage.layers):
            name = f"layers/{position:02d}.png"
            png = zipfile.ZipInfo(name, WRITTEN)  # stored: a PNG is compressed already
            archive.writestr(png, pictures.encode(layer.placed.image))
            entries.append(_entry(layer, name))
        height, width = collage.size
        record = {
            "schema": SCHEMA,
            "prompt": collage.prompt,
            "width": width,
            "height": height,
            "background": list(collage.background),
            "settings": dict(collage.settings),
            "layers": entries,
        }
        info = zipfile.ZipInfo(RECORD, WRITTEN)
        archive.writestr(info, json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False).encode())
    return file.getvalue()


def decode(source: bytes | str | Path) -> Collage:
    """The collage in a file or its bytes; raises `BadRequest` with one sentence for everything that is none."""
    try:
        if not isinstance(source, bytes):
            if Path(source).stat().st_size > MOST_BYTES:
                raise _too_large()
            source = Path(source).read_bytes()
        if len(source) > MOST_BYTES:
            raise _too_large()
        with zipfile.ZipFile(BytesIO(source)) as archive:
            return _collage(archive)
    except BadRequest:
        raise
    except FileNotFoundError:
        raise BadRequest(f"There is no file {source!s:.200}.") from None
    except Exception:  # archives are hostile bytes; their reader raises whatever it ran into
        raise BadRequest(f"The file is damaged, or no collage; please choose one that ends in {SUFFIX}.") from None


def _entry(layer: Layer, name: str) -> dict[str, Any]:
    placed, dials = layer.placed, layer.dials
    return {
        "file": name,
        "text": layer.text,
        "x": float(placed.x),
        "y": float(placed.y),
        "scale": float(placed.scale),
        "angle": float(placed.angle),
        "flip": bool(placed.flip),
        "positive": dials.positive,
        "negative": dials.negative,
        "noise": dials.noise,
        "canny": dials.canny,
        "visible": layer.visible,
        "locked": layer.locked,
        "key": layer.key,
    }


def _collage(archive: zipfile.ZipFile) -> Collage:
    record = parsed(_bytes(archive, RECORD), RECORD)
    if record.get("schema") != SCHEMA:
        raise BadRequest(f"The file follows “{str(record.get('schema'))[:40]}”; this program reads {SCHEMA}.")
    layers = records(record.get("layers"), "layers")
    if len(layers) > MOST_LAYERS:
        raise BadRequest(f"The file has {len(layers)} layers; the limit is {MOST_LAYERS}.")
    size = tuple(int(number(record, key, side, 1, 1e5)) for key, side in zip(("height", "width"), SIZE, strict=True))
    background = record.get("background", list(GREY))
    if not isinstance(background, list):
        raise BadRequest("“background” must be a list of three numbers.")
    return Collage(
        text(record, "prompt"),
        within(_layer(archive, layer) for layer in layers),
        (size[0], size[1]),
        tuple(background),  # the collage checks it
        _settings(record.get("settings", {})),
    )


def _layer(archive: zipfile.ZipFile, record: Mapping[str, Any]) -> Layer:
    name = text(record, "file")
    return layer_of(record, pictures.decode(_bytes(archive, name), "rgba", name[:80]))


def layer_of(record: Mapping[str, Any], image: np.ndarray) -> Layer:
    """A layer from its entry in `collage.json` and its picture, uint8 RGBA; raises `BadRequest`."""
    placed = Placed(
        image,
        number(record, "x", 0.5),
        number(record, "y", 0.5),
        number(record, "scale", 0.3),
        number(record, "angle", 0.0),
        truth(record, "flip", False),
        text(record, "text"),
    )
    new = Dials()
    dials = Dials(*(number(record, key, getattr(new, key)) for key in ("positive", "negative", "noise", "canny")))
    return Layer(placed, dials, truth(record, "visible", True), truth(record, "locked", False), text(record, "key"))


def layers_of(value: Any, picture: Callable[[Any], np.ndarray]) -> tuple[Layer, ...]:
    """Layers from a list of such entries, each with an "image" that `picture` reads; raises `BadRequest`."""
    if isinstance(value, tuple) and all(isinstance(one, Layer) for one in value):
        return value
    return within(layer_of(record, picture(record.get("image"))) for record in records(value, "layers"))


def _settings(found: Any) -> dict[str, float | int | str | bool]:
    if not isinstance(found, dict) or not all(isinstance(v, float | int | str) for v in found.values()):
        raise BadRequest("“settings” must hold numbers, texts and truths only.")
    return found


def _bytes(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member, which may not be larger than it says or than the limit."""
    parts = name.replace("\\", "/").split("/")
    if not name or name.startswith(("/", "\\")) or ".." in parts or ":" in name:
        raise BadRequest(f"“{name[:80]}” leads out of the collage's file; only names inside it are read.")
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise BadRequest(f"The file has no “{name[:80]}”; please save the collage again.") from None
    if info.file_size > MOST_BYTES:
        raise _too_large()
    with archive.open(info) as member:
        held = member.read(MOST_BYTES + 1)
    if len(held) > MOST_BYTES:
        raise _too_large()
    return held


def _too_large() -> BadRequest:
    return BadRequest(f"The collage's file, or a picture in it, has more than {MOST_BYTES // 1_000_000} MB.")
