"""Mask inpaint before a browser sees it: examples that run, a canvas that gives back what was put on it, the panel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest

from demos import cat, examples, masks
from demos.canvas import MaskCanvas, MaskValue
from demos.canvas.mask import opened
from demos.canvas.parts import stored
from demos.output import save
from demos.result import Figure, ResultPanel
from demos.widgets import lacking
from models import inventory, pictures, runtime
from models.catalog import SPECS
from models.contract import BadRequest, Result, Weights
from models.regions import grow
from training import make_inpaint_examples

SPEC = SPECS["cat"]


def noise(height: int = 90, width: int = 120) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def spot(height: int = 90, width: int = 120) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[30:60, 40:80] = 255
    return mask


def test_every_example_is_a_request_that_can_be_run() -> None:
    found = examples.load("cat")
    assert len(found) >= 6
    for example in found:
        files = {r: pictures.decode(path, cat.KINDS[r], example.title) for r, path in example.files.items()}
        request = SPEC.request(**files, **example.fields)
        assert 0.01 < (request.mask >= 128).mean() < 0.6
        small = pictures.decode(example.thumbnail, "rgb", example.title).astype(float)
        assert np.abs(small - make_inpaint_examples.thumbnail(**files)).mean() < 8  # WebP's loss


def test_a_picture_and_its_mask_go_to_the_canvas_and_come_back() -> None:
    value = cat.write_canvas({"image": noise(), "mask": spot()})
    back = cat.read_canvas(value)
    assert (back["image"] == noise()).all()
    assert (back["mask"] == spot()).all()
    assert back["grow"] == 0
    wider = cat.read_canvas(cat.write_canvas({"image": noise(), "mask": spot(), "grow": 5}))
    assert (wider["mask"] == grow(spot(), 5)).all()  # what the request would have done to it
    assert wider["grow"] == 0
    with pytest.raises(BadRequest, match="choose a picture"):
        cat.read_canvas(cat.write_canvas({}))
    with pytest.raises(BadRequest, match="click on the object"):
        cat.read_canvas(opened(MaskValue(), noise()))


def test_the_same_picture_with_another_mask_begins_afresh() -> None:
    one, other = (cat.write_canvas({"image": noise(), "mask": mask}) for mask in (spot(), 255 - spot()))
    assert one.image.path == other.image.path
    assert 0 < one.begun <= other.begun
    assert opened(one, noise()).begun == one.begun


def test_absent_weights_are_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "missing", lambda preset: [])
    assert "easel-card" not in lacking(SPEC, "pocket", cat.LACKING)
    monkeypatch.setattr(inventory, "missing", lambda preset: [Weights("assets/pocket/x", "a.B")] * 2)
    said = lacking(SPEC, "pocket", cat.LACKING)
    assert said.count("assets/pocket/x") == 1
    assert "nothing can be filled yet" in said
    assert "Fetch the repository again" in said


def test_a_dropped_result_is_restored_before_it_is_anything_else() -> None:
    asked: list[str] = []

    def restore(path: str) -> dict[Any, Any] | None:
        asked.append(path)
        if "other" in path:
            raise BadRequest("made with another method")
        return {"canvas": "restored"} if "result" in path else None

    with gr.Blocks():
        canvas = MaskCanvas(inline=True)
    file = stored(pictures.encode(noise()), "png", "result")
    held = opened(MaskValue(), noise())

    def dropped(name: str, role: str, value: MaskValue) -> dict[Any, Any] | None:
        incoming = stored(pictures.encode(noise()), "png", name)
        return masks._restored(canvas, value.model_copy(update={"incoming": incoming, "role": role}), restore)

    assert dropped("result", "any", held) == {"canvas": "restored"}
    assert asked == [file.path]
    assert dropped("result", "picture", held) is None  # chosen with the button: to go on from
    assert dropped("plain", "any", held) is None
    assert dropped("other", "any", MaskValue()) is None  # a picture like any other
    refused = dropped("other", "any", held)
    assert refused is not None
    assert "another method" in refused[canvas]["news"]["note"]


def result(**extras: np.ndarray) -> Result:
    return Result((noise(), 255 - noise()), extras, {"steps": 3})


def test_extras_are_shown_by_name_and_the_choice_lasts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Told:
        seed, seconds, picture = 5, 1.0, 0

    monkeypatch.setattr(runtime, "recorded", lambda *_: (Told, {}))
    monkeypatch.setattr("demos.output.recipe.write_png", lambda file, picture, told, inputs: file.write_bytes(b""))
    monkeypatch.setattr("demos.result.asdict", lambda told: {})
    with gr.Blocks():
        panel = ResultPanel("cat", "empty", cat.SIDES, "before | after", {"semantics": Figure("What", "How")})
    request: Any = None
    first = panel.finished(request, result(input=noise(), classical=spot()[..., None].repeat(3, 2)), None, True)
    sides = first[panel.beside]
    assert (sides["value"], sides["visible"]) == ("input", True)
    assert [name for _, name in sides["choices"]] == ["input", "classical"]  # in the order of the tab, what there is
    assert "<img" not in first[panel.figures["semantics"]]
    left, right = first[panel.slider]["value"]
    assert (pictures.decode(left, "rgb", "left") == noise()).all()
    assert left != right
    slider, chosen = panel._beside(first[panel.state], "classical")
    assert (pictures.decode(slider[0], "rgb", "left")[..., 0] == spot()).all()
    later = panel.finished(request, result(input=noise(), classical=noise(), semantics=noise()), chosen, True)
    assert later[panel.beside]["value"] == "classical"
    assert '<img alt="What"' in later[panel.figures["semantics"]]
    alone = panel.finished(request, result(input=noise()), chosen, True)
    assert (alone[panel.beside]["value"], alone[panel.beside]["visible"]) == ("input", False)
    assert save("cat", request, result(), ["none"]).extras == {}
