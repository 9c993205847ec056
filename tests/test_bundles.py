"""One input for every method: requests become bundles and bundles requests, and what is lost on the way is said."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from models import bundles, catalog, pixels
from models.contract import BadRequest, Bundle, Placed, Request, options

RNG = np.random.default_rng(5)
SCENE = RNG.integers(0, 256, (96, 128, 3), np.uint8)
OBJECT = np.zeros((40, 30, 4), np.uint8)
OBJECT[5:35, 4:24] = (200, 60, 20, 255)
MASK = np.zeros((96, 128), np.uint8)
MASK[20:60, 30:80] = 255
PLACED = Placed(OBJECT, x=0.4, y=0.6, scale=0.25, angle=20.0, flip=True, prompt="a red box")
OTHER = Placed(OBJECT[..., [2, 1, 0, 3]].copy(), x=0.7, y=0.3, scale=0.2, prompt="a blue box")
DROPPED = Bundle(SCENE, PLACED)
PAINTED = Bundle(SCENE, mask=MASK, prompts={"prompt": "a teapot", "negative_prompt": "blur"})
TOLD = Bundle(SCENE, prompts={"source_prompt": "a cat", "target_prompt": "a dog", "negative_prompt": ""})


def made(key: str, bundle: Bundle, **fields: Any) -> tuple[Request, tuple[str, ...]]:
    return bundles.request_of(catalog.SPECS[key], bundle, **fields)


def same(a: Any, b: Any) -> bool:
    """Equality that looks into arrays, tuples and placed objects."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and np.array_equal(a, b)
    if isinstance(a, Placed):
        return all(same(getattr(a, name), getattr(b, name)) for name in a.__dataclass_fields__)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(*pair) for pair in zip(a, b, strict=True))
    return bool(a == b)


ROUNDS = [
    ("dreamfuse", Bundle(SCENE, Placed(OBJECT, 0.3, 0.7, 0.4, 15.0, True), prompts={"prompt": "a box on noise"})),
    ("cat", PAINTED),
    ("dit4edit", Bundle(SCENE, mask=MASK, prompts=TOLD.prompts)),
    (
        "collage",
        Bundle(
            np.full((64, 128, 3), (10, 200, 30), np.uint8),
            layers=(PLACED, OTHER),
            prompts={"prompt": "a blue box and a red box on green", "negative_prompt": "blur"},
        ),
    ),
]


@pytest.mark.parametrize(("key", "bundle"), ROUNDS, ids=[key for key, _ in ROUNDS])
def test_a_bundle_of_a_methods_own_kind_comes_back_equal(key: str, bundle: Bundle) -> None:
    request, left = made(key, bundle)
    back = catalog.SPECS[key].give(request)  # type: ignore[misc]
    for part in ("scene", "placed", "mask", "layers", "references"):
        assert same(getattr(back, part), getattr(bundle, part)), part
    assert dict(back.prompts) == dict(bundle.prompts)
    assert not [one for one in left if "not used" in one]
    again, _ = made(key, back)
    assert again.digest() == request.digest()


def test_every_method_takes_and_gives() -> None:
    assert [
        s.key for s in catalog.SPECS.values() if (s.take is None or s.give is None) and s.key != "facediffuser"
    ] == []


def test_a_placed_object_is_inpainted_where_the_paste_stands() -> None:
    request, left = made("cat", DROPPED)
    values: Any = request
    alpha = pixels.warp(OBJECT, (96, 128), bundles.matrix(PLACED, (96, 128)))[..., 3]
    solid = (alpha >= 128).astype(np.uint8)
    assert ((values.mask == 255) >= (solid == 1)).all()  # covers the object
    far = cv2.distanceTransform(1 - solid, cv2.DIST_L2, 5)[values.mask == 255].max()
    assert 1 <= far <= 3  # and only a little more: two pixels for an object of 40
    assert (values.prompt, np.array_equal(values.image, SCENE)) == ("a red box", True)
    assert any("its picture is not used" in one for one in left)


def test_a_placed_object_is_one_layer_over_the_scene() -> None:
    request, left = made("collage", DROPPED)
    values: Any = request
    assert (values.width, values.height) == (128, 96)
    assert [layer.text for layer in values.collage.shown] == ["background", "a red box"]
    from models.collage.composing import compose

    pasted, _ = pixels.paste(SCENE, OBJECT, bundles.matrix(PLACED, (96, 128)))
    assert np.abs(compose(values.collage).flat.astype(int) - pasted).max() <= 1  # the same picture, rounded elsewhere
    assert values.layers[0].dials.noise == 0 < values.layers[1].dials.noise  # the scene is kept
    assert any("“background”" in one for one in left)


def test_a_scene_of_odd_sides_gets_the_nearest_canvas() -> None:
    request, left = made("collage", Bundle(SCENE[:93, :125], PLACED))
    values: Any = request
    assert (values.height, values.width) == (96, 128)
    assert compose_free(values) == 0.0
    assert any("128x96" in one for one in left)


def compose_free(request: Any) -> float:
    from models.collage.composing import compose

    return float(compose(request.collage).uncovered.max())


