"""Layer collage before a browser sees it: the editor and the request, files, words, what is changed, the versions."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio.data_classes import FileData
from PIL import Image

from demos import collage, collage_adding, cutting, sprites
from demos.canvas import LayerCanvas, LayerScene, MaskValue, PlacedLayer, with_layer
from demos.canvas.mask import opened as mask_opened
from demos.collage_editing import CHANGE, RUN, Edited, ids_of, numbers_of, read_previous, write_previous
from demos.collage_scene import fields_in, ordered, plain_words, read_scene, save, shown, write_scene
from demos.collage_side import PLAIN, Brought, Side
from demos.collage_words import BUILT, bound
from demos.diagnostics import diagnostics
from demos.output import Picture, Shown
from demos.versions import MOST, drawn, numbered, recorded
from models import pictures
from models.collage import files
from models.collage.dials import Dials
from models.collage.layers import Layer
from models.collage.spec import SPEC, CollageRequest, fields_of
from models.contract import BadRequest, Placed, options
from models.pixels import alpha_box
from models.recipe import picture_sha256


def cutout(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    image[..., 3] = 0
    image[5:-8, 7:-3, 3] = 255
    return image


def layer(seed: int, words: str, **more: Any) -> Layer:
    place: dict[str, Any] = {"x": 0.3 + 0.2 * seed, "y": 0.6, "scale": 0.25, "angle": 12.0 * seed, "flip": seed == 1}
    return Layer(Placed(cutout(seed), **place, prompt=words), Dials(0.1 * seed, 0.7, 0.3, 0.2), **more)


def fields(**more: Any) -> dict[str, Any]:
    layers = (
        layer(0, "a table", key="back"),
        layer(1, "a cat", visible=False, key="cat"),
        layer(2, "a red cup", key="cup"),
    )
    return {"layers": layers, "width": 640, "height": 384, "colour": "#102030", "prompt": "", **more}


def same(one: Layer, other: Layer) -> bool:
    alike = np.array_equal(one.placed.image, other.placed.image) and one.dials == other.dials
    names = ("x", "y", "scale", "angle", "flip", "prompt")
    alike &= all(getattr(one.placed, name) == getattr(other.placed, name) for name in names)
    return alike and (one.visible, one.locked) == (other.visible, other.locked)


@pytest.fixture(scope="module")
def side() -> Side:
    with gr.Blocks():
        made = Side(SPEC, Brought())
        made.connect()
    return made


# --- the editor and the request


def test_every_field_has_its_control_and_every_choice_a_plain_name() -> None:
    with gr.Blocks():
        collage.tab(SPEC)  # the form compares controls and fields
    told = options(CollageRequest)
    assert all(tuple(names) == told[name].choices for name, names in PLAIN.items())


def test_a_collage_goes_to_the_editor_and_comes_back_as_the_same_fields() -> None:
    sent = fields()
    with gr.Blocks():
        canvas = LayerCanvas()
    scene = canvas.preprocess(LayerScene(**write_scene(sent).model_dump()))  # as the browser sends it back
    back = read_scene(scene)
    assert {name: back[name] for name in ("width", "height", "colour")} == {
        name: sent[name] for name in ("width", "height", "colour")
    }
    assert len(back["layers"]) == 3
    assert all(same(a, b) for a, b in zip(back["layers"], sent["layers"], strict=True))
    assert [a.key for a in back["layers"]] == ["back", "cat", "cup"]  # the editor's names for them
    assert not any(placed.auto for placed in scene.layers)  # the dials are the file's, not the size's


def test_layers_are_read_from_the_back_whatever_their_order_in_the_value() -> None:
    scene = write_scene(fields())
    mixed = scene.model_copy(update={"layers": list(reversed(scene.layers))})
    assert [a.text for a in read_scene(mixed)["layers"]] == ["a table", "a cat", "a red cup"]
    assert [a.prompt for a in shown(mixed)] == ["a table", "a red cup"]


def test_more_layers_than_the_editor_holds_are_one_sentence() -> None:
    many = tuple(layer(n % 3, f"thing {n}") for n in range(17))
    with pytest.raises(BadRequest, match="17 layers; the editor here has room for 16"):
        write_scene({"layers": many})


# --- files


def test_an_opened_collage_equals_the_saved_one(side: Side) -> None:
    told = fields(seed=7, steps=3, blur=4.0, looks=True, guidance_scale=2.5, variant="gh+ca", change=0.3)
    path = save({**told, "previous": np.zeros((384, 640, 3), np.uint8), "edited": "1"})
    assert path.endswith("a-red-cup.collage.zip")
    found = fields_in([path])
    assert set(found) == set(options(CollageRequest))
    assert found["prompt"] == "a red cup and a table"
    assert (found["previous"], found["edited"]) == (None, "")
    assert {name: found[name] for name in told if name not in ("layers", "prompt")} == {
        name: value for name, value in told.items() if name not in ("layers", "prompt")
    }
    update = side.form.filled(found)
    values = [update.get(component) for component in side.form.components]
    values[1] = update[side.form.bar.layers]["value"]
    request = side.form.request(values)
    assert isinstance(request, CollageRequest)
    first = CollageRequest(**{**told, "prompt": "a red cup and a table"})
    plain = [name for name in options(CollageRequest) if name != "layers"]
    assert {name: getattr(request, name) for name in plain} == {name: getattr(first, name) for name in plain}
    assert all(same(a, b) for a, b in zip(request.layers, first.layers, strict=True))
    assert Path(save(side.form.fields(values))).read_bytes() == Path(path).read_bytes()


def test_what_a_file_does_not_say_is_as_on_a_new_page(tmp_path: Path) -> None:
    path = tmp_path / "bare.collage.zip"
    bare = CollageRequest(**fields()).collage
    path.write_bytes(files.encode(bare))
    found = fields_in([str(path)])
    assert found["looks"] is False
    assert found["seed"] == -1
    assert found["negative_prompt"] == CollageRequest.__dataclass_fields__["negative_prompt"].default


def test_the_authors_json_is_opened_with_the_pictures_that_it_names(tmp_path: Path) -> None:
    record = {
        "prompt": "a cup on a table",
        "seed": 3,
        "layers": [
            {"id": n, "originalImgUrl": f"https://x/{name}.png", "textPrompt": text, "noiseStrength": 0.4, "key": name,
             "transform": {"position": {"x": 0.1, "y": 0.2}, "scale": 0.004, "rotation": 0}}
            for n, (name, text) in enumerate((("t", "a table"), ("c", "a cup")))
        ],
    }  # fmt: skip
    paths = [tmp_path / "here" / "saved.json", tmp_path / "one" / "t.png", tmp_path / "two" / "c.png"]
    for number, path in enumerate(paths):
        path.parent.mkdir()
        if path.suffix == ".json":
            path.write_text(json.dumps(record))
        else:
            path.write_bytes(pictures.encode(cutout(number)))
    found = fields_in([str(path) for path in paths])
    assert [a.text for a in found["layers"]] == ["a table", "a cup"]
    assert found["seed"] == 3
    assert found["layers"][0].dials.noise == 0.4
    with pytest.raises(BadRequest, match="no file|t.png"):
        fields_in([str(paths[0])])
    alone = json.loads(paths[0].read_text())
    held = base64.b64encode(pictures.encode(cutout(1))).decode()
    for one in alone["layers"]:
        one["originalImgUrl"] = f"data:image/png;base64,{held}"
    paths[0].write_text(json.dumps(alone))
    assert len(fields_in([str(paths[0])])["layers"]) == 2


@pytest.mark.parametrize(
    ("name", "data"), [("x.collage.zip", b"PK"), ("x.json", b"[]"), ("x.txt", b"hi"), ("x.zip", b"")]
)
def test_a_file_that_is_no_collage_is_one_sentence(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadRequest, match=r"\.$"):
        fields_in([str(tmp_path / name)])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("_0003_red-teapot (2).png", "red teapot"),
        ("Wood Train.PNG", "wood train"),
        ("baker's_hat.webp", "baker's hat"),
        ("IMG_2034.jpg", ""),
        ("12345.png", ""),
        ("äpfel.png", "äpfel"),
    ],
)
def test_a_file_s_name_becomes_words(name: str, words: str) -> None:
    assert plain_words(name) == words


# --- words


def test_each_layer_s_words_are_marked_where_the_method_finds_them() -> None:
    value = bound("A coffee table, with a table beside it", ["table", "coffee table"])
    assert [(p.text, p.layer) for p in value.pieces] == [
        ("A ", None), ("coffee table", 1), (", with a ", None), ("table", 0), (" beside it", None),
    ]  # fmt: skip
    assert (value.lacking, value.said, value.bad) == ([], "", False)


def test_an_empty_prompt_is_built_and_shown() -> None:
    value = bound("  ", ["a table", "a cup"])
    assert "".join(p.text for p in value.pieces) == "a cup and a table"
    assert [p.layer for p in value.pieces if p.layer is not None] == [1, 0]
    assert value.said == BUILT


@pytest.mark.parametrize(
    ("prompt", "texts", "lacking", "says"),
    [
        ("a cup on wood", ["a table", "a cup"], ["a table"], "“a table” is not in the prompt"),
        ("a cat", ["a cat", "cat"], ["cat"], "where “a cat” has it already"),
        ("a cat", ["a cat", " "], ["no words"], "Layer 2 has no words"),
        ("", ["a cat", ""], ["no words"], "Layer 2 has no words"),
    ],
)
def test_missing_words_are_one_sentence_and_the_others_stay_marked(
    prompt: str, texts: list[str], lacking: list[str], says: str
) -> None:
    value = bound(prompt, texts)
    assert value.bad
    assert says in value.said
    assert [piece.text for piece in value.lacking] == lacking
    assert len([p for p in value.pieces if p.layer is not None]) == len(texts) - len(lacking)


# --- layers from pictures


def incoming(tmp_path: Path, picture: np.ndarray, name: str = "red_teapot.png", **more: Any) -> LayerScene:
    path = tmp_path / name
    Image.fromarray(picture).save(path)
    scene: LayerScene = LayerScene().model_copy(
        update={"incoming": FileData(path=str(path), orig_name=name), "role": "layer", **more}
    )
    return scene


def disc(height: int = 96, width: int = 128) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    inside = ((x - width / 2) / 30) ** 2 + ((y - height / 2) / 24) ** 2 < 1
    return np.where(inside[..., None], (210, 60, 30), 235).astype(np.uint8)


def test_a_picture_with_transparency_is_taken_as_it_is(tmp_path: Path) -> None:
    added = collage_adding.opened(incoming(tmp_path, cutout(3)))
    (made,) = added.scene.layers
    assert (made.prompt, made.source, added.picture) == ("red teapot", None, None)
    assert np.array_equal(pictures.decode(made.image.path, "rgba", "x"), cutout(3))
    assert added.scene.incoming is None


def test_one_without_is_cut_out_and_can_become_a_backdrop_and_back(tmp_path: Path) -> None:
    start = incoming(tmp_path, disc())
    first = collage_adding.opened(with_layer(start, cutout(1), "a cat").model_copy(
        update={"incoming": start.incoming, "role": "layer"}))  # fmt: skip
    assert first.choice == cutting.CUT
    assert [a.prompt for a in ordered(first.scene)] == ["a cat", "red teapot"]
    assert first.picture is not None
    assert alpha_box(first.picture[..., 3]) == pytest.approx((34, 24, 94, 72), abs=3)
    scene, whole = collage_adding.chosen(first.scene, first.id, cutting.AS_IS, MaskValue())
    assert (whole[..., 3] == 255).all()
    back = ordered(scene)[0]
    assert (back.id, back.prompt, back.x, back.y) == (first.id, "red teapot", 0.5, 0.5)
    assert back.scale * scene.width >= scene.width
    assert back.scale * scene.width * 96 / 128 >= scene.height - 0.5  # it fills the square canvas
    again, _ = collage_adding.chosen(scene, first.id, cutting.CUT, MaskValue())
    front = ordered(again)[-1]
    assert front.id == first.id
    assert front.scale < 0.5
    assert [a.z for a in ordered(again)] == [0, 1]


def test_a_new_picture_takes_the_place_of_the_selected_layer(tmp_path: Path) -> None:
    scene = with_layer(LayerScene(), cutout(1), "a cat", x=0.2)
    told = incoming(tmp_path, cutout(4), layers=scene.layers, selected=scene.selected, role="replace")
    (made,) = collage_adding.opened(told).scene.layers
    assert (made.prompt, made.x) == ("a cat", 0.2)
    assert np.array_equal(pictures.decode(made.image.path, "rgba", "x"), cutout(4))


def test_something_taken_from_a_picture_is_a_layer_of_its_own() -> None:
    mask = np.zeros((96, 128), np.uint8)
    mask[30:60, 40:100] = 255
    made = mask_opened(collage_adding.extracting(MaskValue()), disc(), start=mask, purpose=cutting.EXTRACT)
    added = collage_adding.used(with_layer(LayerScene(), cutout(1), "a cat"), made)
    front = ordered(added.scene)[-1]
    assert (front.width, front.height) == pytest.approx((60, 30), abs=4)
    assert added.picture is None
    with pytest.raises(BadRequest, match="That layer is gone"):
        collage_adding.used(LayerScene(), made.model_copy(update={"purpose": collage_adding.REFINE + "x"}))


def test_an_outline_that_is_refined_leaves_the_pixels_where_they_are(tmp_path: Path) -> None:
    first = collage_adding.opened(incoming(tmp_path, disc()))
    (before,) = first.scene.layers
    part = np.zeros((96, 128), np.uint8)
    part[40:60, 50:90] = 255
    opened = collage_adding.refining(first.scene, first.id, MaskValue())
    assert opened.purpose == collage_adding.REFINE + first.id
    made = mask_opened(MaskValue(), disc(), start=part, purpose=opened.purpose)
    (after,) = collage_adding.used(first.scene, made).scene.layers

    def at(layer: PlacedLayer, x: float, y: float) -> tuple[float, float]:
        zoom = layer.scale * 512 / (layer.box[2] - layer.box[0])
        left, top = (layer.box[0] + layer.box[2]) / 2, (layer.box[1] + layer.box[3]) / 2
        return layer.x * 512 + zoom * (x - left), layer.y * 512 + zoom * (y - top)

    assert at(after, 60, 50) == pytest.approx(at(before, 60, 50), abs=0.2)


def test_sprites_are_things_with_names() -> None:
    found = sprites.names()
    assert len(found) > 200
    assert "red apple" in found
    picture, name = sprites.sprite(found.index("red apple"))
    assert name == "red apple"
    assert alpha_box(picture[..., 3], 1) == (0, 0, picture.shape[1], picture.shape[0])
    solid = picture[picture[..., 3] > 200][:, :3].astype(int)
    assert solid[:, 0].mean() > solid[:, 1].mean() + 60  # it is red
    for wrong in (-1, len(found), "1", None):
        with pytest.raises(BadRequest, match="no such cut-out"):
            sprites.sprite(wrong)


# --- changing layers of a picture


def test_layers_to_change_are_numbered_among_those_shown() -> None:
    scene = write_scene(fields())
    table, cat, cup = (a.id for a in ordered(scene))
    assert numbers_of(scene, [cup]) == "2"
    assert numbers_of(scene, [cup, table]) == "1, 2"
    assert numbers_of(scene, [cat, "gone"]) == ""
    assert ids_of(scene, {"edited": "2"}) == [cup]
    assert ids_of(scene, {"edited": " 1;2 9"}) == [table, cup]
    assert ids_of(scene, {}) == []


def test_an_edit_is_asked_for_by_number_and_comes_back_by_name(side: Side) -> None:
    picture = np.random.default_rng(5).integers(0, 256, (384, 640, 3), np.uint8)
    told = {name: value.default for name, value in CollageRequest.__dataclass_fields__.items()} | fields(
        previous=picture, edited="2", lock=False
    )
    update = side.form.filled(told)
    bar = side.form.bar
    chosen = update[bar.layers]
    assert chosen["choices"] == [("a red cup", "cup"), ("a table", "back")]
    assert update[bar.group]["visible"]
    assert update[side.run]["value"] == CHANGE
    values: list[Any] = [update.get(component) for component in side.form.components]
    values[1] = chosen["value"]
    found = side.form.fields(values)
    assert (found["edited"], found["lock"]) == ("2", False)
    assert np.array_equal(found["previous"], picture)
    values[2] = None  # no picture is changed any more, whatever is still ticked
    assert side.form.fields(values)["edited"] == ""
    assert side.form.editing(None, values[0])[side.run]["value"] == RUN
    assert read_previous(write_previous(None)) == {"previous": None}
    hidden = side.form.bar.named(values[0].model_copy(update={"layers": values[0].layers[:1]}), chosen["value"])
    assert hidden[bar.layers]["value"] == []


def result(tmp_path: Path, seed: int, previous: str = "") -> Shown:
    pixels = np.random.default_rng(seed).integers(0, 256, (60, 90, 3), np.uint8)
    path = tmp_path / f"{seed}.png"
    path.write_bytes(pictures.encode(pixels))
    told: Any = SimpleNamespace(seed=seed, request={"previous": {"sha256": previous} if previous else None})
    return Shown((Picture(str(path), str(path), told),), {}, {})


def sha(shown: Shown) -> str:
    return picture_sha256(pictures.decode(shown.pictures[0].plain, "rgb", "x"))


def test_results_become_a_tree(tmp_path: Path) -> None:
    first = result(tmp_path, 1)
    second, third = result(tmp_path, 2, sha(first)), result(tmp_path, 3)
    fourth = result(tmp_path, 4, sha(second))
    fifth = result(tmp_path, 5, sha(first))
    nodes: list[Any] = []
    for one in (first, second, third, fourth, fifth, first):  # the first again, which adds nothing
        nodes = recorded(nodes, one)
    seen = drawn(nodes, fourth.pictures[0].plain).versions
    assert [(v.number, v.parent, v.depth) for v in seen] == [
        (1, None, 0),
        (2, 1, 1),
        (4, 2, 2),
        (5, 1, 1),
        (3, None, 0),
    ]
    assert [v.number for v in seen if v.chosen] == [4]
    found = numbered(nodes, 4)
    assert found is not None
    assert found.shown == fourth
    assert numbered(nodes, "x") is None
    assert Image.open(io.BytesIO(Path(found.small.path).read_bytes())).size == (90, 60)
    assert recorded(nodes, None) == nodes


def test_only_the_last_results_are_kept_and_orphans_stand_alone(tmp_path: Path) -> None:
    nodes: list[Any] = []
    parent = ""
    for seed in range(MOST + 3):
        made = result(tmp_path, seed, parent)
        nodes, parent = recorded(nodes, made), sha(made)
    assert len(nodes) == MOST
    seen = drawn(nodes).versions
    assert (seen[0].number, seen[0].parent, seen[0].depth) == (4, None, 0)
    assert [v.depth for v in seen] == list(range(MOST))


def test_the_bar_says_which_picture_is_changed(side: Side, tmp_path: Path) -> None:
    made = result(tmp_path, 8)
    edited = Edited(made.pictures[0].plain, "result <2>, seed 8")
    line = side.form.bar.updates(edited, write_scene(fields()))[side.form.bar.line]
    assert "result &lt;2&gt;, seed 8" in line
    assert "data:image/jpeg" in line


def test_what_a_run_tells_is_words() -> None:
    facts = {"tokens": [[1], [2]], "strength": 0.85, "looks": [{"steps": 150}, {"steps": 150}]}
    assert diagnostics(facts) == {"Starts from": "85 % noise", "Looks": "2 learned, 150 steps each"}
    assert "Looks" not in diagnostics({**facts, "looks": []})


def test_saved_settings_are_all_that_a_request_has(tmp_path: Path) -> None:
    request = CollageRequest(**fields())
    held = fields_of(files.decode(save(fields())))
    assert set(options(CollageRequest)) - set(held) == {"previous", "edited"}
    assert request.collage.size == (384, 640)
