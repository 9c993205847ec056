"""The loop against diffusers' own pipeline, and how places are held to the collage and let go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, StableDiffusionImg2ImgPipeline
from torch import Tensor

from models import diffusion
from models.collage.bias import CrossBias, Words
from models.collage.sampling import APART, Pins, first_step, img2img, levels
from tests import tiny

STOPS = levels(diffusion.alphas_cumprod(), 50)
SCALE = 7.5
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' scheduler


class Run:
    """The tiny U-Net with text, a clean picture, and guided noise as a method would have it."""

    def __init__(self, rows: int = 1) -> None:
        draw = torch.Generator().manual_seed(7)
        self.unet = tiny.unet()
        self.clean = torch.randn(1, 4, 8, 8, generator=draw)
        self.negative, self.positive = (torch.randn(1, tiny.TEXT_TOKENS, 12, generator=draw) for _ in range(2))
        self.text = torch.cat([self.negative.expand(rows, -1, -1), self.positive.expand(rows, -1, -1)])
        self.calls = 0

    @torch.no_grad()
    def network(self, latents: Tensor, timestep: Tensor) -> Tensor:
        self.calls += 1
        out = self.unet(torch.cat([latents, latents]), timestep, self.text).sample
        return diffusion.guide(*out.chunk(2), SCALE)

    def last(self, **changes: Any) -> Tensor:
        settings = {"stops": levels(diffusion.alphas_cumprod(), 10), "strength": 0.8, "seeds": [5]} | changes
        return list(img2img(self.network, self.clean, **settings))[-1].latents


def test_steps_are_those_of_the_published_sampler() -> None:
    assert STOPS.timesteps[[0, 1, 2, -3, -2, -1]].tolist() == pytest.approx(
        [999, 978.612, 958.224, 40.776, 20.388, 0], abs=1e-3
    )
    assert STOPS.sigmas[[0, 10, 49, 50]].tolist() == pytest.approx([14.6146, 4.9989, 0.0292, 0], abs=1e-4)
    scheduler = EulerAncestralDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="linspace"
    )
    for steps in (7, 20, 50):
        scheduler.set_timesteps(steps)
        found = levels(diffusion.alphas_cumprod(), steps)
        torch.testing.assert_close(found.timesteps, scheduler.timesteps, atol=1e-4, rtol=0)
        torch.testing.assert_close(found.sigmas, scheduler.sigmas, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize(
    ("steps", "strength", "run"),
    [(50, 0.8, 40), (50, 0.7, 35), (50, 0.5, 25), (50, 0.2, 10), (30, 0.8, 24), (50, 1, 50), (50, 0, 0), (4, 0.2, 0)],
)
def test_a_share_of_the_steps_is_run(steps: int, strength: float, run: int) -> None:
    assert steps - first_step(steps, strength) == run


def stock(run: Run, steps: int, seed: int, prediction: str) -> Tensor:
    """diffusers' own image-to-image pipeline."""
    scheduler = EulerAncestralDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="linspace",
        steps_offset=1,  # without effect on evenly spaced steps; the pipeline asks for it
        prediction_type=prediction,
    )
    with torch.random.fork_rng():
        vae = AutoencoderKL(block_out_channels=(4,), norm_num_groups=4)  # only its number of channels is read
    pipeline = StableDiffusionImg2ImgPipeline(
        vae, None, None, run.unet, scheduler, None, None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        image=run.clean,
        strength=0.8,
        num_inference_steps=steps,
        guidance_scale=SCALE,
        prompt_embeds=run.positive,
        negative_prompt_embeds=run.negative,
        generator=torch.Generator().manual_seed(seed),
        output_type="latent",
    ).images


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_plain_loop_is_diffusers_image_to_image(prediction: Any) -> None:
    run = Run()
    torch.testing.assert_close(run.last(prediction=prediction), stock(run, 10, 5, prediction), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("strength", [0.3, 0.8, 1.0])
def test_zero_weights_and_an_even_map_are_the_plain_loop_bit_for_bit(strength: float) -> None:
    run = Run()
    plain = run.last(strength=strength)
    pins = Pins(torch.full((8, 8), strength))
    bias = CrossBias((Words((2, 3), 0.0, 0.0),), torch.rand(1, 64, 64))
    with bias.installed(run.unet):
        assert torch.equal(run.last(strength=strength, pins=pins, bias=bias), plain)


def test_weights_and_an_uneven_map_are_not() -> None:
    run = Run()
    plain = run.last()
    half = torch.full((8, 8), 0.8)
    half[:, :4] = 0.3
    assert not torch.equal(run.last(pins=Pins(half)), plain)
    bias = CrossBias((Words((2, 3), 0.5, 0.5),), torch.rand(1, 64, 64))
    with bias.installed(run.unet):
        assert not torch.equal(run.last(bias=bias), plain)
        assert not torch.equal(run.last(bias=bias), run.last(bias=bias, bias_sigma="true"))


def test_pictures_of_one_batch_are_those_of_single_runs() -> None:
    run, single = Run(rows=2), Run()
    bias = CrossBias((Words((2, 3), 0.5, 0.5),), torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(1)))
    settings: dict[str, Any] = {"pins": Pins(torch.linspace(0, 0.8, 64).reshape(8, 8)), "bias": bias}
    with ExitStack() as stack:
        for one in (run, single):
            stack.enter_context(bias.installed(one.unet))
        both = run.last(seeds=[5, 6], **settings)
        for row, seed in zip(both, (5, 6), strict=True):
            torch.testing.assert_close(row, single.last(seeds=[seed], **settings)[0], atol=1e-4, rtol=1e-4)


