"""A whole edit on tiny models: what is off changes nothing, a mask limits it, bad input is told."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, PixArtAlphaPipeline
from torch import Tensor

from models.contract import BadRequest
from models.diffusion import alphas_cumprod, guide
from models.dit4edit import method, planning
from models.dit4edit.blending import LocalBlend
from models.dit4edit.conditions import Parts, Rows, read_prompt
from models.dit4edit.controller import Controller
from models.dit4edit.editing import Course, edit
from models.dit4edit.rows import paired, pinned
from models.dit4edit.spec import SPEC
from models.dpm_solver import advance, grid
from models.latents import seeded_noise
from tests import tiny
from tests.methods import dit4edit_parts as toy

OFF = {"control": "none", "words_until": 0.0}
STOPS = grid(alphas_cumprod("linear", 0.0001, 0.02), 4)


def trajectory(seed: int = 3) -> tuple[Tensor, ...]:
    return tuple(seeded_noise((1, 4, 8, 8), seed + k) for k in range(STOPS.n + 1))


def controller(rows: Any, **options: Any) -> Controller:
    return Controller(rows, 3, (4, 4), STOPS.n, **options)


def last(parts: Parts, guidance: Controller, course: Course) -> Tensor:
    prompts = [read_prompt(parts, text) for text in ("", "a red car", "a gold teapot")]
    told = [prompts[0] if not row.conditional else prompts[1 + row.branch] for row in guidance.rows]
    with guidance.installed(parts.components["transformer"]):
        *_, moment = edit(Rows(parts, told, (64, 64)), guidance, course)
    return moment.latents


def test_without_controls_a_target_is_the_plain_guided_loop_bit_for_bit() -> None:
    path = trajectory()
    with toy.parts() as parts:
        found = last(parts, controller(pinned()), Course(STOPS, path, 4.5))
        network = Rows(parts, [read_prompt(parts, ""), read_prompt(parts, "a gold teapot")], (64, 64))
        x, previous = path[0], None
        for step in range(STOPS.n):
            out = network(torch.cat([x, x]), STOPS.timesteps[step])
            clean = STOPS.clean(guide(out[:1], out[1:], 4.5), x, step)
            x, previous = advance(STOPS.coefficients(step), x, clean, previous), clean
        assert torch.equal(found[1:], x)
        assert torch.equal(found[:1], path[-1])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers, under NumPy 2
def test_on_the_stock_grid_it_is_the_stock_pipeline() -> None:
    """diffusers' PixArtAlphaPipeline, told to end at timestep 0 like us and to visit our timesteps."""
    made = toy.components() | {"transformer": tiny.pixart()}
    scheduler = DPMSolverMultistepScheduler(
        beta_start=0.0001, beta_end=0.02, beta_schedule="linear", final_sigmas_type="sigma_min"
    )
    pipe = PixArtAlphaPipeline(
        tokenizer=None, text_encoder=None, vae=made["vae"], transformer=made["transformer"], scheduler=scheduler
    )
    pipe.set_progress_bar_config(disable=True)
    stops = grid(alphas_cumprod("linear", 0.0001, 0.02), 5, "linspace")
    noise = seeded_noise((1, 4, 8, 8), 9)
    with toy.parts(made) as parts:
        prompts = [read_prompt(parts, text) for text in ("", "a gold teapot")]
        stock = pipe(
            prompt=None,
            negative_prompt=None,
            prompt_embeds=prompts[1].tokens,
            prompt_attention_mask=prompts[1].mask,
            negative_prompt_embeds=prompts[0].tokens,
            negative_prompt_attention_mask=prompts[0].mask,
            timesteps=stops.timesteps[:-1].tolist(),
            num_inference_steps=None,
            guidance_scale=4.5,
            latents=noise,
            height=64,
            width=64,
            use_resolution_binning=False,
            output_type="latent",
        ).images
        path = (noise, *[noise] * stops.n)
        guidance = Controller(pinned(), 3, (4, 4), stops.n)
        found = last(parts, guidance, Course(stops, path, 4.5))
    torch.testing.assert_close(found[1:], stock, atol=1e-5, rtol=1e-5)


