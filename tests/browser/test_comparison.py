"""The page of a comparison, opened as a file: linked zoom, the slider's cut, blink, the map of differences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from models.compare import page as made
from models.compare.arranging import Arranged
from models.compare.outcome import Outcome

RNG = np.random.default_rng(2)
FIRST = RNG.integers(0, 200, (64, 96, 3), np.uint8)
SECOND = FIRST.copy()
SECOND[16:48, 24:72] += 40  # a quarter of the picture, by 40
SHOWN = {"a": FIRST, "b": SECOND}
IDS = {(0, 0): "a", (0, 1): "b", (1, 0): "c", (1, 1): "a"}
ARRANGED = Arranged(("One", "Two"), ("seed 1", "seed 2"), IDS, "a test")


@pytest.fixture
def sheet(page: Page, tmp_path: Path) -> Iterator[Page]:
    outcomes = {key: Outcome(key, 0, "c", "cat", "Mask inpaint", file=f"cells/{key}.png") for key in SHOWN}
    outcomes["c"] = Outcome("c", 0, "c", "cat", "Mask inpaint", reason="It <i>failed</i>.")
    file = tmp_path / "index.html"
    file.write_text(made.html(ARRANGED, outcomes, SHOWN, ["a note"]), encoding="utf-8")
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda one: None if one.url.startswith(("file:", "data:")) else said.append(one.url))
    page.goto(file.as_uri())
    yield page
    assert said == []


def scale(page: Page, number: int) -> float:
    return float(page.locator("#grid img").nth(number).evaluate("e => new DOMMatrix(getComputedStyle(e).transform).a"))


def test_every_cell_is_there_with_its_picture_or_its_reason(sheet: Page) -> None:
    expect(sheet.locator("button.cell")).to_have_count(3)
    expect(sheet.locator(".empty")).to_have_text("It <i>failed</i>.")
    expect(sheet.get_by_role("img", name="Two, seed 1")).to_be_visible()
    expect(sheet.locator("#notes")).to_have_text("a note")
    expect(sheet.locator("#pair")).to_be_hidden()


def test_zooming_one_picture_zooms_all_and_zero_resets(sheet: Page) -> None:
    sheet.locator(".view").nth(1).hover()
    sheet.mouse.wheel(0, -300)
    sheet.wait_for_function("getComputedStyle(document.documentElement).getPropertyValue('--zoom').trim() === '1.25'")
    assert [scale(sheet, n) for n in range(3)] == [1.25] * 3
    sheet.keyboard.press("+")
    assert scale(sheet, 2) == pytest.approx(1.5625)
    sheet.keyboard.press("0")
    assert scale(sheet, 0) == 1


def test_the_slider_cuts_where_it_stands(sheet: Page) -> None:
    cells = sheet.locator("button.cell")
    cells.nth(0).click()
    cells.nth(1).click()
    expect(sheet.locator("#names")).to_have_text("One, seed 1 | Two, seed 1")
    sheet.locator("#cut").fill("25")
    assert sheet.locator("#above").evaluate("e => e.style.clipPath") == "inset(0px 75% 0px 0px)"
    sheet.get_by_role("button", name="Swap").click()
    expect(sheet.locator("#names")).to_have_text("Two, seed 1 | One, seed 1")
    cells.nth(0).click()  # chosen again: taken away
    expect(sheet.locator("#pair")).to_be_hidden()


def test_the_map_shows_the_mean_difference_and_where_it_is(sheet: Page) -> None:
    for number in (0, 1):
        sheet.locator("button.cell").nth(number).click()
    sheet.get_by_label("Difference").check()
    mean = np.abs(SECOND.astype(int) - FIRST).mean()
    expect(sheet.locator("#amount")).to_contain_text(f"Mean difference {mean:.2f} of 255")
    read = "(e, [x, y]) => Math.max(...e.getContext('2d').getImageData(x, y, 1, 1).data.slice(0, 3))"
    inside, outside = (sheet.locator("#heat").evaluate(read, place) for place in ([48, 32], [4, 4]))
    assert inside > 100
    assert outside == 0


def test_blink_takes_turns_and_close_ends_it(sheet: Page) -> None:
    for number in (0, 1):
        sheet.locator("button.cell").nth(number).click()
    sheet.get_by_label("Blink").check()
    expect(sheet.locator("#above")).to_be_hidden()
    expect(sheet.locator("#above")).to_be_visible()
    sheet.get_by_role("button", name="Close").click()
    expect(sheet.locator("#pair")).to_be_hidden()
