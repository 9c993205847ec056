"""What both canvases are made of: Gradio's metaclass without its side effect, script and style parts, files."""

from __future__ import annotations

import copy
import functools
import hashlib
from abc import ABCMeta
from io import BytesIO
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.component_meta import updateable
from gradio.data_classes import FileData
from gradio.utils import get_upload_folder
from PIL import Image

from models import pictures
from models.pixels import fit_within, resize

HERE = Path(__file__).parent
PREVIEW = 2048  # longest side that a browser is asked to draw


class Quiet(type(gr.HTML)):  # type: ignore[misc]
    """Gradio's metaclass, less the .pyi file that it would write beside this source at every import."""

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> type:
        attrs["__init__"] = updateable(attrs["__init__"])
        return ABCMeta.__new__(cls, name, bases, attrs)


class Valued:
    """For a canvas whose value is its `data_model`: what `gr.HTML` would treat as a string."""

    data_model: Any

    def postprocess(self, value: Any) -> Any:
        """The value as it is; Gradio adds the addresses of its files."""
        return value or self.data_model()

    def api_info(self) -> dict[str, Any]:
        """The value's JSON schema."""
        return copy.deepcopy(_schema(self.data_model))

    def example_payload(self) -> Any:
        """An empty canvas, as JSON."""
        return self.data_model().model_dump()

    def example_value(self) -> Any:
        """The same: what Python would give."""
        return self.data_model().model_dump()


@functools.cache
def _schema(model: Any) -> dict[str, Any]:
    """Gradio asks for it a dozen times while a page is made, and pydantic takes a while each time."""
    schema: dict[str, Any] = model.model_json_schema()
    return schema


def small_parts(folder: Path, name: str, *scripts: str) -> dict[str, Any]:
    """What `gr.HTML` is told by a component whose template and style are `name`.html and .css, and its script `name`.js
    or these files, one after the other."""

    def read(*names: str) -> str:
        return "\n".join((folder / one).read_text(encoding="utf-8") for one in names)

    html, css, script = read(f"{name}.html"), read(f"{name}.css"), read(*(scripts or (f"{name}.js",)))
    return {"html_template": html, "css_template": css, "js_on_load": script, "apply_default_css": False}


def joined(*names: str) -> str:
    """The parts of a script or a style sheet, one after the other."""
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)


def picture_files(picture: np.ndarray, upload: FileData | None = None) -> tuple[FileData, FileData | None]:
    """A picture's file for Python, the upload itself if it is given, and a smaller one if it is large to draw."""
    image = upload or stored(pictures.encode(picture, compress_level=1), "png")
    return image, None if _drawn_size(picture) == picture.shape[:2] else drawable(picture)


def drawable(picture: np.ndarray) -> FileData:
    """A file of the picture that any browser draws as Python sees it: a PNG, or a smaller WebP of a large one."""
    size = _drawn_size(picture)
    if size == picture.shape[:2]:
        return stored(pictures.encode(picture, compress_level=1), "png")
    small = BytesIO()
    Image.fromarray(resize(picture, size)).save(small, "WEBP", quality=90, method=0)
    return stored(small.getvalue(), "webp")


def _drawn_size(picture: np.ndarray) -> tuple[int, int]:
    return fit_within((picture.shape[0], picture.shape[1]), PREVIEW)


def kept_upload(upload: FileData | None) -> FileData | None:
    """An uploaded JPEG, which stays the file that Python reads: a large photograph takes seconds to pack as PNG."""
    is_jpeg = upload is not None and Path(upload.path).suffix.lower() in (".jpg", ".jpeg")
    return upload if is_jpeg else None


def stored(data: bytes, kind: str, name: str = "picture") -> FileData:
    """A file of Gradio's cache, in a folder named by its hash."""
    folder = Path(get_upload_folder()) / hashlib.sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{kind}"
    path.write_bytes(data)
    return FileData(path=str(path), mime_type=f"image/{kind}", orig_name=path.name)
