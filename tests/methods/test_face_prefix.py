"""A kept scene stage goes on to the same bits, forgets nothing that a scheduler remembers, and is told apart."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch

from models.cache import nbytes
from models.facediffuser.denoising import Guidance, State, denoise, scheduler
from models.facediffuser.prefix import MEMORY, Key, Prefix, taken
from models.facediffuser.stages import SAMPLERS, Bounds, Sampler
from tests.methods.face_parts import gaussian, networks, noise

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning:diffusers.*")  # diffusers on NumPy 2
STEPS = 9
SHAPE = (2, 4, 8, 8)


def whole(kind: Sampler, bounds: Bounds) -> tuple[list[State], Prefix]:
    """A run, and its scene stage as it was kept on the way."""
    steps, found, kept = scheduler(kind, STEPS), [], None
    for state in denoise(networks(), noise(*SHAPE), steps, bounds, Guidance()):
        found.append(state)
        if state.step == bounds.scene:
            kept = taken(steps, state.step, state.latents)
    assert kept is not None
    return found, kept


def same(some: list[State], others: list[State]) -> bool:
    pairs = list(zip(some, others, strict=True))
    tensors = [(a, b) for one, other in pairs for a, b in zip(one[:-1], other[:-1], strict=True)]
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in tensors)


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("scene", [0, 1, 2, 3, 4, 7, 8])
def test_a_run_from_a_prefix_is_the_whole_run(kind: Sampler, scene: int) -> None:
    bounds = Bounds(scene, max(scene, 6))
    found, kept = whole(kind, bounds)
    nets = networks()
    rest = list(denoise(nets, torch.zeros(SHAPE), scheduler(kind, STEPS), bounds, Guidance(), kept))
    assert same(rest, found[scene + 1 :])
    assert [len(net.calls) for net in nets] == [  # type: ignore[attr-defined]
        sum(state.stage == "fused" for state in rest),
        len(rest),
    ]
    if rest:
        assert rest[-1].evaluations == found[-1].evaluations - found[scene].evaluations


@pytest.mark.parametrize("kind", SAMPLERS)
def test_other_faces_and_another_second_bound_go_on_from_it(kind: Sampler) -> None:
    _, kept = whole(kind, Bounds(3, 6))
    nets = networks()._replace(sdm=gaussian(7))
    fresh = list(denoise(nets, noise(*SHAPE), scheduler(kind, STEPS), Bounds(3, 4), Guidance()))
    for _ in range(2):  # the first use leaves it as it was
        rest = denoise(nets, noise(*SHAPE), scheduler(kind, STEPS), Bounds(3, 4), Guidance(), kept)
        assert same(list(rest), fresh[4:])


def test_the_released_setting_saves_a_quarter() -> None:
    steps, bounds = scheduler("released", 50), Bounds(15, 30)
    run = denoise(networks(), noise(), steps, bounds, Guidance())
    kept = next(taken(steps, state.step, state.latents) for state in run if state.step == 15)
    *_, last = denoise(networks(), noise(), scheduler("released", 50), bounds, Guidance(), kept)
    assert (last.step, last.evaluations) == (50, 100)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_all_that_a_scheduler_changes_is_kept(kind: Sampler) -> None:
    steps = scheduler(kind, STEPS)
    before = copy.deepcopy(vars(steps))
    changed: set[str] = set()
    for _ in denoise(networks(), noise(), steps, Bounds(3, 6), Guidance()):
        changed |= {name for name, value in vars(steps).items() if not _equal(value, before.get(name))}
    assert changed <= {name for names in MEMORY for name in names}
    assert bool(changed) == (kind != "paper")


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if hasattr(one, "shape"):
        return hasattr(other, "shape") and bool((one == other).all())
    return bool(type(one) is type(other) and one == other)


@pytest.mark.parametrize(("kind", "tensors"), [("released", 5), ("paper", 1), ("fast", 3)])
def test_a_prefix_is_copied_and_its_size_is_known(kind: Sampler, tensors: int) -> None:
    steps = scheduler(kind, STEPS)
    for state in denoise(networks(), noise(*SHAPE), steps, Bounds(8, 8), Guidance()):
        if state.step == 4:
            kept = taken(steps, 4, state.latents)
            before = kept.latents.clone()
            state.latents.zero_()
            break
    assert torch.equal(kept.latents, before)
    assert kept.nbytes == nbytes(kept) == tensors * noise(*SHAPE).nbytes
    restored = kept.restored(scheduler(kind, STEPS))
    restored.zero_()
    assert torch.equal(kept.latents, before)


KEY = Key("tdm", "clip", "betas", (1, 2), (1, 3), (7,), (8, 8), "paper", 20, 6, 5.0, "cpu float32")
OTHER = Key("sd15", "other", "linear", (1, 4), (1, 5), (7, 8), (8, 12), "fast", 25, 7, 4.0, "cuda float16")


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Key)])
def test_whatever_may_change_a_prefix_tells_it_apart(name: str) -> None:
    assert dataclasses.replace(KEY) == KEY
    assert {KEY: 1}[dataclasses.replace(KEY)] == 1
    assert dataclasses.replace(KEY, **{name: getattr(OTHER, name)}) != KEY