def test_three_rows_and_four_agree_on_the_target() -> None:
    made, path = toy.components(), tuple(x.double() for x in trajectory())
    made["transformer"].double()  # batches of other sizes round otherwise, and a step at high noise magnifies that
    with toy.parts(made) as parts:
        wide = dataclasses.replace(parts, wider=torch.float64)
        three = last(wide, controller(pinned()), Course(STOPS, path, 4.5))
        four = last(wide, controller(paired()), Course(STOPS, path, 4.5, pinned=False))
    torch.testing.assert_close(three[1:], four[1:], atol=1e-9, rtol=1e-9)
    assert not torch.equal(three[:1], four[:1])  # the four rows sample the source, which drifts


def test_controls_that_are_off_leave_the_uncontrolled_edit() -> None:
    with toy.parts() as parts:
        plain = toy.result(parts, **OFF)
        neutral = SPEC.neutral
        assert neutral is not None
        again = list(method.run(parts, neutral(toy.request(weights="teapot: 2", merge_ratio=0.5))))[-1]
        controlled = toy.result(parts)
        compared = toy.result(parts, **OFF, comparisons=True)
        by_ddim = toy.result(parts, **OFF, inversion="ddim")
    assert np.array_equal(plain.images[0], again.images[0])  # type: ignore[union-attr]
    assert not np.array_equal(plain.images[0], controlled.images[0])
    assert np.array_equal(plain.images[0], compared.extras["inversion"])
    assert np.array_equal(by_ddim.images[0], compared.extras["ddim"])
    assert not np.array_equal(by_ddim.images[0], plain.images[0])
    assert compared.facts["baselines"] == ["sdedit", "ddim", "inversion", "prompt-to-prompt", "mutual"]
    assert set(compared.facts["baselines"]) <= set(compared.extras)
    assert not plain.facts["baselines"]


def test_targets_of_one_kind_share_a_pass_and_each_answers_its_own_prompt() -> None:
    lines = "a red teapot on the table\na gold car on the table\na red car on the gold table"
    with toy.parts() as parts:
        events = list(method.run(parts, toy.request(target_prompt=lines)))
        alone = toy.result(parts, target_prompt=lines.splitlines()[1])
    found = events[-1]
    assert len(events) - 1 == 4 + 4 + 4  # the inversion, two swaps together, one addition
    assert found.facts["titles"] == lines.splitlines()  # type: ignore[union-attr]
    assert found.facts["kinds"] == ["swap", "swap", "add"]  # type: ignore[union-attr]
    difference = np.abs(found.images[1].astype(int) - alone.images[0])  # type: ignore[union-attr]
    assert difference.max() <= 1  # other batches round otherwise
    assert not np.array_equal(found.images[0], found.images[1])  # type: ignore[union-attr]


def test_a_mask_keeps_every_pixel_outside_it() -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[16:48, 30:70] = 255
    with toy.parts() as parts:
        found = toy.result(parts, mask=mask, feather=0)
        raw = toy.result(parts, mask=mask, paste_back=False)
    assert np.array_equal(found.images[0][mask == 0], toy.picture()[mask == 0])
    assert not np.array_equal(found.images[0], toy.picture())
    assert found.facts["kept_pixels_changed"] == [0]
    assert raw.facts["kept_pixels_changed"][0] > 0  # the autoencoder's round trip


def test_outside_a_mask_the_latents_are_the_sources_bit_for_bit() -> None:
    fixed = torch.zeros(1, 1, 8, 8)
    fixed[..., 2:6, 3:7] = 1
    with toy.parts() as parts:
        found = last(parts, controller(pinned(), blend=LocalBlend(fixed=fixed)), Course(STOPS, trajectory(), 4.5))
    same = (found[1] == found[0]).all(0)
    assert same[fixed[0, 0] == 0].all()
    assert not same[fixed[0, 0] == 1].any()


