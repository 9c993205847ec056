"""The scene stage that a run keeps: other faces go on from it to the same pixels, and nothing else does."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest

from tests.methods import face_tiny as tiny

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning:diffusers.*")  # diffusers on NumPy 2
SAMPLERS = ("released", "paper", "fast")
AFTER_THE_SCENE: tuple[dict[str, Any], ...] = (
    {"references": (tiny.portrait(3), tiny.portrait(4, 200, 140))},
    {"subject_from": 0.9},
    {"subject_from": 0.25},
    {"anchor": "empty"},
    {"object_resolution": 240},
    {"crop_to_face": True},
    {"variant": "scene"},
)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_kept_scene_goes_on_to_the_same_pixels(kind: str) -> None:
    desk, asked = tiny.Desk(), {"sampler": kind}
    whole = desk.result(**asked)
    assert (whole.facts["from_prefix"], whole.facts["evaluations"]) == (False, 2 * sum(desk.both))
    for change in ({}, *AFTER_THE_SCENE) if kind == "released" else AFTER_THE_SCENE[:2]:
        before = desk.both
        again = desk.result(**asked, **change)
        made = tuple(after - b for after, b in zip(desk.both, before, strict=True))
        fresh = tiny.Desk().result(**asked, **change)
        assert np.array_equal(again.images[0], fresh.images[0]), change
        assert again.facts["from_prefix"]
        assert not fresh.facts["from_prefix"]
        assert again.facts["evaluations"] == 2 * sum(made) == fresh.facts["evaluations"] - 6  # three of the scene
        for name in ("fused_steps", "area", "stages", "all_evaluations"):
            assert again.facts[name] == fresh.facts[name]
        strips = [one.extras.get("maps") for one in (again, fresh)]
        assert (strips[0] is None) == (change.get("subject_from") == 0.25 or change.get("variant") == "scene")
        assert all(np.array_equal(strips[0], one) for one in strips)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a man <|image|> and a woman <|image|> in the sun"},
        {"negative_prompt": "a tree"},
        {"seed": 6},
        {"steps": 9},
        {"sampler": "released"},
        {"scene_until": 0.4},
        {"guidance_scale": 5.0},
        {"width": 96},
        {"variant": "subject"},
    ],
)
def test_a_kept_scene_is_not_taken_for_another_one(change: dict[str, Any]) -> None:
    desk = tiny.Desk()
    desk.result()
    asked = tiny.request(**change)
    (*_, found), (*_, fresh) = desk.events(asked), tiny.Desk().events(asked)
    assert np.array_equal(found.images[0], fresh.images[0])
    assert found.facts["evaluations"] == fresh.facts["evaluations"]


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_a_stopped_run_keeps_a_whole_scene_or_none(steps: int) -> None:
    desk = tiny.Desk()
    events = desk.events(tiny.request())
    assert [event.done for event in islice(events, steps)] == list(range(1, steps + 1))
    events.close()
    found = desk.result()
    assert found.facts["from_prefix"] == (steps >= 3)
    assert np.array_equal(found.images[0], tiny.Desk().only())


def test_the_ladder_is_three_runs_in_one() -> None:
    desk = tiny.Desk()
    made = desk.result(ladder=True)
    assert desk.both == (6 + 5, 5 + 8)  # the scene model alone goes on from the kept scene
    assert made.facts["evaluations"] == 22
    assert sorted(made.extras) == ["maps", "scene", "subject"]
    assert made.facts["ladder"] == ["scene", "subject"]  # what the command line and HTTP hand out beside it
    assert "ladder" not in desk.result().facts
    for name in ("scene", "subject"):
        assert np.array_equal(made.extras[name], tiny.Desk().only(variant=name))
    assert np.array_equal(made.images[0], tiny.Desk().only())
    alone = tiny.Desk().result(variant="subject", ladder=True)
    assert sorted(alone.extras) == ["both", "scene"]
    assert np.array_equal(alone.images[0], made.extras["subject"])
    assert np.array_equal(alone.extras["both"], made.images[0])


def test_two_pictures_are_two_runs() -> None:
    desk = tiny.Desk()
    both = tiny.Desk().result(num_images=2)
    assert both.facts["seeds"] == [5, 6]
    for k in range(2):
        assert np.array_equal(both.images[k], tiny.Desk().only(seed=5 + k))
    assert not np.array_equal(*both.images)
    one = desk.result()
    assert np.array_equal(both.extras["maps"], one.extras["maps"])
    assert (both.facts["evaluations"], len(both.facts["scores"])) == (22, 2)
    assert not desk.result(num_images=2).facts["from_prefix"]  # the second one was not kept
    assert desk.result(num_images=2).facts["from_prefix"]
