"""Mask inpaint from a click on an object to the downloaded file, with a filler that paints instead of a model."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from models import recipe
from tests import filler
from tests.browser.clicker import DISC, HEIGHT, HOLE, SQUARE, WIDTH, still
from tests.browser.pilot import Pilot, let_fall
from tests.browser.test_look import CONTRAST

MASK = "#cat-mask"
CANVAS = f"{MASK} canvas"
MARGIN = 10


class Painter:
    """Drives the Mask inpaint tab."""

    def __init__(self, pilot: Pilot) -> None:
        self.pilot, self.page = pilot, pilot.page
        self.page.get_by_role("tab", name="Mask inpaint").click()
        self.page.wait_for_selector(f"{MASK} .pick")

    def open(self, file: Path) -> None:
        """Choose a picture with the large button."""
        self.page.set_input_files(f"{MASK} .empty input", file)
        self.page.wait_for_selector(f"{MASK} [data-state=ready]")
        self.settled()

    def settled(self) -> None:
        """Wait for the newest question's answer, drawn."""
        self.page.wait_for_function(f"document.querySelector('{MASK} .working').hidden")
        self.pilot.settle()

    def click(self, x: float, y: float, key: str | None = None) -> None:
        """A click at a pixel of the still, with a key held, waited for."""
        box = self.page.locator(CANVAS).bounding_box()
        assert box is not None
        k = min((box["width"] - 2 * MARGIN) / WIDTH, (box["height"] - 2 * MARGIN) / HEIGHT)
        if key:
            self.page.keyboard.down(key)
        self.page.mouse.click(
            box["x"] + (box["width"] - WIDTH * k) / 2 + x * k, box["y"] + (box["height"] - HEIGHT * k) / 2 + y * k
        )
        if key:
            self.page.keyboard.up(key)
        self.settled()

    def set_more(self, **values: float) -> None:
        """Open "More" and type into its controls."""
        if not self.page.locator("#cat-seed input").is_visible():
            self.page.click("#cat-more button")
            self.pilot.settle()
        for name, value in values.items():
            box = self.page.locator(f"#cat-{name} input").first
            box.fill(str(value))
            box.press("Tab")
        self.pilot.settle()

    def finished(self) -> None:
        """Wait for a result; the button is back."""
        expect(self.page.locator("#cat-slider img").first).to_be_visible(timeout=30_000)
        expect(self.page.locator("#cat-run")).to_be_visible()

    def download(self, path: Path) -> Path:
        """The file behind the download button."""
        with self.page.expect_download() as waiting:
            self.page.click("#cat-download")
        waiting.value.save_as(path)
        return path

    def left(self) -> np.ndarray:
        """What stands on the slider's left."""
        source = str(self.page.locator("#cat-slider img").first.get_attribute("src"))
        return np.asarray(Image.open(io.BytesIO(self.page.request.get(source).body())).convert("RGB"))

    def note(self) -> str:
        """The sentence under the button."""
        return self.page.locator("#cat-note").inner_text().strip()


@pytest.fixture
def painter(pilot: Pilot) -> Painter:
    return Painter(pilot)


def test_an_object_is_clicked_named_and_replaced_and_nothing_else_changes(
    painter: Painter, flat: Path, tmp_path: Path
) -> None:
    page = painter.page
    page.click("#cat-run")
    expect(page.locator("#cat-note [role=alert]")).to_contain_text("choose a picture")
    painter.open(flat)
    page.click("#cat-run")
    expect(page.locator("#cat-note [role=alert]")).to_contain_text("click on the object")
    painter.click(150, 180)
    painter.click(200, 180)
    painter.click(205, 185, key="Shift")
    page.click("#cat-run")
    expect(page.locator("#cat-note [role=alert]")).to_contain_text("say what should be there")
    page.fill("#cat-prompt :is(input, textarea)", "a red teapot")
    painter.set_more(seed=41, feather=0)
    page.click("#cat-run")
    painter.finished()
    original = np.asarray(Image.open(flat))
    file = painter.download(tmp_path / "filled.png")
    filled = np.asarray(Image.open(file))
    assert (filled[DISC == 0] == original[DISC == 0]).all()
    assert (filled[DISC == 255] == filler.painted(41)).all()
    told, inputs = recipe.read_png(file)
    assert (told.seed, told.request["prompt"], told.request["feather"]) == (41, "a red teapot", 0)
    assert (inputs["mask"] == DISC).all()
    facts = page.locator("#cat-facts").inner_text()
    assert f"Kept pixels that changed 0 of {(DISC == 0).sum():,}" in " ".join(facts.split())


