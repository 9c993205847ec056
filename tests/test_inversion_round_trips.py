"""What comes back when an inversion is sampled again, within bands, and why the corrector is written as it is."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor

from models import dpm_solver, inversion
from models.diffusion import Network
from models.dpm_solver import Grid
from models.inversion import Mode
from tests import analytic_scores as scores, tiny
from tests.analytic_scores import climb, pixart_grid, relative, sample


def round_trip(network: Network, clean: Tensor, grid: Grid, mode: Mode) -> float:
    noise = climb(network, clean, grid, mode)[0]
    return relative(sample(network, noise, grid, mode), clean)


@cache
def mixture() -> scores.Mixture:
    return scores.Mixture()


def target(name: str) -> tuple[Network, Tensor]:
    return scores.wide() if name == "gaussian" else (mixture().network(), mixture().pictures())


# ---- round trips: image -> noise -> image


@pytest.mark.parametrize("name", ["gaussian", "mixture"])
@pytest.mark.parametrize(
    ("mode", "spacing", "low", "high"),
    [
        ("fast", "linspace", 2e-2, 6e-2),
        ("fast", "linspace_tail", 2e-3, 8e-3),
        ("fast", "quadratic", 5e-4, 5e-3),
        ("fast", "karras", 1e-3, 8e-3),
        ("fast", "uniform_lambda", 1e-4, 5e-3),
        ("paper", "linspace", 0.2, 0.8),
        ("paper", "linspace_tail", 5e-4, 5e-3),
        ("paper", "quadratic", 5e-4, 8e-3),
        ("accurate", "linspace", 8e-3, 3e-2),
        ("accurate", "quadratic", 2e-4, 1e-3),
        ("ddim", "linspace", 5e-2, 0.2),
        ("ddim", "quadratic", 3e-2, 0.1),
    ],
)
def test_a_round_trip_of_30_steps(name: str, mode: Mode, spacing: str, low: float, high: float) -> None:
    assert low < round_trip(*target(name), pixart_grid(30, spacing), mode) < high


@pytest.mark.parametrize("name", ["gaussian", "mixture"])
def test_three_sweeps_halve_the_error(name: str) -> None:
    for spacing in ("linspace", "linspace_tail", "quadratic", "karras"):
        fast, accurate = (round_trip(*target(name), pixart_grid(30, spacing), mode) for mode in ("fast", "accurate"))
        assert accurate < 0.65 * fast


def test_exact_is_the_algebraic_inverse() -> None:
    network, noise = scores.wide(16)[0], scores.draw(2, 16, seed=7)
    grid = pixart_grid(16)
    states = list(dpm_solver.solve(network, noise, grid))
    points = climb(network, states[-1].latents, grid, "exact")
    expected = (noise, *(state.latents for state in states))
    torch.testing.assert_close(points, expected, atol=3e-4, rtol=0)
    assert relative(climb(network, states[-1].latents, grid)[0], noise) > 1e-2  # which fast is not


@pytest.mark.parametrize("euler_final", [False, True])
def test_exact_answers_to_the_samplers_last_step(euler_final: bool) -> None:
    network, clean = scores.wide(16)
    grid = pixart_grid(16)
    noise = climb(network, clean, grid, "exact", euler_final=euler_final)[0]
    assert relative(sample(network, noise, grid, euler_final=euler_final), clean) < 1e-4
    assert relative(sample(network, noise, grid, euler_final=not euler_final), clean) > 1e-3


def test_exact_inverts_a_transformer_that_is_no_denoiser() -> None:
    """Random weights know no clean estimate; what the sampler does with them is undone all the same."""
    model = tiny.pixart(num_layers=1)
    inputs = tiny.inputs(model, batch=1)
    clean = inputs.pop("hidden_states")
    del inputs["timestep"]

    def network(latents: Tensor, timestep: Tensor) -> Tensor:
        return tiny.output(model, **inputs, hidden_states=latents, timestep=timestep.expand(1))[:, :4]

    assert round_trip(network, clean, pixart_grid(4), "exact") < 2e-3
    assert round_trip(network, clean, pixart_grid(4), "fast") > 1


def test_more_sweeps_of_more_updates_come_closer(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = []
    for sweeps, updates in ((1, 3), (3, 3), (6, 5)):
        monkeypatch.setattr(inversion, "_ACCURATE", inversion._Effort(sweeps, updates))
        errors.append(round_trip(*scores.wide(), pixart_grid(), "accurate"))
    assert errors[0] > 1.5 * errors[1] > 15 * errors[2]
    assert errors[2] < 2e-4


def test_guidance_that_was_not_inverted_with_costs_far_more_than_the_inversion() -> None:
    clean, grid = mixture().pictures(), pixart_grid()
    noise = climb(mixture().network(), clean, grid)[0]
    errors = [relative(sample(mixture().network(w), noise, grid), clean) for w in (1, 2, 4.5)]
    assert errors[0] < 5e-3
    assert errors[2] > 1.5 * errors[1] > 20 * errors[0]


# ---- why the corrector is written in epsilon


@pytest.mark.parametrize(("form", "spacing"), [("clean", "linspace"), ("noise", "linspace"), ("noise", "quadratic")])
def test_the_last_step_solved_as_a_fixed_point(form: str, spacing: str) -> None:
    """In D it diverges on even steps, in epsilon the error falls with every update."""
    network, _ = scores.wide()
    grid = pixart_grid(30, spacing)
    *states, last = dpm_solver.solve(network, scores.draw(4, 256), grid)
    linear, gain, c0, c1 = step = grid.coefficients(29)
    latents, errors = last.latents, []
    for _ in range(12):
        output = network(latents, grid.timesteps[29])
        if form == "clean":
            clean = grid.clean(output, latents, 29)
            latents = (last.latents - gain * (c0 * clean - c1 * states[-1].denoised)) / linear
        else:
            latents = inversion._solved(grid, 29, step, last.latents, output, states[-1].denoised)
        errors.append(relative(latents, states[-1].latents))
    if form == "clean":
        assert errors[-1] > 1e3
    else:
        assert errors == sorted(errors, reverse=True)
        assert errors[-1] < 0.4 * errors[0]


@pytest.mark.parametrize("mode", ["accurate", "exact"])
def test_sweeps_that_run_away_leave_the_explicit_trajectory(mode: Mode) -> None:
    network, clean, grid = mixture().network(7.5), mixture().pictures(), pixart_grid(10, "linspace")
    *_, last = inversion.invert(network, clean, grid, mode)
    assert last.moved == math.inf
    torch.testing.assert_close(last.trajectory, climb(network, clean, grid), atol=0, rtol=0)


def test_the_last_movement_tells_whether_exact_is_exact() -> None:
    network, clean = scores.wide(16)
    moved = {}
    for spacing in ("uniform_lambda", "linspace"):
        *_, last = inversion.invert(network, clean, pixart_grid(20, spacing), "exact")
        moved[spacing] = last.moved
    assert moved["uniform_lambda"] < 1e-4 < moved["linspace"]


def test_small_movements_that_grow_at_first_are_no_runaway() -> None:
    network, grid = scores.gaussian(0.0, 0.1), pixart_grid()
    one = torch.ones(1, dtype=torch.float64)
    *_, last = inversion.invert(network, one, grid, "accurate")
    assert last.moved is not None
    assert last.moved < 0.1
    assert round_trip(network, one, grid, "exact") < 1e-5


def test_exact_ends_with_the_first_sweep_that_moves_nothing() -> None:
    *_, last = inversion.invert(scores.gaussian(0.7, 0.0), torch.ones(1, dtype=torch.float64), pixart_grid(15), "exact")
    assert last.done == 31  # the pass, the noise, and one check of each point
    assert last.moved == pytest.approx(0, abs=1e-12)


def test_a_sweep_goes_on_where_the_last_one_ran_out_of_updates() -> None:
    assert round_trip(mixture().network(), mixture().pictures(), pixart_grid(10, "linspace"), "exact") < 1e-4
