"""A collage as one file comes back equal; what is hostile or damaged is refused; the authors' own formats are read."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import pictures
from models.collage import files, layers
from models.collage.composing import compose
from models.collage.dials import Dials
from models.collage.layers import Collage
from models.collage.published import read_folder, read_json
from models.contract import BadRequest
from tests.methods.collage_parts import collage

PNG = pictures.encode(np.full((16, 16, 4), 255, np.uint8))


def odd() -> Collage:
    """Every field away from its default."""
    made = collage(top_alpha=77)
    turned = made.layers[1].replace(x=0.123456789, y=1.2, scale=0.71, angle=-33.3, flip=True, locked=True, key="abc")
    hidden = made.layers[2].replace(visible=False, dials=Dials(0.1, 0.2, 0.3, 0.4))
    settings = {"steps": 50, "guidance_scale": 7.5, "negative_prompt": "колаж"}
    return Collage("ball, red box; sky …", (made.layers[0], turned, hidden), (256, 384), (1, 2, 3), settings)


def test_what_is_saved_comes_back_equal(tmp_path: Path) -> None:
    whole = odd()
    (tmp_path / "a.collage.zip").write_bytes(files.encode(whole))
    back = files.decode(tmp_path / "a.collage.zip")
    for name in ("prompt", "size", "background", "settings"):
        assert getattr(back, name) == getattr(whole, name)
    for one, other in zip(back.layers, whole.layers, strict=True):
        np.testing.assert_array_equal(one.placed.image, other.placed.image)
        for name in ("x", "y", "scale", "angle", "flip", "prompt"):
            assert getattr(one.placed, name) == getattr(other.placed, name)
        kept = [(x.dials, x.visible, x.locked, x.key) for x in (one, other)]
        assert kept[0] == kept[1]
    assert files.encode(back) == files.encode(whole)


def zipped(record: Any, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        if record is not None:
            archive.writestr("collage.json", record if isinstance(record, bytes) else json.dumps(record))
        for name, held in members.items():
            archive.writestr(name, held)
    return file.getvalue()


def record(**changes: Any) -> dict[str, Any]:
    layer = {"file": "a.png", "text": "ball"} | changes.pop("layer", {})
    return {"schema": "collage/1", "prompt": "a ball", "layers": [layer]} | changes


def test_a_short_record_is_enough() -> None:
    back = files.decode(zipped(record(), **{"a.png": PNG}))
    assert (back.size, back.layers[0].dials, back.layers[0].placed.x) == ((512, 512), Dials(), 0.5)


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        (b"no zip", "damaged, or no collage"),
        (zipped(None), "no “collage.json”"),
        (zipped(b"{"), "not valid JSON"),
        (zipped(b"[" * 100_000), "not valid JSON"),
        (zipped([]), "holds no collage"),
        (zipped(record(schema="collage/9")), "“collage/9”; this program reads"),
        (zipped(record(layers=[])), "at least one layer"),
        (zipped(record(layers=[1])), "list of objects"),
        (zipped(record(layers=[{}] * 76)), "76 layers"),
        (zipped(record()), "no “a.png”"),
        (zipped(record(layer={"file": "../a.png"})), "leads out"),
        (zipped(record(layer={"file": "layers\\..\\..\\a.png"})), "leads out"),
        (zipped(record(layer={"file": "/etc/passwd"})), "leads out"),
        (zipped(record(layer={"file": "C:a.png"})), "leads out"),
        (zipped(record(), **{"a.png": b"GIF89a"}), "a.png"),
        (zipped(record(), **{"a.png": PNG[:60]}), "damaged or cut short"),
        (zipped(record(layer={"x": "left"}), **{"a.png": PNG}), "“x” must be a number"),
        (zipped(record(layer={"scale": True}), **{"a.png": PNG}), "“scale” must lie"),
        (zipped(record(layer={"noise": 7}), **{"a.png": PNG}), "“noise” must lie"),
        (zipped(record(layer={"visible": "no"}), **{"a.png": PNG}), "“visible” must be true or false"),
        (zipped(record(width=None, height=1e300), **{"a.png": PNG}), "“height” must lie"),
        (zipped(record(background="red"), **{"a.png": PNG}), "“background”"),
        (zipped(record(prompt="an owl"), **{"a.png": PNG}), "“ball” is not in the prompt"),
        (zipped(record(settings={"steps": [1]}), **{"a.png": PNG}), "“settings”"),
    ],
)
def test_hostile_and_damaged_files_are_refused(held: bytes, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        files.decode(held)


def test_a_file_that_swells_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("collage.json", json.dumps(record()))
        archive.writestr("a.png", bytes(3_000_000))
    monkeypatch.setattr(files, "MOST_BYTES", 1_000_000)
    assert len(file.getvalue()) < 10_000
    with pytest.raises(BadRequest, match="more than 1 MB"):
        files.decode(file.getvalue())


def test_pictures_that_are_too_much_together_are_refused_before_all_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file may name one large picture as often as a prompt has words."""
    decoded: list[str] = []
    decode = pictures.decode
    monkeypatch.setattr(
        pictures, "decode", lambda source, kind, name: decoded.append(name) or decode(source, kind, name)
    )
    monkeypatch.setattr(layers, "MOST_PIXELS", 5 * 16 * 16)
    entry = {**record()["layers"][0], "file": "a.png"}
    many = zipped({**record(), "prompt": "ball " * 70, "layers": [entry] * 70}, **{"a.png": PNG})
    with pytest.raises(BadRequest, match="million pixels together"):
        files.decode(many)
    assert len(decoded) == 6


