"""Prompt edit from two prompts to the downloaded file, with an editor that tints pictures instead of a model."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from models import recipe
from tests import editor
from tests.browser.clicker import SQUARE
from tests.browser.pilot import Pilot, let_fall
from tests.browser.test_look import CONTRAST
from tests.browser.writer import MASK, SOURCE, TARGET, WORDS, Editor

BEFORE, AFTER = "a red disc and a blue square", "a red disc and a green square"


@pytest.fixture
def edit(pilot: Pilot) -> Editor:
    return Editor(pilot)


def test_typing_shows_what_changes(edit: Editor) -> None:
    page = edit.page
    expect(page.locator(f"{WORDS} .hints")).to_contain_text("what differs is shown here")
    page.locator(SOURCE).press_sequentially(BEFORE, delay=5)
    page.click("#dit4edit-copy")
    expect(page.locator(TARGET)).to_have_value(BEFORE)
    expect(page.locator(f"{WORDS} .hints")).to_contain_text("nothing will change")
    page.click("#dit4edit-copy")  # it is there already
    expect(page.locator(TARGET)).to_have_value(BEFORE)
    page.fill(TARGET, AFTER)
    expect(page.locator(f"{WORDS} .line > b")).to_have_text("Swap an object")
    assert page.locator(f"{WORDS} del").all_inner_texts() == ["blue"]
    assert page.locator(f"{WORDS} button.new").all_inner_texts() == ["green"]
    page.click("#dit4edit-copy")
    expect(page.locator(TARGET)).to_have_value(f"{AFTER}\n{BEFORE}")
    expect(page.locator(f"{WORDS} .line")).to_have_count(2)
    page.get_by_role("radio", name="Restyle").check()
    expect(page.locator(f"{WORDS} .line > b").first).to_have_text("Restyle")
    page.fill(TARGET, "<img src=x onerror=alert(1)> a red disc")
    expect(page.locator(f"{WORDS} .line")).to_have_count(1)
    expect(page.locator(f"{WORDS} .line")).to_contain_text("onerror")
    assert page.locator(f"{WORDS} .line img").count() == 0


def test_a_word_is_weighed_with_mouse_and_keys(edit: Editor) -> None:
    page = edit.page
    edit.say(BEFORE, AFTER)
    edit.chip("green").click()
    number = page.get_by_role("spinbutton", name="Weight of green")
    expect(number).to_be_focused()
    page.click(f"{WORDS} [data-step='0.25']")
    expect(edit.chip("green")).to_have_attribute("data-weight", "1.25")
    number.fill("9")
    number.press("Enter")  # 4 is the most, and the focus goes back to the word
    expect(edit.chip("green")).to_have_attribute("data-weight", "4")
    expect(edit.chip("green")).to_be_focused()
    edit.more()
    weights = page.locator("#dit4edit-weights :is(input, textarea)")
    expect(weights).to_have_value("green: 4")
    edit.chip("green").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(edit.chip("red")).to_be_focused()
    assert page.locator(f"{WORDS} .line button[tabindex='0']").all_inner_texts() == ["red"]  # Tab stops once
    page.keyboard.press("Enter")
    page.keyboard.type("0.5")
    page.keyboard.press("Enter")
    expect(weights).to_have_value("green: 4, red: 0.5")
    weights.fill("red disc: -1")
    expect(edit.chip("disc")).to_have_attribute("data-weight", "-1")
    expect(edit.chip("green")).to_have_attribute("data-weight", "1")
    edit.chip("disc").click()
    page.click(f"{WORDS} [data-act=reset]")
    expect(weights).to_have_value("red disc: -1")  # a phrase is taken out in the text
    page.keyboard.press("Escape")
    expect(page.locator(f"{WORDS} .weight")).to_be_hidden()
    weights.fill("red")
    expect(page.locator(f"{WORDS} .hints")).to_contain_text("is no weight")


def test_several_targets_run_at_once_and_have_their_words(edit: Editor, flat: Path, tmp_path: Path) -> None:
    page = edit.page
    page.click("#dit4edit-run")
    expect(page.locator("#dit4edit-note [role=alert]")).to_contain_text("give a picture, or describe one")
    edit.open(flat)
    targets = [AFTER, "a red disc"]
    edit.say(BEFORE, "\n".join(targets))
    edit.set_more(seed=2, steps=2, merge_ratio=0.8)
    expect(page.locator("#dit4edit-merge_ratio")).to_contain_text("25 % of the tokens, the least")
    page.get_by_label("Also the baselines").check()
    page.click("#dit4edit-run")
    edit.finished()
    original = np.asarray(Image.open(flat))
    gallery = page.locator("#dit4edit-gallery .thumbnail-item")
    expect(gallery).to_have_count(2)
    assert [image.get_attribute("alt") for image in gallery.locator("img").all()] == ["and green square", targets[1]]
    for number, target in enumerate(targets):
        gallery.nth(number).click()
        edit.pilot.settle()
        left, right = edit.sides()
        assert (left == original).all()
        assert (right == editor.tint(target)).all()
    told, inputs = recipe.read_png(edit.download(tmp_path / "edited.png"))
    assert (told.picture, told.request["target_prompt"]) == (1, "\n".join(targets))
    assert set(inputs) == {"image"}
    facts = " ".join(page.locator("#dit4edit-facts").inner_text().split())
    for said in ("31.4 dB; the autoencoder alone 33.0 dB", "deviation 1.02", "source is from before", "16 of 64"):
        assert said in facts
    page.get_by_role("radio", name="Source rebuilt").check()
    page.wait_for_timeout(300)
    edit.pilot.settle()
    assert edit.sides()[0].shape == original.shape
    page.get_by_role("radio", name="SDEdit").check()
    page.wait_for_timeout(300)
    edit.pilot.settle()
    assert (edit.sides()[0] == 50).all()
    page.locator("#dit4edit-result summary").first.click()
    words = page.get_by_role("img", name="Where the words act")
    expect(words).to_be_visible()
    expect(words).to_have_js_property("naturalHeight", 900)  # every pixel, or small letters cannot be read


def test_without_a_picture_the_source_is_drawn(edit: Editor, flat: Path) -> None:
    page = edit.page
    expect(page.locator(f"{MASK} .empty p")).to_contain_text("the source is drawn from its words")
    edit.open(flat)
    expect(page.locator(f"{MASK} .note")).to_contain_text("The whole picture may change")
    page.click(f"{MASK} [data-act=remove]")
    expect(page.locator(f"{MASK} [data-state=empty]")).to_be_visible()
    edit.say("a drum", "a trumpet")
    edit.set_more(steps=2)
    page.click("#dit4edit-run")
    edit.finished()
    left, right = edit.sides()
    assert (left == editor.tint("a drum")).all()
    assert (right == editor.tint("a trumpet")).all()


def test_stop_ends_an_edit_and_everything_stays(edit: Editor, flat: Path, log: Path) -> None:
    page = edit.page
    edit.open(flat)
    edit.say(BEFORE, AFTER)
    edit.set_more(seed=901, steps=150)
    page.click("#dit4edit-run")
    page.wait_for_function("document.querySelector('#dit4edit-screen progress')?.value >= 2", timeout=30_000)
    expect(page.locator("#dit4edit-screen")).to_contain_text("Inverting the picture")
    page.click("#dit4edit-stop")
    expect(page.locator("#dit4edit-run")).to_be_visible()
    expect(page.locator("#dit4edit-note")).to_contain_text("Stopped.")
    done = -1
    while done != (done := log.read_text().count("seed 901 step")):
        page.wait_for_timeout(700)
    assert 2 <= done < 150
    assert page.input_value(TARGET) == AFTER
    assert page.locator(f"{MASK} [data-state=ready]").count() == 1


def test_one_click_on_an_example_fills_and_runs(edit: Editor) -> None:
    buttons = edit.page.locator("#dit4edit-examples button")
    assert buttons.count() >= 7
    edit.say("something", "else")
    for number, words, targets in ((5, "white wall", 3), (0, "green rhino", 1)):
        buttons.nth(number).click()
        expect(edit.page.locator("#dit4edit-stop")).to_be_visible()
        assert words in edit.page.input_value(SOURCE)
        edit.finished()
        edit.settled()
        expect(edit.page.locator(f"{WORDS} .line")).to_have_count(targets)
        assert edit.page.locator(f"{MASK} [data-state=ready]").count() == 1
        assert edit.page.locator(f"{MASK} .save.off").count() == 1  # and no mask


def test_a_mask_limits_the_edit_and_a_dropped_result_brings_all_back(edit: Editor, flat: Path, tmp_path: Path) -> None:
    page = edit.page
    edit.open(flat)
    edit.click(460, 200)
    edit.say(BEFORE, AFTER)
    edit.set_more(seed=12, steps=2, feather=0)
    page.locator("#dit4edit-weights :is(input, textarea)").fill("green: 2")
    page.click("#dit4edit-run")
    edit.finished()
    file = edit.download(tmp_path / "result.png")
    found, original = np.asarray(Image.open(file)), np.asarray(Image.open(flat))
    assert (found[SQUARE == 0] == original[SQUARE == 0]).all()
    assert (found[SQUARE == 255] == editor.tint(AFTER)).all()
    facts = " ".join(page.locator("#dit4edit-facts").inner_text().split())
    assert f"Kept pixels that changed 0 of {(SQUARE == 0).sum():,}" in facts
    page.click(f"{MASK} [data-act=remove]")
    edit.say("other", "words")
    edit.set_more(seed=13)
    let_fall(page, "#dit4edit-result", file)
    expect(page.locator(TARGET)).to_have_value(AFTER, timeout=15_000)
    expect(page.locator("#dit4edit-note")).to_contain_text("restored")
    edit.settled()
    assert page.input_value(SOURCE) == BEFORE
    assert page.input_value("#dit4edit-seed input") == "12"
    expect(edit.chip("green")).to_have_attribute("data-weight", "2")
    page.click(f"{MASK} .save summary")
    with page.expect_download() as waiting:
        page.click(f"{MASK} [data-save=mask]")
    assert (np.asarray(Image.open(waiting.value.path())) == SQUARE).all()


@pytest.mark.parametrize("width", [390, 1440])
def test_the_tab_can_be_read_and_fits(browser: Browser, address: str, width: int) -> None:
    phone = {"is_mobile": True, "has_touch": True, "device_scale_factor": 2} if width < 500 else {}
    context = browser.new_context(viewport={"width": width, "height": 844}, **phone)  # type: ignore[arg-type]
    edit = Editor(Pilot(context.new_page(), address))
    edit.page.locator("#dit4edit-examples button").nth(4).click()
    edit.finished()
    edit.chip("elephant").click()
    edit.more()
    assert edit.page.evaluate("document.documentElement.scrollWidth") == width
    for scheme in ("dark", "light"):
        edit.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        edit.pilot.settle()
        pairs = edit.page.evaluate(CONTRAST)
        assert len(pairs) > 60
        assert [pair for pair in pairs if pair[1] < 4.5] == []
        if folder := os.environ.get("SCREENSHOTS"):
            edit.page.screenshot(path=Path(folder) / f"dit4edit-{width}-{scheme}.png", full_page=True)
    assert edit.pilot.complaints == []
    context.close()
