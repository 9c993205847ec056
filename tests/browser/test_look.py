"""What is seen: nothing jumps, nothing overflows, text can be read in both modes, everything is reached by keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.pilot import CANVAS, SCENE, Pilot

Files = dict[str, Path]
# Pairs of a visible text and its contrast with the nearest opaque colour behind it (WCAG 2.2, relative luminance).
CONTRAST = """() => {
  const channel = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const numbers = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const node = walker.currentNode.parentElement;
    const shown = node.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (!text || !shown || node.closest('button:disabled, style, script')) continue;
    const [a, b] = [light(numbers(getComputedStyle(node).color)), light(behind(node))];
    found.push([text.slice(0, 40), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
  }
  return found;
}"""


@pytest.fixture(params=["light", "dark"])
def themed(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Pilot]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=request.param)
    driver = Pilot(context.new_page(), address)
    yield driver
    keep(driver.page, f"1440-{request.param}")
    assert driver.complaints == []
    context.close()


def keep(page: Page, name: str) -> None:
    """A picture of the page, if SCREENSHOTS names a folder for it."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"dreamfuse-{name}.png", full_page=True)


def test_text_has_aa_contrast_before_and_after_a_run(themed: Pilot) -> None:
    first = themed.page.evaluate(CONTRAST)
    themed.page.locator("#dreamfuse-examples button").first.click()
    themed.finished()
    themed.page.click("#dreamfuse-more button")
    themed.settle()
    pairs = [*first, *themed.page.evaluate(CONTRAST)]
    assert len(pairs) > 60
    assert [pair for pair in pairs if pair[1] < 4.5] == []


def test_nothing_moves_when_the_result_arrives(pilot: Pilot, files: Files) -> None:
    pilot.compose(files)
    parts = (CANVAS, "#dreamfuse-run", "#dreamfuse-download", "#dreamfuse-more")
    before = [pilot.page.locator(part).bounding_box() for part in parts]
    stage = pilot.page.locator("#dreamfuse-screen .easel-screen").bounding_box()
    pilot.run()
    assert [pilot.page.locator(part).bounding_box() for part in parts] == before
    assert pilot.page.locator("#dreamfuse-slider").bounding_box() == stage
    left, right = (image.bounding_box() for image in pilot.page.locator("#dreamfuse-slider img").all())
    assert left == right  # before and after lie on one another, inside the stage
    assert stage is not None
    assert left is not None
    assert left["y"] >= stage["y"]
    assert left["height"] <= stage["height"]


def test_the_button_is_in_sight_and_the_result_as_high_as_the_canvas(pilot: Pilot, files: Files) -> None:
    pilot.compose(files)
    button = pilot.page.locator("#dreamfuse-run").bounding_box()
    canvas = pilot.page.locator(f"{SCENE} .stage").bounding_box()
    result = pilot.page.locator("#dreamfuse-screen .easel-screen").bounding_box()
    assert button is not None
    assert canvas is not None
    assert result is not None
    assert button["y"] + button["height"] <= 900
    assert (canvas["y"], canvas["height"]) == (result["y"], result["height"])
    assert canvas["width"] > result["width"]


def test_a_phone_shows_everything_in_one_column(browser: Browser, address: str) -> None:
    size = {"width": 390, "height": 844}
    context = browser.new_context(viewport=size, is_mobile=True, has_touch=True, device_scale_factor=2)
    pilot = Pilot(context.new_page(), address)
    pilot.page.locator("#dreamfuse-examples button").nth(1).tap()
    pilot.finished()
    keep(pilot.page, "390")
    assert pilot.page.evaluate("document.documentElement.scrollWidth") == 390
    right = pilot.page.evaluate(
        f"Math.max(...[...document.querySelectorAll('{SCENE} button, {SCENE} label, #dreamfuse-run')]"
        ".filter((e) => e.checkVisibility()).map((e) => e.getBoundingClientRect().right))"
    )
    assert right <= 390 - 8
    canvas, result = (pilot.page.locator(part).bounding_box() for part in (CANVAS, "#dreamfuse-slider"))
    assert canvas is not None
    assert result is not None
    assert result["y"] > canvas["y"] + canvas["height"]
    context.close()


def test_the_badge_says_what_runs_and_leads_to_the_models(pilot: Pilot) -> None:
    badge = pilot.page.locator(".easel-badge")
    assert badge.inner_text() == "Pocket - offline, small models"
    badge.click()
    expect(pilot.page.get_by_role("tab", name="Models")).to_have_attribute("aria-selected", "true")


def test_tab_reaches_the_tools_the_canvas_and_the_button(pilot: Pilot, files: Files) -> None:
    pilot.compose(files)
    reached = set()
    pilot.page.focus("#dreamfuse-examples button >> nth=0")
    for _ in range(40):
        pilot.page.keyboard.press("Tab")
        reached.add(
            pilot.page.evaluate(
                "(({id, tagName, dataset, parentElement: p}) => "
                "dataset.act || dataset.field || p?.dataset.role || id || tagName)(document.activeElement)"
            )
        )
    wanted = {"scene", "object", "undo", "flip", "reset", "remove", "CANVAS", "x", "y", "scale", "angle"}
    assert wanted | {"dreamfuse-run"} <= reached
