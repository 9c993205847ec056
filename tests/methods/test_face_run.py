"""A whole run on toy components: each model alone is diffusers' own pipeline; sizes, fields, notes and facts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, PNDMScheduler, StableDiffusionPipeline
from torch import Tensor

from models import latents
from models.contract import BadRequest, Result
from models.facediffuser.conditions import image_vectors
from models.facediffuser.image_encoder import embed
from models.facediffuser.references import encoder_input
from models.facediffuser.spec import SPEC
from tests.methods import face_tiny as tiny

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning:diffusers.*")  # diffusers on NumPy 2
SAMPLERS = ("released", "paper", "fast")


@pytest.fixture(scope="module")
def desk() -> tiny.Desk:
    return tiny.Desk()


# ---- agreement


def published(kind: str, prediction: str = "epsilon") -> Any:
    """Stable Diffusion 1.5's own scheduler and what diffusers makes of it for the others."""
    path = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "prediction_type": prediction}
    if kind == "released":
        return PNDMScheduler(**path, steps_offset=1, skip_prk_steps=True, set_alpha_to_one=False)
    if kind == "paper":
        return DDIMScheduler(**path, steps_offset=1, clip_sample=False, set_alpha_to_one=False)
    return DPMSolverMultistepScheduler(**path, steps_offset=1)  # which its spacing does not look at


