"""Inversions agree with diffusers' and with their formulas, count their evaluations and can be stopped."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepInverseScheduler
from torch import Tensor

from models import diffusion, dpm_solver, inversion
from models.diffusion import Network, Prediction
from models.inversion import Mode
from tests import analytic_scores as scores
from tests.analytic_scores import climb, pixart_grid, relative, sample

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning:diffusers.*")  # diffusers on NumPy 2
ROUNDED = diffusion.alphas_cumprod("linear", 1e-4, 2e-2)  # float32, as diffusers has it
ONE = torch.ones(1, dtype=torch.float64)


# ---- agreement


@pytest.mark.parametrize("steps", [8, 20, 30])
def test_fast_is_diffusers_inverse_scheduler(steps: int) -> None:
    stock = DPMSolverMultistepInverseScheduler(beta_start=1e-4, beta_end=2e-2, beta_schedule="linear")
    stock.set_timesteps(steps)
    network, clean = scores.gaussian(0.2, torch.linspace(0.1, 1.5, 64, dtype=torch.float64), ROUNDED), scores.draw(64)
    latents = clean
    for timestep in stock.timesteps:
        latents = stock.step(network(latents, timestep), timestep, latents).prev_sample
    grid = dpm_solver.grid(ROUNDED, steps, "linspace")
    torch.testing.assert_close(climb(network, clean, grid)[0], latents, atol=5e-5, rtol=0)


def test_ddim_is_the_first_order_sampler_run_backwards() -> None:
    network, latents = scores.wide()
    up = pixart_grid(20).reversed()
    expected = [latents]
    for i in range(up.n):  # the equation of DDIM, which names both parts
        parts = up.split(network(latents, up.timesteps[i]), latents, i)
        latents = up.noised(*parts, i + 1)
        expected.append(latents)
    found = climb(network, expected[0], pixart_grid(20), "ddim")
    torch.testing.assert_close(found, tuple(expected[::-1]), atol=1e-12, rtol=1e-12)


def test_paper_is_its_formula() -> None:
    """Written with ratios and exponentials as in the paper, on the points of the trajectory."""
    network, clean = scores.wide(32)
    grid = pixart_grid(20)
    alpha, sigma, lam = grid.alphas, grid.sigmas, grid.lambdas

    def clean_at(latents: Tensor, i: int) -> Tensor:
        return (latents - sigma[i] * network(latents, grid.timesteps[i])) / alpha[i]

    def ddim(latents: Tensor, i: int) -> Tensor:  # from stop i + 1 to i
        noise = network(latents, grid.timesteps[i + 1])
        return alpha[i] * clean_at(latents, i + 1) + sigma[i] * noise

    points = climb(network, clean, grid, "paper")
    for i in range(1, grid.n):
        y, h = ddim(points[i + 1], i), lam[i + 1] - lam[i]
        ratio = (lam[i] - lam[i - 1]) / h
        direction = clean_at(y, i) + (clean_at(y, i) - clean_at(ddim(y, i - 1), i - 1)) / (2 * ratio)
        expected = sigma[i] / sigma[i + 1] * (points[i + 1] - alpha[i + 1] * (1 - torch.exp(-h)) * direction)
        torch.testing.assert_close(points[i], expected)


@pytest.mark.parametrize("mode", ["fast", "paper", "accurate"])
@pytest.mark.parametrize("prediction", ["sample", "v_prediction"])
def test_every_prediction_inverts_alike(mode: Mode, prediction: Prediction) -> None:
    noise_network, clean = scores.wide(32)

    def network(latents: Tensor, timestep: Tensor) -> Tensor:
        path = scores.path(timestep)
        parts = diffusion.split("epsilon", noise_network(latents, timestep), latents, *path)
        return diffusion.target(prediction, *parts, *path)

    found = climb(network, clean, pixart_grid(16), mode, prediction=prediction)
    torch.testing.assert_close(found, climb(noise_network, clean, pixart_grid(16), mode), atol=1e-9, rtol=1e-9)


# ---- solutions known in closed form


@pytest.mark.parametrize("mode", inversion.MODES)
def test_the_noise_of_a_single_picture_is_found_exactly(mode: Mode) -> None:
    network, grid = scores.gaussian(0.7, 0.0), pixart_grid(30, "linspace")
    end = sample(network, ONE, grid)
    assert climb(network, end, grid, mode)[0].item() == pytest.approx(1, abs=1e-12)


def test_asking_at_the_timestep_to_come_is_off_even_for_a_single_picture() -> None:
    """The other convention of DDIM inversion, which is why ours names the timestep that the latents stand at."""
    network, up = scores.gaussian(0.7, 0.0), pixart_grid(30, "linspace").reversed()
    latents = sample(network, ONE, up.reversed())
    for i in range(up.n):
        noise = network(latents, up.timesteps[i + 1])
        clean = (latents - up.sigmas[i] * noise) / up.alphas[i]
        latents = up.noised(clean, noise, i + 1)
    assert (1 - latents).abs().item() == pytest.approx(0.703, abs=5e-4)


@pytest.mark.parametrize(("mode", "noise"), [("ddim", 1.0322), ("fast", 1.0915), ("paper", -1.0387)])
def test_the_noise_of_a_narrow_direction_by_30_even_steps(mode: Mode, noise: float) -> None:
    network, grid = scores.gaussian(0.0, 0.25), pixart_grid(30, "linspace")
    assert climb(network, sample(network, ONE, grid), grid, mode)[0].item() == pytest.approx(noise, abs=5e-5)


# ---- precision


@pytest.mark.parametrize(("dtype", "low", "high"), [(torch.float16, 5e-3, 3e-2), (torch.bfloat16, 5e-2, 0.3)])
def test_only_latents_in_half_precision_drift(dtype: torch.dtype, low: float, high: float) -> None:
    network, clean = scores.wide()
    grid = pixart_grid(30, "linspace")

    def half(latents: Tensor, timestep: Tensor) -> Tensor:
        return network(latents.to(dtype).double(), timestep).to(dtype)

    expected = climb(network, clean, grid)[0]
    trajectory = climb(half, clean.float(), grid)
    assert {x.dtype for x in trajectory} == {torch.float32}
    assert relative(trajectory[0].double(), expected) < 1e-2

    up, latents, previous = grid.reversed(), clean.to(dtype), None
    for i in range(up.n):
        found = up.clean(half(latents, up.timesteps[i]), latents, i)
        latents, previous = dpm_solver.advance(up.coefficients(i), latents, found, previous), found
    assert latents.dtype == dtype
    assert low < relative(latents.double(), expected) < high


@pytest.mark.parametrize("mode", inversion.MODES)
def test_the_trajectory_ends_at_the_clean_latents_bit_for_bit(mode: Mode) -> None:
    network, clean = scores.wide(8)
    for given in (clean, clean.float(), clean.half()):
        points = climb(network, given, pixart_grid(5), mode)
        assert len(points) == 6
        assert torch.equal(points[-1], given.to(points[-1].dtype))
        assert {x.dtype for x in points} == {torch.promote_types(given.dtype, torch.float32)}


# ---- counts, stopping, refusals


def counting(network: Network, calls: list[int]) -> Callable[[Tensor, Tensor], Tensor]:
    def counted(latents: Tensor, timestep: Tensor) -> Tensor:
        calls.append(int(timestep))
        return network(latents, timestep)

    return counted


@pytest.mark.parametrize(
    ("mode", "steps", "euler_final", "total"),
    [
        ("fast", 30, False, 30),
        ("ddim", 30, False, 30),
        ("paper", 30, False, 89),
        ("paper", 30, True, 88),
        ("paper", 10, False, 28),
        ("accurate", 30, False, 211),
        ("exact", 30, False, 3271),
    ],
)
def test_evaluations_are_counted_one_by_one(mode: Mode, steps: int, euler_final: bool, total: int) -> None:
    network, clean = scores.wide(8)
    grid, calls = pixart_grid(steps), []
    assert inversion.evaluations(grid, mode, euler_final) == total
    events = []
    for event in inversion.invert(counting(network, calls), clean, grid, mode, euler_final=euler_final):
        events.append(event)
        assert len(calls) == event.done == len(events)
    assert all(event.trajectory is None and event.total == total for event in events[:-1])
    assert events[-1].done == events[-1].total
    assert (events[-1].done < total) if mode == "exact" else (events[-1].done == total)
    assert (events[-1].moved is None) == (mode not in ("accurate", "exact"))


@pytest.mark.parametrize("mode", inversion.MODES)
def test_a_closed_inversion_asks_no_more(mode: Mode) -> None:
    calls: list[int] = []
    events = inversion.invert(counting(scores.gaussian(0.0, 1.0), calls), ONE, pixart_grid(10), mode)
    assert [next(events).done for _ in range(3)] == [1, 2, 3]
    events.close()
    assert len(calls) == 3


def test_no_network_is_asked_beyond_the_grid() -> None:
    for mode in inversion.MODES:
        calls: list[int] = []
        grid = pixart_grid(10)
        climb(counting(scores.gaussian(0.0, 1.0), calls), ONE, grid, mode)
        assert set(calls) <= set(grid.timesteps.tolist())
        assert calls[0] == 0


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="'naive'.*fast, paper, accurate, exact, ddim"):
        next(inversion.invert(scores.gaussian(0.0, 1.0), ONE, pixart_grid(5), "naive"))  # type: ignore[arg-type]


# ---- statistics of the noise


def test_statistics_of_white_noise() -> None:
    found = inversion.statistics(scores.draw(1, 4, 64, 64))
    assert found.std == pytest.approx(1, abs=0.02)
    assert found.mean == pytest.approx([0] * 4, abs=0.05)
    assert found.correlation == pytest.approx(0, abs=0.02)


def test_statistics_of_structured_noise_are_numpys() -> None:
    white = scores.draw(1, 2, 65, 64)
    noise = white[:, :, 1:] + white[:, :, :-1] + torch.tensor([1.0, -2.0])[:, None, None]  # vertical neighbours share
    found, values = inversion.statistics(noise), noise.numpy()
    assert found.std == pytest.approx(values.std(ddof=1))
    assert found.mean == pytest.approx(values.mean((0, 2, 3)))
    centred = values - values.mean((0, 2, 3), keepdims=True)
    across = np.corrcoef(centred[..., 1:].ravel(), centred[..., :-1].ravel())[0, 1]
    down = np.corrcoef(centred[..., 1:, :].ravel(), centred[..., :-1, :].ravel())[0, 1]
    assert down == pytest.approx(0.5, abs=0.05)
    assert found.correlation == pytest.approx((across + down) / 2, abs=5e-3)


def test_statistics_of_a_flat_picture_are_finite() -> None:
    assert inversion.statistics(torch.ones(1, 2, 3, 3)) == (0, (1, 1), 0)
