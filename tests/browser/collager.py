"""What a person does on the Layer collage tab, in one-line verbs. The runs are real ones, of few steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.browser.pilot import Pilot

SCENE = "#collage-scene"
PROMPT = "#collage-prompt textarea"
WORDS = "#collage-words"
LONG = 240_000  # milliseconds: the first run loads the models, and the machine may be busy


class Collager:
    """Drives the tab. Rows of the editor are counted as they are seen: 0 is the layer in front."""

    def __init__(self, pilot: Pilot) -> None:
        self.pilot, self.page = pilot, pilot.page
        self.page.get_by_role("tab", name="Layer collage").click()
        self.page.wait_for_selector(f"{SCENE} .pick")
        self.pilot.settle()

    @property
    def rows(self) -> Locator:
        return self.page.locator(f"{SCENE} .row")

    @property
    def names(self) -> list[str]:
        """The words of the layers, the one in front first."""
        self.pilot.settle()
        return [box.input_value() for box in self.page.locator(f"{SCENE} .words").all()]

    def add(self, file: Path) -> None:
        """Choose a picture with the button and wait for its row."""
        wanted = self.rows.count() + 1
        self.page.set_input_files(f"{SCENE} .tools [data-role=layer] input", file)
        expect(self.rows).to_have_count(wanted, timeout=30_000)
        self.pilot.settle()

    def pick(self, name: str) -> None:
        """Take one of the cut-outs that ship."""
        wanted = self.rows.count() + 1
        if not self.page.locator("#collage-sprites input").is_visible():
            self.page.click("#collage-sprites summary")
        self.page.fill("#collage-sprites input", name)
        self.page.press("#collage-sprites input", "Enter")
        expect(self.rows).to_have_count(wanted, timeout=30_000)
        self.page.keyboard.press("Escape")
        self.pilot.settle()

    def name(self, row: int, words: str) -> None:
        """Write a layer's words in its row."""
        box = self.page.locator(f"{SCENE} .words").nth(row)
        box.fill(words)
        box.press("Enter")
        self.pilot.settle()

    def place(self, row: int, **numbers: float) -> None:
        """Type a layer's place, in percent and degrees."""
        self.page.locator(f"{SCENE} .thumb").nth(row).click()
        for field, value in numbers.items():
            self.page.fill(f"{SCENE} [data-field={field}]", str(value))
            self.page.press(f"{SCENE} [data-field={field}]", "Enter")
        self.pilot.settle()

    def set_more(self, **values: float | str) -> None:
        """Open "More" and type into its controls."""
        if not self.page.locator("#collage-seed input").is_visible():
            self.page.click("#collage-more button")
            self.pilot.settle()
        for name, value in values.items():
            self.set(name, value)
        self.pilot.settle()

    def set(self, name: str, value: float | str) -> None:
        """Type into one control."""
        box = self.page.locator(f"#collage-{name} input").first
        box.fill(str(value))
        box.press("Tab")

    def run(self) -> None:
        """Press the button and wait for the result."""
        self.page.click("#collage-run")
        self.finished()

    def finished(self) -> None:
        """Wait for a result; the button is back."""
        said = self.page.locator("#collage-note").get_by_text("Done.").or_(self.page.locator("#collage-note .bad"))
        expect(said).to_be_visible(timeout=LONG)
        expect(self.page.locator("#collage-note")).to_have_text("Done.")
        expect(self.page.locator("#collage-run")).to_be_visible()
        self.pilot.settle()

    def download(self, path: Path, button: str = "#collage-download") -> Path:
        """The file behind a button."""
        with self.page.expect_download() as waiting:
            self.page.click(button)
        waiting.value.save_as(path)
        return path

    def result(self, path: Path) -> np.ndarray:
        """The downloaded picture."""
        return np.asarray(Image.open(self.download(path)))

    def facts(self) -> str:
        """The line of facts."""
        return " ".join(self.page.locator("#collage-facts").inner_text().split())

    def open(self, *files: Path) -> None:
        """Open files and wait until the editor has them."""
        with self.page.expect_file_chooser() as chooser:
            self.page.click("#collage-open")
        chooser.value.set_files(list(files))
        expect(self.page.locator("#collage-note")).to_contain_text("opened", timeout=30_000)
        self.pilot.settle()
