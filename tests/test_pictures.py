"""Files of every awkward sort become arrays, or one sentence."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from models import pictures
from models.contract import BadRequest, Kind

RNG = np.random.default_rng(3)
RGBA = RNG.integers(0, 256, (9, 13, 4), np.uint8)
RGBA[0, 0, 3] = 255


def encoded(image: Image.Image, form: str = "PNG", **more: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **more)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_lossless_files_arrive_unchanged(form: str) -> None:
    more = {"lossless": True, "exact": True} if form == "WEBP" else {}
    cut_out = encoded(Image.fromarray(RGBA), form, **more)
    np.testing.assert_array_equal(pictures.decode(cut_out, "rgba", "A"), RGBA)
    picture = encoded(Image.fromarray(RGBA[..., :3]), form, **more)
    np.testing.assert_array_equal(pictures.decode(picture, "rgb", "A"), RGBA[..., :3])
    opaque = pictures.decode(picture, "rgba", "A")
    np.testing.assert_array_equal(opaque[..., :3], RGBA[..., :3])
    assert (opaque[..., 3] == 255).all()


def test_every_source_gives_the_same_picture(tmp_path: Path) -> None:
    image = Image.fromarray(RGBA)
    (tmp_path / "a.png").write_bytes(encoded(image))
    with Image.open(tmp_path / "a.png") as lazy:
        for source in (tmp_path / "a.png", str(tmp_path / "a.png"), encoded(image), image, RGBA, lazy):
            np.testing.assert_array_equal(pictures.decode(source, "rgba", "A"), RGBA)
    np.testing.assert_array_equal(pictures.decode(pictures.encode(RGBA), "rgba", "A"), RGBA)


@pytest.mark.parametrize(("kind", "expected"), [("rgb", (255, 255, 255)), ("mask", 0)])
def test_transparent_is_white_paper_and_kept_mask(kind: Kind, expected: object) -> None:
    assert (pictures.decode(CLEAR, kind, "A") == expected).all()


@pytest.mark.parametrize("ink", [(255, 255, 255), (0, 0, 0)])
def test_a_mask_may_be_drawn_on_a_transparent_layer(ink: tuple[int, int, int]) -> None:
    layer = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    layer.paste((*ink, 255), (4, 4, 8, 8))
    want = np.zeros((16, 16), np.uint8)
    want[4:8, 4:8] = 255
    np.testing.assert_array_equal(pictures.decode(encoded(layer), "mask", "A"), want)


def _transparent_palette() -> Image.Image:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 250, 40, 10])
    image.paste(0, (0, 0, 8, 4))
    return image


GREY16 = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)


@pytest.mark.parametrize(
    ("data", "top", "bottom"),
    [
        (encoded(_transparent_palette()), (0, 0, 0), (250, 40, 10)),
        (encoded(_transparent_palette(), transparency=0), (255, 255, 255), (250, 40, 10)),
        (encoded(Image.new("L", (8, 8), 77)), (77, 77, 77), (77, 77, 77)),
        (encoded(Image.new("LA", (8, 8), (0, 128))), (127, 127, 127), (127, 127, 127)),
        (encoded(Image.new("1", (8, 8), 1)), (255, 255, 255), (255, 255, 255)),
        (encoded(Image.fromarray(GREY16)), (0, 0, 0), (255, 255, 255)),
        (encoded(Image.fromarray(GREY16), "TIFF"), (0, 0, 0), (255, 255, 255)),
    ],
    ids=["palette", "palette-alpha", "grey", "grey-alpha", "one-bit", "png16", "tiff16"],
)
def test_other_colour_modes_are_converted(data: bytes, top: tuple[int, ...], bottom: tuple[int, ...]) -> None:
    picture = pictures.decode(data, "rgb", "A")
    assert np.abs(picture[0, 0].astype(int) - top).max() <= 1
    assert np.abs(picture[-1, -1].astype(int) - bottom).max() <= 1


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    for form in ("PNG", "TIFF"):
        grey = pictures.decode(encoded(Image.fromarray(GREY16), form), "mask", "A")
        assert np.abs(grey - GREY16 / 257).max() <= 0.5


def test_exif_rotation_is_applied() -> None:
    sideways = Image.new("RGB", (16, 8), "black")
    sideways.paste("white", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to stand upright
    upright = pictures.decode(encoded(sideways, exif=exif), "rgb", "A")
    assert upright.shape == (16, 8, 3)
    assert upright[:8].min() == 255
    assert upright[8:].max() == 0


def test_a_phones_jpeg_with_a_second_picture_is_its_first() -> None:
    first, second = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    assert np.abs(pictures.decode(data, "rgb", "A").astype(int) - (255, 0, 0)).max() <= 3


def test_cmyk_goes_through_its_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """No CMYK profile is free to ship here, so the profile's arithmetic is stood in for; the way to it is real."""
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", icc_profile=b"a printer's")
    with pytest.raises(BadRequest, match="broken colour profile"):
        pictures.decode(data, "rgb", "A")
    monkeypatch.setattr(ImageCms, "ImageCmsProfile", lambda file: file.read())
    monkeypatch.setattr(
        ImageCms, "profileToProfile", lambda image, profile, target, outputMode: image.convert(outputMode)
    )
    assert np.abs(pictures.decode(data, "rgb", "A").astype(int) - (255, 0, 0)).max() <= 3


