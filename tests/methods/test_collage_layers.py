"""Layers as data: what can be made, what is refused, the dials, and how layers lie over each other."""

from __future__ import annotations

import numpy as np
import pytest

from models.collage.composing import compose, draw, visible_masks
from models.collage.dials import Dials, auto, extent
from models.collage.layers import Collage, Layer, prompt_of
from models.contract import BadRequest, Placed
from tests.methods.collage_parts import PROMPT, collage, layer

SQUARE = (100, 200, 100, 200)


def solid(alpha: int = 255) -> np.ndarray:
    return np.full((16, 16, 4), (1, 2, 3, alpha), np.uint8)


def test_opaque_layers_share_the_canvas_by_what_is_seen_of_them() -> None:
    stack = compose(collage())
    assert stack.visible.sum(axis=(1, 2)).tolist() == [192144, 30000, 40000]
    assert stack.uncovered.max() == 0
    assert stack.unseen() == []


def test_translucent_layers_are_composited_once_and_not_twice() -> None:
    stack = compose(collage(top_alpha=128))
    np.testing.assert_allclose(
        stack.visible.sum(axis=(1, 2), dtype=np.float64), [207085.18, 34980.39, 20078.43], atol=0.01
    )
    np.testing.assert_allclose(stack.visible[:, 250, 200], [0, 0.4980, 0.5020], atol=5e-5)
    assert stack.flat[250, 200].tolist() == [100, 100, 0]
    assert stack.flat[350, 300].tolist() == [5, 110, 15]


def test_what_is_seen_of_layers_and_canvas_sums_to_one() -> None:
    alphas = np.random.default_rng(0).integers(0, 256, (5, 8, 9), np.uint8)
    seen = visible_masks(alphas).astype(np.float64)
    behind = np.prod(1 - alphas / 255, axis=0)
    np.testing.assert_allclose(seen.sum(axis=0) + behind, 1, atol=1e-6)


def test_placement_turns_and_mirrors_with_the_clock() -> None:
    image = np.zeros((40, 40, 4), np.uint8)
    image[10:30, 10:20], image[10:30, 20:30] = (255, 0, 0, 255), (0, 0, 255, 255)  # red left, blue right

    def halves(**geometry: object) -> list[int]:
        drawn = draw(Placed(image, 0.5, 0.5, 0.5, **geometry), (64, 64))  # type: ignore[arg-type]
        return [int(drawn[at][0]) for at in ((32, 22), (32, 42), (22, 32), (42, 32))]

    assert halves()[:2] == [255, 0]
    assert halves(flip=True)[:2] == [0, 255]
    assert halves(angle=90)[2:] == [255, 0]  # left goes up


def test_layers_that_nothing_is_seen_of_are_told() -> None:
    small, wide = layer(SQUARE, text="ball"), layer((50, 300, 50, 300), text="box")
    away = layer(SQUARE, text="sky").replace(x=3.0)
    assert compose(Collage(PROMPT, (small, away, wide))).unseen() == [0, 1]


def test_hidden_layers_take_no_part() -> None:
    whole = collage()
    without = Collage("a sky and a ball", (whole.layers[0], whole.layers[1].replace(visible=False), whole.layers[2]))
    stack = compose(without)
    assert len(stack.visible) == 2
    assert stack.flat[150, 100].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Collage(PROMPT, ()), "at least one layer"),
        (lambda: Collage(PROMPT, (layer(SQUARE, text="ball").replace(visible=False),)), "Every layer is hidden"),
        (lambda: Collage(PROMPT, (layer(SQUARE, text="  "),)), "Layer 1 has no words"),
        (lambda: Collage(PROMPT, (layer(SQUARE, text="train"),)), "“train” is not in the prompt"),
        (lambda: Collage("ball " * 80, (layer(SQUARE, text="ball", side=208),) * 76), "76 layers"),
        (lambda: Collage(PROMPT, (layer(SQUARE, text="ball"),), (510, 512)), "multiples of 8"),
        (lambda: Collage(PROMPT, (layer(SQUARE, text="ball"),), background=(0, 0, 256)), "three whole numbers"),
        (lambda: Layer(Placed(solid(0), prompt="ball")), "“ball” is fully transparent"),
        (lambda: Layer(Placed(solid()[..., :3], prompt="ball")), "with transparency"),
        (lambda: Layer(Placed(solid(), scale=0, prompt="ball")), "“scale” must lie"),
        (lambda: Layer(Placed(solid(), x=float("nan"), prompt="ball")), "“x” must lie"),
        (lambda: Dials(noise=1.5), "“noise” must lie between 0 and 1"),
        (lambda: Dials(positive=float("nan")), "“positive” must lie"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_one_sentence(make: object, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("large", "dials"),
    [
        (0.1, (0.56, 0.85, 0.84, 0.52)),
        (0.25, (0.50, 0.775, 0.75, 0.55)),
        (0.5, (0.40, 0.65, 0.60, 0.60)),
        (1.0, (0.20, 0.40, 0.30, 0.70)),
        (1.7, (0.20, 0.40, 0.30, 0.70)),
    ],
)
def test_the_rule_of_the_authors_sets_the_dials_by_size(large: float, dials: tuple[float, ...]) -> None:
    found = auto(large)
    assert (found.positive, found.negative, found.canny, found.noise) == pytest.approx(dials)
    assert auto(large, topmost=True).noise == 0.4


def test_the_size_of_a_layer_is_its_longer_side_on_the_canvas() -> None:
    tall = np.zeros((64, 64, 4), np.uint8)
    tall[:40, :10] = 255
    assert extent(Placed(tall, scale=0.1), (512, 512)) == pytest.approx(0.4)
    assert extent(Placed(tall, scale=0.1), (1024, 512)) == pytest.approx(0.2)


def test_plain_dials_are_off_at_zero() -> None:
    assert Dials.plain(0, 0, 0.3) == Dials(0, 0, 0.3, 0)
    assert Dials.plain(1, 1, 1) == Dials(0.6, 0.9, 1, 1)


def test_an_own_prompt_names_every_layer() -> None:
    assert prompt_of(["tan  wall", "train", "teddy bear"]) == "teddy bear, train and tan wall"
    assert prompt_of(["ball"]) == "ball"
    whole = collage()
    assert Collage(prompt_of([one.text for one in whole.layers]), whole.layers).shown == whole.layers