def test_the_top_layer_is_placed_on_the_rest() -> None:
    scene = np.full((96, 128, 3), 90, np.uint8)
    bundle = Bundle(scene, layers=(PLACED, OTHER), prompts={"prompt": "a blue box and a red box"})
    request, left = made("dreamfuse", bundle)
    values: Any = request
    ground, _ = pixels.paste(scene, OBJECT, bundles.matrix(PLACED, (96, 128)))
    assert np.array_equal(values.background, ground)
    assert np.array_equal(values.foreground, OTHER.image)
    assert (values.x, values.y, values.scale) == (0.7, 0.3, 0.2)
    assert any("top layer" in one for one in left)
    filled, _ = made("cat", bundle)
    assert (filled.prompt, np.array_equal(filled.image, ground)) == ("a blue box", True)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("key", "bundle", "says"),
    [
        ("dreamfuse", PAINTED, "needs an object"),
        ("dreamfuse", Bundle(placed=PLACED), "needs a scene"),
        ("dreamfuse", Bundle(layers=(PLACED,)), "needs a scene"),
        ("cat", Bundle(SCENE, Placed(OBJECT)), "say what the object is"),
        ("cat", Bundle(mask=MASK), "needs a picture"),
        ("cat", TOLD, "needs a mask"),
        ("cat", Bundle(SCENE, Placed(OBJECT, x=9.0, prompt="a box")), "outside the scene"),
        ("collage", PAINTED, "needs layers"),
        ("collage", Bundle(SCENE, Placed(OBJECT)), "say what the object is"),
        ("collage", Bundle(SCENE, layers=(Placed(OBJECT),)), "words for every layer"),
        ("dit4edit", DROPPED, "cannot place an object"),
        ("dit4edit", Bundle(SCENE), "target prompt"),
        ("dit4edit", Bundle(prompts={"prompt": "a dog"}), "needs a picture"),
    ],
)
def test_what_a_method_cannot_answer_is_one_sentence(key: str, bundle: Bundle, says: str) -> None:
    with pytest.raises(BadRequest, match=says) as refused:
        made(key, bundle)
    assert str(refused.value).count(".") == 1


def test_parts_that_are_left_out_are_named() -> None:
    everything = Bundle(SCENE, PLACED, MASK, references=(SCENE,), prompts={"prompt": "p", "source_prompt": "s"})
    _, left = made("dreamfuse", everything)
    assert {"Drag & place: the mask is not used.", "Drag & place: the source prompt is not used."} <= set(left)
    assert any("reference pictures are not used" in one for one in left)


def test_every_mask_and_object_words_reach_the_inpainter_first() -> None:
    both = Bundle(SCENE, PLACED, MASK, prompts={"prompt": "a room"})
    request, _ = made("cat", both)
    assert np.array_equal(request.mask, MASK)  # type: ignore[attr-defined]
    assert request.prompt == "a red box"
    told, _ = made("cat", Bundle(SCENE, mask=MASK, prompts={"target_prompt": "a dog"}))
    assert told.prompt == "a dog"


def test_a_crop_shows_the_same_object_in_the_same_place() -> None:
    scene = np.zeros((400, 600, 3), np.uint8)
    whole = Bundle(scene, Placed(OBJECT, 0.3, 0.6, 0.1, prompt="a box"))
    small = bundles.cropped(whole, padding=0.75)
    assert small.scene is not None
    assert small.placed is not None
    assert max(small.scene.shape[:2]) < 300
    pasted, inside = bundles.over(scene, [whole.placed]), bundles.over(small.scene, [small.placed])  # type: ignore[list-item]
    assert int(inside.sum()) == pytest.approx(int(pasted.sum()), rel=1e-3)  # nothing of the object is cut
    assert bundles.cropped(TOLD) is TOLD


def test_fields_of_the_caller_win() -> None:
    request, _ = made("cat", PAINTED, prompt="a vase", seed=3, steps=2)
    assert (request.prompt, request.seed, request.steps) == ("a vase", 3, 2)
    assert "num_images" in options(type(request))


PERSON = RNG.integers(0, 256, (64, 48, 3), np.uint8)


def test_references_and_their_prompt_go_to_the_face_method_and_come_back() -> None:
    bundle = Bundle(references=(PERSON,), prompts={"prompt": "a man <|image|> on a beach", "negative_prompt": ""})
    request, left = made("facediffuser", bundle)
    back = catalog.SPECS["facediffuser"].give(request)  # type: ignore[misc]
    assert same(back.references, bundle.references)
    assert (dict(back.prompts), left) == (dict(bundle.prompts), ())
    for key in ("dreamfuse", "collage", "cat", "dit4edit"):
        with pytest.raises(BadRequest):
            made(key, back)


@pytest.mark.parametrize(
    ("bundle", "says"),
    [
        (DROPPED, "needs a reference picture"),
        (Bundle(SCENE, PLACED, references=(PERSON,)), "cannot place an object"),
        (Bundle(references=(PERSON,)), "needs a prompt"),
        (Bundle(references=(PERSON,), prompts={"prompt": "a man"}), "marks nobody"),
    ],
)
def test_what_the_face_method_cannot_answer_is_said(bundle: Bundle, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        made("facediffuser", bundle)
