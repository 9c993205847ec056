"""A result of each tab falls on the page: its tab opens with its controls, and runs to the same pixels. Real models."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from models import pictures, recipe, runtime
from models.catalog import SPECS
from models.contract import Bundle, Placed, Result
from tests.browser.pilot import Pilot, let_fall
from tests.browser.sitter import LONG, Sitter
from tests.client.test_start import free_port
from tests.painter import cutout, scene

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
PERSON = ROOT / "assets" / "examples" / "facediffuser" / "iris.webp"
STEPS = 3


def requests() -> dict[str, dict[str, Any]]:
    """Fields of one short run per method."""
    background, hole = scene(), np.zeros(scene().shape[:2], np.uint8)
    hole[16:40, 16:40] = 255
    placed = Bundle(background, Placed(cutout(), 0.4, 0.6, 0.3), prompts={"prompt": "a red ball"})
    layers, _ = SPECS["collage"].take(placed)  # type: ignore[misc]
    return {
        "dreamfuse": {"background": background, "foreground": cutout(), "x": 0.4, "y": 0.6, "scale": 0.3},
        "collage": dict(layers),
        "cat": {"image": background, "mask": hole, "prompt": "a red ball"},
        "facediffuser": {
            "references": (pictures.decode(PERSON, "rgb", "Iris"),),
            "prompt": "a woman <|image|> on a green meadow",
        },
        "dit4edit": {"image": background, "source_prompt": "a red ball", "target_prompt": "a blue ball"},
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A PNG of each method, made in this process."""
    folder, found = tmp_path_factory.mktemp("results"), {}
    for key, fields in requests().items():
        request = SPECS[key].request(**fields, seed=5, steps=STEPS, preset="pocket")
        *_, result = runtime.run(key, request)
        assert isinstance(result, Result)
        told, inputs = runtime.recorded(key, request, result, 0)
        found[key] = folder / f"{key}.png"
        recipe.write_png(found[key], result.images[0], told, inputs)
    return found


@pytest.fixture(scope="module")
def app() -> Iterator[str]:
    """The address of the app as a user starts it."""
    command = [sys.executable, "app.py", "--port", str(free_port()), "--local-files-only"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
        server.terminate()


@pytest.mark.parametrize("key", list(SPECS))
def test_a_dropped_result_restores_its_tab_and_runs_to_the_same_pixels(
    page: Any, app: str, results: dict[str, Path], tmp_path: Path, key: str
) -> None:
    pilot = Pilot(page, app)
    page.get_by_role("tab", name="Models").click()
    let_fall(page, "#models-table", results[key])
    expect(page.get_by_role("tab", name=SPECS[key].title)).to_have_attribute("aria-selected", "true")
    expect(page.locator(f"#{key}-note")).to_contain_text("restored", timeout=LONG)
    if key == "facediffuser":  # the picture holds no reference: the person has to be shown again
        Sitter(pilot).add(PERSON)
    pilot.settle()
    page.click(f"#{key}-run")
    expect(page.locator(f"#{key}-download")).to_be_enabled(timeout=LONG)
    with page.expect_download() as waiting:
        page.click(f"#{key}-download")
    waiting.value.save_as(tmp_path / "again.png")
    told, _ = recipe.read_png(tmp_path / "again.png")
    assert (told.method, told.seed, told.request["steps"]) == (key, 5, STEPS)
    first, again = (np.asarray(Image.open(file)) for file in (results[key], tmp_path / "again.png"))
    assert np.array_equal(first, again)
    assert pilot.complaints == []
