"""What is varied: lists and ranges as texts, typed by the field, and a sentence for each that is none."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from models import catalog
from models.compare.axes import Axis, parse, span, split
from models.contract import BadRequest

FUSE, INPAINT, EDIT, COLLAGE = (catalog.SPECS[key] for key in ("dreamfuse", "cat", "dit4edit", "collage"))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("seed=1-3", (1, 2, 3)),
        ("seed = 7", (7,)),
        ("seed=1-3, 9, 2", (1, 2, 3, 9)),
        ("seed=0..6 step 3", (0, 3, 6)),
        ("steps=4, 2", (4, 2)),
        ("guidance_scale=1..2 step .25", (1.0, 1.25, 1.5, 1.75, 2.0)),
        ("guidance-scale=1..2.1 step 0.4", (1.0, 1.4, 1.8)),
        ("variant=auto, direct-transform", ("auto", "direct-transform")),
        ("flip=on, off", (True, False)),
        ("preset=pocket", ("pocket",)),
        ("prompt=a red, round box || a box, blue", ("a red, round box", "a box, blue")),
        ("prompt=a box, a ball", ("a box", "a ball")),
        ("prompt=1-3", ("1-3",)),
        ("angle=-90..90 step 90", (-90.0, 0.0, 90.0)),
        ("method=cat, paste", ("cat", "paste")),
        ("case=2, 1", (2, 1)),
    ],
)
def test_lists_and_ranges_become_typed_values(text: str, values: tuple[Any, ...]) -> None:
    axis = parse(text, [FUSE])
    assert axis.values == values
    assert [type(v) for v in axis.values] == [type(v) for v in values]


def test_ranges_of_fractions_hit_their_ends_exactly() -> None:
    axis = parse("x=0..1 step 0.1", [FUSE])
    assert axis == Axis("x", tuple(float(Fraction(k, 10)) for k in range(11)))
    assert [str(value) for value in span("0..0.3 step 0.1") or ()] == ["0.0", "0.1", "0.2", "0.3"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seed", "written as"),
        ("=1-3", "written as"),
        ("seed=", "has no values"),
        ("seed= , ,", "has no values"),
        ("seed=3-1", "is empty"),
        ("seed=1..3 step 0", "is empty"),
        ("seed=1..3 step -1", "is empty"),
        ("seed=1..2 step 0.5", "whole number"),
        ("seed=one", "must be a number"),
        ("seed=0..999999999", "one axis takes 100,000"),
        ("seed=-5", "between -1 and"),
        ("guidance_scale=0..1 step 0.5", "between 1 and 10"),
        ("variant=fast", "must be one of auto"),
        ("flip=maybe", "on or off"),
        ("preset=huge", "no preset"),
        ("colour=#ffffff", "has no field"),
        ("foreground=a.png", "is no setting but an input"),
        ("num_images=1-4", "one picture"),
        ("case=0", "between 1 and"),
        ("case=one", "must be a number"),
    ],
)
def test_what_is_no_axis_is_one_sentence(text: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says) as refused:
        parse(text, [FUSE])
    assert str(refused.value).strip().count("\n") == 0


def test_every_method_must_have_the_field_and_take_the_value() -> None:
    with pytest.raises(BadRequest, match="Mask inpaint has no field “variant”"):
        parse("variant=auto", [FUSE, INPAINT])
    with pytest.raises(BadRequest, match=r"^Drag & place: .*between 1 and 10"):
        parse("guidance_scale=0, 2", [COLLAGE, FUSE])
    assert parse("steps=2, 3", [FUSE, INPAINT, EDIT, COLLAGE]).values == (2, 3)
    with pytest.raises(BadRequest, match="baselines have nothing to set"):
        parse("steps=2, 3", [])


def test_a_name_is_read_before_its_first_equals_sign() -> None:
    assert split(" Target-Prompt = a = b ") == ("target_prompt", "a = b")
