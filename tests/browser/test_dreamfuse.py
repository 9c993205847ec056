"""Drag & place from the first click to the downloaded file, with a method that paints instead of a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from models import recipe
from tests import fakes
from tests.browser.pilot import SCENE, Pilot

Files = dict[str, Path]


def steps_of(log: Path, seed: int) -> int:
    """How many steps the method has done for a seed."""
    return log.read_text().count(f"seed {seed} step")


def ceased(pilot: Pilot, log: Path, seed: int) -> int:
    """How many steps of a seed had been done when no more came."""
    done = -1
    while done != steps_of(log, seed):
        done = steps_of(log, seed)
        pilot.page.wait_for_timeout(700)
    return done


def test_a_run_gives_the_result_its_seed_and_a_png_that_carries_the_recipe(
    pilot: Pilot, files: Files, tmp_path: Path
) -> None:
    pilot.compose(files)
    pilot.page.fill("#dreamfuse-prompt textarea", "a shiny pill")
    pilot.set_more(seed=41)
    pilot.run()
    facts = pilot.page.locator("#dreamfuse-facts").inner_text()
    assert "Seed 41" in facts
    assert "Kept pixels that changed 0 of 307,200" in facts
    file = pilot.download(tmp_path / "result.png")
    told, inputs = recipe.read_png(file)
    assert (told.seed, told.request["prompt"], told.preset) == (41, "a shiny pill", "pocket")
    assert told.request["x"] == pytest.approx(0.5)
    before, after = pilot.compared()
    assert before.shape == after.shape == (480, 640, 3)
    assert (after == np.asarray(Image.open(file))).all()
    assert (after == fakes.tinted(before, 41, 1.0)).all()  # lossless all the way
    assert (inputs["background"] == np.asarray(Image.open(files["scene"]))).all()


def test_a_switch_strips_the_recipe_and_a_second_seed_can_be_chosen(pilot: Pilot, files: Files, tmp_path: Path) -> None:
    pilot.compose(files)
    pilot.set_more(seed=7, num_images=2)
    pilot.run()
    pilot.page.locator("#dreamfuse-gallery button img").nth(1).click()
    expect(pilot.page.locator("#dreamfuse-facts")).to_contain_text("Seed 8")
    assert recipe.read_png(pilot.download(tmp_path / "kept.png"))[0].seed == 8
    pilot.page.locator("#dreamfuse-keep input").uncheck()
    pilot.settle()
    stripped = pilot.download(tmp_path / "stripped.png")
    with Image.open(stripped) as image:
        assert image.info == {}
    assert (np.asarray(Image.open(stripped)) == np.asarray(Image.open(tmp_path / "kept.png"))).all()


def test_stop_ends_the_run_and_keeps_the_last_result(pilot: Pilot, files: Files, log: Path) -> None:
    pilot.compose(files)
    pilot.set_more(seed=100, steps=2)
    pilot.run()
    pilot.set_more(seed=101, steps=200)
    pilot.page.click("#dreamfuse-run")
    expect(pilot.page.locator("#dreamfuse-screen progress")).to_be_visible()
    pilot.page.wait_for_function("document.querySelector('#dreamfuse-screen progress')?.value >= 2", timeout=30_000)
    assert "left" in pilot.page.locator("#dreamfuse-screen").inner_text()
    pilot.page.click("#dreamfuse-stop")
    pilot.finished()
    assert 2 <= ceased(pilot, log, 101) < 200
    assert "Seed 100" in pilot.page.locator("#dreamfuse-facts").inner_text()
    assert pilot.note() == "Stopped."


def test_stop_while_another_run_has_the_device(pilot: Pilot, files: Files, browser: Browser, log: Path) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    other = Pilot(context.new_page(), pilot.address)
    for driver, seed in ((pilot, 200), (other, 201)):
        driver.compose(files)
        driver.set_more(seed=seed, steps=200)
        driver.page.click("#dreamfuse-run")
        expect(driver.page.locator("#dreamfuse-screen .easel-meter")).to_be_visible(timeout=30_000)
    expect(other.page.locator("#dreamfuse-screen")).to_contain_text("Waiting: 1 ahead", timeout=30_000)
    other.page.click("#dreamfuse-stop")
    expect(other.page.locator("#dreamfuse-run")).to_be_visible()
    done = steps_of(log, 200)
    pilot.page.wait_for_timeout(800)
    assert steps_of(log, 200) > done  # someone else's stop is not ours
    pilot.page.click("#dreamfuse-stop")
    expect(pilot.page.locator("#dreamfuse-run")).to_be_visible()
    assert ceased(pilot, log, 200) < 200
    assert steps_of(log, 201) == 0
    assert other.complaints == []
    context.close()


def test_what_cannot_be_done_is_said_in_words_and_nothing_typed_is_lost(pilot: Pilot, files: Files) -> None:
    pilot.page.fill("#dreamfuse-prompt textarea", "please fail")
    pilot.page.click("#dreamfuse-run")
    alert = pilot.page.locator("#dreamfuse-note [role=alert]")
    expect(alert).to_contain_text("Background")
    pilot.choose("scene", files["scene"], "scene")
    pilot.page.set_input_files(f"{SCENE} .tools [data-role=object] input", files["text"])
    expect(alert).to_contain_text("text.png")
    pilot.choose("object", files["object"], "ready")
    pilot.page.click("#dreamfuse-run")
    expect(alert).to_contain_text("inside the app", timeout=30_000)
    expect(pilot.page.locator("#dreamfuse-run")).to_be_visible()
    assert pilot.page.input_value("#dreamfuse-prompt textarea") == "please fail"
    assert pilot.placement["x"] == 50


def test_one_click_on_an_example_fills_and_runs(pilot: Pilot) -> None:
    buttons = pilot.page.locator("#dreamfuse-examples button")
    assert buttons.count() >= 6
    buttons.nth(2).click()
    pilot.finished()
    assert pilot.page.locator(f"{SCENE} [data-state=ready]").count() == 1
    assert pilot.placement["x"] != 50


def test_an_object_without_transparency_is_cut_out_or_used_as_it_is(pilot: Pilot, files: Files) -> None:
    pilot.choose("scene", files["scene"], "scene")
    pilot.choose("object", files["opaque"], "ready")
    outline = pilot.page.locator("#dreamfuse-outline")
    expect(outline.locator("img")).to_be_visible()
    pilot.settle()
    cut = pilot.placement["scale"]
    outline.get_by_label("As it is").check()
    expect(pilot.page.locator(f"{SCENE} [data-field=scale]")).not_to_have_value(f"{cut:g}")
    assert pilot.placement["scale"] / cut == pytest.approx(300 / 219, rel=0.05)  # same pixels, larger box
    pilot.choose("object", files["object"], "ready")
    expect(outline).not_to_be_visible()
    pilot.page.set_input_files(f"{SCENE} .tools [data-role=object] input", files["plain"])
    expect(pilot.page.locator("#dreamfuse-note")).to_contain_text("whole picture")
    expect(outline.get_by_label("As it is")).to_be_checked()


def test_a_result_dropped_on_the_tab_restores_the_controls(pilot: Pilot, files: Files, tmp_path: Path) -> None:
    pilot.compose(files)
    pilot.page.fill("#dreamfuse-prompt textarea", "as before")
    pilot.page.fill(f"{SCENE} [data-field=angle]", "-20")
    pilot.settle()
    pilot.set_more(seed=300, steps=3)
    placed = pilot.placement
    pilot.run()
    file = pilot.download(tmp_path / "again.png")
    pilot.page.reload()
    pilot.page.wait_for_selector(f"{SCENE} canvas")
    pilot.drop(file)
    pilot.page.wait_for_selector(f"{SCENE} [data-state=ready]")
    pilot.settle()
    pilot.set_more()
    assert pilot.placement == placed
    assert pilot.page.input_value("#dreamfuse-prompt textarea") == "as before"
    assert pilot.page.input_value("#dreamfuse-seed input") == "300"
    pilot.run()
    assert (np.asarray(Image.open(pilot.download(tmp_path / "new.png"))) == np.asarray(Image.open(file))).all()
