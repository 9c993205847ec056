"""A whole run on toy components: the lowest rung is diffusers' own, each rung adds one thing, edits keep the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionImg2ImgPipeline

from models import latents
from models.attention import sites
from models.collage import method
from models.collage.composing import compose
from models.collage.conditions import Parts, encode_picture
from models.collage.dials import Dials
from models.collage.side_by_side import GAP, HEAD
from models.collage.spec import CollageRequest
from models.contract import BadRequest, Result, Step
from tests.methods import collage_tiny as tiny

FREE = {"keep_detail": "off"}
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' scheduler


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    torch.set_num_threads(1)
    with tiny.parts() as made:
        yield made


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EASEL_CACHE", str(tmp_path))
    return tmp_path


def result(parts: Parts, request: CollageRequest) -> Result:
    *steps, last = method.run(parts, request)
    assert isinstance(last, Result)
    assert all(isinstance(step, Step) for step in steps)
    return last


def dialled(**dials: float) -> tuple[Any, ...]:
    """The tiny layers with the same dials for all."""
    return tuple(layer.replace(dials=Dials(**dials)) for layer in tiny.request().layers)


def test_the_lowest_rung_equals_diffusers_own_pipeline() -> None:
    request = tiny.request(variant="gh", strength=0.8, negative_prompt="a tree", **FREE)
    with tiny.parts() as parts:
        ours = result(parts, request).images[0]
        made = {name: parts.components[name] for name in ("vae", "text_encoder", "tokenizer", "unet")}
        clean = encode_picture(parts, compose(request.collage).flat)
    scheduler = EulerAncestralDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="linspace", steps_offset=1
    )
    pipeline = StableDiffusionImg2ImgPipeline(
        **made, scheduler=scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    stock = pipeline(
        prompt=request.prompt,
        negative_prompt="a tree",
        image=clean,
        strength=0.8,
        num_inference_steps=5,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(5),
        output_type="latent",
    ).images
    theirs = latents.to_pictures(latents.decode(made["vae"], stock))[0]
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_without_weights_and_with_one_level_every_rung_is_the_lowest_one(parts: Parts) -> None:
    free = tiny.request(layers=dialled(positive=0, negative=0, noise=0.8), ladder=True, **FREE)
    made = result(parts, free)
    assert np.array_equal(made.extras["gh"], made.images[0])
    assert np.array_equal(made.extras["gh+ca"], made.images[0])
    assert "gh+ca+ti" not in made.extras


def test_every_rung_differs_and_starts_from_the_same_noise(parts: Parts) -> None:
    made = result(parts, tiny.request(ladder=True, looks=True, **FREE))
    pictures = [made.extras["paste"], *(made.extras[name] for name in ("gh", "gh+ca", "gh+ca+ti")), made.images[0]]
    for one, other in zip(pictures, pictures[1:], strict=False):
        assert not np.array_equal(one, other)
    assert made.facts["ladder"] == ["paste", "gh", "gh+ca", "gh+ca+ti"]
    for number, picture in enumerate(pictures):  # small ones stand side by side as they are
        top, left = number // 3 * (64 + HEAD) + HEAD, number % 3 * (64 + GAP)
        assert np.array_equal(made.extras["rungs"][top : top + 64, left : left + 64], picture)
    for name in ("gh", "gh+ca"):
        alone = result(parts, tiny.request(variant=name, **FREE))
        assert np.array_equal(alone.images[0], made.extras[name])


def test_nothing_stays_on_the_unet(parts: Parts) -> None:
    unet = parts.components["unet"]
    before = dict(unet.attn_processors)
    run = method.run(parts, tiny.request())
    next(run)
    assert any(unet.attn_processors[name] is not before[name] for name in before)
    run.close()
    assert all(unet.attn_processors[name] is before[name] for name in before)
    assert len(sites(unet)) == len(before)


def test_a_batch_is_the_same_pictures_one_by_one(parts: Parts) -> None:
    both = result(parts, tiny.request(num_images=2))
    single = result(parts, tiny.request(seed=6))
    assert np.array_equal(both.images[1], single.images[0])
    assert both.facts["seeds"] == [5, 6]


def test_layers_that_are_fully_held_stay_as_they_are(parts: Parts) -> None:
    """With detail carried, a layer of level 0 is exact away from free ones; the whole is exact if all are held."""
    held = result(parts, tiny.request(layers=dialled(noise=0.0), keep_detail="on"))
    assert np.array_equal(held.images[0], held.extras["paste"])
    assert "little more than the paste" in held.facts["warning"]
    request = tiny.request()
    layers = (*request.layers[:1], *(layer.replace(dials=Dials(noise=0.0)) for layer in request.layers[1:]))
    found = result(parts, request.replace(layers=layers, keep_detail="on"))
    apart = np.abs(found.images[0].astype(int) - found.extras["paste"]).mean(axis=2)
    wall, _, ball = compose(request.collage).visible
    assert apart[ball == 1].mean() < apart[wall == 1].mean() / 2  # the toy autoencoder carries change everywhere
    assert found.facts["warning"] == ""


def test_an_edit_changes_its_layer_and_not_one_pixel_elsewhere(parts: Parts) -> None:
    first = result(parts, tiny.request()).images[0]
    request = tiny.request(previous=first, edited="3", change=0.8, reach=4.0 * 8, seed=9)
    made = result(parts, request)
    changed = (made.images[0] != first).any(axis=2)
    visible = compose(request.collage).visible[2] > 0
    assert changed[visible].mean() > 0.5
    assert not changed[:, :20].any()  # the box on the left and the wall around it
    assert made.facts["kept_pixels_changed"] == [0]
    assert made.facts["kept_pixels"][0] > 1000
    loose = result(parts, request.replace(lock=False))
    assert loose.facts["kept_pixels_changed"][0] > 0
    assert np.array_equal(made.extras["previous"], first)


def test_an_edit_by_too_little_is_the_picture_itself(parts: Parts) -> None:
    first = result(parts, tiny.request()).images[0]
    made = result(parts, tiny.request(previous=first, edited="1", change=0.1))
    assert np.array_equal(made.images[0], first)
    assert "raise “Change by”" in made.facts["warning"]


def test_a_run_that_nothing_was_free_in_says_so(parts: Parts) -> None:
    """By what is really free: layers that are held to the end, or one level for all that is not theirs."""
    layers = dialled(noise=0.0)
    pinned = result(parts, tiny.request(layers=layers, strength=0.8))
    assert "little more than the paste" in pinned.facts["warning"]
    assert result(parts, tiny.request(layers=layers, strength=0.8, variant="gh")).facts["warning"] == ""
    called = tuple(layer.replace(prompt="collage") for layer in tiny.request().layers[:1])
    assert "says “collage”" in result(parts, tiny.request(layers=called, prompt="", steps=2)).facts["warning"]


def test_edges_act_where_a_layer_asks_for_them() -> None:
    layers = tiny.request().layers
    edged = (*layers[:2], layers[2].replace(dials=Dials(noise=0.2, canny=1.0)))
    with tiny.parts(tiny.FULL) as parts:
        plain = result(parts, tiny.request(**FREE)).images[0]
        drawn = result(parts, tiny.request(layers=edged, **FREE)).images[0]
        below = result(parts, tiny.request(layers=edged, variant="gh+ca", **FREE)).images[0]
        same = result(parts, tiny.request(variant="gh+ca", **FREE)).images[0]
    assert not np.array_equal(plain, drawn)
    assert np.array_equal(below, same)


def test_maps_show_a_tile_per_layer_and_facts_name_the_tokens(parts: Parts) -> None:
    made = result(parts, tiny.request())
    assert made.extras["attention"].ndim == 3
    assert made.extras["noise"].shape == made.images[0].shape
    assert made.facts["tokens"] == [[11, 12], [2, 3], [6]]  # "a red box and a ball in front of a green wall"
    assert made.facts["strength"] == 0.8


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"layers": ()}, "at least one layer"),
        ({"prompt": "a red box and a ball"}, "“green wall” is not in the prompt"),
        ({"edited": "2"}, "give the picture"),
        ({"previous": np.zeros((64, 64, 3), np.uint8)}, "choose at least one layer"),
        ({"previous": np.zeros((64, 64, 3), np.uint8), "edited": "4"}, "There is no layer 4"),
        ({"previous": np.zeros((64, 64, 3), np.uint8), "edited": "two"}, "“two” is no layer"),
        ({"previous": np.zeros((64, 32, 3), np.uint8), "edited": "2"}, "32x64"),
        ({"colour": "red"}, "#rrggbb"),
        ({"layers": ("red box",)}, "list of layers"),
        ({"width": 100}, "multiples of 8"),
    ],
)
def test_bad_requests_are_one_sentence(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        tiny.request(**changes)


def test_a_layer_that_nothing_is_seen_of_is_refused() -> None:
    wall, box, ball = tiny.request().layers
    with pytest.raises(BadRequest, match="Nothing is seen of “ball”"):
        tiny.request(layers=(ball, box, wall))
    assert tiny.request(layers=(ball.replace(visible=False), box, wall.replace(x=0.9)))


def test_an_empty_prompt_names_the_layers_from_front_to_back(parts: Parts) -> None:
    assert tiny.request(prompt=" ").collage.prompt == "ball, red box and green wall"
