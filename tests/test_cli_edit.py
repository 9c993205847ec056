"""`app.py edit`: what was asked for beside the result is written too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.main import main
from models import catalog, runtime
from models.dit4edit.baselines import BASELINES
from tests import editor


@pytest.fixture
def edit(tmp_path: Path) -> Iterator[list[str]]:
    """`edit` with a picture on disk, by the editor without models."""
    settings, real = runtime.settings, editor.install(steps=1)
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "i.png")
    yield f"edit --image {tmp_path}/i.png --source-prompt cat --target-prompt dog --out {tmp_path}/o.png".split()
    catalog.SPECS["dit4edit"], runtime.settings = real, settings


def test_baselines_are_files_beside_the_result_where_they_were_asked_for(
    edit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*edit, "--json"]) == 0
    assert "baselines" not in json.loads(capsys.readouterr().out)
    assert main([*edit, "--comparisons", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == [f"{tmp_path}/o.png"]
    assert told["baselines"] == {name: f"{tmp_path}/o-{name}.png" for name in BASELINES}
    for number, file in enumerate(told["baselines"].values(), 1):
        assert (np.asarray(Image.open(file)) == 50 * number).all()
