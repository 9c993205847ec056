"""What the layer editor promises before a browser sees it: layers stay where they belong, no number is trusted."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import gradio as gr
import numpy as np
import pytest

from demos.canvas import LayerCanvas, LayerScene, PlacedLayer, replaced, with_layer
from demos.canvas.layers import FORMATS, MAX_LAYERS, extent_of
from models import pictures
from models.collage.composing import compose
from models.collage.dials import PRESETS, Dials, auto, extent
from models.collage.layers import Collage, Layer, prompt_of
from models.contract import BadRequest, Placed

DIALS = [field.name for field in dataclasses.fields(Dials)]


def cutout(height: int, width: int, box: tuple[int, int, int, int] | None = None, seed: int = 0) -> np.ndarray:
    """Noise that is opaque inside a box (left, top, right, bottom) and transparent around it."""
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    left, top, right, bottom = box or (0, 0, width, height)
    picture[..., 3] = 0
    picture[top:bottom, left:right, 3] = 255
    return picture


def dials_of(layer: PlacedLayer) -> Dials:
    return Dials(**{name: getattr(layer, name) for name in DIALS})


def test_a_new_layer_lies_on_top_selected_and_fits_two_fifths_of_the_canvas() -> None:
    scene = LayerScene(width=624, height=416)
    scene = with_layer(scene, cutout(40, 80), " a  red\n cup ")
    scene = with_layer(scene, cutout(90, 60, (10, 5, 30, 85)), "a tower")
    wide, tall = scene.layers
    assert (wide.prompt, tall.prompt, scene.selected) == ("a red cup", "a tower", tall.id)
    assert [layer.z for layer in scene.layers] == [0, 1]
    assert wide.scale == pytest.approx(0.4)  # a cup of 250 x 125 pixels: as wide as it may be
    assert tall.box == (10, 5, 30, 85)
    assert tall.scale * 624 * 80 / 20 == pytest.approx(0.4 * 416, abs=0.3)  # as tall as it may be
    assert (wide.x, wide.y, tall.angle, tall.flip) == (0.5, 0.5, 0, False)
    assert (pictures.decode(tall.image.path, "rgba", "it") == cutout(90, 60, (10, 5, 30, 85))).all()


def test_new_layers_do_not_hide_each_other() -> None:
    """Pictures dropped one after the other can be run as they lie; a backdrop takes no place."""
    scene = with_layer(LayerScene(), cutout(50, 50), "a wall", scale=1.0)
    for number in range(7):
        scene = with_layer(scene, cutout(50, 50, seed=number), f"thing {number}")
    assert (scene.layers[1].x, scene.layers[1].y) == (0.5, 0.5)
    assert len({(layer.x, layer.y) for layer in scene.layers[1:]}) == 7
    layers = tuple(Layer(Placed(cutout(50, 50), one.x, one.y, one.scale, prompt=one.prompt)) for one in scene.layers)
    drawn = compose(Collage(prompt_of([layer.text for layer in layers]), layers))
    for seen, alone in zip(drawn.visible[1:], drawn.drawn[1:, ..., 3], strict=True):
        assert seen.sum() > 0.3 * (alone / 255).sum()
    hidden = scene.model_copy(update={"layers": [scene.layers[1].model_copy(update={"visible": False})]})
    assert with_layer(hidden, cutout(50, 50)).layers[-1].x == 0.5


def test_dials_follow_a_layers_size_unless_they_are_given() -> None:
    scene = LayerScene(width=416, height=624)
    placements: list[dict[str, Any]] = [{"scale": 1.0}, {"scale": 0.2}, {"scale": 0.6, "noise": 0.33}, {"scale": 0.3}]
    for seed, placement in enumerate(placements):
        scene = with_layer(scene, cutout(60, 40, seed=seed), f"thing {seed}", **placement)
    backdrop, small, own, top = scene.layers
    for layer, topmost in ((backdrop, False), (small, False), (top, True)):
        place = Placed(cutout(60, 40), layer.x, layer.y, layer.scale)
        expected = auto(extent(place, (624, 416)), topmost)
        assert dataclasses.astuple(dials_of(layer)) == pytest.approx(dataclasses.astuple(expected))
        assert extent_of(layer, scene) == pytest.approx(extent(place, (624, 416)))
    assert not own.auto
    assert (own.noise, own.positive) == (0.33, Dials.positive)


def test_another_picture_takes_the_place_and_everything_else_stays() -> None:
    scene = with_layer(LayerScene(), cutout(50, 100), "a bus", x=0.2, y=0.7, angle=30, flip=True, noise=0.1)
    scene = with_layer(scene, cutout(50, 50), "a ball")
    bus, ball = scene.layers
    changed = replaced(scene, bus.id, cutout(100, 50, (10, 0, 40, 100), seed=3))
    new, other = changed.layers
    assert other == ball.model_copy(update={"noise": other.noise})
    assert changed.selected == new.id == bus.id
    kept = ("x", "y", "angle", "flip", "prompt", "noise", "auto", "z", "locked")
    assert {n: getattr(new, n) for n in kept} == {n: getattr(bus, n) for n in kept}
    assert new.image.path != bus.image.path
    height_before = bus.scale * 512 * 50 / 100
    assert new.scale * 512 * 100 / 30 == pytest.approx(height_before, abs=0.2)
    with pytest.raises(BadRequest, match="gone"):
        replaced(scene, "nobody", cutout(9, 9))


def test_a_layer_too_many_is_refused_in_words() -> None:
    scene = LayerScene()
    for seed in range(MAX_LAYERS):
        scene = with_layer(scene, cutout(8, 8, seed=seed))
    with pytest.raises(BadRequest, match=f"{MAX_LAYERS} layers"):
        with_layer(scene, cutout(8, 8))


def test_numbers_from_outside_are_put_into_range() -> None:
    with gr.Blocks():
        canvas = LayerCanvas()
    layer = with_layer(LayerScene(), cutout(20, 30)).layers[0]
    wild: dict[str, Any] = {
        **{"x": math.inf, "y": -9, "scale": 1e9, "angle": 725.0, "opacity": 7},
        **{"positive": -1, "negative": math.nan, "noise": 4, "canny": 1.5},
        **{"box": (5, 5, 5, 900), "prompt": "a\n" * 900},
    }
    many = [layer.model_copy(update={**wild, "z": 20 - k, "id": str(k)}) for k in range(21)]
    scene = LayerScene(width=100_000, height=-3, colour="red;}", layers=many)
    kept = canvas.preprocess(scene)
    first = kept.layers[0]
    assert (len(kept.layers), first.id) == (MAX_LAYERS, "20")  # the ones at the back
    assert (kept.width, kept.height, kept.colour) == (2048, 64, "#969696")
    assert (first.x, first.y, first.scale, first.angle, first.opacity) == (0.5, -1, 4, 5, 1)
    assert dials_of(first) == Dials(0, Dials.negative, 1, 1)
    assert first.box == (0, 0, 30, 20)
    assert (len(first.prompt), "\n" in first.prompt) == (200, False)
    assert canvas.preprocess(LayerScene(width=517, colour="#AbCdEf")).colour == "#abcdef"
    assert canvas.preprocess(LayerScene(width=517)).width == 512
    assert canvas.preprocess(None) == LayerScene()
    assert "layers" in canvas.api_info()["properties"]


def test_what_leaves_the_editor_is_a_collage() -> None:
    with gr.Blocks():
        canvas = LayerCanvas()
    layer = with_layer(LayerScene(), cutout(20, 30), "a cup").layers[0]
    far = layer.model_copy(update={"x": 9, "y": 9, "scale": -4})
    for name, (width, height) in FORMATS.items():
        scene = canvas.preprocess(LayerScene(width=width, height=height, layers=[far]))
        placed = scene.layers[0]
        picture = pictures.decode(placed.image.path, "rgba", "it")
        shown = Layer(Placed(picture, placed.x, placed.y, placed.scale, prompt=placed.prompt), dials_of(placed))
        assert Collage("a cup", (shown,), size=(scene.height, scene.width)).size == (height, width)
        across, down = map(int, name.split(":"))
        assert width / height == pytest.approx(across / down, rel=0.02)
        assert width * height == pytest.approx(512 * 512, rel=0.02)


def test_the_browser_is_told_the_presets_of_the_method() -> None:
    with gr.Blocks():
        canvas = LayerCanvas()
    assert canvas.props["presets"]["keep"] == dataclasses.asdict(PRESETS["keep"])
    assert set(canvas.props["presets"]) == set(PRESETS)
