"""Picture files in, uint8 arrays out: every upload and every file of the command line comes through `decode`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from models.contract import BadRequest, Kind
from models.pixels import alpha_box, flatten

MAX_PIXELS = 50_000_000  # what a phone makes; working copies of it still fit beside a model
MAX_SIDE = 16_000  # OpenCV's warps address 2^15 pixels a side, twice this
MIN_SIDE = 8
# No format whose decoder starts a program (EPS). JPEG covers MPO, a phone's JPEG with a depth or gain map behind.
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM")
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
UNKNOWN_RANGE = ("I", "F")

Source = str | Path | bytes | Image.Image | np.ndarray


def decode(source: Source, kind: Kind, name: str) -> np.ndarray:
    """A picture as `kind`: rgb HxWx3 (alpha over white), rgba HxWx4, mask HxW (alpha over black), all uint8.

    EXIF rotation is applied, 16-bit grey is scaled, CMYK goes through its embedded profile. `name` is what the
    sentence of a `BadRequest` calls a file that cannot be used: broken, huge, tiny, empty, animated, of
    unknown colours, a cut-out of nothing, or no picture at all. Size is checked before any pixel is decoded.
    """
    try:
        with _opened(source, name) as picture:
            _refuse(picture, name)
            upright = ImageOps.exif_transpose(picture)
            return _as_kind(_eight_bit(upright, name), kind, name)
    except BadRequest:
        raise
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
    except Exception:  # decoders meet hostile bytes here, and raise whatever their parsing ran into
        raise BadRequest(f"“{name}” is damaged or cut short; please save it again as PNG.") from None


def encode(picture: np.ndarray, compress_level: int = 6) -> bytes:
    """The picture as a PNG file: lossless, without any metadata."""
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=compress_level)
    return file.getvalue()


def _opened(source: Source, name: str) -> AbstractContextManager[Image.Image]:
    if isinstance(source, Image.Image):
        return nullcontext(source)  # the caller's stays open
    if isinstance(source, np.ndarray):
        if source.dtype not in (np.uint8, bool):
            raise BadRequest(f"“{name}” must be an 8-bit array; it was {source.dtype}.")
        return Image.fromarray(source)
    if not (len(source) if isinstance(source, bytes) else Path(source).stat().st_size):
        raise BadRequest(f"“{name}” is an empty file; please choose a picture.")
    return Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)


def _refuse(picture: Image.Image, name: str) -> None:
    """Everything that can be known from the header, before any pixel is decoded."""
    width, height = picture.size
    if width * height > MAX_PIXELS or max(picture.size) > MAX_SIDE:
        raise BadRequest(_too_large(name))
    if min(picture.size) < MIN_SIDE:
        raise BadRequest(f"“{name}” is {width}x{height} pixels; please use one of at least {MIN_SIDE}x{MIN_SIDE}.")
    if picture.format != "MPO" and getattr(picture, "is_animated", False):
        raise BadRequest(f"“{name}” is animated or has several pages; please give a single picture.")
    if picture.mode in UNKNOWN_RANGE:
        raise BadRequest(f"“{name}” has 32-bit values of unknown range; please save it with 8 or 16 bits.")
    if picture.mode == "CMYK" and not picture.info.get("icc_profile"):
        raise BadRequest(f"“{name}” is CMYK without a colour profile, for printing; please save it as RGB.")


def _too_large(name: str) -> str:
    megapixels = MAX_PIXELS // 1_000_000
    return f"“{name}” has more than {megapixels} million pixels or a side over {MAX_SIDE}; please make it smaller."


def _eight_bit(picture: Image.Image, name: str) -> Image.Image:
    """16-bit grey scaled to 8 (Pillow's own conversion clips at 255), CMYK to sRGB; others as they are."""
    if picture.mode in SIXTEEN_BIT:
        values = np.asarray(picture).astype(np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if picture.mode != "CMYK":
        return picture
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(picture.info["icc_profile"]))
        converted = ImageCms.profileToProfile(picture, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        raise BadRequest(f"“{name}” is CMYK with a broken colour profile; please save it as RGB.") from None
    assert converted is not None  # None only comes back from an in-place conversion
    return converted


def _as_kind(picture: Image.Image, kind: Kind, name: str) -> np.ndarray:
    clear = picture.has_transparency_data
    rgba = np.asarray(picture.convert("RGBA")) if clear or kind == "rgba" else None
    if rgba is None:
        return np.asarray(picture.convert("RGB" if kind == "rgb" else "L"))
    if kind == "rgba":
        if alpha_box(rgba[..., 3]) is None:
            raise BadRequest(f"“{name}” is fully transparent; please give a cut-out with something in it.")
        return rgba
    return flatten(rgba) if kind == "rgb" else _painted(rgba)


def _painted(rgba: np.ndarray) -> np.ndarray:
    """A mask drawn on a transparent layer: its light over black, or its alpha if it was drawn in black."""
    light = np.asarray(Image.fromarray(flatten(rgba, 0)).convert("L"))
    return light if light.any() else rgba[..., 3]