def _animated(form: str) -> bytes:
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    return encoded(frames[0], form, save_all=True, append_images=frames[1:])


NOISE = encoded(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)))
BAD = {
    "empty": (b"", "empty file"),
    "pdf": (b"%PDF-1.7 not a picture at all", "not a picture"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    "cut short": (NOISE[:3000], "damaged"),
    "flipped bits": (NOISE[:200] + bytes(64) + NOISE[264:], "damaged"),
    "header only": (NOISE[:33], "damaged|not a picture"),
    "cmyk": (encoded(Image.new("CMYK", (8, 8)), "JPEG"), "CMYK"),
    "float": (encoded(Image.new("F", (8, 8)), "TIFF"), "32-bit"),
    "gif": (_animated("GIF"), "animated"),
    "webp": (_animated("WEBP"), "animated"),
    "apng": (_animated("PNG"), "animated"),
    "pages": (_animated("TIFF"), "several pages"),
    "one pixel": (encoded(Image.new("RGB", (1, 1))), "1x1 pixels"),
    "megapixels": (encoded(Image.new("1", (8000, 7500))), "million pixels"),
    "bomb": (encoded(Image.new("1", (20_000, 20_000))), "million pixels"),
    "strip": (encoded(Image.new("L", (20_000, 8))), "side over"),
}

CLEAR = encoded(Image.new("RGBA", (8, 8), (10, 200, 30, 0)))  # no object at all


@pytest.mark.parametrize("case", BAD)
def test_bad_files_get_one_sentence(case: str) -> None:
    data, says = BAD[case]
    with pytest.raises(BadRequest, match=says) as refused:
        pictures.decode(data, "rgb", "Background")
    assert "Background" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_damaged_bytes_raise_nothing_but_a_bad_request(form: str) -> None:
    rng = np.random.default_rng(1)
    sound = np.frombuffer(encoded(Image.fromarray(RGBA[..., :3]).resize((40, 30)), form), np.uint8)
    refused = 0
    for _ in range(150):
        bent = sound.copy()
        spots = rng.integers(0, min(len(bent), 120), 3)
        bent[spots] = rng.integers(0, 256, 3)
        try:
            pictures.decode(bent[: rng.integers(20, len(bent) + 1)].tobytes(), "rgb", "A")
        except BadRequest:
            refused += 1
    assert refused > 20


def test_a_cut_out_of_nothing_is_refused() -> None:
    with pytest.raises(BadRequest, match="fully transparent"):
        pictures.decode(CLEAR, "rgba", "Object")


def test_size_is_checked_before_a_pixel_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    monkeypatch.setattr(Image.Image, "convert", lambda *_: decoded.append("convert"))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: decoded.append("load"))
    for case in ("megapixels", "bomb", "strip", "one pixel"):
        with pytest.raises(BadRequest):
            pictures.decode(BAD[case][0], "rgb", "A")
    assert decoded == []


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no file .*gone.png"):
        pictures.decode(tmp_path / "gone.png", "rgb", "A")
    with pytest.raises(BadRequest, match="folder"):
        pictures.decode(tmp_path, "rgb", "A")
    with pytest.raises(BadRequest, match="8-bit array"):
        pictures.decode(np.zeros((9, 9, 3), np.float32), "rgb", "A")
