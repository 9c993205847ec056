"""What is sent from tab to tab, and a comparison from its input to its sheet, with methods that paint at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from models import recipe
from tests.browser.pilot import Pilot, let_fall
from tests.browser.test_look import CONTRAST

BOARD = "#compare-board"
CELLS = f"{BOARD} .sheet img"
Files = dict[str, Path]


def keep(page: Page, name: str) -> None:
    """A picture of the page, if SCREENSHOTS names a folder for it."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"compare-{name}.png", full_page=True)


def send(page: Page, key: str, group: str, title: str) -> None:
    """Open the list under a result and choose."""
    page.click(f"#{key}-send .open")
    page.locator(f'#{key}-send .menu button[aria-label="{group}, to {title}"]').click(timeout=90_000)


def composed(pilot: Pilot, files: Files) -> Page:
    """A placed object with words."""
    pilot.compose(files)
    pilot.page.fill("#dreamfuse-prompt textarea", "a red ball")
    pilot.settle()
    return pilot.page


def sent(pilot: Pilot, files: Files) -> Page:
    """The same on Compare, with the two quickest methods chosen and ready to run."""
    page = composed(pilot, files)
    send(page, "dreamfuse", "What stands on the left", "Compare")
    expect(page.locator(f"{BOARD} .inputs li")).to_have_count(1, timeout=90_000)
    for key in ("collage", "cat", "input", "poisson"):
        page.uncheck(f"{BOARD} .methods input[value={key}]")
    expect(page.locator(f"{BOARD} .estimate")).to_contain_text("1 picture; 1 baseline", timeout=90_000)
    return page


def vary(page: Page, name: str, values: str) -> None:
    """One more axis."""
    page.click(f"{BOARD} .axes .add")
    line = page.locator(f"{BOARD} .axis").last
    line.locator("select").select_option(name)
    page.locator(f"{BOARD} .axis input").last.fill(values)


def test_a_placed_object_goes_to_mask_inpaint_with_its_place_and_words(pilot: Pilot, files: Files) -> None:
    page = composed(pilot, files)
    send(page, "dreamfuse", "What stands on the left", "Mask inpaint")
    expect(page.get_by_role("tab", name="Mask inpaint")).to_have_attribute("aria-selected", "true")
    page.wait_for_selector("#cat-mask [data-state=ready]")
    expect(page.locator("#cat-note")).to_contain_text("its picture is not used", timeout=90_000)
    assert page.locator("#cat-prompt input, #cat-prompt textarea").first.input_value() == "a red ball"


def test_a_result_goes_on_as_the_scene(pilot: Pilot, files: Files) -> None:
    page = composed(pilot, files)
    pilot.run()
    send(page, "dreamfuse", "This result, as the scene", "Prompt edit")
    page.wait_for_selector("#dit4edit-mask [data-state=ready]")
    expect(page.locator("#dit4edit-source_prompt textarea")).to_have_value("a red ball")
    expect(page.locator("#dit4edit-note")).to_contain_text("needs words", timeout=90_000)


def test_what_is_not_complete_is_said_in_the_list(pilot: Pilot) -> None:
    pilot.page.click("#dreamfuse-send .open")
    expect(pilot.page.locator("#dreamfuse-send .menu p")).to_contain_text("Please give a picture", timeout=90_000)
    pilot.page.keyboard.press("Escape")
    expect(pilot.page.locator("#dreamfuse-send .menu")).to_be_hidden()


