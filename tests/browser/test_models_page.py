"""Weights as a person meets them: the card of a preset that is not here, a download and its end, what others may."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.pilot import Pilot
from tests.hub import Hub, serving
from tests.test_downloads import REPOS, TENSORS, WRITTEN

TABLE = "#models-table"
JOB = "#models-board .job"
SAID = "#models-board .said"
DOWNLOAD = f"{TABLE} [data-key=ask-masks-full]"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with serving(REPOS) as made:
        yield made


@pytest.fixture(scope="module")
def served(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page whose hub is on this machine and whose cache is empty."""
    home = tmp_path_factory.mktemp("home")
    there = {"HF_ENDPOINT": hub.address, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "EASEL_CACHE": str(home)}
    command = [sys.executable, str(Path(__file__).with_name("serve.py")), "4"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    server = subprocess.Popen(command, env={**os.environ, **there}, **pipes)  # type: ignore[call-overload]
    yield server.stdout.readline().strip()
    server.terminate()
    server.communicate(timeout=20)


def opened(page: Page, served: str) -> Pilot:
    """A driver on the Models page."""
    pilot = Pilot(page, served)
    page.get_by_role("tab", name="Models").click()
    expect(page.locator(f"{TABLE} table")).to_be_visible(timeout=30_000)
    return pilot


def keep(page: Page, name: str) -> None:
    """A picture of the page, if SCREENSHOTS names a folder for it."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"models-{name}.png", full_page=True)


def test_the_card_of_absent_weights_stands_before_a_run_and_leads_back(page: Page, served: str) -> None:
    pilot = Pilot(page, served)
    page.get_by_role("tab", name="Layer collage").click()
    page.click("#collage-more > button")
    page.click("#collage-preset input")
    page.get_by_role("option", name="Full - Stable Diffusion 1.5").click()
    card = page.locator("#collage-note .easel-card")
    expect(card).to_contain_text("3.6 GB")
    expect(card).to_contain_text("not measured")
    expect(card).to_contain_text("python app.py models download collage")
    keep(page, "card")
    card.get_by_role("button", name="Use the pocket models").click()
    expect(card).to_have_count(0)
    assert "Pocket" in page.locator("#collage-preset input").input_value()
    assert not [post for post in pilot.posts if "queue/join" in post and "device" in post]
    assert pilot.complaints == []


def test_a_download_asks_shows_how_far_it_is_outlives_a_reload_stops_and_ends(
    page: Page, served: str, hub: Hub
) -> None:
    hub.gate.clear()
    pilot = opened(page, served)
    row = page.locator(f"{TABLE} tr").filter(has_text="SAM 2.1 tiny")
    page.click(DOWNLOAD)
    expect(row.locator(".ask")).to_contain_text("160 MB to fetch")
    expect(row.locator(".ask")).to_contain_text(re.compile(r"; [\d.]+ [GM]B are free. Licence: Apache-2.0"))
    assert not hub.asked, "nothing without a yes"
    row.get_by_role("button", name="Download 160 MB").click()
    expect(page.locator(f"{JOB} progress")).to_have_attribute("value", f"{WRITTEN / len(TENSORS):.4f}", timeout=30_000)
    keep(page, "download")
    page.reload()
    page.wait_for_selector(pilot.canvas)
    page.get_by_role("tab", name="Models").click()
    expect(page.locator(JOB)).to_contain_text("10 MB of 25 MB", timeout=30_000)
    page.locator(JOB).get_by_role("button", name="Stop").click()
    expect(page.locator(JOB)).to_contain_text("Stopped; files that are whole are kept.", timeout=30_000)
    hub.gate.set()
    page.click(DOWNLOAD)
    row.get_by_role("button", name="Download 160 MB").click()
    expect(page.locator(JOB)).to_contain_text("Downloaded and checked.", timeout=60_000)
    ready = page.locator(f"{TABLE} [data-key=check-masks-full]")
    expect(ready).to_be_visible()
    ready.click()
    expect(page.locator(SAID)).to_contain_text("sam2.1-hiera-tiny", timeout=60_000)
    assert pilot.complaints == []


def test_the_page_asks_while_it_is_looked_at_and_not_otherwise(page: Page, served: str) -> None:
    pilot = opened(page, served)
    page.wait_for_timeout(100)
    before = len(pilot.posts)
    page.wait_for_timeout(4500)
    assert len(pilot.posts) - before >= 1
    page.get_by_role("tab", name="Compare").click()
    pilot.settle()
    before = len(pilot.posts)
    page.wait_for_timeout(4500)
    assert len(pilot.posts) == before


def test_others_than_the_owner_get_no_button_that_fills_the_disk(browser: Browser, served: str) -> None:
    context = browser.new_context(extra_http_headers={"X-Forwarded-For": "203.0.113.7"})
    page = context.new_page()
    opened(page, served)
    assert page.locator(f"{TABLE} [data-do=ask]").count() == 0
    expect(page.locator(TABLE)).to_contain_text("EASEL_PRELOAD")
    context.close()
