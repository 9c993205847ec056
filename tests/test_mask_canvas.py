"""What the mask canvas promises before a browser sees it: masks stay whole, cut-outs in place, nobody is trusted."""

from __future__ import annotations

import base64
import math
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio.data_classes import FileData

from demos import cutting, masks
from demos.canvas import MaskCanvas, MaskValue, Scene, with_background, with_object
from demos.canvas.mask import answer, closed, mask_file, opened, refusal
from demos.canvas.parts import stored
from models import pictures, runtime
from models.contract import BadRequest
from models.dreamfuse.spec import DreamFuseRequest, object_matrix
from models.pixels import alpha_box, paste, placement_matrix, resize
from models.segment import Segmented, SegmentRequest


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def disc(height: int = 120, width: int = 160, centre: tuple[int, int] = (60, 50), radius: int = 30) -> np.ndarray:
    """A mask with an edge of one soft pixel."""
    y, x = np.mgrid[:height, :width]
    far = np.hypot(x - centre[0], y - centre[1])
    return (255 * np.clip(radius + 0.5 - far, 0, 1)).astype(np.uint8)


def of(picture: np.ndarray, mask: np.ndarray, **told: Any) -> MaskValue:
    """A canvas on which this mask has just been answered."""
    value = opened(MaskValue(), picture, **told)
    changes = {"mask": mask_file(mask), "answered": 7, "revision": 7, "points": [(60.0, 50.0, 1)]}
    return value.model_copy(update=changes)


def note(update: dict[str, Any]) -> str:
    return str(update["news"]["note"])


def test_numbers_from_outside_are_put_into_range() -> None:
    with gr.Blocks():
        canvas = MaskCanvas()
    points = [(math.nan, 1.0, 1), *[(float(k), 2.0, 1) for k in range(300)]]
    wild = MaskValue(points=points, box=(0, 0, math.inf, 1), grow=-1e9, feather=math.nan, model="<b>")
    kept = canvas.preprocess(wild)
    assert (len(kept.points), kept.points[-1][0]) == (100, 299)
    assert (kept.box, kept.grow, kept.feather, kept.model) == (None, -100, 0, "auto")
    assert "points" in canvas.api_info()["properties"]


