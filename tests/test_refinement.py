"""Refined latents decode closer to the picture, never further, wherever they come from."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from models import refinement
from tests.analytic_scores import draw


def linear(size: int = 6) -> nn.Conv2d:
    torch.manual_seed(0)
    decoder = nn.Conv2d(4, size, 1).double()
    nn.init.orthogonal_(decoder.weight)  # Adam is slow along directions that the decoder all but ignores
    return decoder


def mean_square(decode: nn.Module, latents: Tensor, pixels: Tensor) -> list[float]:
    with torch.no_grad():
        return (decode(latents) - pixels).square().mean((1, 2, 3)).tolist()


def test_latents_of_a_linear_decoder_reach_least_squares() -> None:
    decode, pixels = linear(), draw(1, 6, 3, 3)
    refined = refinement.refine_latents(decode, torch.zeros(1, 4, 3, 3).double(), pixels, steps=300)
    weight = decode.weight.detach().flatten(1)
    wanted = (pixels - decode.bias.detach().view(1, -1, 1, 1)).flatten(2)[0]
    expected = torch.linalg.lstsq(weight, wanted).solution.view(1, 4, 3, 3)
    torch.testing.assert_close(refined, expected, atol=1e-3, rtol=0)


def test_every_step_is_at_least_as_good_as_the_one_before() -> None:
    decode, pixels, latents = linear(), draw(2, 6, 3, 3), draw(2, 4, 3, 3, seed=1)
    states = list(refinement.refinements(decode, latents, pixels, steps=12))
    assert [state.step for state in states] == list(range(12))
    errors = [mean_square(decode, latents, pixels), *(mean_square(decode, s.latents, pixels) for s in states)]
    for before, after in zip(errors, errors[1:], strict=False):
        assert all(b >= a for b, a in zip(before, after, strict=True))
    assert all(last < 0.7 * first for last, first in zip(errors[-1], errors[0], strict=True))
    assert torch.equal(states[-1].latents, refinement.refine_latents(decode, latents, pixels, steps=12))
    assert torch.equal(latents, refinement.refine_latents(decode, latents, pixels, steps=0))


def test_steps_too_long_for_latents_that_all_but_fit_are_not_kept() -> None:
    decode, latents = linear(), draw(1, 4, 3, 3)
    pixels = decode(latents).detach() + 1e-3 * draw(1, 6, 3, 3, seed=1)
    states = list(refinement.refinements(decode, latents, pixels, steps=3))
    assert all(torch.equal(state.latents, latents) for state in states)


def test_each_picture_of_a_batch_is_refined_as_alone() -> None:
    decode, pixels, latents = linear(), draw(2, 6, 3, 3), draw(2, 4, 3, 3, seed=1)
    pixels[0] = decode(latents[:1]).detach()[0]  # nothing to gain here
    together = refinement.refine_latents(decode, latents, pixels, steps=10)
    assert torch.equal(together[0], latents[0])
    alone = refinement.refine_latents(decode, latents[1:], pixels[1:], steps=10)
    torch.testing.assert_close(together[1:], alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_real_decoder_under_inference_mode_and_its_weights_untouched(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    vae = AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4, layers_per_block=1)
    with torch.inference_mode():
        latents, pixels = torch.randn(1, 4, 8, 8), torch.rand(1, 3, 16, 16) * 2 - 1
        given = latents.clone()
        refined = refinement.refine_latents(lambda x: vae.decode(x).sample, latents.to(dtype), pixels, steps=5)
        assert torch.equal(latents, given)
    assert refined.dtype == torch.float32
    assert not refined.requires_grad
    assert not refined.is_inference()
    assert all(weight.grad is None for weight in vae.parameters())
    errors = [(vae.decode(x.clone()).sample - pixels).square().mean().item() for x in (given, refined)]
    assert errors[1] < 0.99 * errors[0]


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    rates = [refinement._warm_cosine(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (k + 1) for k in range(10)])
    assert rates[10:] == pytest.approx([(1 + math.cos(math.pi * k / 90)) / 2 for k in range(90)])
    assert refinement._warm_cosine(0, 1) == 1
