"""What the page promises before a browser sees it: no dead knobs, examples that run, a canvas that trusts nobody."""

from __future__ import annotations

import math
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio.data_classes import FileData

from demos import bind, dreamfuse, examples, page
from demos.canvas import Layer, Scene, SceneCanvas, with_background, with_object
from models import pictures
from models.catalog import SPECS
from models.contract import BadRequest, GatedWeights, options
from models.pixels import alpha_box
from training import make_examples

SPEC = SPECS["dreamfuse"]


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, channels), np.uint8)


@pytest.mark.parametrize("change", ["left out", "invented", "twice"])
def test_a_control_without_a_field_or_a_field_without_a_control_stops_the_page(change: str) -> None:
    with gr.Blocks():
        controls = {name: gr.Textbox() for name in options(SPEC.request)}
        shared = [bind.Shared(gr.Textbox(), ("x",), lambda v: {"x": v}, lambda f: f["x"])] if change == "twice" else []
        if change == "left out":
            del controls["steps"]
        if change == "invented":
            controls["sparkle"] = gr.Textbox()
        with pytest.raises(TypeError, match={"left out": "steps", "invented": "sparkle", "twice": "x"}[change]):
            bind.Form(SPEC, controls, shared)


def test_every_example_is_a_request_that_can_be_run() -> None:
    found = examples.load("dreamfuse")
    assert len(found) >= 6
    for example in found:
        files = {r: pictures.decode(path, dreamfuse.KINDS[r], example.title) for r, path in example.files.items()}
        request = SPEC.request(**files, **example.fields)
        assert request.prompt == ""
        small = pictures.decode(example.thumbnail, "rgb", example.title).astype(float)
        assert np.abs(small - make_examples.thumbnail(**files, placement=example.fields)).mean() < 8  # WebP's loss


def test_a_scene_goes_to_the_canvas_and_comes_back_as_the_same_fields() -> None:
    fields = {"x": 0.3, "y": 0.7, "scale": 0.2, "angle": 15.0, "flip": True}
    sent = {"background": picture(60, 80), "foreground": picture(30, 40, 4), **fields}
    back = dreamfuse.read_scene(dreamfuse.write_scene(sent))
    assert back.keys() == sent.keys()
    assert all(np.array_equal(back[name], sent[name]) for name in sent)


def test_a_new_object_is_fitted_into_the_scene_and_its_successor_takes_its_place() -> None:
    tall = np.zeros((400, 40, 4), np.uint8)
    tall[10:390, 5:35, 3] = 255
    scene = with_object(with_background(Scene(), picture(100, 200)), tall)
    (first,) = scene.layers
    assert first.box == alpha_box(tall[..., 3])
    assert first.scale * 200 * 380 / 30 == pytest.approx(40, abs=0.5)  # 40 % of the scene's height
    moved = scene.model_copy(update={"layers": [first.model_copy(update={"x": 0.2, "angle": 9.0})]})
    (second,) = with_object(moved, picture(20, 20, 4)).layers
    assert (second.x, second.angle, second.scale) == (0.2, 9.0, first.scale)
    assert second.id != first.id


def test_a_large_photograph_is_drawn_small_and_read_as_it_came() -> None:
    photo = picture(1200, 3000)
    scene = with_background(Scene(), photo, FileData(path="/somewhere/photo.JPG"))
    assert scene.background.path == "/somewhere/photo.JPG"
    assert scene.preview is not None
    assert pictures.decode(scene.preview.path, "rgb", "preview").shape == (819, 2048, 3)
    png = with_background(Scene(), photo, FileData(path="/somewhere/photo.tiff")).background
    assert np.array_equal(pictures.decode(png.path, "rgb", "scene"), photo)


def test_numbers_from_outside_are_put_into_range() -> None:
    layer = with_object(with_background(Scene(), picture(64, 64)), picture(16, 16, 4)).layers[0]
    wild = layer.model_copy(update={"x": 99.0, "y": -math.inf, "scale": math.nan, "angle": 725.0})
    with gr.Blocks():
        canvas = SceneCanvas()
    kept = canvas.preprocess(Scene(layers=[wild] * 50))
    assert len(kept.layers) == 16
    assert (kept.layers[0].x, kept.layers[0].y, kept.layers[0].angle) == (1.5, 0.5, 5.0)
    assert 0 < kept.layers[0].scale < 2
    assert "layers" in canvas.api_info()["properties"]
    assert isinstance(layer, Layer)


def test_an_error_is_one_sentence_and_gated_weights_are_three_steps() -> None:
    assert "&lt;b&gt;wide&lt;/b&gt;" in bind.sentence(BadRequest("<b>wide</b>"), "dreamfuse")
    assert bind.sentence(GatedWeights("no"), "dreamfuse").count("<li>") == 3
    hidden = bind.sentence(KeyError("secret/path"), "dreamfuse")
    assert "secret" not in hidden
    assert "log" in hidden


def test_so_many_may_wait_and_the_server_is_not_built_twice_for_it() -> None:
    built = page.build()
    assert built._queue.max_size == page.WAITING
    assert isinstance(built.queue(), page.Page)
    assert built._queue.max_size == page.WAITING  # also where somebody asks again


def test_what_every_visitor_gets_is_data_and_no_listener() -> None:
    """The server copies these settings for each visit; a listener among them would bring the whole page along."""

    def odd(value: Any, path: str) -> list[str]:
        if isinstance(value, dict):
            return [found for key, item in value.items() for found in odd(item, f"{path}.{key}")]
        if isinstance(value, list | tuple):
            return [found for item in value for found in odd(item, path)]
        return [] if isinstance(value, str | int | float | None) else [f"{path}: {value!r:.80}"]

    sent = page.build().get_config_file()["components"]
    found = [line for one in sent for line in odd(one["props"], f"{one['type']} {one['props'].get('elem_id')}")]
    assert [line for line in found if "default_delete_callback" not in line] == []  # Gradio's own


def test_a_browser_makes_no_component_for_an_endpoints_argument() -> None:
    config = page.build().get_config_file()
    arguments = {one["id"]: one["props"]["visible"] for one in config["components"] if one["type"] == "api"}
    assert len(arguments) > 100
    assert not any(arguments.values()), "a page waits for every visible component"

    def laid_out(node: dict[str, Any]) -> set[int]:
        return {node["id"]}.union(*(laid_out(child) for child in node.get("children", [])))

    assert not laid_out(config["layout"]) & set(arguments)
