"""The layer editor by mouse, finger and key: what can be done to layers, and that all of it can be undone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.stacker import EDITOR, WORDS, Stacker
from tests.browser.test_canvas import touch

Files = dict[str, Path]
FIELD, EGG, WALL, SKY = WORDS


def test_pictures_become_layers_one_on_another_and_undo_takes_each_away(stacker: Stacker, files: Files) -> None:
    expect(stacker.page.locator(f"{EDITOR} .hint")).to_be_visible()
    assert stacker.pixel(0.9, 0.1) == pytest.approx([150, 150, 150], abs=1)
    stacker.add(files["scene"], files["object"], files["plain"])
    stacker.drop(files["opaque"])
    expect(stacker.rows).to_have_count(4)
    stacker.settle()
    assert [Path(layer["image"]["orig_name"]).suffix for layer in stacker.layers] == [".png"] * 4
    assert [layer["z"] for layer in stacker.layers] == [3, 2, 1, 0]
    assert stacker.layers[2]["box"] != [0, 0, 300, 200]  # the object's own, not its picture's
    assert stacker.page.locator(f"{EDITOR} .row").first.get_attribute("class") == "row selected wordless"
    for left in (3, 2, 1, 0):
        stacker.act("undo")
        expect(stacker.rows).to_have_count(left)
    expect(stacker.page.locator(f"{EDITOR} .hint")).to_be_visible()
    stacker.page.focus(stacker.canvas)
    stacker.press(*["Control+Shift+z"] * 4)
    assert len(stacker.value["layers"]) == 4


def test_layers_are_moved_scaled_and_turned_on_the_canvas(stacked: Stacker) -> None:
    before = len(stacked.posts)
    stacked.drag(stacked.at(0.3, 0.6), stacked.at(0.5, 0.5), steps=30)
    assert stacked.selected == EGG
    assert len(stacked.posts) - before == 1
    egg = stacked.layers[2]
    assert (egg["x"], egg["y"]) == (pytest.approx(0.5, abs=0.006), pytest.approx(0.5, abs=0.006))
    tall = 0.4 * 139 / 219
    stacked.drag(stacked.at(0.5 + 0.2, 0.5 + tall / 2), stacked.at(0.5, 0.5))
    egg = stacked.layers[2]
    assert (egg["scale"], egg["x"]) == (pytest.approx(0.2, abs=0.006), pytest.approx(0.4, abs=0.006))
    x, y = stacked.at(egg["x"], egg["y"])
    top = y - tall / 4 * stacked.frame()["height"] - 30
    stacked.drag((x, top), (x + 200, y))
    assert stacked.layers[2]["angle"] == pytest.approx(90, abs=1.5)


def test_a_click_takes_the_topmost_and_another_one_what_lies_under_it(stacked: Stacker) -> None:
    stacked.place(1, x=35, y=60)
    before = stacked.layers
    for expected in (WALL, EGG, FIELD, WALL):
        stacked.click(0.33, 0.6)
        assert stacked.selected == expected
    stacked.select(2)
    stacked.drag(stacked.at(0.33, 0.6), stacked.at(0.43, 0.6))  # what was taken by its row is dragged under the wall
    assert stacked.layers[2]["x"] == pytest.approx(0.4, abs=0.006)
    stacked.press("Control+z")
    assert stacked.layers == before
    stacked.page.mouse.dblclick(*stacked.at(0.75, 0.75))
    stacked.press("End", "!")
    stacked.page.wait_for_timeout(700)
    assert stacked.layers[0]["prompt"] == f"{SKY}!"


def test_rows_are_put_in_order_by_dragging_buttons_and_keys(stacked: Stacker) -> None:
    assert stacked.words == [SKY, WALL, EGG, FIELD]
    stacked.place(0, x=20, y=60)
    above = stacked.pixel(0.2, 0.6)
    grips = stacked.page.locator(f"{EDITOR} .grip")

    def middle(row: int, part: float = 0.5) -> tuple[float, float]:
        box = grips.nth(row).bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + part * box["height"]

    grips.nth(2).scroll_into_view_if_needed()
    stacked.drag(middle(2), middle(0, 0.1))
    assert stacked.words == [EGG, SKY, WALL, FIELD]
    assert [layer["prompt"] for layer in stacked.layers] == stacked.words
    assert [layer["z"] for layer in stacked.layers] == [3, 2, 1, 0]
    assert np.abs(stacked.pixel(0.2, 0.6) - above).max() > 40  # the egg is in front of the sky now
    assert stacked.selected == EGG
    assert stacked.page.locator(f"{EDITOR} [data-act=up]").is_disabled()
    grips.nth(0).scroll_into_view_if_needed()
    stacked.drag(middle(0), middle(1, 0.9))
    assert stacked.words == [SKY, EGG, WALL, FIELD]
    stacked.act("up")
    stacked.act("down")
    assert stacked.words == [SKY, EGG, WALL, FIELD]
    stacked.page.focus(stacked.canvas)
    stacked.press("PageDown", "PageDown", "PageDown")
    assert stacked.words == [SKY, WALL, FIELD, EGG]
    stacked.page.locator(f"{EDITOR} .thumb").nth(3).focus()
    stacked.press("PageUp")
    assert stacked.words == [SKY, WALL, EGG, FIELD]
    stacked.press("Control+z")
    assert stacked.words == [SKY, WALL, FIELD, EGG]
    stacked.press("Shift+PageUp")
    assert stacked.words == [EGG, SKY, WALL, FIELD]
    stacked.page.locator(f"{EDITOR} [data-act=down]").click(modifiers=["Shift"])
    assert stacked.words == [SKY, WALL, FIELD, EGG]


def test_a_locked_layer_cannot_be_moved_changed_or_deleted(stacked: Stacker) -> None:
    stacked.mark(2, "lock")
    locked = stacked.layers[2]
    assert locked["locked"]
    stacked.drag(stacked.at(0.3, 0.6), stacked.at(0.5, 0.5))
    assert stacked.selected == EGG
    stacked.press("ArrowRight", "]", "+", "f", "Delete", "PageUp")
    stacked.page.mouse.wheel(0, -300)
    box: Any = stacked.page.locator(f"{EDITOR} .grip").nth(2).bounding_box()
    stacked.drag((box["x"] + 5, box["y"] + 20), (box["x"] + 5, box["y"] - 200))
    for control in (
        "[data-field=x]",
        "[data-plain=freedom]",
        "[data-dial=noise]",
        "[data-preset]",
        "[data-act=remove]",
    ):
        assert stacked.page.locator(f"{EDITOR} {control}").is_disabled(), control
    assert stacked.layers[2] == locked
    stacked.act("duplicate")
    assert [layer["locked"] for layer in stacked.layers] == [False, False, False, True, False]
    stacked.mark(3, "lock")
    stacked.drag(stacked.at(0.12, 0.6), stacked.at(0.22, 0.6))
    assert stacked.layers[3]["x"] == pytest.approx(0.4, abs=0.006)


def test_everything_can_be_undone_and_done_again(stacked: Stacker) -> None:
    start = stacked.value
    picture = stacked.picture()
    values = [start]

    def done() -> None:
        assert stacked.value != values[-1]
        values.append(stacked.value)

    steps: list[Any] = [
        lambda: stacked.act("flip", 2),
        lambda: stacked.act("duplicate"),
        lambda: stacked.mark(0, "eye"),
        lambda: stacked.mark(1, "lock"),
        lambda: stacked.act("down", 2),
        lambda: stacked.name(0, "a yellow sky"),
        lambda: stacked.turn("freedom", 0.25),
        lambda: stacked.choose_setting("preset", "keep"),
        lambda: stacked.choose_setting("set=format", "16:9"),
        lambda: stacked.act("fill", 0),
        lambda: stacked.act("remove", 0),
    ]
    for step in steps:
        step()
        done()
    assert len(values[-1]["layers"]) == 4
    for value in reversed(values[:-1]):
        stacked.act("undo")
        assert stacked.value["layers"] == value["layers"]
    assert (stacked.value["width"], stacked.value["height"]) == (512, 512)
    stacked.page.focus(stacked.canvas)
    stacked.press("Escape")
    assert (stacked.picture() == picture).mean() > 0.9  # all but the handles
    for value in values[1:]:
        stacked.act("redo")
        assert stacked.value["layers"] == value["layers"]


def test_the_keyboard_alone_does_everything(stacked: Stacker) -> None:
    stacked.page.focus(f"{EDITOR} .tools [data-role=layer] input")
    stacked.page.focus(stacked.canvas)
    stacked.press("Escape", "Enter")
    assert stacked.selected == FIELD
    stacked.press("Enter", "Shift+ArrowRight", "ArrowDown", "[", "+", "f")
    egg = stacked.layers[2]
    assert (egg["x"], egg["y"], egg["angle"]) == (pytest.approx(0.35), pytest.approx(0.605), -2)
    assert (egg["scale"], egg["flip"]) == (pytest.approx(0.416), True)
    said = stacked.page.locator(f"{EDITOR} .said").inner_text()
    assert said == stacked.page.locator(stacked.canvas).get_attribute("aria-label")
    assert said.startswith(f"{EGG}, 3 of 4 from the front, at 35 percent across and 61 percent down")
    stacked.press("Control+d", "PageUp")
    assert stacked.words == [SKY, EGG, WALL, EGG, FIELD]
    stacked.press("h")
    assert not stacked.layers[1]["visible"]
    stacked.press("h", "l", "Delete")
    assert len(stacked.layers) == 5
    stacked.press("l", "Delete")
    assert stacked.words == [SKY, WALL, EGG, FIELD]
    stacked.page.locator(f"{EDITOR} .thumb").first.focus()
    stacked.press("ArrowDown")
    assert stacked.selected == WALL
    stacked.press("Tab", "Control+a", *"a hedge", "Tab", "Space", "Tab", "Space")
    stacked.page.wait_for_timeout(700)
    wall = stacked.layers[1]
    assert (wall["prompt"], wall["visible"], wall["locked"]) == ("a hedge", False, True)
    stacked.press("Space")
    for _ in range(24):
        stacked.press("Tab")
        if stacked.page.evaluate("document.activeElement.dataset.plain") == "freedom":
            break
    stacked.press("Home", "ArrowRight")
    assert stacked.layers[1]["noise"] == pytest.approx(0.01)
    for name in ("words", "freedom"):
        stacked.page.focus(f"{EDITOR} [data-show={name}]")
        stacked.press("Enter")
        assert stacked.page.locator(f"{EDITOR} [data-show={name}]").get_attribute("aria-pressed") == "true"


def test_fingers_and_a_narrow_screen(browser: Browser, editor_address: str) -> None:
    size = {"width": 390, "height": 844}
    context = browser.new_context(viewport=size, is_mobile=True, has_touch=True, device_scale_factor=2)
    stacker = Stacker(context.new_page(), editor_address)
    stacker.stack()
    stacker.page.locator(stacker.canvas).scroll_into_view_if_needed()
    touch(stacker, [[stacker.at(0.3, 0.6)], [stacker.at(0.35, 0.55)], [stacker.at(0.5, 0.5)]])
    assert stacker.layers[2]["x"] == pytest.approx(0.5, abs=0.01)
    a, b, c, d = (stacker.at(x, 0.5) for x in (0.45, 0.55, 0.4, 0.6))
    touch(stacker, [[a, b], [a, b], [c, d], [c]])
    assert stacker.layers[2]["scale"] == pytest.approx(0.8, rel=0.05)
    box: Any = stacker.page.locator(f"{EDITOR} .grip").nth(2).bounding_box()
    stage: Any = stacker.page.locator(f"{EDITOR} .stage").bounding_box()
    assert box["y"] > stage["y"] + stage["height"]
    stacker.page.locator(f"{EDITOR} .grip").nth(0).scroll_into_view_if_needed()
    box = stacker.page.locator(f"{EDITOR} .grip").nth(2).bounding_box()
    x, y = box["x"] + 10, box["y"] + 20
    touch(stacker, [[(x, y)], [(x, y - 40)], [(x, y - 70)]])
    assert stacker.words == [SKY, EGG, WALL, FIELD]
    assert stacker.page.evaluate("document.documentElement.scrollWidth") == 390
    assert stacker.complaints == []
    context.close()
