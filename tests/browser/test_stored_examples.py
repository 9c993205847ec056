"""Examples on a page that shows what their runs made before: a result at a click, and a run where none is kept."""

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

from models import example_outputs, examples, recipe
from models.catalog import SPECS
from tests.browser.pilot import Pilot
from tests.browser.sitter import LONG
from tests.client.test_start import free_port

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def app() -> Iterator[str]:
    """The address of the app, told to show what is kept."""
    command = [sys.executable, "app.py", "--port", str(free_port()), "--local-files-only", "--examples", "stored"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
        server.terminate()


def test_a_click_in_any_tab_shows_a_whole_result_and_nothing_runs(page: Any, app: str, tmp_path: Path) -> None:
    pilot = Pilot(page, app)
    for key, spec in SPECS.items():
        page.get_by_role("tab", name=spec.title).click()
        page.locator(f"#{key}-examples button").first.click()
        facts = page.locator(f"#{key}-facts")
        expect(facts).to_contain_text("press “", timeout=LONG)
        expect(page.locator(f"#{key}-slider")).to_be_visible()
        expect(page.locator(f"#{key}-run")).to_be_visible()
        with page.expect_download() as waiting:
            page.click(f"#{key}-download")
        waiting.value.save_as(tmp_path / "kept.png")
        output = example_outputs.load(key)[0]
        told, _ = recipe.read_png(tmp_path / "kept.png")
        assert (told.weights, told.seconds, told.versions) == (
            output.recipe.weights,
            output.recipe.seconds,
            output.recipe.versions,
        )
        kept = output.result(examples.request(spec, examples.load(key)[0])).images[0]
        assert np.array_equal(np.asarray(Image.open(tmp_path / "kept.png")), kept)
    assert pilot.complaints == []


def test_with_another_setting_a_click_runs(page: Any, app: str) -> None:
    pilot = Pilot(page, app)
    pilot.set_more(steps=9)
    page.locator("#dreamfuse-examples button").nth(1).click()
    expect(page.locator("#dreamfuse-stop")).to_be_visible(timeout=LONG)
    expect(page.locator("#dreamfuse-facts")).to_contain_text("Steps 9", timeout=LONG)
    assert "Made before" not in page.locator("#dreamfuse-facts").inner_text()
    assert pilot.complaints == []