def cut_out(box: tuple[int, int, int, int], colour: int, side: int = 512) -> bytes:
    top, bottom, left, right = box
    image = np.zeros((side, side, 4), np.uint8)
    image[top:bottom, left:right] = (colour, colour, colour, 255)
    return pictures.encode(image)


def test_a_folder_of_the_notebook_is_read_back_to_front(tmp_path: Path) -> None:
    (tmp_path / "layers").mkdir()
    boxes = {"_0002_tan-wall": (0, 512, 0, 512), "_0001_teddy_bear": (7, 90, 11, 50), "_0000_ball_alt": (1, 9, 1, 9)}
    for colour, (name, box) in enumerate(boxes.items(), 1):
        (tmp_path / "layers" / f"{name}.png").write_bytes(cut_out(box, colour))
    found = read_folder(tmp_path)
    assert [layer.text for layer in found.layers] == ["tan wall", "teddy bear"]
    assert found.prompt == "teddy bear and tan wall"
    flat = compose(found).flat[..., 0]
    assert (flat[7:90, 11:50] == 2).all()
    assert (flat == 2).sum() == 83 * 39
    assert len(read_folder(tmp_path, "alt ball, teddy bear, tan wall, ball alt", alternates=True).layers) == 3


WEB: dict[str, Any] = {
    "prompt": "a lamp on a table",
    "numInferenceSteps": 50,
    "guidanceScale": 7,
    "seed": "42",
    "layers": [
        {
            "id": 1,
            "key": "k1",
            "originalImgUrl": "https://somewhere.invalid/pictures/lamp.png?x=1",
            "textPrompt": "lamp",
            "cacStrength": 0.3,
            "negativeStrength": 0.4,
            "noiseStrength": 0.5,
            "cannyStrength": 0.6,
            "opacity": 0,
            "transform": {
                "position": {"x": 0.1469149146357053, "y": -0.004172332438431937},
                "scale": 0.0008108549688892926,
            },
            "polygon": [{"x": 0.25, "y": 0.25}, {"x": 0.75, "y": 0.25}, {"x": 0.75, "y": 0.5}, {"x": 0.25, "y": 0.5}],
        },
        {
            "id": 0,
            "originalImgUrl": "data:image/png;base64," + base64.b64encode(cut_out((0, 512, 0, 512), 5)).decode(),
            "textPrompt": "table",
            "transform": {"position": {"x": 0, "y": 0}, "scale": 1 / 512, "rotation": 0},
            "polygon": [],
        },
    ],
}  # fmt: skip


def web(tmp_path: Path, changed: Callable[[dict[str, Any]], object] = bool) -> Collage:
    (tmp_path / "lamp.png").write_bytes(cut_out((0, 400, 0, 400), 9, side=400))
    content = json.loads(json.dumps(WEB))
    changed(content)
    (tmp_path / "web.json").write_text(json.dumps(content))
    return read_json(tmp_path / "web.json")


