"""Files of every awkward sort become arrays, or one sentence."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import pictures
from models.contract import BadRequest, Kind

RNG = np.random.default_rng(3)


def encoded(image: Image.Image, form: str = "PNG", **more: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **more)
    return buffer.getvalue()


def test_png_arrives_unchanged() -> None:
    pixels = RNG.integers(0, 256, (9, 13, 4), np.uint8)
    assert np.array_equal(pictures.decode(encoded(Image.fromarray(pixels)), "rgba", "A"), pixels)
    assert np.array_equal(pictures.decode(encoded(Image.fromarray(pixels[..., :3])), "rgb", "A"), pixels[..., :3])
    assert np.array_equal(pictures.decode(encoded(Image.fromarray(pixels[..., 0])), "mask", "A"), pixels[..., 0])


@pytest.mark.parametrize(("kind", "expected"), [("rgb", (255, 255, 255)), ("mask", 0)])
def test_transparent_is_white_paper_and_kept_mask(kind: Kind, expected: object) -> None:
    clear = encoded(Image.new("RGBA", (8, 8), (10, 200, 30, 0)))
    assert (pictures.decode(clear, kind, "A") == expected).all()


def test_exif_rotation_is_applied() -> None:
    sideways = Image.new("RGB", (16, 8), "black")
    sideways.paste("white", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to stand upright
    upright = pictures.decode(encoded(sideways, exif=exif), "rgb", "A")
    assert upright.shape == (16, 8, 3)
    assert upright[:8].min() == 255
    assert upright[8:].max() == 0


def _animated() -> bytes:
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a picture"),
        (b"%PDF-1.7 not a picture at all", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (encoded(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)))[:3000], "damaged"),
        (encoded(Image.new("CMYK", (8, 8)), "JPEG"), "CMYK"),
        (encoded(Image.fromarray(np.zeros((8, 8), np.uint16))), "8 bits"),
        (_animated(), "animated"),
        (encoded(Image.new("1", (10_000, 10_000))), "million pixels"),
    ],
)
def test_bad_files_get_one_sentence(data: bytes, says: str) -> None:
    with pytest.raises(BadRequest, match=says) as refused:
        pictures.decode(data, "rgb", "Background")
    assert "Background" in str(refused.value)
    assert str(refused.value).count("\n") == 0


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no file .*gone.png"):
        pictures.decode(tmp_path / "gone.png", "rgb", "A")
    with pytest.raises(BadRequest, match="folder"):
        pictures.decode(tmp_path, "rgb", "A")
