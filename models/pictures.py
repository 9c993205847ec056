"""Picture files in, uint8 arrays out: every upload and every file of the command line comes through `decode`."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from models.contract import BadRequest, Kind

MAX_PIXELS = 50_000_000  # what a phone makes; working copies of it still fit beside a model
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")  # none whose decoder starts a program
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def decode(source: str | Path | bytes, kind: Kind, name: str) -> np.ndarray:
    """A picture file as `kind`: rgb HxWx3 (alpha over white), rgba HxWx4, mask HxW (alpha over black).

    EXIF rotation is applied. `name` is what the sentence of a `BadRequest` calls the file: broken, huge, empty,
    animated, CMYK, more than 8 bits per channel, or no picture at all.
    """
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as picture:
            _refuse(picture, name)
            upright = ImageOps.exif_transpose(picture)
            return _as_kind(upright, kind)
    except FileNotFoundError:
        raise BadRequest(f"“{name}”: there is no file {source!s:.200}.") from None
    except IsADirectoryError:
        raise BadRequest(f"“{name}”: {source!s:.200} is a folder, not a picture.") from None
    except PermissionError:
        raise BadRequest(f"“{name}”: {source!s:.200} may not be read.") from None
    except UnidentifiedImageError:
        raise BadRequest(f"“{name}” is not a picture that can be read; please use PNG, JPEG or WebP.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadRequest(_too_large(name)) from None
    except BadRequest:
        raise
    except (OSError, ValueError, SyntaxError, EOFError):  # what Pillow's decoders raise on damaged files
        raise BadRequest(f"“{name}” is damaged or cut short; please save it again as PNG.") from None


def _refuse(picture: Image.Image, name: str) -> None:
    """Everything that can be known from the header, before any pixel is decoded."""
    if picture.width * picture.height > MAX_PIXELS:
        raise BadRequest(_too_large(name))
    if picture.format != "MPO" and getattr(picture, "n_frames", 1) > 1:
        raise BadRequest(f"“{name}” is animated or has several pages; please give a single picture.")
    if picture.mode == "CMYK":
        raise BadRequest(f"“{name}” is a CMYK picture for printing; please save it as RGB.")
    if picture.mode in DEEP:
        raise BadRequest(f"“{name}” has more than 8 bits per channel; please save it with 8.")


def _too_large(name: str) -> str:
    return f"“{name}” has more than {MAX_PIXELS // 1_000_000} million pixels; please make it smaller."


def _as_kind(picture: Image.Image, kind: Kind) -> np.ndarray:
    rgba = picture.convert("RGBA") if picture.has_transparency_data else None
    if kind == "rgba":
        return np.asarray(rgba or picture.convert("RGBA"))
    if rgba is not None:
        paper = Image.new("RGBA", rgba.size, "white" if kind == "rgb" else "black")
        picture = Image.alpha_composite(paper, rgba)
    return np.asarray(picture.convert("RGB" if kind == "rgb" else "L"))
