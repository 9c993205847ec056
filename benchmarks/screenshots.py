"""Retake the README's pictures: `python -m benchmarks.screenshots`. Each tab in Chromium with the kept result of an
example, and an overview of what the tabs are given and what they make of it."""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.machine import ROOT
from models import example_outputs, examples
from models.catalog import SPECS
from models.contract import Request

FOLDER = ROOT / "docs" / "tabs"
OVERVIEW = ROOT / "docs" / "overview.webp"
CHOSEN = {"dreamfuse": 0, "collage": 0, "cat": 0, "facediffuser": 1, "dit4edit": 0}  # of each tab's examples
WIDTH, HEIGHT, SHOWN = 1440, 1000, 1100  # of the window, and of the picture that is kept
CASES = {0: "a goat", 1: "an hourglass"}  # examples of Drag & place that are compared, and their objects' words
BOARD = "#compare-board"
CELL, GAP, LINE = 200, 12, 26  # of the overview, in pixels
PATIENCE = 120_000  # milliseconds


@contextmanager
def served() -> Iterator[str]:
    """The address of the app, in a process of its own, which shows kept results."""
    command = [sys.executable, "app.py", "--examples", "stored", "--local-files-only"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()
            server.wait(60)


def tab(page: Any, key: str) -> Image.Image:
    """The tab of a method, with one of its examples."""
    page.get_by_role("tab", name=SPECS[key].title).click()
    page.locator(f"#{key}-examples button[data-index='{CHOSEN[key]}']").click(timeout=PATIENCE)
    page.locator(f"#{key}-download:not([disabled])").wait_for(timeout=PATIENCE)
    page.wait_for_timeout(3000)  # canvases fit their pictures, previews arrive
    if key == "dreamfuse":
        drag(page)
    page.mouse.move(0, 0)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def drag(page: Any) -> None:
    """Move the object of the first example to the right by hand, and place it there."""
    box = page.locator("#dreamfuse-scene canvas").bounding_box()
    side = min(box["width"], box["height"]) - 28  # the scene is square, within a margin
    x, y = box["x"] + box["width"] / 2 - 0.2 * side, box["y"] + box["height"] / 2 + 0.12 * side
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + side / 4, y + side / 12, steps=12)
    page.mouse.up()
    page.wait_for_timeout(1500)
    page.click("#dreamfuse-run")
    page.locator("#dreamfuse-facts", has_text="Time").wait_for(timeout=PATIENCE)
    page.wait_for_timeout(1500)


def comparison(page: Any) -> Image.Image:
    """Compare, after it was sent two placed objects: what can take them, three seeds each."""
    page.set_viewport_size({"width": WIDTH, "height": 3 * HEIGHT // 2})
    for number, (index, words) in enumerate(CASES.items(), start=1):
        page.get_by_role("tab", name=SPECS["dreamfuse"].title).click()
        page.locator(f"#dreamfuse-examples button[data-index='{index}']").click()
        page.wait_for_timeout(5000)
        page.fill("#dreamfuse-prompt textarea", words)
        page.wait_for_timeout(1000)
        page.click("#dreamfuse-send .open")
        page.locator('#dreamfuse-send .menu button[aria-label="What stands on the left, to Compare"]').click()
        page.locator(f"{BOARD} .inputs li").nth(number - 1).wait_for(timeout=PATIENCE)
    page.click(f"{BOARD} .axes .add")
    page.locator(f"{BOARD} .axis select").last.select_option("seed")
    page.locator(f"{BOARD} .axis input").last.fill("1-3")
    page.locator(f"{BOARD} .estimate", has_text="18 pictures").wait_for(timeout=PATIENCE)
    page.click(f"{BOARD} .go")
    page.locator(f"{BOARD} .note", has_text="Done.").wait_for(timeout=5 * PATIENCE)
    page.wait_for_timeout(2000)
    return Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")


def overview() -> Image.Image:
    """For each method what it was given above what it made, by the models that ship."""
    columns = [_column(key) for key in CHOSEN]
    size = (len(columns) * (CELL + GAP) + GAP, 2 * (CELL + GAP) + GAP + LINE)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for place, (title, above, below) in enumerate(columns):
        x = GAP + place * (CELL + GAP)
        draw.text((x, GAP // 2), title, "black", ImageFont.load_default(16))
        sheet.paste(Image.fromarray(above), (x, LINE + GAP))
        sheet.paste(Image.fromarray(below), (x, LINE + CELL + 2 * GAP))
    return sheet


def _column(key: str) -> tuple[str, np.ndarray, np.ndarray]:
    spec = SPECS[key]
    example = examples.load(key)[CHOSEN[key]]
    request = examples.request(spec, example).replace(preset="pocket")
    kept = example_outputs.found(key, request)
    if kept is None:
        raise SystemExit(f"“{example.title}” has no current result; run python -m training.make_example_outputs first.")
    result = kept.result(request)
    return spec.title, _square(_given(request, dict(result.extras))), _square(result.images[0])


def _given(request: Request, beside: dict[str, np.ndarray]) -> np.ndarray:
    """What a method was given, as one picture: the paste, the people, or the picture with what may change marked."""
    if "paste" in beside:
        return beside["paste"]
    if people := getattr(request, "references", ()):
        return np.concatenate([_square(person, CELL // len(people)) for person in people], axis=1)
    picture, mask = request.image, getattr(request, "mask", None)  # type: ignore[attr-defined]
    veil = 0 if mask is None else mask[..., None] // 255 * (255 - picture) // 2
    return picture + veil  # type: ignore[no-any-return]


def _square(picture: np.ndarray, side: int = CELL) -> np.ndarray:
    """A picture within a white square."""
    small = Image.fromarray(picture[..., :3])
    longer = max(small.size)
    how = Image.Resampling.LANCZOS if longer > side else Image.Resampling.NEAREST
    small = small.resize([round(side * length / longer) for length in small.size], how)
    found = Image.new("RGB", (side, CELL), "white")
    found.paste(small, ((side - small.width) // 2, (CELL - small.height) // 2))
    return np.asarray(found)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write all of them, or the tabs that are named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screenshots", description=(__doc__ or "").split(".")[0])
    parser.add_argument(
        "--only", nargs="*", choices=[*CHOSEN, "compare"], default=[*CHOSEN, "compare"], help="these tabs"
    )
    parser.add_argument("--chromium", type=Path, default=Path("/usr/bin/chromium"))
    given = parser.parse_args(arguments)
    overview().save(OVERVIEW, quality=85, method=6)
    from playwright.sync_api import sync_playwright

    FOLDER.mkdir(exist_ok=True)
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=given.chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(address)
        page.wait_for_selector("#dreamfuse-scene canvas")
        for key in given.only:
            shot = comparison(page) if key == "compare" else tab(page, key)
            shot.resize((SHOWN, SHOWN * shot.height // WIDTH)).save(FOLDER / f"{key}.webp", quality=80, method=6)
            print(FOLDER / f"{key}.webp", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
