"""A PNG carries what is needed to make it again, and whatever else a file may carry does no harm."""

import base64
import dataclasses
import json
import resource
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from models import pictures, recipe
from models.contract import BadRequest
from models.recipe import Recipe

RNG = np.random.default_rng(5)
PICTURE = RNG.integers(0, 256, (24, 32, 3), np.uint8)
INPUTS = {
    "background": RNG.integers(0, 256, (40, 30, 3), np.uint8),
    "layers.0.image": RNG.integers(0, 256, (12, 9, 4), np.uint8),
    "mask": RNG.integers(0, 256, (40, 30), np.uint8),
}


def told(name: str) -> dict[str, Any]:
    picture = INPUTS[name]
    return {"picture": name, "sha256": recipe.picture_sha256(picture), "shape": list(picture.shape)}


def made(**changes: Any) -> Recipe:
    request = {"prompt": "ein Apfel \N{RED APPLE} \u4e00", "background": told("background"), "mask": told("mask")}
    request["layers"] = [{"image": told("layers.0.image"), "x": 0.5}]
    fixed: dict[str, Any] = {
        "method": "dreamfuse",
        "request": request,
        "seed": 7,
        "preset": "pocket",
        "weights": {"vae": {"source": "assets/pocket/vae", "sha256": "ab"}},
        "versions": {"torch": "2.13.0"},
        "device": "cpu",
        "dtype": "float32",
        "threads": 2,
        "memory": "full",
        "seconds": 1.25,
        "facts": {"kept": np.int64(3)},
    }
    return Recipe(**{**fixed, **changes})


def png_with(text: dict[str, str], **more: Any) -> bytes:
    info, file = PngImagePlugin.PngInfo(), BytesIO()
    for key, value in text.items():
        info.add_itxt(key, value, **more)
    Image.fromarray(PICTURE).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def test_recipe_and_inputs_come_back_exactly(tmp_path: Path) -> None:
    recipe.write_png(tmp_path / "a.png", PICTURE, made(), INPUTS)
    back, inputs = recipe.read_png(tmp_path / "a.png")
    assert back == made(facts={"kept": 3})
    assert set(inputs) == set(INPUTS)
    for name, picture in INPUTS.items():
        np.testing.assert_array_equal(inputs[name], picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), PICTURE)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_text_stays_uncompressed_so_that_pillow_reads_it(tmp_path: Path) -> None:
    large = RNG.integers(0, 256, (900, 900, 3), np.uint8)  # 3.2 MB of base64, over Pillow's limit if compressed
    entry = {"picture": "image", "sha256": recipe.picture_sha256(large), "shape": list(large.shape)}
    recipe.write_png(tmp_path / "a.png", PICTURE, made(request={"image": entry}), {"image": large})
    np.testing.assert_array_equal(recipe.read_png(tmp_path / "a.png")[1]["image"], large)
    kinds = {kind for kind, _ in chunks((tmp_path / "a.png").read_bytes())}
    assert {b"iTXt", b"tEXt"} <= kinds
    assert b"zTXt" not in kinds
    assert b'"method": "dreamfuse"' in (tmp_path / "a.png").read_bytes()


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def test_pictures_over_the_limit_are_hashes_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "INPUT_LIMIT", 2000)
    recipe.write_png(tmp_path / "b.png", PICTURE, made(), INPUTS)
    back, inputs = recipe.read_png(tmp_path / "b.png")
    assert set(inputs) == {"layers.0.image"}, "the others are over the limit"
    assert back.request["background"]["sha256"] == recipe.picture_sha256(INPUTS["background"])


def test_json_keeps_every_text_and_stays_under_its_limit() -> None:
    for prompt in ("\ud800 alone", "\x00\t\N{RED APPLE}", "x" * 4000):
        back = Recipe.from_json(made(request={"prompt": prompt}).to_json().encode().decode())
        assert back.request["prompt"] == prompt
    bulky = made(facts={"attention": "x" * 70_000})
    assert Recipe.from_json(bulky.to_json()) == dataclasses.replace(bulky, facts={})
    with pytest.raises(BadRequest, match="too long"):
        made(request={"prompt": "x" * 70_000}).to_json()


def _bent(**changes: Any) -> str:
    return json.dumps({**json.loads(made().to_json()), **changes})


