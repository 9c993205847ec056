"""What a person does on the Prompt edit tab, in one-line verbs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.browser.clicker import HEIGHT, WIDTH
from tests.browser.pilot import Pilot

MASK = "#dit4edit-mask"
CANVAS = f"{MASK} canvas"
SOURCE, TARGET = "#dit4edit-source_prompt textarea", "#dit4edit-target_prompt textarea"
WORDS = "#dit4edit-difference"
MARGIN = 10


class Editor:
    """Drives the Prompt edit tab."""

    def __init__(self, pilot: Pilot) -> None:
        self.pilot, self.page = pilot, pilot.page
        self.page.get_by_role("tab", name="Prompt edit").click()
        self.page.wait_for_selector(f"{MASK} .pick")
        self.pilot.settle()

    def open(self, file: Path) -> None:
        """Choose a picture with the large button."""
        self.page.set_input_files(f"{MASK} .empty input", file)
        self.page.wait_for_selector(f"{MASK} [data-state=ready]")
        self.settled()

    def settled(self) -> None:
        """Wait until nothing is under way on the canvas."""
        self.page.wait_for_function(f"document.querySelector('{MASK} .working').hidden")
        self.pilot.settle()

    def click(self, x: float, y: float) -> None:
        """A click at a pixel of the still, waited for."""
        box = self.page.locator(CANVAS).bounding_box()
        assert box is not None
        k = min((box["width"] - 2 * MARGIN) / WIDTH, (box["height"] - 2 * MARGIN) / HEIGHT)
        self.page.mouse.click(
            box["x"] + (box["width"] - WIDTH * k) / 2 + x * k, box["y"] + (box["height"] - HEIGHT * k) / 2 + y * k
        )
        self.settled()

    def say(self, source: str, target: str) -> None:
        """Fill in both prompts."""
        self.page.fill(SOURCE, source)
        self.page.fill(TARGET, target)
        self.pilot.settle()

    def chip(self, word: str) -> Locator:
        """The word's button in the first target that has it."""
        return self.page.locator(f"{WORDS} .line button[data-word='{word}']").first

    def more(self) -> None:
        """Open "More"."""
        if not self.page.locator("#dit4edit-seed input").is_visible():
            self.page.click("#dit4edit-more button")
            self.pilot.settle()

    def set_more(self, **values: float) -> None:
        """Type into the controls under "More"."""
        self.more()
        for name, value in values.items():
            box = self.page.locator(f"#dit4edit-{name} input").first
            box.fill(str(value))
            box.press("Tab")
        self.pilot.settle()

    def finished(self) -> None:
        """Wait for a result; the button is back."""
        expect(self.page.locator("#dit4edit-slider img").first).to_be_visible(
            timeout=90_000
        )  # the first run imports torch
        expect(self.page.locator("#dit4edit-run")).to_be_visible()

    def sides(self) -> tuple[np.ndarray, np.ndarray]:
        """The slider's pictures."""
        found = []
        for image in self.page.locator("#dit4edit-slider img").all()[:2]:
            body = self.page.request.get(str(image.get_attribute("src"))).body()
            found.append(np.asarray(Image.open(io.BytesIO(body)).convert("RGB")))
        return found[0], found[1]

    def download(self, path: Path) -> Path:
        """The file behind the download button."""
        with self.page.expect_download() as waiting:
            self.page.click("#dit4edit-download")
        waiting.value.save_as(path)
        return path
