"""Clicks behind the runtime: one embedding for many clicks, a lock of their own, the best model that is here."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
import torch

from models import cache, clicks, cutout, loading, runtime
from models.contract import MissingWeights, OutOfMemory, Stopped
from models.masks import Sam2Masker
from models.segment import PRESETS, SegmentRequest
from tests import tiny
from tests.test_cutout import scene
from tests.test_segment import BLANK, request

NEVER = threading.Event()


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The toy in the place of every mask weight; counts loads and embeddings, each of which takes its time."""
    counts = {"loads": 0, "embeddings": 0}

    def load(weights: Any) -> Any:
        counts["loads"] += 1
        model = tiny.sam2()

        def count(*_: Any) -> None:
            counts["embeddings"] += 1
            time.sleep(0.1)

        model.vision_encoder.register_forward_hook(count)
        return model

    monkeypatch.setattr(runtime, "cache", cache.ModelCache(load))
    return counts


def test_the_mask_is_the_maskers_best_and_comes_with_its_score(loaded: dict[str, int]) -> None:
    asked = request(points=[(100, 75), (20, 20)], labels=[1, 0], model="pocket", soft_edges=False)
    found = runtime.segment(asked)
    masker = Sam2Masker(tiny.sam2())
    masks, scores = masker.mask(masker.embed(asked.image), asked.points, asked.labels)
    np.testing.assert_array_equal(found.mask, masks[0])
    assert found.score == pytest.approx(float(scores[0]))
    assert found.facts["model"] == "pocket"
    soft = runtime.segment(request(points=[(100, 75), (20, 20)], labels=[1, 0], model="pocket"))
    np.testing.assert_array_equal(soft.mask, cutout.softened(asked.image, masks[0]))


def test_a_picture_is_embedded_once_however_many_click_at_once(loaded: dict[str, int]) -> None:
    found: dict[int, Any] = {}

    def click(k: int) -> None:
        found[k] = runtime.segment(request(points=[(10 + 30 * k, 75)], model="pocket")).mask

    threads = [threading.Thread(target=click, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded == {"loads": 1, "embeddings": 1}
    for k in range(4):
        np.testing.assert_array_equal(
            found[k], runtime.segment(request(points=[(10 + 30 * k, 75)], model="pocket")).mask
        )
    assert loaded["embeddings"] == 1
    runtime.segment(SegmentRequest(image=scene("ellipse")[0], points=[(100, 75)], model="pocket"))
    assert loaded["embeddings"] == 2
    resident = runtime.cache.resident()["values"]
    assert resident >= 2 * Sam2Masker(tiny.sam2()).embed(BLANK).nbytes


def test_an_embedding_can_be_made_before_the_first_click(loaded: dict[str, int]) -> None:
    image = scene("star")[0]
    runtime.embed(image, "grabcut")
    assert loaded["loads"] == 0
    runtime.embed(image, "pocket")
    runtime.segment(request(points=[(100, 75)], model="pocket"))
    assert loaded == {"loads": 1, "embeddings": 1}


def test_warming_up_loads_what_will_answer(loaded: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clicks, "choose", lambda wanted: "grabcut")
    clicks.warm_up()
    assert loaded["loads"] == 0
    monkeypatch.setattr(clicks, "choose", lambda wanted: "pocket")
    clicks.warm_up()
    runtime.segment(request(points=[(100, 75)]))
    assert loaded == {"loads": 1, "embeddings": 1}


def test_a_click_does_not_wait_behind_a_run_on_a_cpu(loaded: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "settings", runtime.Settings(device="cpu"))
    patience = threading.Event()  # raised only where the click waits: this test ends either way
    timer = threading.Timer(60, patience.set)
    timer.start()
    with runtime.lock.hold(NEVER, lambda ahead: None):
        found = runtime.segment(request(points=[(100, 75)], model="pocket"), patience)
    timer.cancel()
    assert found.facts["device"] == "cpu"


@pytest.mark.parametrize("model", ["pocket", "grabcut"])
def test_stop_ends_the_wait_for_other_clicks(
    loaded: dict[str, int], monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr(runtime, "settings", runtime.Settings(device="cpu"))
    stop = threading.Event()
    with clicks.lock.hold(NEVER, lambda ahead: None):
        threading.Timer(0.2, stop.set).start()
        with pytest.raises(Stopped):
            runtime.segment(request(points=[(100, 75)], model=model), stop)
    assert not clicks.lock.busy
    assert runtime.segment(request(points=[(100, 75)], model=model)).score is not None


def test_on_a_gpu_clicks_take_their_turn_with_the_runs(loaded: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clicks.device, "pick", lambda wanted: "meta")
    stop = threading.Event()
    with runtime.lock.hold(NEVER, lambda ahead: None):
        threading.Timer(0.2, stop.set).start()
        with pytest.raises(Stopped):
            runtime.segment(request(points=[(100, 75)], model="pocket"), stop)


def test_a_full_device_and_absent_weights_are_told_as_that(
    loaded: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Sam2Masker, "embed", full)
    with pytest.raises(OutOfMemory, match="full weights do not fit on this device; choose the pocket preset"):
        runtime.segment(request(points=[(100, 75)], model="full"))
    monkeypatch.setattr(runtime, "cache", cache.ModelCache(loading.load_component))
    monkeypatch.setattr(loading, "present", lambda weights: False)
    with pytest.raises(MissingWeights, match="sam2.1-hiera-tiny is not on this machine"):
        runtime.segment(request(points=[(100, 75)], model="full"))


@pytest.mark.parametrize(
    ("here", "gpu", "preset", "wanted", "chosen"),
    [
        ((), False, "auto", "auto", "grabcut"),
        (("pocket",), False, "auto", "auto", "pocket"),
        (("pocket", "full"), False, "auto", "auto", "pocket"),
        (("pocket", "full"), True, "auto", "auto", "full"),
        (("pocket", "full"), True, "pocket", "auto", "pocket"),
        (("pocket",), True, "auto", "auto", "pocket"),
        (("pocket", "full"), True, "auto", "grabcut", "grabcut"),
        ((), False, "auto", "full", "full"),
    ],
)
def test_auto_is_the_best_that_is_here(
    monkeypatch: pytest.MonkeyPatch, here: tuple[str, ...], gpu: bool, preset: str, wanted: str, chosen: str
) -> None:
    sources = [PRESETS[name].components["sam2"] for name in here]
    monkeypatch.setattr(loading, "present", lambda weights: weights in sources)
    monkeypatch.setattr(clicks.device, "cuda_driver", lambda: gpu)
    monkeypatch.setattr(runtime, "settings", runtime.Settings(preset=preset))
    assert clicks.choose(wanted) == chosen
