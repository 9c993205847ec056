"""What a person does with the layer editor, in one-line verbs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, expect

from tests.browser.pilot import Pilot, let_fall

EDITOR = "#layers"
WORDS = ("a wide field", "a red egg", "a grey wall", "a blue sky")  # of the layers that the page has ready


class Stacker(Pilot):
    """Drives a page with only the editor on it. Rows are counted as they are seen: 0 is the layer in front."""

    canvas = f"{EDITOR} .stage canvas"

    def __init__(self, page: Page, address: str) -> None:
        super().__init__(page, address)
        self.canvas_size = (512, 512)

    def frame(self, ratio: float | None = None, margin: float = 24) -> dict[str, float]:
        """Where the canvas of the collage is on the page."""
        return super().frame(ratio or self.canvas_size[0] / self.canvas_size[1], margin)

    def add(self, *files: Path, rows: int | None = None) -> None:
        """Choose files with the button and wait for as many rows."""
        wanted = len(files) + self.rows.count() if rows is None else rows
        self.page.set_input_files(f"{EDITOR} .tools [data-role=layer] input", list(files))
        expect(self.rows).to_have_count(wanted, timeout=90_000)
        self.settle()

    def stack(self) -> None:
        """Four layers with words, put there by the host: a field that covers the canvas, an egg, a wall and a sky."""
        self.page.click("#stack")
        expect(self.rows).to_have_count(4, timeout=20_000)
        self.page.wait_for_function("document.querySelector('#told textarea').value !== ''")
        self.settle()

    def drop(self, file: Path) -> None:
        """Let a file fall onto the stage."""
        let_fall(self.page, f"{EDITOR} .stage", file)

    @property
    def rows(self) -> Any:
        return self.page.locator(f"{EDITOR} .row")

    @property
    def words(self) -> list[str]:
        """The words of the rows, the one in front first."""
        return [box.input_value() for box in self.page.locator(f"{EDITOR} .words").all()]

    @property
    def value(self) -> dict[str, Any]:
        """What Python heard last."""
        self.settle()
        return self.parsed(self.told)

    @staticmethod
    def parsed(text: str) -> dict[str, Any]:
        """A value as JSON, less the addresses, which Gradio adds on the way to the browser."""
        value: dict[str, Any] = json.loads(text)
        for layer in value["layers"]:
            layer["image"].pop("url")
        return value

    @property
    def layers(self) -> list[dict[str, Any]]:
        """The layers that Python heard last, the one in front first."""
        return list(reversed(self.value["layers"]))

    @property
    def told(self) -> str:
        return self.page.locator("#told textarea, #told input").first.input_value()

    @property
    def selected(self) -> str | None:
        """The words of the open row."""
        row = self.page.locator(f"{EDITOR} .row.selected .words")
        return row.input_value() if row.count() else None

    def select(self, row: int) -> None:
        self.page.locator(f"{EDITOR} .thumb").nth(row).click()

    def name(self, row: int, words: str) -> None:
        box = self.page.locator(f"{EDITOR} .words").nth(row)
        box.fill(words)
        box.press("Enter")
        self.settle()

    def act(self, name: str, row: int | None = None) -> None:
        """A button of the editor, or of a row that is opened first."""
        if row is not None:
            self.select(row)
        self.page.click(f"{EDITOR} [data-act={name}]")
        self.settle()

    def mark(self, row: int, what: str) -> None:
        """The eye or the lock of a row."""
        self.page.locator(f"{EDITOR} .{what}").nth(row).click()
        self.settle()

    def place(self, row: int, **numbers: float) -> None:
        self.select(row)
        for name, value in numbers.items():
            self.page.fill(f"{EDITOR} [data-field={name}]", str(value))
            self.page.press(f"{EDITOR} [data-field={name}]", "Enter")
        self.settle()

    def turn(self, dial: str, value: float, kind: str = "plain") -> None:
        """A dial of the open row, by its plain name or its exact one."""
        self.page.fill(f"{EDITOR} [data-{kind}={dial}]", str(value))
        self.settle()

    def choose_setting(self, name: str, value: str) -> None:
        box = self.page.locator(f"{EDITOR} [data-{name}]")
        box.select_option(value)
        self.settle()

    def click(self, x: float, y: float) -> None:
        """A click on the canvas at a point of the collage, later than a double-click could be."""
        self.page.wait_for_timeout(500)
        self.page.mouse.click(*self.at(x, y))
        self.settle()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def pixel(self, x: float, y: float) -> np.ndarray:
        """The colour that is drawn at a point of the collage."""
        picture = self.picture()
        return picture[int(y * picture.shape[0]), int(x * picture.shape[1])].astype(int)