def test_a_result_that_falls_on_another_tab_opens_its_own(pilot: Pilot, files: Files, tmp_path: Path) -> None:
    page = composed(pilot, files)
    pilot.run()
    mine = pilot.download(tmp_path / "mine.png")
    page.fill("#dreamfuse-prompt textarea", "something else")
    page.get_by_role("tab", name="Prompt edit").click()
    page.wait_for_selector("#dit4edit-mask .pick")
    let_fall(page, "#dit4edit-result", mine)
    expect(page.get_by_role("tab", name="Drag & place")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#dreamfuse-note")).to_contain_text("restored", timeout=90_000)
    expect(page.locator("#dreamfuse-prompt textarea")).to_have_value("a red ball")


def test_cells_arrive_and_each_is_a_picture_that_can_be_repeated(pilot: Pilot, files: Files, tmp_path: Path) -> None:
    page = sent(pilot, files)
    vary(page, "seed", "3-4")
    vary(page, "steps", "2")
    expect(page.locator(f"{BOARD} .estimate")).to_contain_text("2 pictures; 1 baseline", timeout=90_000)
    page.click(f"{BOARD} .go")
    expect(page.locator(CELLS)).to_have_count(4, timeout=120_000)
    expect(page.locator(f"{BOARD} .note")).to_have_text("Done.", timeout=120_000)
    with page.expect_download() as waiting:
        page.locator(f"{BOARD} .sheet td a").first.click()
    waiting.value.save_as(tmp_path / "cell.png")
    told, inputs = recipe.read_png(tmp_path / "cell.png")
    assert (told.method, told.seed) == ("dreamfuse", 3)
    assert set(inputs) == {"background", "foreground"}
    with page.context.expect_page() as opened:
        page.get_by_role("button", name="Look closely").click()
    expect(opened.value.locator("#grid img")).to_have_count(4)
    page.set_viewport_size({"width": 500, "height": 900})  # the sheet is wider than its frame and is moved in it
    head = page.locator(f"{BOARD} .sheet tbody th").first
    before: Any = head.bounding_box()
    page.locator(f"{BOARD} .sheet").evaluate("sheet => { sheet.scrollLeft = 60; }")
    after: Any = head.bounding_box()
    assert before["width"] >= 100
    assert (after["x"], after["width"]) == (before["x"], before["width"])
    page.click(f"{BOARD} .vote summary")
    keep(page, "sheet")
    page.click(f"{BOARD} .ballot [data-side=left]")
    expect(page.locator(f"{BOARD} .vote .said")).to_contain_text("Left was", timeout=90_000)


def test_stop_keeps_the_sheet_and_compare_goes_on_from_there(pilot: Pilot, files: Files) -> None:
    page = sent(pilot, files)
    vary(page, "seed", "1-3")
    vary(page, "steps", "40")
    expect(page.locator(f"{BOARD} .estimate")).to_contain_text("3 pictures", timeout=90_000)
    page.click(f"{BOARD} .go")
    expect(page.locator(CELLS)).to_have_count(4, timeout=120_000)  # the paste in every row, and one cell
    page.click(f"{BOARD} .halt")
    expect(page.locator(f"{BOARD} .note")).to_contain_text("goes on from there", timeout=120_000)
    kept = page.locator(CELLS).count()
    expect(page.locator(f"{BOARD} .files a").first).to_be_visible()
    assert kept < 6
    page.click(f"{BOARD} .go")
    expect(page.locator(f"{BOARD} .note")).to_have_text("Done.", timeout=120_000)
    expect(page.locator(CELLS)).to_have_count(6)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_aa_contrast_and_a_phone_shows_it_in_one_column(
    browser: Browser, address: str, files: Files, theme: str
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=theme)  # type: ignore[arg-type]
    pilot = Pilot(context.new_page(), address)
    page = pilot.page
    page.get_by_role("tab", name="Compare").click()
    page.set_input_files(f"{BOARD} .pick input", [files["scene"], files["object"]])
    expect(page.locator(f"{BOARD} .parts figure")).to_have_count(2, timeout=90_000)
    vary(page, "seed", "9-1")
    page.click(f"{BOARD} .rest summary")
    expect(page.locator(f"{BOARD} .estimate.bad")).to_contain_text("empty", timeout=90_000)
    keep(page, f"390-{theme}")
    pairs = page.evaluate(CONTRAST)
    assert len(pairs) > 25
    assert [pair for pair in pairs if pair[1] < 4.5] == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert pilot.complaints == []
    context.close()
