"""What the network is given: framing, text, schedule and ids."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

from models.diffusion import flow_noise
from models.dreamfuse import conditions
from models.dreamfuse.buckets import BUCKETS, choose_bucket
from models.dreamfuse.framing import Framing, frame
from models.dreamfuse.loss import fusion_loss
from models.dreamfuse.text import encode_prompt
from models.dreamfuse.transformer import Conditions, conditioned
from models.pixels import alpha_box, flatten
from models.tokens import dropped_words, token_ids
from tests.methods import dreamfuse_tiny as tiny
from tests.methods.test_dreamfuse_transformer import TOKENS, call, pictures, tags
from tests.tiny import flux

FLUX_DEV = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15, "shift": 3.0}


def box_of(picture: np.ndarray) -> Any:
    """The box of everything that is not white."""
    return alpha_box((255 - picture.min(axis=2)).astype(np.uint8), 40)


# --- framing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("enlarge", [True, False])
@pytest.mark.parametrize("place", [{}, {"angle": 30}, {"flip": True, "scale": 0.7, "x": 0.45}, {"angle": -100}])
def test_the_placement_takes_the_object_to_where_it_is_pasted(place: dict, enlarge: bool) -> None:
    framing = frame(tiny.request(**place, enlarge=enlarge), 256)
    affine, own, pasted = framing.affine, box_of(framing.foreground), alpha_box(framing.placed_mask, 128)
    moved = [
        affine.a * own[0] + affine.tx,
        affine.e * own[1] + affine.ty,
        affine.a * own[2] + affine.tx,
        affine.e * own[3] + affine.ty,
    ]
    assert pasted is not None
    assert moved == pytest.approx(pasted, abs=2.5)
    assert affine.a == pytest.approx(affine.e, rel=0.03)


def test_object_is_turned_and_mirrored_in_its_pixels() -> None:
    cut = np.zeros((40, 40, 4), np.uint8)
    cut[5:35, 15:25] = (255, 0, 0, 255)
    cut[5:35, 20:25] = (0, 0, 255, 255)
    upright = frame(tiny.request(foreground=cut), 128).foreground
    mirrored = frame(tiny.request(foreground=cut, flip=True), 128).foreground
    lying = frame(tiny.request(foreground=cut, angle=90), 128).foreground
    left, top, right, bottom = box_of(upright)
    assert bottom - top > 2 * (right - left)
    middle = (top + bottom) // 2
    assert upright[middle, left + 2, 0] > upright[middle, left + 2, 2]
    left = box_of(mirrored)[0]
    assert mirrored[middle, left + 2, 2] > mirrored[middle, left + 2, 0]
    left, top, right, bottom = box_of(lying)
    assert right - left > 2 * (bottom - top)


@pytest.mark.parametrize("side", [30, 60, 400])
def test_object_fills_40_to_80_percent_of_its_canvas(side: int) -> None:
    cut = np.full((side, side, 4), 255, np.uint8)
    cut[..., 0] = 0
    request = tiny.request(foreground=cut)
    left, top, right, bottom = box_of(frame(request, 256).foreground)
    height, width = frame(request, 256).foreground.shape[:2]
    occupancy = max((right - left) / width, (bottom - top) / height)
    assert occupancy == pytest.approx(np.clip(side / 128, 0.4, 0.8), abs=0.02)
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((width / 2, height / 2), abs=1)
    as_it_is = box_of(frame(request.replace(enlarge=False), 256).foreground)
    assert (as_it_is[3] - as_it_is[1]) / height == pytest.approx(min(side / 128, 1), abs=0.02)


def test_object_half_outside_keeps_its_shape_and_loses_the_rest() -> None:
    request = tiny.request(x=0.0, foreground=np.full((60, 60, 4), (200, 0, 0, 255), np.uint8))
    framing = frame(request, 128)
    left, top, right, bottom = box_of(framing.foreground)
    assert (right - left) / (bottom - top) == pytest.approx(0.5 * (144 / 160) / (112 / 128), abs=0.05)
    assert framing.affine.a == pytest.approx(framing.affine.e)
    assert framing.affine.a * left + framing.affine.tx == pytest.approx(0, abs=1)


def test_direct_transform_moves_the_pixels_instead() -> None:
    request = tiny.request(variant="direct-transform")
    framing = frame(request, 128)
    assert box_of(framing.foreground) == pytest.approx(alpha_box(framing.placed_mask, 128), abs=1)
    ids = conditions.position_ids(request, framing).chunk(3)
    assert torch.equal(ids[0], ids[1])
    assert torch.equal(ids[0], ids[2])


def test_whitening_uses_the_soft_alpha() -> None:
    cut = np.zeros((8, 8, 4), np.uint8)
    cut[:4, :, 3] = 128
    white = flatten(cut)
    assert white[4:].min() == 255
    assert abs(int(white[0, 0, 0]) - 127) <= 1


# --- ids and schedule -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("resolution", "length"), [(512, 3_328), (768, 7_168), (1024, 12_544)])
def test_sequence_lengths_and_plain_ids(resolution: int, length: int) -> None:
    width, height = choose_bucket(100, 100, resolution)
    empty = np.zeros((height, width, 3), np.uint8)
    framing = Framing(empty, empty, empty[..., 0], frame(tiny.request(), 128).affine)
    ids = conditions.position_ids(tiny.request(), framing)
    assert 256 + len(ids) == length
    assert ids.dtype == torch.float32
    assert not ids[:, 0].any()
    noisy, foreground, background = ids.chunk(3)
    assert torch.equal(noisy, background)
    assert not torch.equal(noisy, foreground)
    assert noisy.max() == resolution // 16 - 1


TIMESTEPS = {512: (1000, 980.656, 960.644, 65.02), 1024: (1000, 988.409, 976.222, 104.721)}


@pytest.mark.parametrize("resolution", TIMESTEPS)
def test_noise_levels_are_those_of_flux_for_the_noisy_part(resolution: int) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(**FLUX_DEV)
    tokens = (resolution // 16) ** 2
    sigmas = conditions.noise_levels(scheduler.config, 28, tokens)
    assert len(sigmas) == 29
    chosen = (1000 * sigmas[[0, 1, 2, 27]]).tolist()
    assert chosen == pytest.approx(TIMESTEPS[resolution], abs=1e-2)
    mu = {512: 0.63, 1024: 1.15}[resolution]
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / 28, 28), mu=mu)
    torch.testing.assert_close(sigmas, scheduler.sigmas)


@pytest.mark.parametrize(("size", "mu"), [((448, 576), 0.627292), ((672, 864), 0.840573), ((896, 1152), 1.139167)])
def test_shift_counts_the_tokens_of_one_picture(size: tuple[int, int], mu: float) -> None:
    assert any(size in sizes for sizes in BUCKETS.values())
    tokens = size[0] * size[1] // 256
    sigmas = conditions.noise_levels(FlowMatchEulerDiscreteScheduler(**FLUX_DEV).config, 2, tokens)
    assert float(torch.logit(sigmas[1].double())) == pytest.approx(mu, abs=1e-5)  # the half shifted by e^mu


def test_static_shift_of_a_scheduler_is_respected() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=2.5)
    sigmas = conditions.noise_levels(scheduler.config, 9, 64)
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / 9, 9))
    torch.testing.assert_close(sigmas, scheduler.sigmas)


def test_timestep_is_rounded_like_in_flux() -> None:
    told: list[Any] = []

    def network(*_: Any, timestep: Any, **more: Any) -> Any:
        told.append(timestep)
        return (torch.zeros(1),)

    given = Conditions(torch.zeros(1, 8, 16, dtype=torch.bfloat16))
    inputs = conditions.Inputs(given, {}, torch.ones(2), (4, 4))
    inputs.velocity(network, torch.zeros(1, 4, 16), torch.tensor(987.2))  # type: ignore[arg-type]
    assert told[0].dtype == torch.bfloat16
    assert float((1000 * told[0]).bfloat16()) == 988


# --- text -------------------------------------------------------------------------------------------------


def test_ids_of_the_empty_prompt_are_constants() -> None:
    assert token_ids(tiny.clip_tokenizer(), "").tolist() == [[49406] + 76 * [49407]]
    assert token_ids(tiny.clip_tokenizer(), "a photo of a cat").tolist()[0][:8] == [
        49406,
        320,
        1125,
        539,
        320,
        2368,
        49407,
        49407,
    ]
    assert token_ids(tiny.t5_tokenizer(), "", 256).tolist() == [[1] + 255 * [0]]


@pytest.mark.parametrize("prompt", ["", "a gold car on the table"])
def test_prompt_is_encoded_like_flux_encodes_it(prompt: str) -> None:
    made = tiny.components()
    names = ("scheduler", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "transformer")
    pipe = SimpleNamespace(**{n: made[n] for n in names}, _execution_device="cpu", tokenizer_max_length=77)
    with torch.no_grad():
        tokens = FluxPipeline._get_t5_prompt_embeds(pipe, prompt, max_sequence_length=8, device="cpu")
        pooled = FluxPipeline._get_clip_prompt_embeds(pipe, prompt, device="cpu")
    with tiny.parts(made=made) as parts:
        ours = encode_prompt(parts.components, tiny.PRESET, prompt)
    assert torch.equal(ours.tokens, tokens)
    assert torch.equal(ours.pooled, pooled)
    assert ours.tokens.shape == (1, 8, 12)


def test_words_beyond_the_limit_are_named() -> None:
    tokenizer = tiny.t5_tokenizer()
    assert dropped_words(tokenizer, "a red car on the table", 8) == ""
    assert dropped_words(tokenizer, "a red car on the table", 7) == ""
    assert dropped_words(tokenizer, "a red car on the gold table", 5) == "the gold table"


# --- the loss ---------------------------------------------------------------------------------------------


def test_loss_is_the_flow_matching_error_per_sample() -> None:
    model, arguments = flux(), call()
    fused, noise, sigmas = arguments.pop("hidden_states"), torch.randn(2, TOKENS, 16), torch.tensor([0.2, 0.9])
    del arguments["timestep"]
    given = Conditions(pictures(), tags())
    with torch.no_grad(), conditioned(model) as both:
        losses = fusion_loss(both, fused, noise, sigmas, given, **arguments)
        noisy = torch.stack([(1 - s) * x + s * n for s, x, n in zip(sigmas, fused, noise, strict=True)])
        velocity = both(noisy, timestep=sigmas, conditions=given, **arguments).sample
        weighted = fusion_loss(both, fused, noise, sigmas, given, torch.full((2, TOKENS, 1), 3.0), **arguments)
    expected = (velocity - noise + fused).square().mean((1, 2))
    torch.testing.assert_close(losses.per_sample, expected)
    torch.testing.assert_close(losses.total, expected.mean())
    torch.testing.assert_close(weighted.total, 3 * expected.mean())
    assert torch.equal(flow_noise(fused, noise, torch.zeros(2)), fused)


def test_a_few_steps_fit_one_batch() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, table = flux().train().requires_grad_(), tags().mul(0).requires_grad_()
        arguments, noise = call(), torch.randn(2, TOKENS, 16)
    fused = arguments.pop("hidden_states")
    arguments["img_ids"] = arguments["img_ids"].expand(2, -1, 3)
    del arguments["timestep"]
    optimizer = torch.optim.AdamW([*model.parameters(), table], lr=3e-3)
    history = []
    for _ in range(15):
        with conditioned(model) as both:
            given = Conditions(pictures(), table)
            loss = fusion_loss(both, fused, noise, torch.tensor([0.4, 0.8]), given, **arguments).total
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append(loss.item())
    assert history[-1] < 0.7 * history[0]
    assert table.abs().max() > 0
