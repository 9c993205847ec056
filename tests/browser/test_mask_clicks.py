"""The mask canvas by mouse, finger and key; its masks against floods of flat colours that anyone can work out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from models.regions import invert
from tests.browser.clicker import CANVAS, DISC, GREEN, HEIGHT, HOLE, MASK, RED, SQUARE, WIDTH, Clicker, labels, still
from tests.browser.pilot import SCENE, Pilot

Files = dict[str, Path]


def near(colour: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return bool(np.abs(np.subtract(colour, wanted)).max() < 30)


def test_an_object_of_the_background_is_clicked_dragged_elsewhere_and_fused(pilot: Pilot, flat: Path) -> None:
    clicker = Clicker(pilot)
    pilot.choose("scene", flat, "scene")
    pilot.settle()
    pilot.page.click(f"{SCENE} [data-act=extract]")
    expect(pilot.page.locator(f"{MASK} .working")).to_contain_text("Preparing")
    clicker.ready()
    expect(pilot.page.locator(f"{MASK} [data-act=use]")).to_be_disabled()
    spot = clicker.at(440, 200)
    pilot.page.mouse.move(*spot)
    pilot.page.mouse.down()
    dot = (spot[0] - 3, spot[1] - 3)  # beside the sign in the disc's middle
    pilot.page.wait_for_timeout(50)
    assert near(clicker.colour(*dot), GREEN)  # the button is still down, nothing has been asked
    assert clicker.asked == []
    pilot.page.mouse.up()
    clicker.settled()
    assert len(clicker.asked) == 1
    shown = np.subtract(clicker.colour(*clicker.at(500, 250)), (50, 80, 190))
    assert np.abs(shown).max() > 40  # the mask lies over the square, in a colour that is seen on blue
    expect(pilot.page.locator(f"{MASK} .sure")).to_have_text("Predicted IoU 0.93")
    pilot.page.click(f"{MASK} [data-act=use]")
    pilot.page.wait_for_selector(f"{SCENE} [data-state=ready]")
    expect(pilot.page.locator(CANVAS)).to_be_hidden()
    pilot.settle()
    placed = {"x": 460 / 640 * 100, "y": 210 / 480 * 100, "scale": 120 / 640 * 100, "angle": 0}
    assert pilot.placement == pytest.approx(placed, abs=0.06)  # where it stands in the picture
    pilot.drag(pilot.at(460 / 640, 210 / 480), pilot.at(300 / 640, 400 / 480))
    pilot.run()
    pasted, _ = pilot.compared()
    assert near(tuple(pasted[400, 300]), (50, 80, 190))
    assert near(tuple(pasted[210, 460]), (50, 80, 190))  # the background keeps its own
    assert near(tuple(pasted[400, 100]), (200, 205, 210))


def test_right_click_shift_and_the_exclude_tool_leave_a_part_out(clicker: Clicker) -> None:
    clicker.click(150, 180)
    clicker.click(460, 200)
    clicker.click(200, 180)
    assert (clicker.saved() == (DISC | HOLE | SQUARE)).all()
    clicker.click(205, 185, button="right")
    assert near(clicker.colour(clicker.at(205, 185)[0] - 3, clicker.at(205, 185)[1] - 3), RED)
    clicker.click(500, 200, key="Shift")
    assert (clicker.saved() == DISC).all()
    clicker.tool("exclude")
    clicker.click(160, 200)
    assert labels(clicker.asked[-1]) == [1, 1, 1, 0, 0, 0]
    assert "nothing in the mask" in clicker.note()
    clicker.page.mouse.move(0, 0)
    clicker.click(160, 200, key="Alt")  # takes the dot away again
    assert (clicker.saved() == DISC).all()


def test_keys_alone_make_a_mask_and_use_it(clicker: Clicker) -> None:
    page = clicker.page
    page.focus(CANVAS)
    for key in ("Shift+ArrowLeft", "Shift+ArrowLeft", "Shift+ArrowUp", "Enter"):
        page.keyboard.press(key)  # the cross begins in the middle; 48 px of the screen a press
    clicker.settled()
    k = clicker.at(1, 0)[0] - clicker.at(0, 0)[0]
    x, y, label = clicker.asked[-1]["points"][0]
    assert (x, y, label) == pytest.approx((320 - 96 / k, 240 - 48 / k, 1), abs=0.1)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+Enter")
    clicker.settled()
    assert labels(clicker.asked[-1]) == [1, 0]
    for key in ("Delete", "Control+z", "Control+z", "Control+Shift+z", "Control+z", "Control+z"):
        page.keyboard.press(key)
    clicker.settled()
    assert page.locator(f"{MASK} [data-act=undo]").is_disabled()
    page.keyboard.press("b")
    for key in ("Enter", "Shift+ArrowRight", "Shift+ArrowDown", "Enter"):
        page.keyboard.press(key)
    clicker.settled()
    box = clicker.asked[-1]["box"]
    assert box[2] - box[0] == pytest.approx(48 / k, abs=0.2)
    assert box[3] - box[1] == pytest.approx(48 / k, abs=0.2)
    page.keyboard.press("?")
    expect(page.locator(f"{MASK} .keys dl").first).to_be_visible()
    page.keyboard.press("?")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(f"{SCENE} [data-state=ready]")


def test_brush_and_eraser_are_sent_as_one_picture_and_every_step_can_be_undone(clicker: Clicker) -> None:
    page = clicker.page
    clicker.click(150, 180)
    clicker.click(460, 200)
    clicker.tool("brush")
    clicker.drag((320, 380), (420, 380))
    clicker.tool("erase")
    clicker.drag((440, 160), (440, 260))
    paint = clicker.uploaded(clicker.asked[-1]["paint"])[..., 0]
    assert paint.shape == (HEIGHT, WIDTH)
    assert {int(paint[y, x]) for x, y in ((380, 380), (440, 200), (10, 10))} == {255, 0, 128}
    mask = clicker.saved()
    assert mask.dtype == np.uint8
    expected = DISC | SQUARE
    assert (mask[paint == 128] == expected[paint == 128]).all()
    assert (mask[paint == 255] == 255).all()
    assert (mask[paint == 0] == 0).all()
    page.click(f"{MASK} [data-flag=invert]")
    clicker.settled()
    assert (clicker.saved() == invert(mask)).all()
    questions = len(clicker.asked)
    page.focus(CANVAS)
    for _ in range(5):
        page.keyboard.press("Control+z")
    assert page.locator(f"{MASK} [data-act=use]").is_disabled()
    for _ in range(4):
        page.click(f"{MASK} [data-act=redo]")
    assert len(clicker.asked) == questions  # what was answered once is remembered
    assert (clicker.saved() == mask).all()
    cut = clicker.saved("cutout")
    assert (cut[..., 3] == mask).all()
    assert (cut[mask == 255][:, :3] == still()[mask == 255]).all()


def test_a_dropped_png_becomes_the_mask_and_another_size_is_refused(
    clicker: Clicker, files: Files, tmp_path: Path
) -> None:
    levels = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    Image.fromarray(levels).save(tmp_path / "levels.png")
    Image.fromarray(levels[:100]).save(tmp_path / "small.png")
    clicker.click(150, 180)
    clicker.drop(tmp_path / "small.png")
    expect(clicker.page.locator(f"{MASK} .note[role=alert]")).to_contain_text("640 × 100")
    clicker.drop(files["text"])
    expect(clicker.page.locator(f"{MASK} .note[role=alert]")).to_contain_text("text.png")
    assert (clicker.saved() == DISC).all()  # nothing is lost
    clicker.drop(tmp_path / "levels.png")
    clicker.page.wait_for_function(f"document.querySelector('{MASK} .busy').hidden")
    clicker.settled()
    assert clicker.asked[-1]["points"] == []
    assert (clicker.saved() == levels).all()  # all 256 of them
    clicker.page.locator(f"{MASK} [data-set=grow]").fill("-20")
    clicker.settled()
    assert (clicker.saved()[:, 20:-20] == levels[:, :-40]).all()
    clicker.act("undo")
    clicker.act("undo")
    assert (clicker.saved() == DISC).all()


def test_of_two_quick_clicks_the_last_answer_stays_and_none_is_lost(clicker: Clicker) -> None:
    page = clicker.page
    page.mouse.click(*clicker.at(150, 180))  # the server takes its time over this one
    page.mouse.click(*clicker.at(460, 200))
    page.mouse.click(*clicker.at(200, 180))
    clicker.settled()
    page.wait_for_timeout(700)
    assert [len(value["points"]) for value in clicker.asked] == [1, 3]
    assert (clicker.saved() == (DISC | SQUARE | HOLE)).all()
    assert page.locator(f"{MASK} .note").get_attribute("role") == "status"
    page.click(f"{MASK} [data-act=clear]")
    page.mouse.click(*clicker.at(160, 210))
    page.keyboard.press("Control+z")  # before the answer, which then is of no state that is shown
    clicker.settled()
    page.wait_for_timeout(900)
    assert len(clicker.asked) == 3
    assert page.locator(f"{MASK} .sure").is_hidden()
    assert near(clicker.colour(*clicker.at(150, 200)), (200, 60, 50))


def test_where_the_model_is_unsure_the_widget_offers_grabcut_and_the_way_back(clicker: Clicker) -> None:
    clicker.click(20, 20, button="right")
    assert "click on the object" in clicker.note()
    clicker.click(20, 20)
    doubt = clicker.page.locator(f"{MASK} .doubt")
    expect(doubt).to_contain_text("unsure")
    clicker.act("undo")
    clicker.act("undo")
    clicker.tool("box")
    clicker.drag((380, 130), (540, 290))
    expect(doubt).to_be_hidden()
    clicker.act("undo")
    clicker.click(300, 40)
    assert clicker.asked[-1]["points"][0][2] == 1
    clicker.act("colours")
    last = clicker.asked[-1]
    assert last["model"] == "grabcut"
    assert last["box"] == [0, 0, WIDTH, HEIGHT]  # what the unsure mask spans
    expect(clicker.page.locator(f"{MASK} .sure")).to_contain_text("GrabCut")
    questions = len(clicker.asked)
    clicker.act("colours")
    expect(clicker.page.locator(f"{MASK} .sure")).to_have_text("Predicted IoU 0.35")
    assert len(clicker.asked) == questions  # as it was, without the box that colours were given


def test_clicks_go_on_from_a_dropped_mask(clicker: Clicker, tmp_path: Path) -> None:
    page, start = clicker.page, DISC | HOLE
    start[400:420, 40:80] = 200  # soft, and far from all that is clicked
    Image.fromarray(start).save(tmp_path / "start.png")
    clicker.drop(tmp_path / "start.png")
    expect(page.locator(f"{MASK} .note")).to_contain_text("Clicks add to this mask")
    clicker.settled()
    clicker.click(460, 200)
    assert (clicker.saved() == (start | SQUARE)).all()
    clicker.click(205, 185, button="right")
    without = np.where(HOLE > 0, 0, start | SQUARE)
    assert (clicker.saved() == without).all()
    clicker.act("undo")
    clicker.act("undo")
    assert (clicker.saved() == start).all()
    clicker.click(205, 185, key="Shift")  # an excluding click is enough
    assert (clicker.saved() == np.where(HOLE > 0, 0, start)).all()
    clicker.act("clear")
    clicker.click(460, 200)
    assert (clicker.saved() == SQUARE).all()  # started over


def test_a_dropped_mask_of_half_the_size_is_resized_and_said_to_be(clicker: Clicker, tmp_path: Path) -> None:
    Image.fromarray((DISC | SQUARE)[::2, ::2]).save(tmp_path / "half.png")
    clicker.drop(tmp_path / "half.png")
    note = clicker.page.locator(f"{MASK} .note[role=status]")
    expect(note).to_contain_text("“half.png” was 320 × 240 pixels; resized to 640 × 480.")
    clicker.settled()
    expect(note).to_contain_text("resized")  # also after its mask is drawn
    mask = clicker.saved()
    assert mask.shape == (HEIGHT, WIDTH)
    assert ((mask >= 128) != (DISC | SQUARE >= 128)).mean() < 0.005
    clicker.click(30, 400, button="right")
    expect(note).not_to_contain_text("resized")


def test_an_outline_is_refined_where_the_object_lies(pilot: Pilot, files: Files, tmp_path: Path) -> None:
    clicker = Clicker(pilot)
    pilot.choose("scene", files["scene"], "scene")
    pilot.choose("object", files["opaque"], "ready")
    pilot.settle()
    before = pilot.placement
    pilot.page.click("#dreamfuse-refine")
    clicker.ready()
    box = pilot.page.locator(CANVAS).bounding_box()
    assert box is not None
    k = min((box["width"] - 20) / 300, (box["height"] - 20) / 200)
    yellow = (box["x"] + box["width"] / 2 + (60 - 150) * k, box["y"] + box["height"] / 2)
    seen = []
    for key in ("Shift", "Alt"):  # the yellow part is left out; then the dot is taken away again
        pilot.page.keyboard.down(key)
        pilot.page.mouse.click(*yellow)
        pilot.page.keyboard.up(key)
        clicker.settled()
        seen.append(clicker.asked[-1]["points"])
        pilot.page.click(f"{MASK} [data-act=use]")
        expect(pilot.page.locator(CANVAS)).to_be_hidden()
        pilot.settle()
        if key == "Shift":
            orange = pilot.placement
            pilot.page.click("#dreamfuse-refine")
            clicker.ready()  # with the click still there
    assert [len(points) for points in seen] == [1, 1]  # the second mask had been answered before
    assert pilot.placement == pytest.approx(before, abs=0.4)  # GrabCut's outline and the click's are one
    part = (110 - 41) / 219  # of the object's width is yellow, on the left
    assert orange["scale"] == pytest.approx(before["scale"] * (1 - part), abs=0.4)
    assert orange["x"] == pytest.approx(before["x"] + before["scale"] * part / 2, abs=0.4)
