"""The examples of Face reference: requests about drawn people whom no model saw."""

from __future__ import annotations

import numpy as np

from demos import examples
from models import pictures
from models.facediffuser import markers
from models.facediffuser.references import too_small
from models.facediffuser.spec import FaceRequest
from models.loading import POCKET
from training import make_face_examples
from training.world import held_out, split_words, vocabulary
from training.world.assets import identity_rows

MOST = 20_000  # bytes of a portrait


def test_every_example_is_a_request_with_a_slot_for_each_picture() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(POCKET / "clip")
    found = examples.load("facediffuser")
    assert [len(example.lists["references"]) for example in found] == [1, 2, 2, 2]
    for example in found:
        files = example.lists["references"]
        people = tuple(pictures.decode(path, "rgb", example.title) for path in files)
        request = FaceRequest(references=people, **example.fields)
        read = markers.read(tokenizer, request.prompt, tokenizer.model_max_length)
        assert len(read.slots) == len(people)
        assert not read.dropped
        assert set(split_words(request.prompt)) <= set(vocabulary())
        assert all(path.stat().st_size < MOST for path in files)
        assert not any(too_small(person) for person in people)
        small = pictures.decode(example.thumbnail, "rgb", example.title).astype(float)
        assert np.abs(small - make_face_examples.thumbnail(list(people))).mean() < 8  # WebP's loss


def test_people_are_held_out_and_called_what_they_are() -> None:
    for name, title, prompt, people in make_face_examples.EXAMPLES:
        nouns = [piece.split()[-1] for piece in prompt.split(markers.MARKER)[:-1]]
        looks = [make_face_examples.PEOPLE[one][0] for one in people]
        assert {look.identity for look in looks} <= held_out()[1], name
        assert [identity_rows()[look.identity]["noun"] for look in looks] == nouns, title


def test_portraits_are_what_the_world_draws_today() -> None:
    look, behind = make_face_examples.PEOPLE["otto"]
    drawn = make_face_examples.portrait(look, behind).astype(float)
    kept = pictures.decode(make_face_examples.FOLDER / "otto.webp", "rgb", "otto").astype(float)
    assert np.abs(drawn - kept).mean() < 4  # WebP's loss


def test_the_swapped_example_differs_in_the_order_of_the_people_alone() -> None:
    one, other = examples.load("facediffuser")[1:3]
    assert one.fields == other.fields  # the seed among them, so that the scene stage is shared
    assert one.lists["references"] == other.lists["references"][::-1]
