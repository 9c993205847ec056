"""The mask canvas on a phone and close up, and whether its words can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from playwright.sync_api import Browser

from tests.browser.clicker import CANVAS, MASK, Clicker, labels
from tests.browser.pilot import Pilot
from tests.browser.test_canvas import touch
from tests.browser.test_look import CONTRAST

SCHEMES: tuple[Literal["dark", "light"], ...] = ("dark", "light")


def test_zoom_and_pan_change_where_a_click_falls_and_nothing_else(clicker: Clicker) -> None:
    page = clicker.page
    page.focus(CANVAS)
    spot = clicker.at(460, 210)
    page.mouse.move(*spot)
    for _ in range(8):
        page.mouse.wheel(0, -120)
    clicker.pilot.settle()
    level = int(page.locator(f"{MASK} .level").inner_text().split()[0]) / 100
    assert level == pytest.approx(np.exp(8 * 0.24), rel=0.02)
    assert clicker.asked == []
    page.mouse.click(*spot)  # the wheel zooms about the pointer
    clicker.settled()
    assert clicker.asked[-1]["points"][0][:2] == pytest.approx((460, 210), abs=1)
    page.keyboard.down("Space")
    clicker.pilot.drag(spot, (spot[0] - 60, spot[1] - 30))
    page.keyboard.up("Space")
    page.mouse.click(*spot)
    clicker.settled()
    k = level * (clicker.at(1, 0)[0] - clicker.at(0, 0)[0])
    assert clicker.asked[-1]["points"][1][:2] == pytest.approx((460 + 60 / k, 210 + 30 / k), abs=1)
    page.click(f"{MASK} [data-act=fit]")
    clicker.click(30, 400, button="right")
    assert clicker.asked[-1]["points"][2][:2] == pytest.approx((30, 400), abs=1)


def test_a_gesture_does_not_end_on_another_picture(clicker: Clicker, flat: Path) -> None:
    page = clicker.page
    clicker.tool("box")
    page.mouse.move(*clicker.at(100, 100))
    page.mouse.down()
    page.mouse.move(*clicker.at(200, 200), steps=4)
    page.set_input_files(f"{MASK} .finish [data-role=picture] input", flat)
    page.wait_for_function(f"document.querySelector('{MASK} [data-tool=include]').ariaPressed === 'true'")
    page.mouse.move(*clicker.at(300, 300), steps=4)
    page.mouse.up()
    clicker.settled()
    assert clicker.asked == []


def test_a_finger_includes_a_long_press_excludes_and_two_zoom(browser: Browser, address: str, flat: Path) -> None:
    size = {"width": 390, "height": 844}
    context = browser.new_context(viewport=size, is_mobile=True, has_touch=True, device_scale_factor=2)
    pilot = Pilot(context.new_page(), address)
    clicker = Clicker(pilot)
    clicker.open(flat)
    pilot.page.locator(CANVAS).scroll_into_view_if_needed()
    pilot.page.touchscreen.tap(*clicker.at(150, 180))
    clicker.settled()
    session = pilot.page.context.new_cdp_session(pilot.page)
    x, y = clicker.at(460, 200)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    pilot.page.wait_for_timeout(600)
    clicker.settled()
    assert labels(clicker.asked[-1]) == [1, 0]  # before the finger is lifted
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    a, b, c, d = (clicker.at(px, 240) for px in (280, 360, 200, 440))
    touch(pilot, [[a, b], [a, b], [c, d]])
    assert pilot.page.locator(f"{MASK} .level").inner_text() == "300 %"
    assert labels(clicker.asked[-1]) == [1, 0]  # a pinch leaves no dot
    assert pilot.page.evaluate("document.documentElement.scrollWidth") == 390
    right = f"Math.max(...[...document.querySelectorAll('{MASK} button')].map((b) => b.getBoundingClientRect().right))"
    assert pilot.page.evaluate(right) <= 390 - 8
    assert pilot.complaints == []
    context.close()


def test_every_word_of_the_widget_can_be_read_and_its_buttons_are_in_sight(clicker: Clicker) -> None:
    clicker.click(20, 20)
    button = clicker.page.locator(f"{MASK} [data-act=use]").bounding_box()
    assert button is not None
    assert button["y"] + button["height"] <= 900
    clicker.page.click(f"{MASK} .keys summary")
    for scheme in SCHEMES:
        clicker.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # colours do not fade over
        clicker.pilot.settle()
        pairs = clicker.page.evaluate(CONTRAST.replace("'main'", f"'{MASK}'"))
        assert len(pairs) > 40
        assert [pair for pair in pairs if pair[1] < 4.5] == []