HOSTILE = {
    "not a png": (b"GIF89a nothing", "not a PNG"),
    "empty": (b"", "empty"),
    "foreign": (png_with({"parameters": "a cat, steps 20"}), "no recipe"),
    "no json": (png_with({"easel:recipe": "{"}), "damaged"),
    "list": (png_with({"easel:recipe": "[1]"}), "damaged"),
    "deep": (png_with({"easel:recipe": "[" * 60_000}), "damaged"),
    "long": (png_with({"easel:recipe": " " * 70_000}), "too large"),
    "newer": (png_with({"easel:recipe": _bent(schema=99)}), "newer"),
    "no seed": (png_with({"easel:recipe": _bent(seed="7; rm")}), "“seed”"),
    "weights": (png_with({"easel:recipe": _bent(weights={"vae": 3})}), "“weights”"),
    "nested": (png_with({"easel:recipe": _bent(request=json.loads('{"a":' * 12 + "1" + "}" * 12))}), "deeply"),
    "huge claim": (
        png_with({"easel:recipe": _bent(request={"a": {"picture": "a", "sha256": "0", "shape": [10**6, 10**6]}})}),
        "too large",
    ),
    "no shape": (png_with({"easel:recipe": _bent(request={"a": {"picture": "a", "sha256": "0"}})}), "no size"),
    "two channels": (
        png_with({"easel:recipe": _bent(request={"a": {"picture": "a", "sha256": "0", "shape": [9, 9, 2]}})}),
        "not described",
    ),
    "not base64": (png_with({"easel:recipe": made().to_json(), "easel:input:mask": "<script>"}), "not the picture"),
    "compressed bomb": (png_with({"easel:recipe": " " * 5_000_000}, zip=True), "not a PNG that can be read"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_foreign_and_hostile_files_get_one_sentence(case: str) -> None:
    data, says = HOSTILE[case]
    with pytest.raises(BadRequest, match=says):
        recipe.read_png(data)


def test_an_exchanged_input_is_noticed_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    other = base64.b64encode(pictures.encode(255 - INPUTS["mask"])).decode()
    with pytest.raises(BadRequest, match="“mask” in this file is not the picture"):
        recipe.read_png(png_with({"easel:recipe": made().to_json(), "easel:input:mask": other}))
    file = BytesIO()
    Image.new("1", (6000, 6000)).save(file, "PNG")
    bomb = base64.b64encode(file.getvalue()).decode()
    monkeypatch.setattr(pictures, "decode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(BadRequest, match="“mask” in this file"):
        recipe.read_png(png_with({"easel:recipe": made().to_json(), "easel:input:mask": bomb}))


def test_inputs_that_the_recipe_does_not_mention_are_not_read() -> None:
    stray = base64.b64encode(pictures.encode(INPUTS["mask"])).decode()
    text = {"easel:recipe": made(request={}).to_json(), "easel:input:mask": stray}
    assert recipe.read_png(png_with(text))[1] == {}


def test_a_file_that_does_not_fit_leaves_no_half_behind(tmp_path: Path) -> None:
    """The operating system itself refuses the write, half way: a file size limit stands in for a full disk."""
    noise = "np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)"
    script = f"""
import resource, signal, numpy as np
from models import recipe
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, {resource.RLIM_INFINITY}))
try:
    recipe.write_png({str(tmp_path / "a.png")!r}, {noise})
except recipe.BadRequest as error:
    print(error)
"""
    (tmp_path / "a.png").write_bytes(b"older")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("a.png could not be saved: the file would be larger")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.png", b"older")]


@pytest.mark.parametrize(("code", "says"), [("ENOSPC", "the disk is full"), ("EROFS", "may not be written")])
def test_every_refusal_of_the_disk_is_said_in_words(
    code: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(getattr(recipe.errno, code), "refused")

    monkeypatch.setattr(recipe.os, "replace", refuse)
    with pytest.raises(BadRequest, match=says):
        recipe.write_png(tmp_path / "a.png", PICTURE)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    with pytest.raises(BadRequest, match="does not exist"):
        recipe.write_png(tmp_path / "gone" / "a.png", PICTURE)


def test_a_text_chunk_that_lies_about_its_length_is_refused() -> None:
    body = b"easel:recipe\0" + b"x" * 100
    chunk = struct.pack(">I", 2**31 - 1) + b"tEXt" + body + struct.pack(">I", zlib.crc32(b"tEXt" + body))
    data = png_with({})
    with pytest.raises(BadRequest):
        recipe.read_png(data[:33] + chunk + data[33:])
