"""Runs on a GPU that a Space lends by the call: in another process, for a booked time, nothing lost on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import catalog, device, runtime, zerogpu
from models.cache import ModelCache
from models.collage.layers import Layer
from models.collage.spec import CollageRequest
from models.contract import BadRequest, Event, MissingWeights, Placed, Request, Weights
from models.dit4edit.baselines import BASELINES
from models.dit4edit.spec import EditRequest
from models.dreamfuse.spec import DreamFuseRequest
from models.facediffuser.spec import FaceRequest
from tests import lender
from tests.painter import cutout, scene

ROOT = Path(__file__).resolve().parent.parent


def task(key: str, request: Request) -> Any:
    yield Event


def borrow(part: str, folder: Path) -> tuple[Any, list[dict[str, Any]]]:
    """What a part of `tests.borrower` says, and what it booked."""
    given = lender.installed(folder / "lender")
    more = {"EASEL_CACHE": str(folder / "cache"), "SPACE_ID": "somebody/easel", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "tests.borrower", part]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **given, **more}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), lender.booked(given)


STARTED = """
import sys, types
import demos
from cli.main import main
from models import zerogpu
def build(opened):
    print(zerogpu.outside(), "spaces" in sys.modules, "torch" in sys.modules)
    sys.exit(0)
demos.page = types.SimpleNamespace(build=build)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("preload", "said"), [("", "True True False\n"), ("fues/full", "")])
def test_the_server_borrows_before_the_page_and_torch_are_there(tmp_path: Path, preload: str, said: str) -> None:
    given = lender.installed(tmp_path / "lender")
    told = {**os.environ, **given, "EASEL_PRELOAD": preload}
    done = subprocess.run([sys.executable, "-c", STARTED], cwd=ROOT, env=told, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == (said, 2 if preload else 0)
    assert done.stderr.startswith("EASEL_PRELOAD names “fues/full”") == bool(preload)


@pytest.fixture
def spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in on this process's path; it wants to be imported before torch, which here it cannot be."""
    lender.installed(tmp_path / "lender")
    monkeypatch.syspath_prepend(str(tmp_path / "lender"))
    monkeypatch.delitem(sys.modules, "spaces", raising=False)
    file = tmp_path / "lender" / "spaces.py"
    file.write_text(file.read_text().replace('if "torch" in sys.modules:', "if False:"))
    return file


@pytest.mark.slow
def test_a_real_run_on_a_lent_gpu_gives_the_pixels_of_one_without(tmp_path: Path) -> None:
    found, log = borrow("real", tmp_path)
    assert found == {"same": True, "facts": True, "waited": True}
    assert [entry["seconds"] for entry in log] == [16]  # 15 + 2 steps of a quarter of a second, rounded


@pytest.mark.slow
def test_runs_errors_stops_and_locks_across_the_fork(tmp_path: Path) -> None:
    found, log = borrow("ways", tmp_path)
    assert {entry["asked_by"] for entry in log} == {found["me"]} != {found["drawn_by"]}
    assert found["memory"] == "It does not fit; choose less."
    assert found["broken"] == "ZeroDivisionError: by nothing"
    assert 3 <= found["after_stop"] < 60  # of 200 steps; a close is seen at the next event
    assert found["with_a_lock"] == 1
    assert "its owner can name the preset in EASEL_PRELOAD" in found["full"]
    assert "You have exceeded your quota" in found["refused"]
    assert len(log) == 6  # nothing is booked for weights that are not there


@pytest.mark.slow
def test_a_comparison_books_each_cell_for_itself(tmp_path: Path) -> None:
    found, log = borrow("compared", tmp_path)
    assert found == {"reasons": ["", "", ""], "keys": ["paste", "dreamfuse", "dreamfuse"]}
    assert len(log) == 2


def test_what_is_misspelt_is_refused(spaces: Path) -> None:
    with pytest.raises(TypeError, match="duratioin"):
        zerogpu.gpu(task, duratioin=zerogpu.seconds)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="“Large”"):
        zerogpu.gpu(task, duration=zerogpu.seconds, size="Large")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="same names"):
        zerogpu.gpu(task, duration=lambda key, requst: 3)
    with pytest.raises(TypeError, match="no generator"):
        zerogpu.gpu(zerogpu.seconds, duration=zerogpu.seconds)  # type: ignore[arg-type]
    assert zerogpu.gpu(task, duration=zerogpu.seconds, size="xlarge") is not task


def test_an_option_that_the_installed_release_does_not_name_is_refused(spaces: Path) -> None:
    spaces.write_text("def GPU(task=None, *, duratioin=60, **kwargs):\n    return task\n")
    with pytest.raises(TypeError, match="no option duration"):
        zerogpu.gpu(task, duration=zerogpu.seconds)


def test_without_the_package_or_without_lent_gpus_nothing_changes(
    spaces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "false")
    zerogpu.prepare()
    assert not zerogpu.outside()
    assert "spaces" not in sys.modules
    spaces.unlink()
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    zerogpu.prepare()
    assert not zerogpu.outside()
    assert zerogpu.gpu(task, duration=zerogpu.seconds) is task


