"""What a person does with the Drag & place tab, in one-line verbs."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, Request, expect

SCENE = "#dreamfuse-scene"
CANVAS = f"{SCENE} canvas"
EVENTS = ("/queue/join", "/run/")


def let_fall(page: Page, selector: str, file: Path) -> None:
    """Drop a file onto an element."""
    data = base64.b64encode(file.read_bytes()).decode()
    page.locator(selector).evaluate(
        """async (place, [data, name]) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], name, { type: 'image/png' }));
          place.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }""",
        [data, file.name],
    )


class Pilot:
    """Drives one page and keeps what the browser complained about and what was posted."""

    canvas = CANVAS

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.complaints: list[str] = []
        self.posts: list[str] = []
        self.unanswered = 0
        page.on("console", lambda m: m.type == "error" and self.complaints.append(m.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._request)
        page.on("requestfinished", self._answered)
        page.on("requestfailed", self._answered)
        page.goto(address)
        page.wait_for_selector(self.canvas)

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.complaints.append(f"asked {request.url}")
        if request.method == "POST" and any(part in request.url for part in EVENTS):
            self.posts.append(request.url)
            self.unanswered += 1

    def _answered(self, request: Request) -> None:
        if request.method == "POST" and any(part in request.url for part in EVENTS):
            self.unanswered -= 1

    def choose(self, role: str, file: Path, state: str) -> None:
        """Pick a file with the Scene or Object button and wait for the canvas's state."""
        self.page.set_input_files(f"{SCENE} .tools [data-role={role}] input", file)
        self.page.wait_for_selector(f"{SCENE} [data-state={state}]")

    def compose(self, files: dict[str, Path]) -> None:
        """A scene with an object in it, drawn, its events posted."""
        self.choose("scene", files["scene"], "scene")
        self.choose("object", files["object"], "ready")
        self.page.wait_for_function(f"document.querySelector('{SCENE} .busy').hidden")
        self.settle()

    def settle(self) -> None:
        """Let a pending gesture end, its answer arrive and the canvas be drawn."""
        self.page.wait_for_timeout(260)
        while self.unanswered:
            self.page.wait_for_timeout(20)
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    @property
    def placement(self) -> dict[str, float]:
        """The number boxes: percent of the scene, and degrees."""
        boxes = self.page.locator(f"{SCENE} [data-field]").all()
        return {str(b.get_attribute("data-field")): float(b.input_value()) for b in boxes}

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Page coordinates of a point given in fractions of the scene (640x480 in the tests' own picture)."""
        frame = self.frame()
        return frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]

    def frame(self, ratio: float = 640 / 480, margin: float = 14) -> dict[str, float]:
        """Where the scene is on the page: contained in the canvas with a margin."""
        box: Any = self.page.locator(self.canvas).bounding_box()
        width = min(box["width"] - 2 * margin, (box["height"] - 2 * margin) * ratio)
        height = width / ratio
        x, y = box["x"] + (box["width"] - width) / 2, box["y"] + (box["height"] - height) / 2
        return {"x": x, "y": y, "width": width, "height": height}

    def drag(self, start: tuple[float, float], end: tuple[float, float], steps: int = 12) -> None:
        """A mouse drag between two page coordinates."""
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=steps)
        self.page.mouse.up()
        self.settle()

    def picture(self) -> np.ndarray:
        """The canvas's own pixels inside the scene, RGB, at its backing size."""
        frame, box = self.frame(), self.page.locator(self.canvas).bounding_box()
        assert box is not None
        uri = self.page.locator(self.canvas).evaluate("canvas => canvas.toDataURL('image/png')")
        image = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB")
        k = image.width / box["width"]
        left, top = (frame["x"] - box["x"]) * k, (frame["y"] - box["y"]) * k
        return np.asarray(image.crop((left, top, left + frame["width"] * k, top + frame["height"] * k)))

    def run(self) -> None:
        """Press the button and wait for the result."""
        self.page.click("#dreamfuse-run")
        self.finished()

    def finished(self) -> None:
        """Wait for a result; the button is back."""
        expect(self.page.locator("#dreamfuse-slider img").first).to_be_visible(timeout=30_000)
        expect(self.page.locator("#dreamfuse-run")).to_be_visible()

    def download(self, path: Path) -> Path:
        """The file behind the download button."""
        with self.page.expect_download() as waiting:
            self.page.click("#dreamfuse-download")
        waiting.value.save_as(path)
        return path

    def compared(self) -> tuple[np.ndarray, np.ndarray]:
        """The two pictures of the before/after slider, as they are served."""
        found = []
        for image in self.page.locator("#dreamfuse-slider img").all()[:2]:
            body = self.page.request.get(str(image.get_attribute("src"))).body()
            assert body.startswith(b"\x89PNG")
            found.append(np.asarray(Image.open(io.BytesIO(body)).convert("RGB")))
        return found[0], found[1]

    def note(self) -> str:
        """The sentence under the button."""
        return self.page.locator("#dreamfuse-note").inner_text().strip()

    def set_more(self, **values: float | str) -> None:
        """Open "More" and type into its controls."""
        if not self.page.locator("#dreamfuse-seed input").is_visible():
            self.page.click("#dreamfuse-more button")
            self.settle()  # what is typed into a control that is still being put up is lost
        for name, value in values.items():
            box = self.page.locator(f"#dreamfuse-{name} input").first
            box.fill(str(value))
            box.press("Tab")
        self.settle()

    def drop(self, file: Path) -> None:
        """Let a file fall onto the tab, beside the canvas."""
        let_fall(self.page, "#dreamfuse-result", file)
