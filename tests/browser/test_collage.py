"""Layer collage from four files to a changed picture, its file opened elsewhere, with the models that ship."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from models import recipe, replay
from models.collage.composing import compose
from models.collage.spec import CollageRequest
from models.regions import grow
from tests.browser.collager import PROMPT, SCENE, WORDS, Collager
from tests.browser.pilot import Pilot, let_fall
from tests.browser.test_look import CONTRAST

MASK = "#collage-mask"
STEPS = 3


@pytest.fixture
def desk(pilot: Pilot) -> Collager:
    return Collager(pilot)


@pytest.fixture
def elsewhere(browser: Browser, address: str) -> Iterator[Collager]:
    """The tab for another visitor."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    desk = Collager(Pilot(context.new_page(), address))
    yield desk
    assert desk.pilot.complaints == []
    context.close()


def four(desk: Collager, files: dict[str, Path]) -> None:
    """A backdrop, a picture without an object in it, one that is cut out, and one that has its transparency."""
    desk.add(files["plain"])
    desk.add(files["scene"])
    desk.page.get_by_role("radio", name="As it is (a backdrop)").check()
    expect(desk.page.locator(f"{SCENE} .words").nth(1)).to_have_value("scene", timeout=30_000)
    desk.add(files["opaque"])
    desk.add(files["object"])
    assert desk.names == ["object", "opaque", "plain", "scene"]
    for row, words in enumerate(("a red egg", "a wide disc", "a grey wall", "a blue sky")):
        desk.name(row, words)
    desk.place(2, x=25, y=60, scale=40)
    desk.place(1, x=30, y=30, scale=35)
    desk.place(0, x=72, y=70, scale=30)


def test_a_collage_is_built_changed_saved_reopened_and_repeated(
    desk: Collager, elsewhere: Collager, files: dict[str, Path], tmp_path: Path
) -> None:
    four(desk, files)
    expect(desk.page.locator(f"{WORDS} b")).to_have_count(4)
    assert set(desk.page.locator(f"{WORDS} b").all_inner_texts()) == set(desk.names)
    desk.set_more(seed=4, steps=STEPS)
    desk.run()
    first = desk.result(tmp_path / "first.png")
    saved = desk.download(tmp_path / "mine.collage.zip", "#collage-save")

    desk.page.click("#collage-change-layers")
    expect(desk.page.locator("#collage-edit-line")).to_contain_text("You are changing result 1, seed 4")
    expect(desk.page.locator("#collage-run")).to_have_text("Change")
    for box in desk.page.locator("#collage-edited input:checked").all():
        box.uncheck()
    desk.page.locator("#collage-edited").get_by_label("a red egg").check()
    desk.set("change", 0.9)
    desk.set_more(seed=5)
    desk.run()
    second = desk.result(tmp_path / "second.png")
    told, inputs = recipe.read_png(tmp_path / "second.png")
    request = replay.to_request(told, inputs, CollageRequest)
    assert (request.edited, request.lock, len(request.layers)) == ("4", True, 4)
    stack = compose(request.collage)
    may = grow(np.where(stack.visible[3] > 0.05, np.uint8(255), np.uint8(0)), request.reach)
    changed = (first != second).any(axis=2)
    assert not changed[may == 0].any()
    assert changed[stack.visible[3] > 0.9].mean() > 0.5
    assert f"Kept pixels that changed 0 of {(may == 0).sum():,}" in desk.facts()
    expect(desk.page.locator(".versions button")).to_have_count(2)
    expect(desk.page.locator(".versions .row")).to_have_count(1)  # the second is made of the first

    elsewhere.open(saved)
    assert elsewhere.names == desk.names
    elsewhere.run()
    assert (elsewhere.result(tmp_path / "again.png") == first).all()
    let_fall(elsewhere.page, "#collage-result", tmp_path / "second.png")
    expect(elsewhere.page.locator("#collage-edit-line")).to_contain_text("an earlier result", timeout=30_000)
    expect(elsewhere.page.locator("#collage-edited input:checked")).to_have_count(1)
    elsewhere.pilot.settle()
    elsewhere.run()
    assert (elsewhere.result(tmp_path / "repeated.png") == second).all()
    elsewhere.page.click("#collage-leave")
    expect(elsewhere.page.locator("#collage-run")).to_have_text("Harmonise")
    expect(elsewhere.page.locator("#collage-edit")).to_be_hidden()


def test_an_earlier_version_is_looked_at_and_changed_again(desk: Collager) -> None:
    desk.pick("red apple")
    desk.set_more(seed=1, steps=6, num_images=2)  # of which the apple is free in the last two
    desk.page.get_by_label("Show the ladder").check()
    desk.run()
    thumbnails = desk.page.locator(".versions button")
    expect(thumbnails).to_have_count(2)
    for name in ("The paste", "Harmonised as one (GH)", "Words in place (+ CA)"):
        expect(desk.page.locator("#collage-beside").get_by_label(name, exact=True)).to_be_visible()
    thumbnails.nth(1).click()
    expect(thumbnails.nth(1)).to_have_attribute("aria-pressed", "true")
    assert "Seed 2" in desk.facts()
    desk.page.click("#collage-change-layers")
    expect(desk.page.locator("#collage-edit-line")).to_contain_text("result 2, seed 2")
    thumbnails.nth(0).click()
    expect(desk.page.locator("#collage-edit-line")).to_contain_text("result 1, seed 1")
    desk.page.get_by_label("Show the ladder").uncheck()
    desk.set_more(num_images=1)
    desk.run()
    expect(thumbnails).to_have_count(3)
    rows = [row.locator("button").count() for row in desk.page.locator(".versions .row").all()]
    assert rows == [2, 1]  # the change follows what it was made of
    desk.page.locator("#collage-result summary").first.click()
    expect(desk.page.get_by_role("img", name="How free each place was")).to_be_visible()


