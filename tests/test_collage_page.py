"""Layer collage before a browser sees it: the editor's value and the request, files, words of the prompt."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

from demos import collage
from demos.canvas import LayerCanvas, LayerScene
from demos.collage_scene import fields_in, plain_words, read_scene, save, shown, write_scene
from demos.collage_side import PLAIN, Brought, Side
from demos.collage_words import BUILT, bound
from models import pictures
from models.collage import files
from models.collage.spec import SPEC, CollageRequest, fields_of
from models.contract import BadRequest, options
from tests.collage_desk import cutout, fields, layer, same


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


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"steps": 5000}, "“Steps” must lie"),
        ({"variant": "most"}, "must be one of"),
        ({"looks": "no"}, "true or false"),
    ],
)
def test_settings_that_no_control_can_show_are_one_sentence(
    tmp_path: Path, settings: dict[str, str | int], says: str
) -> None:
    path = tmp_path / "odd.collage.zip"
    odd = CollageRequest(**fields()).collage
    path.write_bytes(files.encode(odd.replace(settings=settings)))
    with pytest.raises(BadRequest, match=says):
        fields_in([str(path)])


def test_a_file_says_nothing_about_a_picture_that_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "odd.collage.zip"
    whole = CollageRequest(**fields()).collage
    path.write_bytes(files.encode(whole.replace(settings={"previous": "x", "edited": "2", "width": 64})))
    found = fields_in([str(path)])
    assert (found["previous"], found["edited"], found["width"]) == (None, "", 640)


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
    ("name", "data"), [("x.collage.zip", b"PK"), ("x.json", b"[]"), ("x.txt", b"hi"), ("x.zip", b""), ("x.jpg", b"")]
)
def test_a_file_that_is_no_collage_is_one_sentence(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadRequest, match=r"\.$") as refused:
        fields_in([str(tmp_path / name)])
    assert "/" not in str(refused.value)  # no folder of ours, which nobody chose


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


def test_saved_settings_are_all_that_a_request_has(tmp_path: Path) -> None:
    request = CollageRequest(**fields())
    held = fields_of(files.decode(save(fields())))
    assert set(options(CollageRequest)) - set(held) == {"previous", "edited"}
    assert request.collage.size == (384, 640)
