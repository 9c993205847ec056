"""What a person does wrong on the page: one sentence where they look, and everything else as it was."""

from __future__ import annotations

import dataclasses
import re
import resource
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.data_classes import FileData

from demos import dreamfuse
from demos.canvas import Scene, with_background, with_object
from models import loading, runtime
from models.catalog import SPECS
from tests.painter import Painter, cutout, install, scene
from tests.test_pictures import BAD, CLEAR

FILES = {**{name: ("scene", *case) for name, case in BAD.items()}, "nothing in it": ("object", CLEAR, "transparent")}


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Painter:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    return install(monkeypatch)


@cache
def tab() -> gr.Blocks:
    with gr.Blocks() as page:
        dreamfuse.tab(SPECS["dreamfuse"])
    return page


def handler(name: str) -> gr.blocks.BlockFunction:
    """The tab's event handler of this name."""
    return next(f for f in tab().fns.values() if getattr(f.fn, "__name__", "") == name)


def alert(updates: dict[Any, Any]) -> str:
    """The sentence that a screen reader speaks at once."""
    (said,) = [v for v in updates.values() if isinstance(v, str) and 'role="alert"' in v]
    return said


def composed() -> Scene:
    return with_object(with_background(Scene(), scene()), cutout())


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_cannot_be_used_is_a_sentence_and_leaves_the_scene(
    painter: Painter, tmp_path: Path, case: str
) -> None:
    role, data, says = FILES[case]
    (tmp_path / "upload").write_bytes(data)
    before = composed()
    incoming = FileData(path=str(tmp_path / "upload"), orig_name="holiday.png")
    updates = handler("opened").fn(before.model_copy(update={"incoming": incoming, "role": role}))
    assert "holiday.png" in alert(updates)
    assert re.search(says, alert(updates))
    (after,) = [v for v in updates.values() if isinstance(v, Scene)]
    assert after.model_dump(exclude={"incoming", "role"}) == before.model_dump(exclude={"incoming", "role"})


def clicked(**changes: Any) -> dict[Any, Any]:
    """The last update after a click on the button, with some controls set by their field's name."""
    job = handler("generate")
    ids = [getattr(c, "elem_id", None) for c in job.inputs]
    values = dict(zip(ids, [getattr(c, "value", None) for c in job.inputs], strict=True))
    values |= {"dreamfuse-scene": composed(), **{f"dreamfuse-{name}": value for name, value in changes.items()}}
    *_, last = job.fn(*(values[name] for name in ids))
    return last


def test_a_click_with_every_control_at_its_default_runs(painter: Painter) -> None:
    assert any(isinstance(v, str) and "Done." in v for v in clicked().values())
    assert len(painter.seen) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"scene": Scene()}, "Background"),
        ({"prompt": "x" * 10_000}, "10000 characters"),
        ({"preset": "large"}, "no preset “large”"),
        ({"guidance_scale": float("nan")}, "finite"),
        ({"steps": 10**9}, "between 0 and 200"),
        ({"preset": "full", "memory": "offload"}, "Accept the licence"),
    ],
)
def test_what_cannot_be_run_is_said_before_the_method_is_asked(
    painter: Painter, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr(loading, "present", lambda weights: weights.local)
    assert says in alert(clicked(**changes))
    assert painter.seen == []


def test_a_full_device_is_an_offer(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(painter, "load", full)
    assert "choose the pocket preset" in alert(clicked())


def test_an_output_folder_that_went_away_is_a_sentence(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "settings", dataclasses.replace(runtime.settings, output_dir="/dev/null/kept"))
    assert "the folder does not exist" in alert(clicked())


def test_a_full_disk_is_a_sentence(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    before: Callable[..., Any] = painter.run

    def run(*arguments: Any) -> Any:
        yield from before(*arguments)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(painter, "run", run)
    try:
        assert "could not be saved" in alert(clicked())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
