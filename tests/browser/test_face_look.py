"""Face reference as it is seen: contrast in both modes, and a phone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.pilot import Pilot
from tests.browser.sitter import CARDS, TIMELINE, Sitter
from tests.browser.test_canvas import touch
from tests.browser.test_look import CONTRAST

TWO = "a man <|image|> and a woman <|image|> on a beach"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_aa_contrast_with_people_and_a_result(
    browser: Browser, address: str, people: list[Path], theme: str
) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    sitter = Sitter(Pilot(context.new_page(), address))
    pairs = sitter.page.evaluate(CONTRAST)
    sitter.add(*people[:2])
    sitter.say("a man and a woman on a beach")  # with the sentence and the offer
    pairs += sitter.page.evaluate(CONTRAST)
    keep(sitter.page, f"offer-{theme}")
    sitter.page.locator("#facediffuser-examples button").nth(1).click()
    sitter.finished()
    sitter.page.locator("#facediffuser-maps summary").click()
    sitter.set_more()
    pairs += sitter.page.evaluate(CONTRAST)
    keep(sitter.page, f"1440-{theme}")
    assert [pair for pair in pairs if pair[1] < 4.5] == []
    assert sitter.pilot.complaints == []
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_finger_moves_cards_and_ends_and_nothing_overflows(
    browser: Browser, address: str, people: list[Path], theme: str
) -> None:
    size = {"width": 390, "height": 844}
    context = browser.new_context(
        viewport=size, is_mobile=True, has_touch=True, device_scale_factor=2, color_scheme=theme  # type: ignore[arg-type]
    )  # fmt: skip
    sitter = Sitter(Pilot(context.new_page(), address))
    sitter.add(*people[:2])
    sitter.say(TWO)
    before = sitter.faces
    a, b = (_middle(sitter.page, f"{CARDS} .face", k) for k in (0, 1))
    touch(sitter.pilot, [[a], [((a[0] + b[0]) / 2, a[1])], [(b[0] + 40, b[1])]])
    assert sitter.faces == before[::-1]
    end, bar = _middle(sitter.page, f"{TIMELINE} .end", 0), sitter.page.locator(f"{TIMELINE} .bar").bounding_box()
    assert bar is not None
    touch(sitter.pilot, [[end], [(end[0] + 20, end[1])], [(bar["x"] + bar["width"] / 2, end[1])]])
    assert sitter.ends == [50, 60]
    sitter.set_more()
    keep(sitter.page, f"390-{theme}")
    assert sitter.page.evaluate("document.documentElement.scrollWidth") == 390
    assert sitter.pilot.complaints == []
    context.close()


def _middle(page: Page, query: str, place: int) -> tuple[float, float]:
    """The middle of an element that has been scrolled into sight."""
    node = page.locator(query).nth(place)
    node.scroll_into_view_if_needed()
    box = node.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def keep(page: Page, name: str) -> None:
    """A picture of the page, if SCREENSHOTS names a folder for it."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"face-{name}.png", full_page=True)