def test_what_stands_beside_the_result_can_be_chosen_and_stays(painter: Painter, flat: Path) -> None:
    page = painter.page
    painter.open(flat)
    painter.click(460, 200)
    page.fill("#cat-prompt :is(input, textarea)", "a drum")
    painter.set_more(seed=7, steps=2, feather=0)
    page.press("#cat-prompt :is(input, textarea)", "Enter")
    painter.finished()
    inside, original = SQUARE == 255, np.asarray(Image.open(flat))
    assert (painter.left() == original).all()
    page.get_by_label("Classical fill (Telea)").check()
    page.wait_for_timeout(300)
    painter.pilot.settle()
    assert (painter.left()[inside] == 128).all()
    page.get_by_role("radio", name="Without the visual prompt").check()
    page.wait_for_timeout(300)
    painter.pilot.settle()
    assert (painter.left()[inside] == filler.painted(7) // 2).all()
    page.focus(CANVAS)
    page.keyboard.press("Control+Enter")  # the canvas's own way to go on
    expect(page.locator("#cat-stop")).to_be_visible()
    painter.finished()
    assert page.get_by_role("radio", name="Without the visual prompt").is_checked()
    page.click("#cat-semantics summary")
    expect(page.locator("#cat-semantics img")).to_be_visible()


def test_stop_ends_filling_and_everything_stays(painter: Painter, flat: Path, log: Path) -> None:
    page = painter.page
    painter.open(flat)
    painter.click(460, 200)
    page.fill("#cat-prompt :is(input, textarea)", "a drum")
    painter.set_more(seed=900, steps=150)
    page.click("#cat-run")
    page.wait_for_function("document.querySelector('#cat-screen progress')?.value >= 2", timeout=30_000)
    page.click("#cat-stop")
    expect(page.locator("#cat-run")).to_be_visible()
    expect(page.locator("#cat-note")).to_contain_text("Stopped.")
    done = -1
    while done != (done := log.read_text().count("seed 900 step")):
        page.wait_for_timeout(700)
    assert 2 <= done < 150
    assert page.input_value("#cat-prompt :is(input, textarea)") == "a drum"
    assert page.locator(f"{MASK} [data-act=undo]").is_enabled()


def test_one_click_on_an_example_fills_and_runs(painter: Painter) -> None:
    buttons = painter.page.locator("#cat-examples button")
    assert buttons.count() >= 6
    for k, words in ((0, "blue teapot"), (6, "red apple")):
        buttons.nth(k).click()
        expect(painter.page.locator("#cat-prompt :is(input, textarea)")).to_have_value(words)
        expect(painter.page.locator("#cat-stop")).to_be_visible()
        painter.finished()
        painter.settled()
        assert painter.page.locator(f"{MASK} [data-state=ready]").count() == 1
        assert painter.page.locator(f"{MASK} .save.off").count() == 0  # there is a mask


def test_a_result_dropped_on_the_tab_brings_picture_mask_and_settings_back(
    painter: Painter, flat: Path, tmp_path: Path
) -> None:
    page = painter.page
    painter.open(flat)
    painter.click(200, 180)
    page.fill("#cat-prompt :is(input, textarea)", "a pond")
    painter.set_more(seed=12, steps=2, padding=1.5)
    page.click("#cat-run")
    painter.finished()
    file = painter.download(tmp_path / "result.png")
    page.click(f"{MASK} [data-act=clear]")
    painter.click(460, 200)
    page.fill("#cat-prompt :is(input, textarea)", "something else")
    painter.set_more(seed=13, padding=0.2)
    for _ in range(2):  # the second time the picture is the very same file
        let_fall(page, "#cat-result", file)
        expect(page.locator("#cat-prompt :is(input, textarea)")).to_have_value("a pond", timeout=15_000)
        expect(page.locator("#cat-note")).to_contain_text("restored")
        painter.settled()
        assert page.input_value("#cat-seed input") == "12"
        assert float(page.locator("#cat-padding input").first.input_value()) == 1.5
        page.click(f"{MASK} .save summary")
        with page.expect_download() as waiting:
            page.click(f"{MASK} [data-save=mask]")
        assert (np.asarray(Image.open(waiting.value.path())) == HOLE).all()
        painter.click(460, 200)  # goes on from the restored mask
        page.fill("#cat-prompt :is(input, textarea)", "other words")
    assert (still()[HOLE > 0] == (60, 150, 80)).all()


def test_the_tab_can_be_read_and_fits_a_phone(browser: Browser, address: str, flat: Path) -> None:
    size = {"width": 390, "height": 844}
    context = browser.new_context(viewport=size, is_mobile=True, has_touch=True, device_scale_factor=2)
    painter = Painter(Pilot(context.new_page(), address))
    painter.open(flat)
    painter.click(460, 200)
    page = painter.page
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        painter.pilot.settle()
        pairs = page.evaluate(CONTRAST)
        assert len(pairs) > 40
        assert [pair for pair in pairs if pair[1] < 4.5] == []
    assert painter.pilot.complaints == []
    context.close()
