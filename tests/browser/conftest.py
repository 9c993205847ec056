"""One server with the fake method and one Chromium for the whole tier; a fresh context per test."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.clicker import CANVAS, MASK, Clicker, still
from tests.browser.pilot import Pilot
from tests.browser.stacker import Stacker

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = ("--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync")
STEPS = 8


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is of the browser tier, and is skipped where there is no browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if not CHROMIUM and not os.environ.get("REQUIRE_BROWSER"):
                item.add_marker(pytest.mark.skip(reason="there is no Chromium on this machine"))


@pytest.fixture(scope="session")
def log() -> Iterator[Path]:
    """What the server logs: one line per step of the fake method."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "server.log"


@pytest.fixture(scope="session")
def address(log: Path) -> Iterator[str]:
    """The page's address, served by another process until the tier is over."""
    serve = [sys.executable, str(Path(__file__).with_name("serve.py")), str(STEPS)]
    with log.open("w") as errors:
        server = subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert server.stdout is not None
        line = server.stdout.readline().strip()
        assert line.startswith("http"), log.read_text()[-2000:]
        yield line
        server.terminate()
        server.communicate(timeout=20)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", *QUIET]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def pilot(page: Page, address: str) -> Iterator[Pilot]:
    """A driver on the empty tab; fails the test on console errors and on requests to other machines."""
    driver = Pilot(page, address)
    yield driver
    assert driver.complaints == []


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A scene, an object with transparency, one without, a plain picture, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("pictures")
    across, down = np.meshgrid(np.linspace(0, 1, 640), np.linspace(0, 1, 480))
    scene = np.dstack([40 + 160 * across, 60 + 160 * down, 120 + 0 * across]).astype(np.uint8)
    y, x = np.mgrid[:200, :300]
    inside = ((x - 150) / 110) ** 2 + ((y - 100) / 70) ** 2 < 1
    cutout = np.zeros((200, 300, 4), np.uint8)
    cutout[inside] = (230, 80, 40, 255)
    cutout[inside & (x < 110)] = (250, 240, 60, 255)
    opaque = np.where(inside[..., None], cutout[..., :3], np.uint8(235))
    plain = np.full((90, 120, 3), 128, np.uint8)
    made = {"scene": scene, "object": cutout, "opaque": opaque, "plain": plain}
    for name, picture in made.items():
        Image.fromarray(picture).save(folder / f"{name}.png")
    (folder / "text.png").write_text("not a picture")
    return {name: folder / f"{name}.png" for name in (*made, "text")}


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five drawings with a head in a colour of its own, the second one wide."""
    folder = tmp_path_factory.mktemp("people")
    made = []
    for k, colour in enumerate([(200, 60, 40), (40, 90, 210), (40, 160, 70), (210, 170, 40), (150, 60, 170)]):
        height, width = 240, 320 if k == 1 else 240
        y, x = np.mgrid[:height, :width]
        picture = np.full((height, width, 3), 230, np.uint8)
        picture[((x - width / 2) / 60) ** 2 + ((y - 110) / 80) ** 2 < 1] = colour
        made.append(folder / f"person-{k}.png")
        Image.fromarray(picture).save(made[-1])
    return made


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """The still, in each test with another corner: another picture, on which nothing has been clicked yet."""
    picture = still()
    picture[0, 0] = np.frombuffer(hashlib.sha256(str(tmp_path).encode()).digest()[:3], np.uint8)
    Image.fromarray(picture).save(tmp_path / "still.png")
    return tmp_path / "still.png"


@pytest.fixture(scope="module")
def shared(browser: Browser, address: str) -> Iterator[Clicker]:
    """One page for the tests that need no fresh one: loading it takes longer than most of them."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    yield Clicker(Pilot(context.new_page(), address))
    context.close()


@pytest.fixture
def clicker(shared: Clicker, flat: Path) -> Iterator[Clicker]:
    shared.asked.clear()
    shared.open(flat)
    yield shared
    if shared.page.locator(CANVAS).is_visible():
        shared.page.click(f"{MASK} [data-act=close]")
    assert shared.pilot.complaints == []


@pytest.fixture(scope="session")
def editor_address(files: dict[str, Path]) -> Iterator[str]:
    """A page with only the layer editor, served by another process."""
    serve = [sys.executable, str(Path(__file__).with_name("layer_page.py")), str(files["scene"].parent)]
    server = subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    yield server.stdout.readline().strip()
    server.terminate()
    server.communicate(timeout=20)


@pytest.fixture
def stacker(page: Page, editor_address: str) -> Iterator[Stacker]:
    """A driver on the empty layer editor; fails the test on console errors and on requests to other machines."""
    driver = Stacker(page, editor_address)
    yield driver
    assert driver.complaints == []


@pytest.fixture
def stacked(stacker: Stacker) -> Stacker:
    """A driver on the layer editor with four layers."""
    stacker.stack()
    return stacker
