"""Jobs: stop while queued, loading and running; two visitors; what a closed generator leaves behind."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from models import catalog, runtime
from models.cache import ModelCache
from models.contract import BadRequest, Event, OutOfMemory, Preset, Request, Result, Spec, Step, Stopped, Weights

WEIGHTS = {"net": Weights("assets/none", "torch.nn.Linear")}


class Counter:
    """A method whose steps are slow, counted, and patch its model while they run."""

    def __init__(self, pause: float = 0.01) -> None:
        self.steps, self.pause, self.grad = 0, pause, True

    def load(self, components: Any, preset: Preset, device: str) -> Any:
        return components["net"]

    def run(self, net: torch.nn.Module, request: Request) -> Iterator[Event]:
        with patched(net):
            for k in range(request.steps):
                time.sleep(self.pause)
                self.steps += 1
                self.grad = torch.is_grad_enabled()
                yield Step(k + 1, request.steps)
        yield Result((np.full((8, 8, 3), request.seed % 255, np.uint8),))


@contextmanager
def patched(net: torch.nn.Module) -> Iterator[None]:
    net.patched = True
    try:
        yield
    finally:
        net.patched = False


@pytest.fixture
def method(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """A catalogue that holds only the counting method, and a fresh cache."""
    counter = Counter()
    presets = {"pocket": Preset("pocket", WEIGHTS, steps=3, label="")}
    spec = Spec("count", "Count", "count", "", "", Request, presets, frozenset(), lambda: counter)
    monkeypatch.setitem(catalog.SPECS, "count", spec)
    monkeypatch.setattr(runtime, "cache", ModelCache(lambda _: torch.nn.Linear(2, 2)))
    return counter


def net() -> torch.nn.Module:
    with runtime.cache.lease(WEIGHTS) as lease:
        return lease["net"]


def eventually(condition: Callable[[], bool], seconds: float = 1.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def test_run_ends_with_a_result_that_says_what_was_run(method: Counter) -> None:
    *steps, result = runtime.run("count", Request())
    assert [s.done for s in steps if s.done] == [1, 2, 3]
    assert 0 <= result.facts["seed"] < 2**31
    assert result.facts["preset"] == "pocket"
    assert result.facts["steps"] == 3
    assert method.grad is False  # inference mode reached the worker's thread


def test_closing_the_generator_ends_the_job_and_undoes_its_patches(method: Counter) -> None:
    events = runtime.run("count", Request(steps=200))
    for event in events:
        if event.done == 3:
            break
    events.close()
    seen = method.steps
    assert eventually(lambda: not runtime.lock.busy)
    assert method.steps <= seen + 1
    assert net().patched is False


def test_stop_flag_raises_stopped(method: Counter) -> None:
    stop = threading.Event()
    with pytest.raises(Stopped):
        for event in runtime.run("count", Request(steps=200), stop):
            if event.done == 3:
                stop.set()
    assert method.steps <= 5


def test_no_step_is_shown_after_a_stop_even_if_it_was_computed(method: Counter) -> None:
    stop, shown = threading.Event(), []
    with pytest.raises(Stopped):
        for event in runtime.run("count", Request(steps=200), stop):
            shown.append(event.done)
            if event.done == 3:
                assert eventually(lambda: method.steps > 5)  # the worker runs ahead of whoever looks
                stop.set()
    assert max(shown) == 3


def test_stop_works_while_queued(method: Counter) -> None:
    stop = threading.Event()
    first = runtime.run("count", Request(steps=200))
    next(e for e in first if e.done == 1)
    second = runtime.run("count", Request(), stop)
    assert next(e for e in second if "Waiting" in e.note).note == "Waiting: 1 ahead"
    stop.set()
    with pytest.raises(Stopped):
        list(second)
    assert method.steps < 200  # the first one was still at work
    first.close()
    assert eventually(lambda: not runtime.lock.busy)


def test_a_queued_run_repeats_its_step_so_that_it_can_be_closed(method: Counter) -> None:
    first = runtime.run("count", Request(steps=200))
    next(e for e in first if e.done == 1)
    second = runtime.run("count", Request(), patience=0.01)
    heard = [event.note for event in itertools.islice(second, 6)]
    assert heard[-3:] == ["Waiting: 1 ahead"] * 3
    second.close()
    first.close()
    assert eventually(lambda: not runtime.lock.busy)


def test_a_second_visitor_is_untouched_by_the_first_ones_stop(method: Counter) -> None:
    first = runtime.run("count", Request(steps=200))
    next(e for e in first if e.done == 1)
    outcome: list[Event] = []
    other = threading.Thread(target=lambda: outcome.extend(runtime.run("count", Request(seed=7, steps=2))))
    other.start()
    first.close()
    other.join(5)
    assert outcome[-1].facts["seed"] == 7


def test_unknown_preset_and_memory_mode_are_refused(method: Counter) -> None:
    with pytest.raises(BadRequest, match="no preset “large”"):
        next(runtime.run("count", Request(preset="large")))
    with pytest.raises(BadRequest, match="no memory mode “4bit”"):
        next(runtime.run("count", Request(memory="4bit")))


@pytest.mark.parametrize(
    ("driver", "on_disk", "chosen"), [(True, True, "full"), (True, False, "pocket"), (False, True, "pocket")]
)
def test_auto_is_full_only_with_a_gpu_and_the_weights(
    method: Counter, monkeypatch: pytest.MonkeyPatch, driver: bool, on_disk: bool, chosen: str
) -> None:
    spec = catalog.SPECS["count"]
    presets = {**spec.presets, "full": Preset("full", WEIGHTS, steps=9, label="")}
    monkeypatch.setattr(runtime.device, "cuda_driver", lambda: driver)
    monkeypatch.setattr(runtime.loading, "present", lambda _: on_disk)
    assert runtime.choose_preset(replace(spec, presets=presets), "auto") == chosen


def test_error_in_a_method_reaches_the_caller_and_frees_the_device(method: Counter) -> None:
    def broken(net: Any, request: Request) -> Iterator[Event]:
        yield Step(1, 2)
        raise ZeroDivisionError

    method.run = broken
    with pytest.raises(ZeroDivisionError):
        list(runtime.run("count", Request()))
    assert not runtime.lock.busy


def test_threads_are_the_users_then_the_presets_then_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Preset("pocket", WEIGHTS, steps=3, label="")
    small = replace(plain, settings={"threads": 1})
    monkeypatch.setattr(runtime.device, "cores", lambda: 16)
    assert [runtime.threads_for(p) for p in (plain, small)] == [4, 1]
    monkeypatch.setattr(runtime, "settings", runtime.Settings(threads=3))
    assert [runtime.threads_for(p) for p in (plain, small)] == [3, 3]


def test_out_of_memory_offers_the_next_smaller_mode() -> None:
    preset = SimpleNamespace(name="full", memory_modes=("full", "fp8"), settings={"memory": "full"})
    error = runtime.explained(torch.OutOfMemoryError("CUDA"), preset)
    assert isinstance(error, OutOfMemory)
    assert "“fp8”" in str(error)


@pytest.mark.parametrize("key", ["cat", "dit4edit"])
def test_a_guidance_of_0_is_the_presets_own_and_stands_in_the_recipe(key: str) -> None:
    spec, picture = catalog.SPECS[key], np.zeros((16, 16, 3), np.uint8)
    mask = np.pad(np.full((8, 8), 255, np.uint8), 4)
    words = {"prompt": "a cat"} if key == "cat" else {"target_prompt": "a cat"}
    request = spec.request(image=picture, mask=mask, preset="pocket", **words)
    resolved, preset = runtime.resolve(spec, request)
    assert request.guidance_scale == 0 < preset.guidance_scale == resolved.guidance_scale
    assert runtime.resolve(spec, request.replace(guidance_scale=6.5))[0].guidance_scale == 6.5
    facts = {"seed": 1, "preset": "pocket", "steps": 3, "guidance_scale": 2.5, "memory": "full"}
    ran = Result((picture,), facts=facts | {"device": "cpu", "threads": 1, "seconds": 1.0})
    assert runtime.recorded(key, request, ran)[0].request["guidance_scale"] == 2.5


def test_model_libraries_are_imported_by_one_thread_at_a_time(method: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = [0], [0]

    def importing() -> Counter:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.05)
        inside[0] -= 1
        return method

    monkeypatch.setitem(catalog.SPECS, "count", dataclasses.replace(catalog.SPECS["count"], method=importing))
    warming = threading.Thread(target=runtime.warm_up, args=("count",))
    warming.start()
    list(runtime.run("count", Request(steps=1, seed=1)))
    warming.join()
    assert most == [1]