@torch.no_grad()
def stock(made: dict[str, Any], unet: str, kind: str, prediction: str = "epsilon", **told: Any) -> np.ndarray:
    """The picture of diffusers' own pipeline from the same noise, which reads its words itself."""
    pipe = StableDiffusionPipeline(
        made["vae"], made["text_encoder"], made["tokenizer"], made[unet], published(kind, prediction), None, None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    noise = latents.seeded_noise((1, 4, 8, 8), 5)
    steps = {"num_inference_steps": tiny.STEPS, "guidance_scale": 4.0, "height": tiny.SIDE, "width": tiny.SIDE}
    found = pipe(**told, **steps, latents=noise, output_type="latent").images
    return latents.to_pictures(latents.decode(made["vae"], found))[0]


@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_scene_model_alone_is_diffusers_own_pipeline_bit_for_bit(desk: tiny.Desk, kind: str) -> None:
    ours = desk.only(variant="scene", sampler=kind, negative_prompt="a tree")
    theirs = stock(desk.made, "tdm", kind, prompt=tiny.CAPTION, negative_prompt="a tree")
    assert np.array_equal(ours, theirs)
    assert ours.std() > 5


def test_another_base_draws_the_scene() -> None:
    desk = tiny.Desk(tiny.FULL)
    theirs = stock(desk.made, "base", "paper", prompt=tiny.CAPTION)
    assert np.array_equal(desk.only(variant="scene", scene_model="base"), theirs)
    assert desk.calls["tdm"] == 0


def test_velocities_become_noise() -> None:
    desk = tiny.Desk(tiny.VELOCITY)
    ours = desk.only(variant="scene").astype(int)
    assert np.abs(ours - stock(desk.made, "tdm", "paper", "v_prediction", prompt=tiny.CAPTION)).max() <= 1
    assert np.abs(ours - stock(desk.made, "tdm", "paper", "epsilon", prompt=tiny.CAPTION)).max() > 5


@torch.no_grad()
def people(made: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """States of the caption, and with the people's rows by the published formula."""
    ids = made["tokenizer"](tiny.CAPTION, padding="max_length", max_length=77, return_tensors="pt").input_ids
    caption = made["text_encoder"](ids).last_hidden_state
    augmented, fuse = caption.clone(), made["postfuse"]
    seen = [torch.from_numpy(encoder_input([tiny.portrait(seed)], side=32)) for seed in (1, 2)]
    vectors = torch.cat([embed(made["image_encoder"], one[None])[0] for one in seen])
    text = caption[0, tiny.SLOTS]
    u = fuse.mlp1(torch.cat([text, vectors], dim=1)) + text
    augmented[0, tiny.SLOTS] = fuse.layer_norm(fuse.mlp2(u) + u)
    return caption, augmented


@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_subject_model_alone_is_guided_from_the_caption(desk: tiny.Desk, kind: str) -> None:
    caption, augmented = people(desk.made)
    ours = desk.only(variant="subject", sampler=kind, negative_prompt="a tree")
    theirs = stock(desk.made, "sdm", kind, prompt_embeds=augmented, negative_prompt_embeds=caption)
    assert np.array_equal(ours, theirs)
    assert not np.array_equal(ours, desk.only(variant="scene", sampler=kind))


def test_an_empty_anchor_is_no_words_and_never_the_negative_prompt(desk: tiny.Desk) -> None:
    _, augmented = people(desk.made)
    ids = desk.made["tokenizer"]("", padding="max_length", max_length=77, return_tensors="pt").input_ids
    empty = desk.made["text_encoder"](ids).last_hidden_state
    ours = desk.only(variant="subject", anchor="empty", negative_prompt="a tree")
    theirs = stock(desk.made, "sdm", "paper", prompt_embeds=augmented, negative_prompt_embeds=empty)
    assert np.array_equal(ours, theirs)


def test_without_its_second_layers_the_post_fuse_knows_no_picture() -> None:
    made = tiny.components()
    for mlp in (made["postfuse"].mlp1, made["postfuse"].mlp2):
        for parameter in mlp.fc2.parameters():
            parameter.zero_()
    desk = tiny.Desk(made=made)
    caption, _ = people(made)
    augmented = caption.clone()
    for slot in tiny.SLOTS:
        augmented[:, slot] = made["postfuse"].layer_norm(caption[:, slot])
    one = desk.only(variant="subject")
    assert np.array_equal(one, stock(made, "sdm", "paper", prompt_embeds=augmented, negative_prompt_embeds=caption))
    others = (tiny.portrait(8), tiny.portrait(9))
    assert np.array_equal(one, desk.only(variant="subject", references=others))


# ---- what a run is made of


@pytest.mark.parametrize(
    ("width", "height", "worked"),
    [(96, 64, "96x64"), (64, 100, "64x96"), (0, 128, "64x128"), (320, 64, "320x64"), (72, 72, "64x64")],
)
def test_other_sizes(desk: tiny.Desk, width: int, height: int, worked: str) -> None:
    made = desk.result(width=width, height=height)
    assert made.images[0].shape == (height or 64, width or 64, 3)
    assert made.facts["worked_at"] == worked


CHANGES: dict[str, Any] = {
    "prompt": "a man <|image|> and a woman <|image|> in the sun",
    "negative_prompt": "a tree",
    "references": (tiny.portrait(3), tiny.portrait(2)),
    "scene_until": 0.5,
    "subject_from": 0.3,
    "guidance_scale": 6.0,
    "variant": "subject",
    "sampler": "fast",
    "anchor": "empty",
    "scene_model": "base",
    "width": 96,
    "height": 96,
    "steps": 9,
    "seed": 6,
}


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_changes_the_picture(field: str) -> None:
    desk = tiny.Desk(tiny.FULL)
    assert not np.array_equal(desk.only(**{field: CHANGES[field]}), desk.only())


@torch.no_grad()
@pytest.mark.parametrize("resolution", [224, 768])
def test_the_resolution_of_references_is_what_the_encoder_starts_from(desk: tiny.Desk, resolution: int) -> None:
    """Too little to be seen in eight bits of a toy picture."""
    pictures = [tiny.portrait(1), tiny.portrait(2)]
    with desk.parts(tiny.request()) as parts:
        found = image_vectors(parts, pictures, resolution)
        assert not torch.equal(found, image_vectors(parts, pictures, 512))
    seen = torch.from_numpy(encoder_input(pictures, resolution, 32))
    assert torch.allclose(found, embed(desk.made["image_encoder"], seen[None]), atol=1e-6)


def test_the_order_of_the_references_is_that_of_the_markers(desk: tiny.Desk) -> None:
    swapped = desk.only(references=(tiny.portrait(2), tiny.portrait(1)))
    assert not np.array_equal(swapped, desk.only())


def test_a_second_seed_reads_and_looks_at_nothing_again() -> None:
    desk = tiny.Desk()
    desk.result()
    before = dict(desk.calls)
    desk.result(seed=6)
    assert desk.calls["text_encoder"] == before["text_encoder"] == 2  # the caption, and no words
    seen = desk.calls["image_encoder"] - before["image_encoder"]
    assert (before["image_encoder"], seen) == (3, 1)  # two references and the picture itself, then that alone


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_steps_say_which_model_draws(desk: tiny.Desk, sampler: str) -> None:
    *steps, last = tiny.Desk().events(tiny.request(sampler=sampler, ladder=True))
    assert isinstance(last, Result)
    own = [step.note for step in steps if "compare" not in step.note]
    assert list(dict.fromkeys(own)) == ["The scene", "Scene and people together", "The people"]
    assert len(own) == (9 if sampler == "released" else 8)
    assert last.facts["fused_steps"] == [i for i, note in enumerate(own) if note == "Scene and people together"]
    assert last.facts["stages"] == f"{own.count('The scene')} scene / 3 fused / {own.count('The people')} subject steps"
    beside = [step.note for step in steps if "compare" in step.note]
    assert beside[0] == "To compare, scene model only: the scene as it was kept"
    assert beside[-1] == "To compare, people's model only: the people"
    assert steps[0].preview is not None
    assert steps[0].preview.shape == (64, 64, 3)


def test_facts_can_be_written_and_hold_no_reference(desk: tiny.Desk) -> None:
    made = desk.result(references=(tiny.portrait(1), tiny.portrait(2, 96, 160)))
    assert json.loads(json.dumps(made.facts)) == made.facts
    assert (made.facts["slots"], made.facts["nouns"]) == ([2, 5], ["man", "woman"])
    assert made.facts["all_evaluations"] == 32
    assert made.facts["warnings"] == ["Reference 2 is 160x96 pixels; under 128 it says little about a face."]
    assert set(made.extras) == {"maps"}
    assert made.extras["maps"].shape == (3 * 96, 3 * 96, 3)
    assert all(0 < area < 1 for area in made.facts["area"])


def test_a_prompt_that_is_cut_is_told() -> None:
    made = tiny.Desk().result(prompt=tiny.PROMPT + " by night" * 40)
    assert made.facts["dropped"].endswith("night by night")
    assert made.facts["warnings"] == [f"The prompt is too long; “{made.facts['dropped']}” was not read."]


def test_a_marker_out_of_place_is_refused_before_anything_is_drawn(desk: tiny.Desk) -> None:
    before = desk.both
    with pytest.raises(BadRequest, match="begins with"):
        desk.result(prompt="<|image|> a man and a woman <|image|>")
    assert desk.both == before


@pytest.mark.parametrize(
    ("preset", "changes", "absent"),
    [
        ("pocket", {}, set()),
        ("pocket", {"variant": "scene"}, {"sdm", "postfuse"}),
        ("pocket", {"variant": "subject"}, {"tdm"}),
        ("full", {}, {"base"}),
        ("full", {"scene_model": "base"}, {"tdm"}),
        ("full", {"variant": "scene"}, {"sdm", "postfuse", "image_encoder", "base"}),
        ("full", {"variant": "subject"}, {"tdm", "base"}),
        ("full", {"variant": "subject", "ladder": True}, {"base"}),
    ],
)
def test_only_what_a_run_needs_is_leased_and_that_is_enough(preset: str, changes: Any, absent: set[str]) -> None:
    desk = tiny.Desk({"pocket": tiny.POCKET, "full": tiny.FULL}[preset])
    needed = SPEC.needed(desk.preset, tiny.request(**changes))
    assert set(desk.preset.components) - set(needed) == absent
    made = desk.result(**changes)
    assert ("scores" in made.facts) == (preset == "pocket")
