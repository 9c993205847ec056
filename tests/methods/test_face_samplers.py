"""Schedulers of Face-diffuser: published timesteps and noise levels, and what they make of a noise that jumps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.facediffuser.denoising import Network, Networks, State, Words, scheduler
from models.facediffuser.stages import SAMPLERS, Bounds, Sampler
from tests.methods.face_parts import ALPHA_SQUARED, ONLY_SCENE, states, step_ddim

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning:diffusers.*")  # diffusers on NumPy 2


def test_the_released_timesteps() -> None:  # O
    timesteps = scheduler("released", 50).timesteps.tolist()
    assert len(timesteps) == 51
    assert timesteps[:4] == [981, 961, 961, 941]
    assert [timesteps[i] for i in (15, 16, 30, 31, 50)] == [701, 681, 401, 381, 1]


def test_the_papers_timesteps() -> None:  # O
    timesteps = scheduler("paper", 50).timesteps.tolist()
    assert timesteps == list(range(981, 0, -20))
    assert [timesteps[i] for i in (15, 16, 30, 31)] == [681, 661, 381, 361]


@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_published_noise_levels(kind: Sampler) -> None:  # O
    levels = scheduler(kind, 50).alphas_cumprod[[701, 681, 401, 381]]
    assert levels.tolist() == pytest.approx([0.081917, 0.094637, 0.422881, 0.455239], abs=1e-6)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_only_noise_levels_are_taken_from_a_base_models_config(kind: Sampler) -> None:
    odd = {"clip_sample": True, "prediction_type": "v_prediction", "set_alpha_to_one": True, "steps_offset": 0}
    levels = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear", "trained_betas": None}
    made = scheduler(kind, 20, odd | levels | {"timestep_spacing": "trailing", "skip_prk_steps": False})
    assert made.timesteps.tolist() == scheduler(kind, 20).timesteps.tolist()
    assert made.config.prediction_type == "epsilon"
    assert not made.config.get("clip_sample", False)
    assert float(made.alphas_cumprod[0]) == pytest.approx(1 - 1e-4)
    if kind != "fast":
        assert float(made.final_alpha_cumprod) == float(made.alphas_cumprod[0])


def test_each_run_has_a_scheduler_of_its_own_kind() -> None:
    assert scheduler("paper", 20) is not scheduler("paper", 20)
    with pytest.raises(ValueError, match="no sampler 'euler'; choose one of released, paper, fast"):
        scheduler("euler", 20)  # type: ignore[arg-type]


# ---- PLMS rings where the noise jumps


def effective(found: list[State], latents: Tensor, ratio: int) -> list[float]:
    """The noise that each step really took, by DDIM's formula turned around."""
    taken, x = [], latents
    timesteps = scheduler("released", 1000 // ratio).timesteps.tolist()
    for i, state in enumerate(found):
        here, there = timesteps[i] + (ratio if i == 1 else 0), timesteps[i] - (0 if i == 1 else ratio)
        a, b = ALPHA_SQUARED[here].double(), ALPHA_SQUARED[max(there, 0)].double()
        share = (b / a).sqrt()
        taken.append(float(((state.latents - share * x) / ((1 - b).sqrt() - share * (1 - a).sqrt())).mean()))
        x = state.latents
    return taken


def constant(value: float) -> Network:
    return lambda latents, timestep, words: torch.full_like(latents, value)


def test_plms_overshoots_at_a_switch() -> None:  # P
    latents = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    found = states(Networks(constant(0.0), constant(1.0)), latents, "released", 50, Bounds(15, 15))
    taken = effective(found, latents, 20)
    assert taken[2:16] == pytest.approx([0.0] * 14, abs=1e-4)
    assert taken[16:22] == pytest.approx([55 / 24, -1 / 6, 11 / 8, 1, 1, 1], abs=2e-4)


def test_plms_swings_where_models_alternate() -> None:  # P
    def alternating(latents: Tensor, timestep: Tensor, words: tuple[Words, Words]) -> Tensor:
        return torch.full_like(latents, float(int(timestep) // 20 % 2))

    latents = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    found = states(Networks(alternating, alternating), latents, "released", 50, ONLY_SCENE)
    assert sorted({round(k, 2) for k in effective(found, latents, 20)[8:40]}) == [-2.83, 3.83]


def test_ddim_takes_the_noise_it_is_given() -> None:  # P
    x = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    found = states(Networks(constant(0.0), constant(1.0)), x, "paper", 50, Bounds(15, 15))
    for i, (timestep, state) in enumerate(zip(range(981, 0, -20), found, strict=True)):
        x = step_ddim(x, torch.full_like(x, float(i > 15)), timestep, timestep - 20)
        assert torch.allclose(state.latents, x, atol=1e-5)
