"""Requests: what is refused, in one sentence that names the fix; digests; bundles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from models.contract import BadRequest, Bundle, Placed, Request, option

WHITE = np.full((16, 24, 3), 255, np.uint8)


@dataclass(frozen=True, eq=False, kw_only=True)
class Fill(Request):
    image: np.ndarray = option("rgb", None, "Picture", required=True)
    mask: np.ndarray | None = option("mask", None, "Mask")
    strength: float = option("number", 0.5, "Strength", low=0.0, high=1.0)
    mode: str = option("choice", "a", "Mode", choices=("a", "b"))

    mask_of = {"mask": "image"}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"image": None}, "give a picture for “Picture”"),
        ({"image": WHITE.astype(np.float32)}, "must be 8-bit HxWx3"),
        ({"image": WHITE[..., :2]}, "must be 8-bit HxWx3"),
        ({"image": WHITE[:1, :1]}, "at least 8x8"),
        ({"mask": np.zeros((16, 16), np.uint8)}, "16x16 pixels but the image is 24x16"),
        ({"strength": 2}, "between 0 and 1"),
        ({"strength": float("nan")}, "finite"),
        ({"strength": "many"}, "must be a number"),
        ({"seed": 1.5}, "whole number"),
        ({"mode": "c"}, "one of a, b"),
        ({"prompt": "x" * 10_000}, "10000 characters; the limit is 4000"),
    ],
)
def test_wrong_values_are_refused_with_the_fix(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        Fill(**{"image": WHITE, **wrong})


def test_pictures_are_private_read_only_copies() -> None:
    mine = WHITE.copy()
    request = Fill(image=mine)
    mine[:] = 0
    assert request.image.min() == 255
    assert not request.image.flags.writeable


def test_digest_tells_requests_apart_and_is_stable() -> None:
    base = Fill(image=WHITE, seed=3)
    assert base.digest() == Fill(image=WHITE.copy(), seed=3).digest()
    others = [base.replace(seed=4), base.replace(prompt="a"), base.replace(image=WHITE[:, ::-1] // 2), base.replace()]
    assert [base.digest() == o.digest() for o in others] == [False, False, False, True]
    assert base.digest("image") == base.replace(seed=9).digest("image")


def test_bundle_names_the_parts_it_holds() -> None:
    assert Bundle().parts() == frozenset()
    full = Bundle(scene=WHITE, placed=Placed(np.zeros((8, 8, 4), np.uint8)), prompts={"target": "a cat"})
    assert full.parts() == {"scene", "placed", "prompts"}
