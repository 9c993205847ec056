"""The scene canvas by mouse, finger, key and number, against the arithmetic of `models.pixels`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from models.pixels import alpha_box, paste, placement_matrix, resize
from tests.browser.pilot import CANVAS, SCENE, Pilot

Files = dict[str, Path]


def test_a_drag_moves_the_object_as_far_as_the_pointer_in_one_request(pilot: Pilot, files: Files) -> None:
    pilot.compose(files)
    before = len(pilot.posts)
    pilot.drag(pilot.at(0.5, 0.5), pilot.at(0.7, 0.6), steps=40)
    assert pilot.placement["x"] == pytest.approx(70, abs=0.6)
    assert pilot.placement["y"] == pytest.approx(60, abs=0.6)
    assert len(pilot.posts) - before == 1
    assert "pixels" in pilot.note()


def test_a_corner_scales_about_the_opposite_one_and_the_knob_turns(pilot: Pilot, files: Files) -> None:
    pilot.compose(files)
    start = pilot.placement  # 40 % wide; the object's box is 219 x 139 pixels
    half = 0.2, 0.2 * 139 / 219 * 640 / 480
    pilot.drag(pilot.at(0.5 + half[0], 0.5 + half[1]), pilot.at(0.5, 0.5))
    after = pilot.placement
    assert after["scale"] == pytest.approx(start["scale"] / 2, abs=0.6)
    assert after["x"] == pytest.approx(50 - 10, abs=0.6)
    frame = pilot.frame()
    knob = pilot.at(0.4, 0.5 - half[1] / 2)
    top = (knob[0], knob[1] - half[1] / 2 * frame["height"] - 30)
    pilot.drag(top, (knob[0] + 200, knob[1]))
    assert pilot.placement["angle"] == pytest.approx(90, abs=1)


def test_the_knob_stays_within_reach_of_an_object_at_the_top(pilot: Pilot, files: Files) -> None:
    pilot.compose(files)
    pilot.page.fill(f"{SCENE} [data-field=y]", "5")
    pilot.settle()
    bottom = 0.05 + 0.2 * 139 / 219 * 640 / 480
    x, y = pilot.at(0.5, bottom)
    pilot.drag((x, y + 30), (x + 200, pilot.at(0.5, 0.05)[1]))
    assert pilot.placement["angle"] == pytest.approx(-90, abs=1)


def test_every_move_has_a_key_and_every_key_can_be_undone(pilot: Pilot, files: Files) -> None:
    pilot.compose(files)
    start, before = pilot.placement, len(pilot.posts)
    pilot.page.focus(CANVAS)
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowDown", "]", "]", "+"):
        pilot.page.keyboard.press(key)
    pilot.settle()
    moved = {"x": 51, "y": 55, "scale": round(start["scale"] * 1.04, 1), "angle": 4}
    assert pilot.placement == pytest.approx(moved, abs=0.11)
    assert len(pilot.posts) - before == 1  # a run of keys is one gesture
    pilot.page.keyboard.press("Control+z")
    assert pilot.placement == start
    pilot.page.keyboard.press("Control+Shift+z")
    assert pilot.placement == pytest.approx(moved, abs=0.11)
    pilot.page.keyboard.press("Delete")
    pilot.page.wait_for_selector(f"{SCENE} [data-state=scene]")
    pilot.page.keyboard.press("Control+z")
    pilot.page.wait_for_selector(f"{SCENE} [data-state=ready]")
    pilot.page.locator(CANVAS).dblclick(position={"x": 20, "y": 20})
    pilot.page.keyboard.press("Enter")  # takes the object up again
    pilot.page.click(f"{SCENE} [data-act=reset]")
    assert pilot.placement == start


def test_the_wheel_scales_in_focus_and_scrolls_the_page_otherwise(pilot: Pilot, files: Files) -> None:
    pilot.compose(files)
    start, before = pilot.placement["scale"], len(pilot.posts)
    pilot.page.mouse.move(*pilot.at(0.5, 0.5))
    pilot.page.mouse.wheel(0, 120)
    pilot.settle()
    assert pilot.placement["scale"] == start
    pilot.page.focus(CANVAS)
    for _ in range(5):
        pilot.page.mouse.wheel(0, -100)
    pilot.settle()
    assert pilot.placement["scale"] > 1.3 * start
    assert len(pilot.posts) - before == 1


def test_the_object_cannot_be_lost_outside_the_scene(pilot: Pilot, files: Files) -> None:
    pilot.compose(files)
    pilot.drag(pilot.at(0.5, 0.5), (5, 5))
    placed = pilot.placement
    assert placed["x"] == pytest.approx(-40 * 3 / 8, abs=0.2)  # an eighth of 40 % is inside
    pilot.page.fill(f"{SCENE} [data-field=x]", "900")
    pilot.page.press(f"{SCENE} [data-field=x]", "Enter")
    pilot.settle()
    assert pilot.placement["x"] == pytest.approx(100 + 40 * 3 / 8, abs=0.2)


def test_number_boxes_move_the_object_and_a_screen_reader_hears_it(pilot: Pilot, files: Files) -> None:
    pilot.compose(files)
    before = pilot.picture()
    pilot.page.fill(f"{SCENE} [data-field=angle]", "30")
    pilot.page.fill(f"{SCENE} [data-field=scale]", "25")
    pilot.settle()
    assert np.abs(before.astype(int) - pilot.picture()).mean() > 2
    said = pilot.page.locator(f"{SCENE} .said").inner_text()
    assert "25 percent wide" in said
    assert "turned 30 degrees" in said
    assert pilot.page.locator(CANVAS).get_attribute("aria-label") == said


@pytest.mark.parametrize("ratio", [1, 2])
def test_the_canvas_draws_what_python_pastes(browser: Browser, address: str, files: Files, ratio: int) -> None:
    context = browser.new_context(viewport={"width": 1100, "height": 900}, device_scale_factor=ratio)
    pilot = Pilot(context.new_page(), address)
    pilot.compose(files)
    for name, value in {"x": 80, "y": 35, "scale": 55, "angle": 25}.items():
        pilot.page.fill(f"{SCENE} [data-field={name}]", str(value))
    pilot.page.focus(CANVAS)
    pilot.page.keyboard.press("f")
    pilot.settle()
    pilot.page.keyboard.press("Escape")  # no handles
    pilot.settle()
    drawn = pilot.picture()
    context.close()
    scene, cutout = np.asarray(Image.open(files["scene"])), np.asarray(Image.open(files["object"]))
    size = drawn.shape[:2]
    box = alpha_box(cutout[..., 3])
    assert box is not None
    matrix = placement_matrix(box, size, 0.8, 0.35, 0.55, 25, flip=True)
    pasted, _ = paste(resize(scene, size), cutout, matrix)
    difference = np.abs(drawn.astype(int) - pasted)
    assert difference.mean() < 1.5
    assert (difference.max(axis=2) > 40).mean() < 0.01  # edges only


def test_fingers_drag_and_pinch_on_a_phone_without_scrolling(browser: Browser, address: str, files: Files) -> None:
    size = {"width": 390, "height": 844}
    context = browser.new_context(viewport=size, is_mobile=True, has_touch=True, device_scale_factor=3)
    pilot = Pilot(context.new_page(), address)
    pilot.compose(files)
    pilot.page.locator(CANVAS).scroll_into_view_if_needed()
    top, start = pilot.page.evaluate("scrollY"), pilot.placement
    touch(pilot, [[pilot.at(0.5, 0.5)], [pilot.at(0.55, 0.55)], [pilot.at(0.6, 0.7)]])
    assert pilot.placement["y"] == pytest.approx(70, abs=1.5)
    a, b = pilot.at(0.55, 0.7), pilot.at(0.65, 0.7)
    c, d = pilot.at(0.5, 0.7), pilot.at(0.7, 0.7)
    touch(pilot, [[a, b], [a, b], [c, d]])
    assert pilot.placement["scale"] == pytest.approx(2 * start["scale"], rel=0.05)
    assert pilot.page.evaluate("scrollY") == top
    assert pilot.page.evaluate("document.documentElement.scrollWidth") == 390
    assert pilot.complaints == []
    context.close()


def touch(pilot: Pilot, frames: list[list[tuple[float, float]]]) -> None:
    """A touch gesture: where the fingers are, frame by frame."""
    session = pilot.page.context.new_cdp_session(pilot.page)

    def send(kind: str, points: list[tuple[float, float]]) -> None:
        told: Any = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": told})

    send("touchStart", frames[0])
    for points in frames[1:]:
        send("touchMove", points)
    send("touchEnd", [])
    pilot.settle()