def test_the_web_apps_json_is_read(tmp_path: Path) -> None:
    found = web(tmp_path)
    table, lamp = found.layers
    assert (found.prompt, table.text, lamp.text, lamp.key) == ("a lamp on a table", "table", "lamp", "k1")
    assert found.settings == {"steps": 50, "guidance_scale": 7.0, "seed": 42}
    assert lamp.dials == Dials(0.3, 0.4, 0.5, 0.6)
    assert table.dials == Dials(0, 1, 0.8, 0)
    assert (table.visible, lamp.visible) == (True, False)
    np.testing.assert_array_equal(compose(found).flat, 5)


def test_the_web_apps_placement_is_kept(tmp_path: Path) -> None:
    """Scale 0.4151..., corner at (75, -2): the polygon's 201x101 pixels (its box is inclusive) become 83 wide."""
    shown = web(tmp_path, lambda content: content["layers"][0].update(opacity=1))
    alpha = compose(shown).drawn[1][..., 3]
    columns, rows = (np.flatnonzero((alpha >= 128).any(axis=axis)) for axis in (0, 1))
    assert (columns[0], columns[-1] + 1, rows[0], rows[-1] + 1) == (75, 75 + 83, 0, 40)


def test_a_turned_layer_keeps_its_middle(tmp_path: Path) -> None:
    """The picture turns about its own middle, wherever in it the cut-out lies."""
    corner = np.zeros((100, 100, 4), np.uint8)
    corner[:20, :40] = 255
    (tmp_path / "corner.png").write_bytes(pictures.encode(corner))
    transform = {"position": {"x": 0.5, "y": 0.5}, "scale": 1 / 512, "rotation": 90}

    def turn(content: dict[str, Any]) -> None:
        content["layers"][1].update(originalImgUrl="corner.png", transform=transform)

    alpha = compose(web(tmp_path, turn)).drawn[0][..., 3]
    columns, rows = (np.flatnonzero((alpha >= 128).any(axis=axis)) for axis in (0, 1))
    assert (columns[0] - 256, columns[-1] - 255, rows[0] - 256, rows[-1] - 255) == (0, 20, 60, 100)


def test_saved_states_spell_names_with_underscores(tmp_path: Path) -> None:
    def snake(content: dict[str, Any]) -> None:
        del content["prompt"]
        content["input_token_data"] = [{"data": "a "}, {"data": "lamp", "layerKey": "k1"}, {"data": "on a table"}]
        content["guidance_scale"] = content.pop("guidanceScale")
        for layer in content["layers"]:
            layer["text_prompt"] = layer.pop("textPrompt")
        content["layers"] = {str(n): layer for n, layer in enumerate(content["layers"])}

    found = web(tmp_path, snake)
    assert (found.prompt, found.settings["guidance_scale"]) == ("a lamp on a table", 7.0)
    assert [layer.text for layer in found.layers] == ["table", "lamp"]
    assert web(tmp_path, lambda c: c.update(collage_prompt=c.pop("prompt"))).prompt == "a lamp on a table"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"originalImgUrl": "../secret.png"}, "leads out"),
        ({"originalImgUrl": "/etc/passwd"}, "leads out"),
        ({"originalImgUrl": "link.png"}, "leads out"),
        ({"originalImgUrl": "https://somewhere.invalid/.."}, "leads out"),
        ({"originalImgUrl": "none.png"}, "there is no file"),
        ({"originalImgUrl": ""}, "no picture"),
        ({"originalImgUrl": "data:image/png;base64,###"}, "damaged data URL"),
        ({"polygon": [{"x": 0, "y": 0}]}, "at least three"),
        ({"transform": None}, "“transform”"),
        ({"noiseStrength": "much"}, "“noiseStrength” must be a number"),
    ],
)
def test_hostile_json_is_refused(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    (tmp_path / "secret.png").write_bytes(PNG)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(BadRequest, match=sentence):
        web(tmp_path / "in", lambda content: content["layers"][0].update(changes))


def test_a_folder_without_layers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="has no layers"):
        read_folder(tmp_path)
    with pytest.raises(BadRequest, match="cannot be read"):
        read_json(tmp_path / "none.json")
