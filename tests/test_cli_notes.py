"""What the page would say beside a result is said by the command line too, where no program reads it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.generate import notes
from cli.main import main
from models import catalog, runtime
from tests import filler


def test_a_soft_result_is_announced_beside_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(catalog.SPECS, "cat", catalog.SPECS["cat"])
    monkeypatch.setattr(runtime, "settings", runtime.settings)
    filler.install(steps=1)
    picture, mask = np.full((900, 1200, 3), 90, np.uint8), np.zeros((900, 1200), np.uint8)
    mask[100:800, 100:1100] = 255
    for name, array in (("i", picture), ("m", mask)):
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    given = f"inpaint --image {tmp_path}/i.png --mask {tmp_path}/m.png --prompt drum --out {tmp_path}/o.png --json"
    assert main(given.split()) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)["recipe"]["facts"]["warning"]
    assert "1200x900 pixels are drawn at" in told
    assert said.err.splitlines()[-1] == told
    assert main([*given.split(), "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_words_that_were_not_read_and_several_warnings_are_a_line_each() -> None:
    facts = {"warning": "", "warnings": ["One.", "Two."], "dropped_words": "and a hat"}
    assert notes(facts) == ["One.\n", "Two.\n", "Too long, not read: “and a hat”\n"]
    assert notes({"warning": "Soft.", "dropped_words": ""}) == ["Soft.\n"]
