"""One layer of a finished picture is changed; the rest keeps its pixels."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models import diffusion
from models.collage.composing import Stack, compose
from models.collage.editing import Plan, plan
from models.collage.layers import Collage
from models.collage.noise_map import cells
from models.collage.sampling import Pins, img2img, levels
from models.contract import BadRequest
from tests.methods.collage_parts import collage, layer

RNG = np.random.default_rng(1)
BALL, BOX = 2, 1


@pytest.fixture(scope="module")
def stack() -> Stack:
    return compose(collage())


@pytest.fixture(scope="module")
def rendered() -> np.ndarray:
    return RNG.integers(0, 256, (512, 512, 3), np.uint8)


def test_only_the_edited_layer_is_free(stack: Stack, rendered: np.ndarray) -> None:
    made = plan(rendered, stack, [BALL], 0.6, keep=0.1)
    assert made.base is rendered
    assert made.strength == pytest.approx(0.6, abs=1e-4)
    assert made.levels[300, 250] == pytest.approx(0.6, abs=1e-4)
    assert made.levels[300, 150 - 20] > np.float32(0.1)
    far = np.ones((512, 512), bool)
    far[200 - 20 : 400 + 20, 150 - 20 : 350 + 20] = False
    assert (made.levels[far] == np.float32(0.1)).all()
    assert made.levels.min() == np.float32(0.1)


def test_what_lies_over_an_edited_layer_is_kept(stack: Stack, rendered: np.ndarray) -> None:
    made = plan(rendered, stack, [BOX], 0.6, blur=0)
    assert (made.levels[200:300, 150:250] == 0).all()
    assert (made.levels[100:200, 50:250] == np.float32(0.6)).all()
    assert made.lock[250, 180] == 0
    assert made.lock[120, 180] == 255


def test_the_lock_keeps_every_pixel_outside(stack: Stack, rendered: np.ndarray) -> None:
    made = plan(rendered, stack, [BALL], 0.6, reach=12)
    result = 255 - rendered
    after = made.finish(result)
    changed = (after != rendered).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (rows[0] >= 188, rows[-1] < 412, columns[0] >= 138, columns[-1] < 362) == (True,) * 4
    assert rows[-1] - rows[0] > 200
    np.testing.assert_array_equal(after[205:395, 155:345], result[205:395, 155:345])


def test_restart_pastes_the_source_of_the_layer_where_it_is_seen(stack: Stack, rendered: np.ndarray) -> None:
    base = plan(rendered, stack, [BOX], 0.5, mode="restart").base
    want = rendered.copy()
    want[100:300, 50:250] = (200, 0, 0)
    want[200:300, 150:250] = rendered[200:300, 150:250]
    np.testing.assert_array_equal(base, want)


def test_the_canvas_is_kept_or_made_anew(rendered: np.ndarray) -> None:
    alone = compose(Collage("ball", (layer((200, 400, 150, 350), text="ball"),)))
    kept, anew = (plan(rendered, alone, [0], 0.5, uncovered=how) for how in ("keep", "regenerate"))
    assert kept.levels[50, 50] == 0
    assert (anew.levels == pytest.approx(0.5), anew.lock.min()) == (True, 255)


def test_nothing_to_do_is_the_previous_picture(stack: Stack, rendered: np.ndarray) -> None:
    made = plan(rendered, stack, [BALL], 0.03)
    assert made.idle(20)
    assert not made.idle(50)


@pytest.mark.parametrize(
    ("edited", "sentence"),
    [([], "at least one layer"), ([3], "shows 3 layers; there is no layer 4"), ([-1], "there is no layer 0")],
)
def test_layers_that_are_not_there_are_refused(
    stack: Stack, rendered: np.ndarray, edited: Collection[int], sentence: str
) -> None:
    with pytest.raises(BadRequest, match=sentence):
        plan(rendered, stack, edited, 0.5)


def test_covered_layers_and_other_sizes_are_refused(stack: Stack, rendered: np.ndarray) -> None:
    wide = layer((50, 300, 50, 300), text="box")
    covered = compose(Collage("ball, box", (layer((100, 200, 100, 200), text="ball"), wide)))
    with pytest.raises(BadRequest, match="Nothing is seen of layer 1"):
        plan(rendered, covered, [0], 0.5)
    with pytest.raises(BadRequest, match="256x512 pixels and the collage 512x512"):
        plan(rendered[:, :256], stack, [0], 0.5)


def test_a_plan_drives_the_loop(stack: Stack, rendered: np.ndarray) -> None:
    """Latents far from the edited layer come back as they were, those of the layer do not."""

    def network(latents: Tensor, timestep: Tensor) -> Tensor:
        return latents

    made: Plan = plan(rendered, stack, [BALL], 0.6)
    clean = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(3))
    settings: dict[str, Any] = {"strength": made.strength, "seeds": [1]}
    pins = Pins(torch.from_numpy(cells(made.levels)))
    stops = levels(diffusion.alphas_cumprod(), 50)
    final = list(img2img(network, clean, stops, pins=pins, **settings))[-1].latents
    apart = (final - clean).abs().amax((0, 1))
    assert apart[:, :10].max() < 0.2 < 1 < apart[30:45, 25:40].mean()
