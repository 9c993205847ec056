"""What a person does on the Face reference tab, in one-line verbs. The runs are real ones, of few steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.browser.pilot import Pilot

CARDS = "#facediffuser-cards"
CHIPS = "#facediffuser-chips"
TIMELINE = "#facediffuser-timeline"
PROMPT = "#facediffuser-prompt textarea"
NOTE = "#facediffuser-note"
LONG = 240_000  # milliseconds: the first run loads the models, and the machine may be busy


class Sitter:
    """Drives the tab."""

    def __init__(self, pilot: Pilot) -> None:
        self.pilot, self.page = pilot, pilot.page
        self.page.get_by_role("tab", name="Face reference").click()
        self.page.wait_for_selector(f"{CARDS} .add")
        self.pilot.settle()

    @property
    def cards(self) -> Locator:
        return self.page.locator(f"{CARDS} .card")

    @property
    def nouns(self) -> list[str]:
        """The words of the cards, in order."""
        self.pilot.settle()
        return [box.input_value() for box in self.page.locator(f"{CARDS} .noun").all()]

    @property
    def faces(self) -> list[str]:
        """The addresses of the cards' pictures, in order."""
        return [str(image.get_attribute("src")) for image in self.page.locator(f"{CARDS} .face img").all()]

    @property
    def chips(self) -> list[str]:
        """The chips' texts: "1 man token 2"."""
        self.pilot.settle()
        return [" ".join(text.split()) for text in self.page.locator(f"{CHIPS} li").all_inner_texts()]

    @property
    def ends(self) -> list[int]:
        """Where the timeline's ends are, in percent."""
        return [int(str(end.get_attribute("aria-valuenow"))) for end in self.end_handles.all()]

    @property
    def end_handles(self) -> Locator:
        return self.page.locator(f"{TIMELINE} [role=slider]")

    def add(self, *files: Path) -> None:
        """Choose pictures with the button and wait for their cards."""
        wanted = self.cards.count() + len(files)
        self.page.set_input_files(f"{CARDS} .add input", files)
        expect(self.cards).to_have_count(wanted, timeout=30_000)
        self.pilot.settle()

    def say(self, prompt: str) -> None:
        """Fill in the prompt."""
        self.page.fill(PROMPT, prompt)
        self.pilot.settle()

    def set_more(self, **values: float | str) -> None:
        """Open "More" and type into its controls."""
        if not self.page.locator("#facediffuser-seed input").is_visible():
            self.page.click("#facediffuser-more button")
            self.pilot.settle()
        for name, value in values.items():
            box = self.page.locator(f"#facediffuser-{name} input").first
            box.fill(str(value))
            box.press("Tab")
        self.pilot.settle()

    def run(self) -> None:
        """Press the button and wait for the result."""
        self.page.click("#facediffuser-run")
        expect(self.page.locator(f"{NOTE} .easel-note")).not_to_have_text("Done.")  # of the run before
        self.finished()

    def finished(self) -> None:
        """Wait for a result; the button is back."""
        said = self.page.locator(NOTE).get_by_text("Done.").or_(self.page.locator(f"{NOTE} .bad"))
        expect(said).to_be_visible(timeout=LONG)
        expect(self.page.locator(f"{NOTE} .easel-note")).to_have_text("Done.")
        expect(self.page.locator("#facediffuser-run")).to_be_visible()
        self.pilot.settle()

    def facts(self) -> str:
        """The line of facts."""
        return " ".join(self.page.locator("#facediffuser-facts").inner_text().split())

    def result(self, path: Path) -> np.ndarray:
        """The downloaded picture."""
        with self.page.expect_download() as waiting:
            self.page.click("#facediffuser-download")
        waiting.value.save_as(path)
        return np.asarray(Image.open(path))