def test_a_value_asks_for_what_was_done_on_the_canvas(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, strokes = noise(60, 80), np.full((30, 40), 128, np.uint8)
    strokes[10:20, 10:20] = 255
    value = opened(MaskValue(), picture, start=disc(60, 80)).model_copy(
        update={
            "points": [(10.0, 20.0, 1), (30.5, 40.0, 0)],
            "paint": stored(pictures.encode(np.dstack([strokes] * 3)), "png"),
            **{"box": (1, 2, 30, 40), "grow": 3, "feather": 4, "invert": True, "fill_holes": True},
        }
    )
    request = masks.request_of(value)
    assert (request.points, request.labels, request.box) == (((10, 20), (30.5, 40)), (1, 0), (1, 2, 30, 40))
    assert (request.grow, request.feather, request.invert, request.fill_holes) == (3, 4, True, True)
    assert (request.keep_largest, request.soft_edges, request.model) == (False, True, "auto")
    assert (request.image == picture).all()
    assert (request.start == disc(60, 80)).all()
    assert request.paint is not None
    assert (request.paint == resize(strokes, (60, 80))).all()  # a browser may have had to draw it smaller


def test_the_answered_mask_is_read_while_it_is_of_the_newest_state(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[SegmentRequest] = []
    other = disc(radius=10)

    def segment(request: SegmentRequest) -> Segmented:
        asked.append(request)
        return Segmented(other, 0.9)

    monkeypatch.setattr(runtime, "segment", segment)
    value = of(noise(120, 160), disc())
    assert (masks.mask_of(value) == disc()).all()
    assert asked == []
    assert (masks.mask_of(value.model_copy(update={"revision": 8})) == other).all()
    assert len(asked) == 1
    foreign = value.model_copy(update={"mask": mask_file(disc(20, 30))})
    with pytest.raises(BadRequest, match="not of this picture"):
        masks.mask_of(foreign)


def test_an_answer_is_small_to_draw_and_whole_in_its_file() -> None:
    mask = resize(noise(60, 80, 1), (1200, 1600))
    value = of(noise(30, 40), mask)
    told = answer(value, Segmented(mask, 0.42, {"model": "pocket"}))
    assert (told["image"], told["revision"], told["score"], told["model"]) == (value.image.path, 7, 0.42, "pocket")
    drawn = pictures.decode(base64.b64decode(told["overlay"].split(",")[1]), "mask", "overlay")
    assert (drawn == resize(mask, (1152, 1536))).all()
    assert (pictures.decode(told["mask"]["path"], "mask", "mask") == mask).all()
    assert told["box"] == alpha_box(mask)
    empty = answer(value, Segmented(np.zeros((30, 40), np.uint8), None))
    assert (empty["box"], "nothing" in empty["note"]) == (None, True)


def test_what_cannot_be_done_is_one_sentence_and_takes_nothing_away() -> None:
    value = opened(MaskValue(), noise(30, 40)).model_copy(update={"points": [(5.0, 5.0, 0)], "revision": 3})
    told = masks._segmented(value)["answer"]
    assert told == refusal(value, told["note"])
    assert (told["revision"], told["mask"], told["bad"]) == (3, None, True)
    assert "click on the object first" in told["note"]
    dropped = stored(pictures.encode(disc(30, 41)), "png", "dropped")
    update = masks._received(value.model_copy(update={"incoming": dropped, "role": "mask"}))
    assert "41 × 30 pixels; a mask for this picture has 40 × 30" in note(update)
    assert "start" not in update["news"]
    broken = stored(b"not a picture", "png", "broken")
    assert "broken" in note(masks._received(value.model_copy(update={"incoming": broken, "role": "mask"})))
    assert "log" in masks.sentence(KeyError("secret"))
    assert "secret" not in masks.sentence(KeyError("secret"))


def test_a_mask_of_the_pictures_shape_is_resized_and_said_to_be() -> None:
    value = opened(MaskValue(), noise(120, 160))

    def dropped(mask: np.ndarray) -> dict[str, Any]:
        file = stored(pictures.encode(mask), "png", "half")
        update = masks._received(value.model_copy(update={"incoming": file, "role": "mask"}))
        return dict(update["news"])

    small = disc(60, 80, (30, 25), 15)
    told = dropped(small)
    assert told["note"] == "“half.png” was 80 × 60 pixels; resized to 160 × 120."
    assert (pictures.decode(told["start"]["path"], "mask", "start") == resize(small, (120, 160))).all()
    assert dropped(disc())["note"] == ""
    assert "1584 × 1200" in dropped(disc(1200, 1584, (600, 500), 300))["note"]  # one part in a hundred
    assert "start" not in dropped(disc(1200, 1570, (600, 500), 300))


def test_strokes_and_sliders_on_clicked_and_dropped_masks_ask_the_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[SegmentRequest] = []

    def segment(request: SegmentRequest) -> Segmented:
        asked.append(request)
        return Segmented(disc(radius=20) if request.prompted else disc(), 0.9)

    monkeypatch.setattr(runtime, "segment", segment)
    masks._found.cache_clear()
    value = opened(MaskValue(), noise(120, 160), start=disc(radius=20))
    clicked = value.model_copy(update={"points": [(60.0, 50.0, 0)], "revision": 1})
    for grow in (0, 2, 4):
        masks.mask_of(clicked.model_copy(update={"grow": grow}))
    assert len(asked) == 1
    assert asked[0].start is not None
    assert (asked[0].start == disc(radius=20)).all()
    other = clicked.model_copy(update={"start": mask_file(disc(radius=21))})
    masks.mask_of(other)
    assert len(asked) == 2  # another mask to start from is another question


def test_the_same_picture_opens_with_its_clicks_and_another_without() -> None:
    value = closed(of(noise(30, 40), disc(30, 40)))
    again = opened(value, noise(30, 40), title="again")
    assert (again.opened, again.points, again.title) == (True, value.points, "again")
    other = opened(value, noise(31, 40))
    assert (other.opened, other.points, other.mask) == (True, [], None)


def test_an_object_of_the_background_put_back_where_it_was_changes_nothing() -> None:
    picture, mask = noise(120, 160), disc()
    scene = with_background(Scene(), picture)
    scene, cut = cutting.used(scene, of(picture, mask, purpose=cutting.EXTRACT))
    (layer,) = scene.layers
    cropped = pictures.decode(layer.image.path, "rgba", "object")
    assert cropped.shape[0] < 70  # what is fully transparent is not stored
    assert (cut[..., 3] == mask).all()
    request = DreamFuseRequest(background=picture, foreground=cropped, x=layer.x, y=layer.y, scale=layer.scale)
    pasted, _ = paste(picture, cropped, object_matrix(request))
    difference = np.abs(pasted.astype(int) - picture)
    assert difference[mask == 0].max() == 0
    assert difference[mask == 255].max() <= 1
    with pytest.raises(BadRequest, match="nothing in the mask"):
        cutting.used(scene, of(picture, np.zeros_like(mask), purpose=cutting.EXTRACT))


@pytest.mark.parametrize("flip", [False, True])
def test_another_outline_of_an_object_leaves_its_pixels_where_they_lie(flip: bool) -> None:
    upload = stored(pictures.encode(noise(120, 160)), "png")
    whole, part = disc(), disc()
    part[:, :50] = part[:40] = 0  # the left and the top of the disc are taken away
    scene = with_background(Scene(), noise(200, 300))
    placement = {"x": 0.45, "y": 0.55, "scale": 0.31, "angle": 33.0, "flip": flip}
    scene = with_object(scene, np.dstack([noise(120, 160), whole]), upload, **placement)
    refined, cut = cutting.used(scene, of(noise(120, 160), part, purpose=cutting.REFINE, files=(upload, None)))
    assert (cut[..., 3] == part).all()

    def corner(made: Scene) -> np.ndarray:
        """Where two pixels of the upload lie on the scene."""
        (layer,) = made.layers
        told = {name: getattr(layer, name) for name in placement}
        matrix = placement_matrix(layer.box, (200, 300), **told)
        return np.asarray(matrix[:2] @ np.array([[55, 80], [40, 60], [1, 1]]))

    assert corner(refined) == pytest.approx(corner(scene), abs=1e-6)
    assert refined.layers[0].source == upload


def test_a_refined_outline_is_what_cut_out_means_from_then_on() -> None:
    upload = stored(pictures.encode(noise(120, 160)), "png")
    scene = with_object(with_background(Scene(), noise(200, 300)), np.dstack([noise(120, 160), disc()]), upload)
    value = cutting.refining(scene, MaskValue())
    assert (value.opened, value.image) == (True, upload)
    assert (pictures.decode(value.start.path, "mask", "start") == disc()).all()
    made = value.model_copy(update={"mask": mask_file(disc(radius=20)), "answered": 1, "revision": 1})
    _, whole = cutting.chosen(scene, cutting.AS_IS, made)
    assert whole[..., 3].min() == 255
    _, cut = cutting.chosen(scene, cutting.CUT, made)
    assert (cut[..., 3] == disc(radius=20)).all()
    with pytest.raises(BadRequest, match="choose it again"):
        cutting.refining(Scene(), MaskValue())
    with pytest.raises(BadRequest, match="choose a scene first"):
        cutting.extracting(Scene(), MaskValue())
    assert isinstance(upload, FileData)
