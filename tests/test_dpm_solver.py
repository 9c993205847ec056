"""The solver agrees with diffusers' scheduler, with tables of its coefficients and with exact solutions."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from torch import Tensor

from models import diffusion, dpm_solver
from models.diffusion import Network, Prediction
from models.dpm_solver import Grid, Spacing
from tests import analytic_scores as scores
from tests.analytic_scores import pixart_grid

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning:diffusers.*")  # diffusers on NumPy 2
SPACINGS = get_args(Spacing)
PIXART = {"beta_start": 1e-4, "beta_end": 2e-2, "beta_schedule": "linear"}
ROUNDED = diffusion.alphas_cumprod("linear", 1e-4, 2e-2)  # float32, as diffusers has it


def sample(network: Network, noise: Tensor, grid: Grid, **options: Any) -> Tensor:
    *_, last = dpm_solver.solve(network, noise, grid, **options)
    return last.latents


def scheduler(**options: Any) -> Any:
    return DPMSolverMultistepScheduler(**PIXART, solver_order=2, final_sigmas_type="sigma_min", **options)


def follow(stock: Any, network: Network, latents: Tensor) -> Tensor:
    for timestep in stock.timesteps:
        latents = stock.step(network(latents, timestep), timestep, latents).prev_sample
    return latents


# ---- grids


@pytest.mark.parametrize("steps", [1, 10, 20, 26, 30, 50, 999])
def test_linspace_stops_are_diffusers(steps: int) -> None:
    stock = scheduler()
    stock.set_timesteps(steps)
    assert dpm_solver.grid(ROUNDED, steps, "linspace").timesteps.tolist() == [*stock.timesteps.tolist(), 0]


@pytest.mark.parametrize(("spacing", "option"), [("karras", "use_karras_sigmas"), ("uniform_lambda", "use_lu_lambdas")])
@pytest.mark.parametrize("steps", [5, 20, 30])
def test_even_noise_levels_are_diffusers(spacing: Any, option: str, steps: int) -> None:
    stock = scheduler(**{option: True})
    stock.set_timesteps(steps + 1)  # it appends the end once more
    assert dpm_solver.grid(ROUNDED, steps, spacing).timesteps.tolist() == stock.timesteps.tolist()


def test_quadratic_stops_are_dense_at_the_end() -> None:
    stops = pixart_grid(30, "quadratic").timesteps.tolist()
    assert stops[:4] == [999, 934, 870, 809]
    assert stops[-6:] == [28, 18, 10, 4, 1, 0]


def test_the_tail_is_four_more_steps() -> None:
    tail, even = pixart_grid(30, "linspace_tail"), pixart_grid(30, "linspace")
    assert tail.timesteps.tolist() == [*even.timesteps.tolist()[:-1], 18, 8, 3, 1, 0]
    assert (tail.n, even.n) == (34, 30)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_stops_are_distinct_from_999_to_0_however_many(spacing: Spacing) -> None:
    for steps in [1, 2, 3, 10, 29, 53, 54, 60, 100, 250, 500, 994, 995]:
        stops = pixart_grid(steps, spacing).timesteps
        assert (stops[0], stops[-1], stops.dtype) == (999, 0, torch.long)
        assert (stops.diff() < 0).all()
        assert len(stops) == steps + (5 if spacing == "linspace_tail" else 1)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_step_counts_that_do_not_fit_are_refused(spacing: Spacing) -> None:
    for steps in [0, -1, 1000]:
        with pytest.raises(ValueError, match=f"{steps} steps: a {spacing} grid takes between 1 and 99"):
            pixart_grid(steps, spacing)


def test_an_unknown_spacing_is_refused() -> None:
    with pytest.raises(ValueError, match="'leading'"):
        pixart_grid(30, "leading")


def test_grids_keep_the_levels_of_their_timesteps() -> None:
    grid = dpm_solver.grid(diffusion.alphas_cumprod(), 7)
    alpha, sigma = scores.path(grid.timesteps, diffusion.alphas_cumprod())
    torch.testing.assert_close((grid.alphas, grid.sigmas), (alpha, sigma))
    torch.testing.assert_close(grid.lambdas, (alpha / sigma).log())
    up = grid.reversed()
    assert up.timesteps.tolist() == grid.timesteps.tolist()[::-1]
    assert torch.equal(up.sigmas.flip(0), grid.sigmas)


# ---- steps


@pytest.mark.parametrize(
    ("spacing", "i", "expected"),
    [
        ("linspace", 0, (0.999981, 0.002466, 1, 0)),
        ("linspace", 1, (0.999964, 0.003403, 1.497542, 0.497542)),
        ("linspace", 15, (0.983644, 0.053617, 1.467287, 0.467287)),
        ("linspace", 29, (0.083123, 0.917431, 2.927164, 1.927164)),
        ("quadratic", 1, (0.999841, 0.009510, 1.459428, 0.459428)),
        ("quadratic", 15, (0.905437, 0.125709, 1.496716, 0.496716)),
        ("quadratic", 29, (0.674341, 0.325683, 1.340625, 0.340625)),
    ],
)
def test_coefficients_of_30_steps(spacing: Spacing, i: int, expected: tuple[float, ...]) -> None:
    assert pixart_grid(30, spacing).coefficients(i) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("steps", "second_order"), [(10, 8), (14, 12), (15, 14), (30, 29)])
def test_the_first_step_and_the_last_of_a_short_grid_are_of_first_order(steps: int, second_order: int) -> None:
    grid = pixart_grid(steps)
    assert sum(grid.coefficients(i).c1 > 0 for i in range(steps)) == second_order
    assert grid.coefficients(0).c1 == 0
    assert grid.coefficients(5, first_order=True) == (*grid.coefficients(5)[:2], 1, 0)


def test_a_second_order_step_without_history_is_refused() -> None:
    with pytest.raises(ValueError, match="step before it"):
        dpm_solver.advance(pixart_grid().coefficients(3), torch.zeros(1), torch.zeros(1), None)


def test_steps_one_by_one_are_the_solver() -> None:
    network, _ = scores.wide()
    grid, latents, previous = pixart_grid(20), scores.draw(2, 256), None
    states = list(dpm_solver.solve(network, latents, grid, euler_final=True))
    for i in range(grid.n):
        clean = grid.clean(network(latents, grid.timesteps[i]), latents, i)
        coefficients = grid.coefficients(i, first_order=i == grid.n - 1)
        latents, previous = dpm_solver.advance(coefficients, latents, clean, previous), clean
        assert states[i].step == i
        assert torch.equal(states[i].latents, latents)
        assert torch.equal(states[i].denoised, clean)


def test_at_first_order_the_solver_is_ddim() -> None:
    network, _ = scores.wide()
    grid, noise = pixart_grid(20), scores.draw(2, 256)
    latents = noise
    for i in range(grid.n):
        clean = grid.clean(network(latents, grid.timesteps[i]), latents, i)
        latents = dpm_solver.advance(grid.coefficients(i, first_order=True), latents, clean, None)
    *_, expected = diffusion.ddim(network, noise, grid.schedule())
    torch.testing.assert_close(latents, expected.latents, atol=1e-12, rtol=1e-12)


# ---- whole runs


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("euler_final", [False, True])
@pytest.mark.parametrize("steps", [8, 30])
def test_the_solver_is_diffusers_on_the_same_stops(spacing: Spacing, euler_final: bool, steps: int) -> None:
    network, _ = scores.wide()
    grid, noise = pixart_grid(steps, spacing), scores.draw(2, 256)
    stock = scheduler(euler_at_final=euler_final)
    stock.set_timesteps(timesteps=grid.timesteps[:-1].tolist())
    expected = follow(stock, network, noise)
    torch.testing.assert_close(sample(network, noise, grid, euler_final=euler_final), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_every_prediction_is_diffusers(prediction: Any) -> None:
    def network(latents: Tensor, timestep: Tensor) -> Tensor:
        return torch.sin(3 * latents) + timestep / 1000

    grid, noise = dpm_solver.grid(ROUNDED, 20, "linspace"), scores.draw(2, 4, 3, 3).float()
    stock = scheduler(prediction_type=prediction)
    stock.set_timesteps(20)
    expected = follow(stock, network, noise)
    torch.testing.assert_close(sample(network, noise, grid, prediction=prediction), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["sample", "v_prediction"])
def test_predictions_of_one_network_sample_alike(prediction: Prediction) -> None:
    noise_network, _ = scores.wide()

    def network(latents: Tensor, timestep: Tensor) -> Tensor:
        path = scores.path(timestep)
        clean, noise = diffusion.split("epsilon", noise_network(latents, timestep), latents, *path)
        return diffusion.target(prediction, clean, noise, *path)

    grid, noise = pixart_grid(20), scores.draw(2, 256)
    expected = sample(noise_network, noise, grid)
    torch.testing.assert_close(sample(network, noise, grid, prediction=prediction), expected, atol=1e-9, rtol=0)


def test_a_single_picture_is_met_but_for_the_noise_of_timestep_0() -> None:
    one = torch.ones(1, dtype=torch.float64)
    end = sample(scores.gaussian(0.7, 0.0), one, pixart_grid(30, "linspace"))
    assert end.item() == pytest.approx(0.70992073, abs=1e-8)
    assert end.item() == pytest.approx(scores.exact(one, 0.7, 0.0).item(), abs=1e-12)  # every grid is exact here


@pytest.mark.parametrize(
    ("deviation", "exact", "ends"),
    [
        (1.0, 1.0, {"linspace": 1.049365, "quadratic": 1.002793, "uniform_lambda": 1.006213}),
        (0.5, 0.500083, {"linspace": 0.565015, "quadratic": 0.504297}),
        (0.25, 0.250192, {"linspace": 0.306324}),
    ],
)
def test_a_single_direction_ends_where_30_steps_end(deviation: float, exact: float, ends: dict[Any, float]) -> None:
    one = torch.ones(1, dtype=torch.float64)
    assert scores.exact(one, 0.0, deviation).item() == pytest.approx(exact, abs=1e-6)
    for spacing, expected in ends.items():
        end = sample(scores.gaussian(0.0, deviation), one, pixart_grid(30, spacing))
        assert end.item() == pytest.approx(expected, abs=1e-6)


def test_twice_the_steps_leave_a_quarter_of_the_error() -> None:
    noise = scores.draw(64)
    error = [
        (sample(scores.gaussian(0.0, 0.5), noise, pixart_grid(n)) - scores.exact(noise, 0.0, 0.5)).norm()
        for n in (15, 30)
    ]
    assert 3 < error[0] / error[1] < 6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_latents_are_kept_in_full_precision(dtype: torch.dtype) -> None:
    def half(latents: Tensor, timestep: Tensor) -> Tensor:
        return (0.5 * latents).to(dtype)

    for given, kept in [(dtype, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)]:
        state = next(dpm_solver.solve(half, torch.ones(1, 4, dtype=given), pixart_grid(3)))
        assert (state.latents.dtype, state.denoised.dtype) == (kept, kept)


def test_noised_latents_stand_at_their_stop() -> None:
    grid, clean, noise = pixart_grid(10), scores.draw(2, 4), scores.draw(2, 4, seed=1)
    latents = grid.noised(clean, noise, 4)
    alpha, sigma = scores.path(grid.timesteps[4])
    torch.testing.assert_close(latents, alpha * clean + sigma * noise)
    torch.testing.assert_close(grid.clean(noise, latents, 4), clean)
    torch.testing.assert_close(grid.split(clean, latents, 4, "sample"), (clean, noise))
