"""The history in a browser: a run is found again, opened in its tab, deleted, and seen by nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from models.recipe import read_png
from tests.browser.pilot import Pilot
from tests.browser.test_look import CONTRAST

BOARD = "#history-board"
THUMBS = f"{BOARD} .thumb"
Files = dict[str, Path]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def house(kept: Path) -> Iterator[str]:
    """The address of a server with a history."""
    serve = [sys.executable, str(Path(__file__).with_name("serve.py")), "2", str(kept)]
    server = subprocess.Popen(
        serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert server.stdout is not None
    yield server.stdout.readline().strip()
    server.terminate()
    server.communicate(timeout=20)


def keep(page: Page, name: str) -> None:
    """A picture of the page, if SCREENSHOTS names a folder for it."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"history-{name}.png")


def looked(page: Page, count: int) -> None:
    """The History tab, with so many pictures."""
    page.get_by_role("tab", name="History").click()
    expect(page.locator(f"{BOARD} .empty")).not_to_have_text("Looking…", timeout=60_000)
    expect(page.locator(THUMBS)).to_have_count(count, timeout=60_000)


def ran(page: Page, house: str, files: Files, pictures: int) -> Pilot:
    """A visitor who has made some pictures."""
    pilot = Pilot(page, house)
    pilot.compose(files)
    page.fill("#dreamfuse-prompt textarea", "a red ball")
    pilot.set_more(seed=7, num_images=pictures)
    pilot.run()
    return pilot


def test_a_result_is_found_after_a_reload_and_opens_in_its_tab(
    page: Page, house: str, files: Files, tmp_path: Path
) -> None:
    pilot = ran(page, house, files, 1)
    page.reload()
    page.wait_for_selector(pilot.canvas)
    looked(page, 1)
    expect(page.locator(f"{BOARD} li")).to_contain_text("a red ball")
    page.locator(THUMBS).focus()
    page.keyboard.press("Enter")
    expect(page.locator(f"{BOARD} dl")).to_contain_text("a red ball", timeout=60_000)
    with page.expect_download() as waiting:
        page.click(f"{BOARD} .take")
    waiting.value.save_as(tmp_path / "mine.png")
    assert read_png(tmp_path / "mine.png")[0].seed == 7
    page.click(f"{BOARD} .go")
    expect(page.get_by_role("tab", name="Drag & place")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#dreamfuse-note")).to_contain_text("restored", timeout=60_000)
    expect(page.locator("#dreamfuse-prompt textarea")).to_have_value("a red ball")
    assert pilot.complaints == []


def test_keys_move_select_and_delete_and_another_browser_sees_nothing(
    browser: Browser, page: Page, house: str, files: Files, kept: Path
) -> None:
    before = set(kept.rglob("*.png"))
    pilot = ran(page, house, files, 3)
    looked(page, 3)
    other = browser.new_context()
    stranger = other.new_page()
    stranger.goto(house)
    looked(stranger, 0)
    other.close()
    page.locator(THUMBS).first.focus()
    for key in ("Space", "ArrowRight", "ArrowRight", "Space", "ArrowLeft", "Delete"):
        page.keyboard.press(key)
    expect(page.locator(f"{BOARD} .sure p")).to_have_text("Delete 2 pictures for good?")
    page.keyboard.press("Escape")
    expect(page.locator(f"{BOARD} li.on")).to_have_count(2)
    page.keyboard.press("Delete")
    page.click(f"{BOARD} .sure .yes")
    expect(page.locator(f"{BOARD} .note")).to_have_text("2 pictures deleted.", timeout=60_000)
    expect(page.locator(THUMBS)).to_have_count(1)
    expect(page.locator(THUMBS)).to_be_focused()
    assert [read_png(path)[0].seed for path in set(kept.rglob("*.png")) - before] == [8]
    page.keyboard.press("Enter")
    expect(page.locator(f"{BOARD} dd").first).to_have_text("8", timeout=60_000)
    page.keyboard.press("Escape")
    expect(page.locator(f"{BOARD} .look")).to_be_hidden()
    page.click(f"{BOARD} .all")
    page.click(f"{BOARD} .sure .yes")
    expect(page.locator(f"{BOARD} .empty")).to_contain_text("Nothing yet", timeout=60_000)
    assert set(kept.rglob("*.png")) == before
    assert pilot.complaints == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_aa_contrast_and_a_phone_shows_two_columns(
    browser: Browser, house: str, files: Files, theme: str
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    pilot = ran(page, house, files, 2)
    looked(page, 2)
    page.locator(f"{BOARD} li input").first.check()
    pairs = page.evaluate(CONTRAST)
    keep(page, f"390-{theme}")
    first, second = (thumb.bounding_box() for thumb in page.locator(THUMBS).all())
    assert first is not None
    assert second is not None
    assert (first["y"], first["x"] < second["x"]) == (second["y"], True)
    page.locator(THUMBS).first.click()
    expect(page.locator(f"{BOARD} dd").first).to_be_visible(timeout=60_000)
    keep(page, f"390-{theme}-large")
    pairs += page.evaluate(CONTRAST)
    assert len(pairs) > 30
    assert [pair for pair in pairs if pair[1] < 4.5] == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert pilot.complaints == []
    context.close()
