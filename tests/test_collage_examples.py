"""The examples of Layer collage, and how a drawn scene is taken apart into layers."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from demos import examples
from models import pictures
from models.collage import dials, files
from models.collage.alignment import align, offsets
from models.collage.composing import compose
from models.collage.spec import CollageRequest, fields_of
from models.loading import POCKET
from training import make_collage_examples
from training.scene_layers import collage, place_text
from training.world import captioned, compose as world_compose, held_out, layout, split_words, vocabulary
from training.world.assets import sprite_rows
from training.world.plan import Plan

MOST = 400_000  # bytes of an example


def test_every_example_opens_aligns_composes_and_is_a_request() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(POCKET / "clip")
    found = examples.load("collage")
    assert [len(files.decode(example.files["collage"]).layers) for example in found] == [3, 5, 6]
    for example in found:
        path = example.files["collage"]
        assert path.name.endswith(files.SUFFIX)
        assert path.stat().st_size < MOST
        made = files.decode(path)
        tokens = align(made.prompt, [layer.text for layer in made.shown], offsets(tokenizer, made.prompt))
        assert all(tokens)
        assert compose(made).unseen() == []
        request = CollageRequest(**fields_of(made), **example.fields)
        assert (request.seed, request.collage.size) == (1, (512, 512))
        small = pictures.decode(example.thumbnail, "rgb", example.title).astype(float)
        assert np.abs(small - make_collage_examples.thumbnail(made)).mean() < 8  # WebP's loss


def test_examples_are_of_words_and_things_that_training_knows() -> None:
    known, families = set(vocabulary()), held_out()[0]
    unknown = {row["noun"] for row in sprite_rows() if row["family"] in families}
    for example in examples.load("collage"):
        made = files.decode(example.files["collage"])
        assert set(split_words(made.prompt)) <= known
        for layer in made.layers[1:]:
            assert not any(layer.text.endswith(noun) for noun in unknown)


def test_examples_follow_the_automatic_rule() -> None:
    for example in examples.load("collage"):
        layers = files.decode(example.files["collage"]).layers
        for layer in layers:
            assert layer.dials == dials.auto(dials.extent(layer.placed, (512, 512)), layer is layers[-1])


@pytest.mark.parametrize("seed", range(3))
def test_a_scene_taken_apart_is_the_scene_without_light(seed: int) -> None:
    rng, size = random.Random(seed), (128, 128)
    scene = layout.draw_scene(rng, ("room", "table"), styled=False)
    things = captioned.plan_objects(rng, scene, size, "train", 3)
    made = collage(scene, things, size, seed)
    stack = compose(made)
    truth = world_compose.draw([Plan(scene, tuple(things))], size)
    place = (255 * truth.plate[0].permute(1, 2, 0)).numpy()
    outside = stack.visible[0] == 1
    assert np.abs(stack.flat - place)[outside].max() <= 0.51
    for number, visible in enumerate(stack.visible[1:]):
        assert np.abs(visible - truth.alpha[0, number].numpy()).max() < 0.02  # each where the scene shows it
    unlit = world_compose.draw_unlit(things, size, torch.device("cpu")).numpy()
    expected = place.transpose(2, 0, 1)
    for one in unlit:
        expected = expected * (1 - one[3]) + 255 * one[:3]
    assert np.abs(stack.flat - expected.transpose(1, 2, 0)).max() < 6  # straight alpha in bytes loses a little


def test_a_place_is_called_by_what_stands_there() -> None:
    assert place_text("on a blue floor in front of a red wall") == "blue floor in front of a red wall"
    assert place_text("on an orange table in front of a red wall") == "orange table in front of a red wall"
    assert place_text("in the snow under a grey sky") == "snow under a grey sky"
