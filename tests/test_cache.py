"""The component cache: one load however many ask, nothing leased is lost, budgets are kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from models.cache import ModelCache
from models.contract import Stopped, Weights


def linear(_: Weights) -> torch.nn.Module:
    return torch.nn.Linear(16, 16, bias=False)  # 1024 bytes


def weights(*names: str) -> dict[str, Weights]:
    return {name: Weights(f"assets/{name}", "torch.nn.Linear") for name in names}


def test_lease_loads_once_for_many_threads() -> None:
    loads: list[Weights] = []
    gate = threading.Event()

    def load(wanted: Weights) -> torch.nn.Module:
        gate.wait(5)
        loads.append(wanted)
        return linear(wanted)

    cache, got = ModelCache(load), []

    def use() -> None:
        with cache.lease(weights("a")) as lease:
            got.append(lease["a"])

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len({id(thing) for thing in got}) == 1


def test_least_recently_used_is_dropped_and_leased_is_kept() -> None:
    cache = ModelCache(linear, host_bytes=2048)
    with cache.lease(weights("a")) as first:
        kept = first["a"]
        for name in ("b", "c", "d"):
            with cache.lease(weights(name)):
                pass
        assert cache.resident()["cpu"] <= 2048
        with cache.lease(weights("a")) as again:
            assert again["a"] is kept


def test_dropped_component_is_loaded_again() -> None:
    cache = ModelCache(linear, host_bytes=1024)
    with cache.lease(weights("a")) as lease:
        first = lease["a"]
    with cache.lease(weights("b")):
        pass
    with cache.lease(weights("a")) as lease:
        assert lease["a"] is not first


class Travelling(torch.nn.Linear):
    """A module that notes where it was sent, because no second device is there."""

    def to(self, device: str) -> Travelling:
        self.place = device
        return self


def test_device_budget_sends_the_oldest_back_to_the_host() -> None:
    cache = ModelCache(lambda _: Travelling(16, 16, bias=False), device_bytes=2048)
    seen = {}
    for name in ("a", "b", "c"):
        with cache.lease(weights(name)) as lease:
            lease.to("cuda")
            seen[name] = lease[name]
    assert {name: module.place for name, module in seen.items()} == {"a": "cpu", "b": "cuda", "c": "cuda"}
    assert cache.resident()["cuda"] == 2048
    assert cache.resident()["cpu"] == 1024


def test_stop_leaves_a_load_that_goes_on_for_others() -> None:
    gate, stop = threading.Event(), threading.Event()

    def load(wanted: Weights) -> torch.nn.Module:
        gate.wait(5)
        return linear(wanted)

    cache = ModelCache(load)
    stop.set()
    with pytest.raises(Stopped), cache.lease(weights("a"), stop):
        pass
    gate.set()
    with cache.lease(weights("a")) as lease:
        assert lease["a"].in_features == 16


def test_a_failed_load_is_told_to_all_and_tried_again() -> None:
    answers = iter([OSError("no disk"), None])

    def load(wanted: Weights) -> torch.nn.Module:
        if error := next(answers):
            raise error
        return linear(wanted)

    cache = ModelCache(load)
    with pytest.raises(OSError, match="no disk"), cache.lease(weights("a")):
        pass
    with cache.lease(weights("a")) as lease:
        assert lease["a"] is not None


def test_failed_lease_returns_what_it_already_held() -> None:
    def load(wanted: Weights) -> torch.nn.Module:
        if wanted.source.endswith("bad"):
            raise OSError("bad")
        return linear(wanted)

    cache = ModelCache(load, host_bytes=0)
    with pytest.raises(OSError, match="bad"), cache.lease(weights("a", "bad")):
        pass
    assert cache.resident().get("cpu", 0) == 0


def test_patches_of_a_lease_are_undone_on_error() -> None:
    cache, undone = ModelCache(linear), []
    with pytest.raises(KeyError), cache.lease(weights("a")) as lease:
        lease.patches.callback(undone.append, "patch")
        raise KeyError
    assert undone == ["patch"]


def test_values_are_computed_once_within_the_budget() -> None:
    cache, calls = ModelCache(linear, value_bytes=8 * 8), []

    def compute(n: int) -> np.ndarray:
        calls.append(n)
        return np.zeros(4)  # 32 bytes

    with cache.lease(weights("vae")) as lease:
        for n in (1, 2, 1, 3, 2):  # 3 drops 2, the least recently used
            lease.remember(("vae", n), lambda n=n: compute(n))
    assert calls == [1, 2, 3, 2]
    assert cache.resident()["values"] <= 64


def test_waiting_is_announced_by_component_name() -> None:
    told: list[str] = []

    def load(wanted: Weights) -> torch.nn.Module:
        time.sleep(0.02)
        return linear(wanted)

    with ModelCache(load).lease(weights("vae"), notify=told.append):
        pass
    assert told == ["Loading vae"]


def test_offloaded_components_take_turns_and_lose_their_hooks() -> None:
    cache = ModelCache(linear)
    with cache.lease(weights("text", "net")) as lease:
        lease.to("cpu", offload=True)
        text, net = lease["text"], lease["net"]
        assert net._hf_hook.prev_module_hook.model is text  # leaves when the net is called
    assert not any(hasattr(module, "_hf_hook") for module in (text, net))


class Elsewhere(torch.nn.Module):
    """A module that can be on a device which is not there, and does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.where = torch.device("cpu")

    def to(self, device: str) -> Elsewhere:  # type: ignore[override]
        self.where = torch.device(device)
        return self

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        yield SimpleNamespace(device=self.where, nbytes=1)

    def forward(self) -> None:
        pass


def test_offloaded_neighbours_in_turns_stay_together() -> None:
    cache = ModelCache(lambda _: Elsewhere())
    with cache.lease(weights("text", "one", "two", "vae")) as lease:
        lease.to("cuda", offload=True, together=("one", "two"))

        def on_device(called: str) -> set[str]:
            lease[called]()
            return {name for name in ("text", "one", "two", "vae") if lease[name].where.type == "cuda"}

        assert on_device("text") == {"text"}
        assert on_device("one") == {"one"}
        for called in ("two", "one", "two"):
            assert on_device(called) == {"one", "two"}
        assert on_device("vae") == {"vae"}
        assert on_device("two") == {"two", "vae"}  # as after the first picture of several
        assert on_device("vae") == {"vae"}
        assert on_device("one") == {"one", "vae"}
    assert not any(hasattr(lease[name], "_hf_hook") for name in ("text", "one", "two", "vae"))