def test_micro_conditions_say_the_real_size_in_every_row() -> None:
    made = toy.components()
    made["transformer"] = toy.transformer(use_additional_conditions=True, num_attention_heads=3, cross_attention_dim=24)
    told = []
    made["transformer"].register_forward_pre_hook(
        lambda _, __, named: told.append(named["added_cond_kwargs"]), with_kwargs=True
    )
    with toy.parts(made) as parts:
        toy.result(parts, image=toy.picture(64, 128))
    rows = {len(one["resolution"]) for one in told}
    assert rows == {1, 2, 3}  # the inversion, the end without the source, the steps with it
    for one in told:
        assert (one["resolution"] == torch.tensor([32.0, 96.0])).all() or (one["resolution"][:, 1] == 96).all()
        torch.testing.assert_close(one["aspect_ratio"][:, 0], one["resolution"][:, 0] / one["resolution"][:, 1])


def test_half_precision_that_overflows_is_run_again_in_float32() -> None:
    made = toy.components()
    made["transformer"].proj_out.bias.fill_(7e4).clamp_(max=6.5e4)
    made["transformer"].proj_out.weight.mul_(3e3)
    preset = toy.POCKET
    components = {**preset.components}
    name = "transformer"
    components[name] = type(components[name])(**{**components[name].__dict__, "dtype": "float16"})
    half = type(preset)(**{**preset.__dict__, "components": components})
    made["transformer"].half()
    with toy.parts(made, half) as parts:
        found = toy.result(parts)
        assert next(made["transformer"].parameters()).dtype == torch.float16
    assert "overflowed" in found.facts["warning"]
    assert np.isfinite(found.facts["noise"]["std"])


def test_merging_does_not_mix_what_may_change_with_what_stays() -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[:, 60:] = 255
    with toy.parts() as parts:
        request = toy.request(mask=mask, merge_ratio=0.75)
        (plan,) = planning.plans(request, planning.read(parts, request), 3, (64, 96))
        assert plan.merging.labels is not None
        assert plan.merging.labels.tolist() == [[False] * 3 + [True] * 3] * 4  # a token of 16 pixels that it touches
        dot = np.zeros_like(mask)
        dot[:15, :15] = 255  # one token: it has no other to go to
        kept = [toy.result(parts, mask=m, merge_ratio=0.75).facts["kept_tokens"] for m in (None, dot)]
    assert kept == ["4 of 16", "5 of 16"]


def test_words_that_do_not_fit_are_said_and_words_that_are_not_there_refused() -> None:
    long = "a red car on the table " * 4
    with toy.parts() as parts:
        found = toy.result(parts, target_prompt=long)
        assert found.facts["dropped_words"].endswith("the table")
        with pytest.raises(BadRequest, match="boat"):
            toy.result(parts, weights="boat: 2")
        with pytest.raises(BadRequest, match="boat"):
            toy.result(parts, blend="boat")
        with pytest.raises(BadRequest, match="one target prompt at a time"):
            toy.result(parts, target_prompt="a car\na teapot", pin_source=False)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"image": None, "source_prompt": " "}, "give a picture, or describe one"),
        ({"target_prompt": "a\nb\nc\nd\ne"}, "4 lines are the most"),
        ({"image": None, "mask": np.full((64, 96), 255, np.uint8)}, "A mask needs a picture"),
        ({"mask": np.zeros((64, 96), np.uint8)}, "The mask is empty"),
        ({"mask": np.zeros((64, 64), np.uint8)}, "same size"),
        ({"weights": "car"}, "is no weight"),
        ({"weights": "car: 9"}, "-2 to 4"),
        ({"weights": "car: nan"}, "is no weight"),
        ({"resolution": "500"}, "must be one of"),
        ({"width": 500, "height": 512}, "width of 500 is no multiple of 32; please use 480 or 512"),
        ({"width": 512, "height": 20}, "please use 32"),
        ({"width": 512}, "both a width and a height"),
    ],
)
def test_requests_that_cannot_be_run_are_refused_with_the_fix(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        toy.request(**wrong)


def test_stop_leaves_the_stock_processors() -> None:
    made = toy.components()
    before = [id(p) for p in made["transformer"].attn_processors.values()]
    with toy.parts(made) as parts:
        events = method.run(parts, toy.request())
        for _ in range(6):  # two steps into the edit
            next(events)
        assert [id(p) for p in made["transformer"].attn_processors.values()] != before
        events.close()  # type: ignore[attr-defined]
    assert [id(p) for p in made["transformer"].attn_processors.values()] == before