def test_the_bias_is_told_the_levels_that_its_weights_were_tuned_for() -> None:
    """At strength 0.8 the first of 40 steps runs at 4.9989 and the published bias is that of 14.6146."""

    class Told(CrossBias):
        def at(self, sigma: float) -> None:
            heard.append(sigma)

    heard: list[float] = []
    bias = Told((Words((2,), 1, 1),), torch.ones(1, 64, 64))
    table = [(0, 14.6146, 4.9989), (10, 4.9989, 2.2143), (20, 2.2143, 1.1171), (30, 1.1171, 0.5328)]
    table.append((39, 0.5809, 0.0292))
    for column, sigma in ((1, "reference"), (2, "true")):
        heard.clear()
        list(img2img(lambda x, t: x, torch.zeros(1, 1, 8, 8), STOPS, 0.8, [0], bias=bias, bias_sigma=sigma))  # type: ignore[arg-type]
        assert len(heard) == 40
        assert [heard[row[0]] for row in table] == pytest.approx([row[column] for row in table], abs=1e-3)


def releases(level: float) -> Iterator[bool]:
    pins = Pins(torch.full((8, 8), level))
    for timestep in STOPS.timesteps[10:]:
        yield bool(pins.held(float(timestep)).any())


@pytest.mark.parametrize(
    ("level", "step"), [(0.1, 35), (0.2, 30), (0.3, 25), (0.4, 20), (0.5, 15), (0.6, 10), (0.7, 5), (0.8, 0), (0, 39)]
)
def test_a_place_comes_free_at_its_level(level: float, step: int) -> None:
    assert list(releases(level)) == [True] * step + [False] * (40 - step)


def test_held_places_have_a_rim_that_shrinks() -> None:
    spot = torch.ones(15, 15)
    spot[7, 7] = 0.1
    counts = [int(Pins(spot).held(t).sum()) for t in (950.0, 750.0, 749.0, 500.0, 300.0, 249.0, 99.0)]
    assert counts == [49, 49, 25, 25, 9, 1, 0]


@pytest.mark.parametrize(("level", "low", "high"), [("aligned", 0.0, 0.06), ("reference", 0.15, 0.3)])
def test_what_is_kept_ends_clean_where_levels_are_aligned(level: Any, low: float, high: float) -> None:
    run = Run()
    final = run.last(stops=levels(diffusion.alphas_cumprod(), 20), pins=Pins(torch.zeros(8, 8), level))
    assert low < float((final - run.clean).square().mean().sqrt()) < high


def test_held_places_are_the_collage_at_the_level_of_the_step() -> None:
    run = Run()
    pins = Pins(torch.zeros(8, 8))
    draw = torch.Generator().manual_seed(5 + APART)
    for state in img2img(run.network, run.clean, STOPS, 0.1, [5], pins):
        noise = torch.randn(1, 4, 8, 8, generator=draw)
        if state.step < 4:
            expected = run.clean + STOPS.sigmas[45 + state.step + 1] * noise
            torch.testing.assert_close(state.latents, expected, atol=1e-6, rtol=0)


def test_without_fresh_noise_the_steps_are_eulers() -> None:
    run = Run()
    states = list(img2img(run.network, run.clean, STOPS, 0.1, [5], eta=0.0))
    for before, after in zip(states, states[1:], strict=False):
        k = 45 + after.step
        slope = (before.latents - after.denoised) / STOPS.sigmas[k]
        step = before.latents + slope * (STOPS.sigmas[k + 1] - STOPS.sigmas[k])
        torch.testing.assert_close(after.latents, step, atol=1e-5, rtol=1e-5)


def test_no_strength_is_no_step() -> None:
    run = Run()
    assert list(img2img(run.network, run.clean, STOPS, 0.01, [5])) == []
    assert run.calls == 0
    with pytest.raises(ValueError, match="choose between"):
        levels(diffusion.alphas_cumprod(), 0)
