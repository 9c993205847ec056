"""Schedules and samplers agree with diffusers' schedulers; paths and targets with their definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, FluxPipeline
from torch import Tensor

from models import diffusion
from models.diffusion import Prediction
from tests import tiny

PREDICTIONS = get_args(Prediction)
STABLE_DIFFUSION = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network(latents: Tensor, timestep: Tensor) -> Tensor:
    """Some smooth function of both arguments."""
    return torch.sin(3 * latents) + timestep / 1000


def flux_scheduler() -> Any:
    return FlowMatchEulerDiscreteScheduler(
        shift=3.0,
        use_dynamic_shifting=True,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
    )


def follow(scheduler: Any, latents: Tensor, predict: Callable[[Tensor, Tensor], Tensor], **more: Any) -> Tensor:
    for timestep in scheduler.timesteps:
        latents = scheduler.step(predict(latents, timestep), timestep, latents, **more).prev_sample
    return latents


# ---- flow matching


@pytest.mark.parametrize(
    ("width", "height", "mu"),
    [
        (512, 512, 0.63),
        (448, 576, 0.627292),
        (768, 768, 0.846667),
        (672, 864, 0.840573),
        (1024, 1024, 1.15),
        (896, 1152, 1.139167),
        (1280, 768, 1.106667),
    ],
)
def test_mu_of_flux_buckets(width: int, height: int, mu: float) -> None:
    assert diffusion.flux_mu(width // 16 * (height // 16)) == pytest.approx(mu, abs=5e-7)


@pytest.mark.parametrize(
    ("tokens", "first", "last"),
    [(1024, [1000, 980.656, 960.644], 65.02), (4096, [1000, 988.409, 976.222], 104.721)],
)
def test_timesteps_of_28_flux_steps(tokens: int, first: list[float], last: float) -> None:
    timesteps = 1000 * diffusion.flow_sigmas(28, diffusion.flux_mu(tokens))
    assert timesteps[:3].tolist() == pytest.approx(first, abs=5e-4)
    assert timesteps[-2].item() == pytest.approx(last, abs=5e-4)
    assert (len(timesteps), timesteps[-1].item()) == (29, 0)


@pytest.mark.parametrize("steps", [1, 4, 20, 28, 50])
@pytest.mark.parametrize("tokens", [256, 1008, 1024, 4096])
def test_euler_flow_is_the_flux_scheduler_bit_for_bit(steps: int, tokens: int) -> None:
    scheduler, mu, noise = flux_scheduler(), diffusion.flux_mu(tokens), draw(2, 6, 4)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)  # as `FluxPipeline` does
    sigmas = diffusion.flow_sigmas(steps, mu)
    assert torch.equal(sigmas, scheduler.sigmas)
    states = list(diffusion.euler_flow(network, noise, sigmas))
    assert torch.equal(states[-1].latents, follow(scheduler, noise, network))
    assert [state.step for state in states] == list(range(steps))


def test_euler_flow_on_a_transformer_is_the_flux_pipeline_bit_for_bit() -> None:
    model, inputs = tiny.flux(), tiny.inputs(tiny.flux(), batch=1)
    noise = inputs.pop("hidden_states")
    del inputs["timestep"]
    empty = dict.fromkeys(["vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"])
    pipeline = FluxPipeline(scheduler=flux_scheduler(), transformer=model, **empty)
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        prompt_embeds=inputs["encoder_hidden_states"],
        pooled_prompt_embeds=inputs["pooled_projections"],
        latents=noise,
        height=64,
        width=64,
        num_inference_steps=4,
        guidance_scale=3.5,
        output_type="latent",
    ).images

    def velocity(latents: Tensor, timestep: Tensor) -> Tensor:
        return tiny.output(model, **inputs, hidden_states=latents, timestep=timestep.expand(1) / 1000)

    sigmas = diffusion.flow_sigmas(4, diffusion.flux_mu(16))
    *_, last = diffusion.euler_flow(velocity, noise, sigmas)
    assert torch.equal(last.latents, expected)


def test_without_mu_the_sigmas_are_even() -> None:
    torch.testing.assert_close(diffusion.flow_sigmas(4), torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0]))


def test_a_straight_flow_is_followed_exactly_and_back() -> None:
    clean, noise = draw(2, 3, 4, 4), draw(2, 3, 4, 4, seed=1)
    sigmas = diffusion.flow_sigmas(5, 0.63)

    def velocity(latents: Tensor, timestep: Tensor) -> Tensor:
        return diffusion.flow_target(clean, noise)

    for step, latents, denoised in diffusion.euler_flow(velocity, noise, sigmas):
        torch.testing.assert_close(latents, diffusion.flow_noise(clean, noise, sigmas[step + 1]))
        torch.testing.assert_close(denoised, clean)
    *_, inverted = diffusion.euler_flow(velocity, clean, sigmas.flip(0))
    torch.testing.assert_close(inverted.latents, noise)


def test_flow_noise_is_the_schedulers_with_a_level_per_row() -> None:
    scheduler = flux_scheduler()
    clean, noise = draw(3, 4, 2, 2), draw(3, 4, 2, 2, seed=1)
    timesteps = torch.tensor([1.0, 400.0, 1000.0])
    expected = scheduler.scale_noise(clean, timesteps, noise)
    torch.testing.assert_close(diffusion.flow_noise(clean, noise, timesteps / 1000), expected)


def test_the_state_keeps_its_precision_under_a_half_precision_network() -> None:
    def half(latents: Tensor, timestep: Tensor) -> Tensor:
        return network(latents, timestep).bfloat16()

    schedule = diffusion.ddim_schedule(diffusion.alphas_cumprod(), diffusion.ddim_timesteps(3))
    for state in diffusion.euler_flow(half, draw(1, 4), diffusion.flow_sigmas(3)):
        assert (state.latents.dtype, state.denoised.dtype) == (torch.float32, torch.float32)
    for state in diffusion.ddim(half, draw(1, 4), schedule):
        assert (state.latents.dtype, state.denoised.dtype) == (torch.float32, torch.float32)


# ---- DDIM


@pytest.mark.parametrize(("betas", "start", "end"), [("scaled_linear", 0.00085, 0.012), ("linear", 0.0001, 0.02)])
def test_alphas_are_diffusers(betas: Any, start: float, end: float) -> None:
    scheduler = DDIMScheduler(beta_schedule=betas, beta_start=start, beta_end=end)
    assert torch.equal(diffusion.alphas_cumprod(betas, start, end), scheduler.alphas_cumprod)


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 7, 20, 30, 50, 1000])
def test_ddim_timesteps_are_diffusers(spacing: Any, steps: int) -> None:
    offset = 1 if steps < 1000 else 0
    scheduler = DDIMScheduler(timestep_spacing=spacing, steps_offset=offset)
    scheduler.set_timesteps(steps)
    assert diffusion.ddim_timesteps(steps, spacing, offset).tolist() == scheduler.timesteps.tolist()


def test_too_many_ddim_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="1001 steps"):
        diffusion.ddim_timesteps(1001)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("to_clean", [True, False])
def test_ddim_is_diffusers_bit_for_bit(prediction: Any, spacing: Any, to_clean: bool) -> None:
    scheduler = DDIMScheduler(
        **STABLE_DIFFUSION,
        steps_offset=1,
        prediction_type=prediction,
        timestep_spacing=spacing,
        set_alpha_to_one=to_clean,
    )
    scheduler.set_timesteps(20)
    timesteps = diffusion.ddim_timesteps(20, spacing)
    schedule = diffusion.ddim_schedule(diffusion.alphas_cumprod(), timesteps, to_clean)
    noise = draw(2, 4, 3, 3)
    *_, last = diffusion.ddim(network, noise, schedule, prediction)
    assert torch.equal(last.latents, follow(scheduler, noise, network))


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_ddim_with_fresh_noise_is_diffusers(eta: float) -> None:
    scheduler = DDIMScheduler(**STABLE_DIFFUSION, steps_offset=1, set_alpha_to_one=False)
    scheduler.set_timesteps(10)
    schedule = diffusion.ddim_schedule(diffusion.alphas_cumprod(), diffusion.ddim_timesteps(10))
    noise, seeds = draw(2, 4, 3, 3), (torch.Generator().manual_seed(9) for _ in range(2))
    *_, last = diffusion.ddim(network, noise, schedule, eta=eta, generator=next(seeds))
    expected = follow(scheduler, noise, network, eta=eta, generator=next(seeds))
    torch.testing.assert_close(last.latents, expected, atol=1e-5, rtol=1e-5)
    *_, without = diffusion.ddim(network, noise, schedule)
    assert (last.latents - without.latents).abs().max() > 1e-2


def test_the_clean_estimate_of_ddim_is_diffusers() -> None:
    scheduler = DDIMScheduler(**STABLE_DIFFUSION, steps_offset=1, set_alpha_to_one=False)
    scheduler.set_timesteps(10)
    schedule = diffusion.ddim_schedule(diffusion.alphas_cumprod(), diffusion.ddim_timesteps(10))
    noise = draw(2, 4, 3, 3)
    first = next(diffusion.ddim(network, noise, schedule))
    timestep = scheduler.timesteps[0]
    expected = scheduler.step(network(noise, timestep), timestep, noise).pred_original_sample
    assert torch.equal(first.denoised, expected)


def test_euler_on_a_flow_is_ddim_on_the_straight_path() -> None:
    sigmas, noise = diffusion.flow_sigmas(8, 0.8), draw(2, 6, 4)
    straight = diffusion.Schedule(1000 * sigmas[:-1], 1 - sigmas, sigmas)
    *_, euler = diffusion.euler_flow(network, noise, sigmas)
    *_, ddim = diffusion.ddim(network, noise, straight, "flow_prediction")
    torch.testing.assert_close(euler.latents, ddim.latents, atol=1e-5, rtol=1e-5)


# ---- prediction types and guidance


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_split_inverts_the_training_target(prediction: Prediction) -> None:
    clean, noise = draw(3, 4, 2, 2), draw(3, 4, 2, 2, seed=1)
    sigma = torch.tensor([0.1, 0.5, 0.9])
    alpha = 1 - sigma if prediction == "flow_prediction" else (1 - sigma**2).sqrt()
    latents = diffusion.add_noise(clean, noise, alpha, sigma)
    output = diffusion.target(prediction, clean, noise, alpha, sigma)
    parts = diffusion.split(prediction, output, latents, alpha, sigma)
    torch.testing.assert_close(parts, (clean, noise), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("timestep", [1, 400, 999])
def test_noise_and_velocity_targets_are_diffusers(timestep: int) -> None:
    scheduler, rows = DDIMScheduler(**STABLE_DIFFUSION), torch.tensor([timestep, 500])
    clean, noise = draw(2, 4, 2, 2), draw(2, 4, 2, 2, seed=1)
    squared = diffusion.alphas_cumprod()[rows]
    path = squared.sqrt(), (1 - squared).sqrt()
    velocity = scheduler.get_velocity(clean, noise, rows)
    torch.testing.assert_close(diffusion.target("v_prediction", clean, noise, *path), velocity)
    torch.testing.assert_close(diffusion.add_noise(clean, noise, *path), scheduler.add_noise(clean, noise, rows))


def test_guidance_extrapolates_from_the_unconditional_prediction() -> None:
    unconditional, conditional = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 1.0])
    assert diffusion.guide(unconditional, conditional, 0).tolist() == [1, 2]
    assert diffusion.guide(unconditional, conditional, 1).tolist() == [3, 1]
    assert diffusion.guide(unconditional, conditional, 7.5).tolist() == [16, -5.5]