def test_words_that_are_missing_are_said_at_once_and_nothing_is_lost(desk: Collager) -> None:
    desk.pick("red apple")
    desk.pick("orange cat")
    assert desk.names == ["orange cat", "red apple"]
    said = desk.page.locator(f"{WORDS} .said")
    expect(said).to_contain_text("Built from the layers")
    desk.page.fill(PROMPT, "an orange cat on a table")
    expect(said).to_contain_text("“red apple” is not in the prompt")
    assert desk.page.locator(f"{WORDS} b.lacking").all_inner_texts() == ["red apple"]
    desk.page.click("#collage-run")
    expect(desk.page.locator("#collage-note [role=alert]")).to_contain_text("“red apple” is not in the prompt")
    desk.page.click("#collage-save")
    expect(desk.page.locator("#collage-note [role=alert]")).to_contain_text("“red apple” is not in the prompt")
    assert desk.names == ["orange cat", "red apple"]
    assert desk.page.input_value(PROMPT) == "an orange cat on a table"
    desk.name(1, "table")  # the layer takes words of the prompt instead
    expect(desk.page.locator(f"{WORDS} b")).to_have_count(2)
    expect(said).to_be_hidden()
    desk.page.click("#collage-write")
    expect(desk.page.locator(PROMPT)).to_have_value("orange cat and table")


def test_an_object_is_taken_from_a_picture(desk: Collager, flat: Path) -> None:
    page = desk.page
    page.click(f"{SCENE} [data-act=extract]")
    page.set_input_files(f"{MASK} .empty input", flat)
    page.wait_for_selector(f"{MASK} [data-state=ready]")
    page.wait_for_function(f"document.querySelector('{MASK} .working').hidden", timeout=60_000)
    box = page.locator(f"{MASK} canvas").bounding_box()
    assert box is not None
    k = min((box["width"] - 20) / 640, (box["height"] - 20) / 480)
    at = box["x"] + (box["width"] - 640 * k) / 2 + 460 * k, box["y"] + (box["height"] - 480 * k) / 2 + 210 * k
    page.mouse.click(*at)
    expect(page.locator(f"{MASK} [data-act=use]")).to_be_enabled(timeout=60_000)
    page.wait_for_function(f"document.querySelector('{MASK} .working').hidden", timeout=60_000)
    page.click(f"{MASK} [data-act=use]")
    expect(desk.rows).to_have_count(1, timeout=30_000)
    expect(page.locator(f"{MASK} .mask")).to_be_hidden()
    expect(page.locator("#collage-note")).to_contain_text("Taken from the picture")
    expect(page.locator(f"{WORDS} .said")).to_contain_text("has no words")


def test_a_file_that_is_no_collage_is_said_and_nothing_is_lost(
    desk: Collager, files: dict[str, Path], tmp_path: Path
) -> None:
    desk.pick("red apple")
    broken = tmp_path / "broken.collage.zip"
    broken.write_bytes(b"PK no")
    let_fall(desk.page, "#collage-result", broken)
    expect(desk.page.locator("#collage-note [role=alert]")).to_contain_text("no collage", timeout=30_000)
    assert desk.names == ["red apple"]
    desk.page.set_input_files(f"{SCENE} .tools [data-role=layer] input", files["text"])
    expect(desk.page.locator("#collage-note [role=alert]")).to_contain_text("text.png", timeout=30_000)
    assert desk.names == ["red apple"]


def test_stop_ends_a_run_and_everything_stays(desk: Collager) -> None:
    desk.pick("red apple")
    desk.set_more(steps=200, seed=1)
    desk.page.click("#collage-run")
    desk.page.wait_for_function("document.querySelector('#collage-screen progress')?.value >= 2", timeout=240_000)
    desk.page.click("#collage-stop")
    expect(desk.page.locator("#collage-run")).to_be_visible()
    expect(desk.page.locator("#collage-note")).to_contain_text("Stopped.")
    assert desk.names == ["red apple"]


@pytest.mark.parametrize("width", [390, 1440])
def test_the_tab_can_be_read_and_fits(browser: Browser, address: str, width: int, tmp_path: Path) -> None:
    phone = {"is_mobile": True, "has_touch": True, "device_scale_factor": 2} if width < 500 else {}
    context = browser.new_context(viewport={"width": width, "height": 844}, **phone)  # type: ignore[arg-type]
    desk = Collager(Pilot(context.new_page(), address))
    desk.page.locator("#collage-examples button").nth(1).click()
    expect(desk.page.locator("#collage-stop")).to_be_visible(timeout=30_000)  # one click fills and runs
    assert len(desk.names) == 5
    desk.finished()
    desk.page.click("#collage-change-layers")
    expect(desk.page.locator("#collage-edit")).to_be_visible()
    desk.set_more()
    assert desk.page.evaluate("document.documentElement.scrollWidth") == width
    for scheme in ("dark", "light"):
        desk.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        desk.pilot.settle()
        pairs = desk.page.evaluate(CONTRAST)
        assert len(pairs) > 60
        assert [pair for pair in pairs if pair[1] < 4.5] == []
        if folder := os.environ.get("SCREENSHOTS"):
            desk.page.screenshot(path=Path(folder) / f"collage-{width}-{scheme}.png", full_page=True)
    assert Image.open(desk.download(tmp_path / "result.png")).size == (512, 512)
    assert desk.pilot.complaints == []
    context.close()
