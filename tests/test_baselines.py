"""The pictures that results stand beside: pasted, blended, filled, and drawn again from their recipes."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest

from models import bundles
from models.baselines import BASELINES, again, record
from models.contract import BadRequest, Bundle, Placed
from models.recipe import Recipe
from tests.test_bundles import DROPPED, MASK, OBJECT, OTHER, PAINTED, PLACED, SCENE, TOLD


def drawn(key: str, bundle: Bundle) -> tuple[np.ndarray, str]:
    return BASELINES[key].draw(BASELINES[key].take(bundle))


def test_the_paste_is_alpha_over_the_scene() -> None:
    square = np.zeros((24, 24, 4), np.uint8)
    square[4:20, 4:20] = (250, 10, 30, 255)
    placed = Placed(square, x=0.5, y=0.5, scale=16 / 128)  # whole pixels: no resampling is left to argue about
    expected = SCENE.copy()
    expected[40:56, 56:72] = (250, 10, 30)
    picture, _ = drawn("paste", Bundle(SCENE, placed))
    assert np.array_equal(picture, expected)


def test_poisson_is_opencvs_clone_inside_the_picture() -> None:
    scene = cv2.GaussianBlur(SCENE, (0, 0), 6)
    alpha = np.zeros((64, 64, 4), np.uint8)
    cv2.circle(alpha, (32, 32), 20, (180, 90, 40, 255), -1)
    alpha[..., :3][alpha[..., 3] > 0] += RNG.integers(0, 40, (int((alpha[..., 3] > 0).sum()), 3), np.uint8)
    left, top, right, bottom = 12, 12, 53, 53
    placed = Placed(alpha, x=0.5, y=0.5, scale=(right - left) / 128)
    picture, note = drawn("poisson", Bundle(scene, placed))
    canvas = np.zeros((96, 128, 3), np.uint8)
    mask = np.zeros((96, 128), np.uint8)
    rows, columns = slice(48 - 20, 48 + 21), slice(64 - 20, 64 + 21)
    shift = (64 - (left + right) / 2, 48 - (top + bottom) / 2)
    assert shift[0] % 0.5 == 0
    canvas[rows, columns], mask[rows, columns] = alpha[top:bottom, left:right, :3], alpha[top:bottom, left:right, 3]
    cloned = cv2.seamlessClone(canvas, scene, mask, (64, 48), cv2.NORMAL_CLONE)
    assert note == ""
    assert np.abs(picture.astype(int) - cloned).mean() < 1.5  # half a pixel of resampling
    assert np.abs(picture.astype(int) - scene).max() > 10


RNG = np.random.default_rng(1)


@pytest.mark.parametrize("where", [(0.0, 0.0), (1.0, 0.5), (0.5, 1.0), (1.0, 1.0)])
@pytest.mark.parametrize("scale", [0.02, 0.5, 2.5])
def test_poisson_survives_borders_specks_and_giants(where: tuple[float, float], scale: float) -> None:
    picture, _ = drawn("poisson", Bundle(SCENE, dataclasses.replace(PLACED, x=where[0], y=where[1], scale=scale)))
    assert (picture.shape, picture.dtype) == (SCENE.shape, np.uint8)


def test_what_cannot_be_blended_is_pasted_and_said() -> None:
    speck = Bundle(SCENE, dataclasses.replace(PLACED, scale=0.01))
    picture, note = drawn("poisson", speck)
    assert "pasted as it is" in note
    assert np.array_equal(picture, drawn("paste", speck)[0])


def test_layers_are_pasted_back_to_front() -> None:
    grey = np.full((96, 128, 3), 120, np.uint8)
    low, high = dataclasses.replace(PLACED, x=0.5, y=0.5), dataclasses.replace(OTHER, x=0.5, y=0.5)
    picture, _ = drawn("paste", Bundle(grey, layers=(low, high)))
    assert tuple(picture[48, 64]) == tuple(OTHER.image[20, 14, :3])


def test_a_fill_changes_the_hole_alone_and_takes_its_colours_from_the_rim() -> None:
    scene = np.zeros((96, 128, 3), np.uint8)
    scene[:, :, 0] = 200
    scene[20:60, 30:80] = 0
    picture, _ = drawn("fill", Bundle(scene, mask=MASK))
    assert np.array_equal(picture[MASK == 0], scene[MASK == 0])
    assert np.abs(picture[MASK > 0].astype(int) - (200, 0, 0)).max() <= 8  # Telea weighs gradients too
    untouched, note = drawn("fill", Bundle(SCENE, mask=np.full((96, 128), 255, np.uint8)))
    assert (np.array_equal(untouched, SCENE), "nothing to fill from" in note) == (True, True)


@pytest.mark.parametrize(
    ("key", "bundle", "says"),
    [
        ("paste", TOLD, "needs an object"),
        ("poisson", PAINTED, "needs an object"),
        ("fill", DROPPED, "needs a mask"),
        ("input", Bundle(references=(SCENE,)), "needs a scene"),
        ("input", Bundle(np.zeros((96, 128, 3), np.uint8), layers=(PLACED,)), "plain canvas"),
        ("paste", Bundle(SCENE, mask=MASK[:50]), "an object"),
    ],
)
def test_a_baseline_with_nothing_to_show_says_so(key: str, bundle: Bundle, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        BASELINES[key].take(bundle)


@pytest.mark.parametrize(
    ("key", "bundle"), [("input", TOLD), ("paste", DROPPED), ("poisson", DROPPED), ("fill", PAINTED)]
)
def test_a_recipe_draws_the_same_picture_again(key: str, bundle: Bundle) -> None:
    request = BASELINES[key].take(bundle)
    picture, _ = BASELINES[key].draw(request)
    recipe, inputs = record(key, request, 0.1)
    known = Recipe.from_json(json.dumps(json.loads(recipe.to_json())))
    repeated, now = again(known, inputs)
    assert np.array_equal(picture, repeated)
    assert now.method == key
    assert all(name.split(".")[0] in ("scene", "layers", "mask") for name in inputs)


def test_no_baseline_holds_references_of_people() -> None:
    whole = dataclasses.replace(DROPPED, mask=MASK, references=(SCENE[::2],))
    for baseline in BASELINES.values():
        _, inputs = record(baseline.key, baseline.take(whole), 0.1)
        assert not any(np.array_equal(picture, SCENE[::2]) for picture in inputs.values())
    assert bundles.plain(np.zeros((8, 8, 3), np.uint8))
    assert OBJECT.dtype == np.uint8
