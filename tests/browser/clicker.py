"""What a person does on the mask canvas of the Drag & place tab, in one-line verbs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Request

from tests.browser.pilot import SCENE, Pilot, let_fall

MASK = "#dreamfuse-mask"
CANVAS = f"{MASK} canvas"
WIDTH, HEIGHT = 640, 480
MARGIN = 10
EVENT = "window.gradio_config.dependencies.find((d) => d.targets.some((t) => t[1] === 'segment')).id"
GREEN, RED = (21, 128, 61), (185, 28, 28)


def still() -> np.ndarray:
    """A picture of flat colours: a red disc with a green square in it, and a blue square, on grey; uint8 RGB."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    picture = np.full((HEIGHT, WIDTH, 3), (200, 205, 210), np.uint8)
    picture[disc(x, y)] = (200, 60, 50)
    picture[160:200, 180:220] = (60, 150, 80)
    picture[150:270, 400:520] = (50, 80, 190)
    return picture


def disc(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    inside: np.ndarray = (x - 200) ** 2 + (y - 180) ** 2 <= 70**2
    return inside


def of_colour(red: int) -> np.ndarray:
    """Where the still has this red value, as a mask."""
    return np.where(still()[..., 0] == red, np.uint8(255), np.uint8(0))


DISC, HOLE, SQUARE = of_colour(200) & ~of_colour(205), of_colour(60), of_colour(50)
DISC[(still() == (200, 205, 210)).all(axis=2)] = 0


class Clicker:
    """Drives the mask canvas and keeps what was asked of the server."""

    def __init__(self, pilot: Pilot) -> None:
        self.pilot, self.page = pilot, pilot.page
        self.asked: list[dict[str, Any]] = []
        event = self.page.evaluate(EVENT)

        def heard(request: Request) -> None:
            body = request.post_data_json if "/queue/join" in request.url and request.post_data else None
            if isinstance(body, dict) and body.get("fn_index") == event:
                self.asked.append(body["data"][0])

        self.page.on("request", heard)

    def open(self, file: Path) -> None:
        """Choose a scene and open the mask canvas on it."""
        self.page.set_input_files(f"{SCENE} .tools [data-role=scene] input", file)
        self.page.wait_for_function(f"document.querySelector('{SCENE} .busy').hidden")
        self.pilot.settle()
        self.page.click(f"{SCENE} [data-act=extract]")
        self.ready()

    def ready(self) -> None:
        """Wait for the canvas to be open and the picture to be prepared."""
        self.page.wait_for_selector(f"{CANVAS}:visible")
        self.settled()

    def settled(self) -> None:
        """Wait for the newest question's answer, drawn."""
        self.page.wait_for_function(f"document.querySelector('{MASK} .working').hidden")
        self.pilot.settle()

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Page coordinates of a pixel of the still, at the zoom that shows it whole."""
        box = self.page.locator(CANVAS).bounding_box()
        assert box is not None
        k = min((box["width"] - 2 * MARGIN) / WIDTH, (box["height"] - 2 * MARGIN) / HEIGHT)
        left, top = box["x"] + (box["width"] - WIDTH * k) / 2, box["y"] + (box["height"] - HEIGHT * k) / 2
        return left + x * k, top + y * k

    def click(self, x: float, y: float, button: Any = "left", key: str | None = None) -> None:
        """A click at a pixel, with a key held, waited for."""
        if key:
            self.page.keyboard.down(key)
        self.page.mouse.click(*self.at(x, y), button=button)
        if key:
            self.page.keyboard.up(key)
        self.settled()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """A drag between two pixels, waited for."""
        self.pilot.drag(self.at(*start), self.at(*end))
        self.settled()

    def tool(self, name: str) -> None:
        self.page.click(f"{MASK} [data-tool={name}]")

    def act(self, name: str) -> None:
        self.page.click(f"{MASK} [data-act={name}]")
        self.settled()

    def colour(self, x: float, y: float) -> tuple[int, ...]:
        """What the canvas shows at a page coordinate, RGB."""
        get = """(canvas, [x, y]) => {
          const box = canvas.getBoundingClientRect(), k = canvas.width / box.width;
          return [...canvas.getContext('2d').getImageData((x - box.x) * k, (y - box.y) * k, 1, 1).data].slice(0, 3);
        }"""
        return tuple(self.page.locator(CANVAS).evaluate(get, [x, y]))

    def saved(self, kind: str = "mask") -> np.ndarray:
        """The file behind an entry of the download menu."""
        self.page.click(f"{MASK} .save summary")
        with self.page.expect_download() as waiting:
            self.page.click(f"{MASK} [data-save={kind}]")
        return np.asarray(Image.open(waiting.value.path()))

    def drop(self, file: Path) -> None:
        """Let a file fall onto the picture."""
        let_fall(self.page, CANVAS, file)

    def note(self) -> str:
        return self.page.locator(f"{MASK} .note span").inner_text()

    def uploaded(self, file: dict[str, Any]) -> np.ndarray:
        """A file that the canvas sent, as Python gets it."""
        body = self.page.request.get(file["url"]).body()
        return np.asarray(Image.open(io.BytesIO(body)))


def labels(value: dict[str, Any]) -> list[int]:
    return [label for _, _, label in value["points"]]
