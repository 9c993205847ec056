"""Pictures that become layers of a collage, and results whose layers are changed, before a browser sees them."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio.data_classes import FileData
from PIL import Image

from demos import collage_adding, cutting, sprites
from demos.canvas import LayerScene, MaskValue, PlacedLayer, with_layer
from demos.canvas.mask import opened as mask_opened
from demos.collage_editing import CHANGE, RUN, Edited, ids_of, numbers_of, read_previous, write_previous
from demos.collage_scene import ordered, write_scene
from demos.collage_side import Brought, Side
from demos.diagnostics import diagnostics
from demos.output import Picture, Shown
from demos.versions import MOST, drawn, numbered, recorded
from models import pictures
from models.collage.spec import SPEC, CollageRequest
from models.contract import BadRequest
from models.pixels import alpha_box
from models.recipe import picture_sha256
from tests.collage_desk import cutout, fields
from training.world.assets import cut_sheet


@pytest.fixture(scope="module")
def side() -> Side:
    with gr.Blocks():
        made = Side(SPEC, Brought())
        made.connect()
    return made


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
    tiles = cut_sheet("objects.webp", len(found)).permute(0, 2, 3, 1).numpy()  # as the pocket models' world cuts it
    for number in (16, 72, len(found) - 1):
        left, top, right, bottom = alpha_box(tiles[number, ..., 3], 1) or (0, 0, 0, 0)
        assert np.array_equal(sprites.sprite(number)[0], tiles[number, top:bottom, left:right])
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
