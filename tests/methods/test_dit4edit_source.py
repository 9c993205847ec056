"""The source of an edit: rebuilt exactly, kept for the next edit, drawn where there is none; what is off is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.contract import Step
from models.dit4edit import method, planning
from models.latents import decode, encode, to_pictures, to_pixels
from models.pixels import resize
from tests.methods import dit4edit_parts as toy


@pytest.mark.parametrize("changes", [{}, {"guidance_scale": 12.0}, {"control": "unified", "words_until": 1.0}])
def test_a_pinned_source_decodes_to_the_autoencoders_round_trip(changes: dict[str, Any]) -> None:
    made = toy.components()
    with toy.parts(made) as parts:
        found = toy.result(parts, **changes)
        size = planning.size_of(parts, toy.request())
        trip = to_pictures(decode(made["vae"], encode(made["vae"], to_pixels(resize(toy.picture(), size)))))[0]
    assert np.array_equal(found.extras["reconstruction"], trip)
    assert np.array_equal(found.extras["encoded"], trip)
    assert found.facts["psnr_reconstruction"] == found.facts["psnr_encoded"]


@pytest.mark.parametrize("kind", ["swap", "restyle", "pose"])
def test_the_same_words_at_guidance_1_give_the_source_back(kind: str) -> None:
    """Row by row the same computation; at any guidance only the pinned source is the inverse of the picture."""
    with toy.parts() as parts:
        found = toy.result(
            parts, target_prompt="A red  car on the table", guidance_scale=1.0, kind=kind, inversion="exact"
        )
        rough = toy.result(parts, target_prompt="a red car on the table", guidance_scale=1.0, kind=kind)
    truth = resize(found.extras["reconstruction"], (64, 96)).astype(int)
    error, rougher = (np.abs(run.images[0] - truth).mean() for run in (found, rough))
    assert error < 0.5 < 2 * error + 0.5 < rougher
    assert "say the same" in found.facts["warning"]


def test_the_same_words_change_nothing_at_any_guidance_unless_something_else_is_asked_for() -> None:
    words = {"target_prompt": "A red  car on the table", "inversion": "exact"}
    with toy.parts() as parts:
        alone, guided = (toy.result(parts, **words, guidance_scale=scale) for scale in (1.0, 7.5))
        beside = toy.result(parts, **words | {"target_prompt": "a gold teapot\na red car on the table"})
        asked = [toy.result(parts, **words, **more) for more in ({"negative_prompt": "a table"}, {"weights": "car: 3"})]
    assert np.array_equal(alone.images[0], guided.images[0])
    assert np.abs(beside.images[1].astype(int) - alone.images[0]).max() <= 1  # other batches round otherwise
    assert beside.facts["warning"].startswith("Source and target 2 say the same")
    for one in asked:
        assert np.abs(one.images[0].astype(int) - alone.images[0]).mean() > 1
        assert "say the same" not in one.facts["warning"]


def test_a_second_edit_of_the_same_picture_inverts_and_encodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = toy.components()
    encodings = []
    made["text_encoder"].register_forward_hook(lambda *_: encodings.append(1))
    with toy.parts(made) as parts:
        first = list(method.run(parts, toy.request()))
        assert encodings
        encodings.clear()
        second = list(method.run(parts, toy.request(guidance_scale=3.0)))
        other = list(method.run(parts, toy.request(image=toy.picture()[:, ::-1])))
    steps = [[e.total for e in run if isinstance(e, Step)] for run in (first, second, other)]
    assert [len(s) for s in steps] == [8, 4, 8]
    assert [set(s) for s in steps] == [{8}, {4}, {8}]
    assert not encodings
    assert (first[-1].facts["inversion_reused"], second[-1].facts["inversion_reused"]) == (False, True)  # type: ignore[union-attr]
    assert second[-1].facts["evaluations"] == 4  # type: ignore[union-attr]


def test_a_second_edit_of_a_drawn_source_draws_nothing() -> None:
    drawn = {"image": None, "seed": 8}
    with toy.parts() as parts:
        runs = [
            list(method.run(parts, toy.request(**drawn | changes)))
            for changes in ({}, {"target_prompt": "a gold car on the table"}, {"seed": 9}, {"guidance_scale": 3.0})
        ]
    assert [len(run) - 1 for run in runs] == [8, 4, 8, 8]
    inputs = [run[-1].extras["input"] for run in runs]  # type: ignore[union-attr]
    assert np.array_equal(inputs[0], inputs[1])
    assert [run[-1].facts["inversion_reused"] for run in runs] == [False, True, False, False]  # type: ignore[union-attr]


def test_a_source_can_be_drawn_and_its_reconstruction_is_exact() -> None:
    with toy.parts() as parts:
        found, again = (toy.result(parts, image=None, seed=8) for _ in range(2))
        other = toy.result(parts, image=None, seed=9)
        wide = toy.result(parts, image=None, seed=8, width=96, height=32)
        given = toy.result(parts, width=96, height=32)
    assert found.images[0].shape == (64, 64, 3)
    assert wide.images[0].shape == (32, 96, 3)
    assert given.images[0].shape == (64, 96, 3)  # the picture's own, whatever it was worked at
    assert given.facts["worked_at"] == "96x32"
    assert np.array_equal(found.extras["reconstruction"], found.extras["input"])
    assert np.array_equal(found.images[0], again.images[0])
    assert not np.array_equal(found.extras["input"], other.extras["input"])


def test_refined_latents_decode_closer_to_the_picture() -> None:
    with toy.parts() as parts:
        plain, refined = toy.result(parts), toy.result(parts, refine=True)
        kept = toy.result(parts, guidance_scale=3.0)
    assert refined.facts["psnr_encoded"] > plain.facts["psnr_encoded"]
    assert not refined.facts["inversion_reused"]  # it is another inversion
    assert kept.facts["inversion_reused"]


def test_an_inversion_that_runs_away_and_a_picture_out_of_shape_are_said() -> None:
    made = toy.components()
    with toy.parts(made) as parts:
        sound = toy.result(parts, inversion="exact").facts["warning"]
        assert not any(word in sound for word in ("ran away", "moving", "squeezed", "target"))
        for _ in range(2):  # the second one is kept from before
            long = toy.result(parts, image=toy.picture(16, 320), target_prompt="")
        assert "squeezed" in long.facts["warning"]
        assert "no target prompt" in long.facts["warning"]
    made["transformer"].proj_out.weight.mul_(300)
    with toy.parts(made) as parts:
        for _ in range(2):
            assert "ran away" in toy.result(parts, inversion="exact").facts["warning"]