def test_time_is_booked_for_all_that_is_drawn() -> None:
    place = {"background": scene(), "foreground": cutout(), "preset": "full"}
    one = DreamFuseRequest(**place, steps=28)
    assert zerogpu.seconds("dreamfuse", one) == 15 + 42
    assert zerogpu.seconds("dreamfuse", one.replace(num_images=4)) == 15 + 4 * 42
    assert zerogpu.seconds("dreamfuse", one.replace(preset="pocket", steps=20)) == 15 + 5
    face = FaceRequest(references=(scene(),), prompt="a man<|image|>", preset="full", steps=50)
    assert zerogpu.seconds("facediffuser", face) == 15 + 20
    assert zerogpu.seconds("facediffuser", face.replace(ladder=True)) == 15 + 5 * 20
    words = EditRequest(image=scene(), source_prompt="a cat", target_prompt="a dog", preset="full", steps=10)
    beside = zerogpu.seconds("dit4edit", words.replace(comparisons=True)) - zerogpu.seconds("dit4edit", words)
    assert beside == 12 * (len(BASELINES) + 1)  # DDIM's inverts by itself


def test_learning_looks_is_booked_too() -> None:
    layers = (Layer(Placed(cutout(), prompt="a ball")),)
    plain = CollageRequest(layers=layers, preset="pocket", steps=20)
    assert zerogpu.seconds("collage", plain) == 20
    assert zerogpu.seconds("collage", plain.replace(looks=True, look_steps=100)) == 20 + 50


@pytest.fixture
def lending(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this process were one that may borrow."""
    monkeypatch.setattr(zerogpu, "lent", zerogpu.draw)


def test_a_process_that_holds_no_gpu_computes_on_the_cpu(lending: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # torch says so in all of them
    assert device.pick("auto") != "cuda"
    monkeypatch.setattr(zerogpu, "inside", True)
    assert device.pick("auto") == "cuda"


def test_offloading_is_not_offered_where_gpus_are_lent(lending: None) -> None:
    full = catalog.SPECS["dreamfuse"].presets["full"]
    assert runtime.choose_memory(full, "auto") == "full"  # 38 of 48 GB
    with pytest.raises(BadRequest, match="choose one of full, fp8, 4bit"):
        runtime.choose_memory(full, "offload")


def test_a_space_means_pocket_by_auto_unless_weights_were_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = catalog.SPECS["dit4edit"]
    monkeypatch.setattr(runtime.device, "cuda_driver", lambda: True)
    monkeypatch.setattr(runtime.loading, "present", lambda _: True)
    assert runtime.choose_preset(spec, "auto") == "full"
    monkeypatch.setenv("SPACE_ID", "somebody/easel")
    assert runtime.choose_preset(spec, "auto") == "pocket"
    monkeypatch.setitem(zerogpu.placed, "dit4edit", spec.presets["full-1024"])
    assert runtime.choose_preset(spec, "auto") == "full-1024"


def test_the_list_of_what_to_place_is_read_strictly() -> None:
    assert zerogpu.named("") == []
    assert zerogpu.named("fuse/full, dit4edit/full-1024") == [("dreamfuse", "full"), ("dit4edit", "full-1024")]
    for wrong in ("fues/full", "fuse", "fuse/ful", "fuse/pocket", "edit/full, dit4edit/full-1024"):
        with pytest.raises(BadRequest, match="EASEL_PRELOAD"):
            zerogpu.named(wrong)


def test_placed_weights_are_held_and_may_be_borrowed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from models import fetching

    loaded: list[Weights] = []
    monkeypatch.setattr(runtime, "cache", ModelCache(lambda weights: loaded.append(weights)))
    monkeypatch.setattr(fetching, "fetch", lambda preset: None)
    monkeypatch.setattr(zerogpu, "placed", {})
    monkeypatch.setattr(runtime.device, "total_gigabytes", lambda _: 100.0)
    needed = catalog.SPECS["facediffuser"].presets["full"].components
    with pytest.raises(MissingWeights, match="EASEL_PRELOAD"):
        zerogpu.check("facediffuser", needed)
    with zerogpu._held:
        zerogpu.preload("face/full")
        runtime.cache.clear()
        assert set(loaded) == {weights for weights in needed.values() if not weights.local}
        zerogpu.check("facediffuser", needed)
        with runtime.cache.lease({k: w for k, w in needed.items() if not w.local}):
            assert len(loaded) == len(set(loaded))  # none was loaded twice: clearing left what is held


def test_weights_that_cannot_be_had_are_said_and_the_page_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from models import fetching

    def gone(preset: Any) -> None:
        raise MissingWeights("The hub cannot be reached from here.")

    monkeypatch.setattr(fetching, "fetch", gone)
    zerogpu.preload("fuse/full")
    assert "EASEL_PRELOAD: The hub cannot be reached" in caplog.text
    assert "dreamfuse" not in zerogpu.placed


def test_a_cache_is_usable_in_a_fork_that_came_while_others_held_it() -> None:
    go, weights = threading.Event(), Weights("assets/slow", "torch.nn.Linear")
    cache = ModelCache(lambda w: np.zeros(3) if go.is_set() else go.wait())
    waiting = threading.Thread(target=lambda: cache.lease({"net": weights}).__enter__(), daemon=True)
    waiting.start()
    while weights not in cache._entries:
        pass
    cache._lock.acquire()  # by somebody who is not in the fork
    cache._values._lock.acquire()
    cache.forked()
    go.set()
    with cache.lease({"net": weights}) as lease:
        assert lease["net"].shape == (3,)
    assert cache.remember(("key",), lambda: 5) == 5
