"""The loop of two models: against diffusers' own pipeline and a plain loop, and who is called with what."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, PNDMScheduler, StableDiffusionPipeline
from torch import Tensor

from models.diffusion import Prediction, target
from models.facediffuser.denoising import (
    Anchor,
    Guidance,
    Network,
    Networks,
    Words,
    as_noise,
    denoise,
    scheduler,
)
from models.facediffuser.stages import SAMPLERS, Bounds, Sampler, counts
from tests.methods import cat_parts
from tests.methods.dreamfuse_tiny import clip_tokenizer
from tests.methods.face_parts import (
    ALPHA_SQUARED,
    ONLY_SCENE,
    ONLY_SUBJECT,
    Gaussian,
    gaussian,
    networks,
    noise,
    states,
    step_ddim,
)
from tests.tiny import unet

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning:diffusers.*")  # diffusers on NumPy 2


# ---- agreement


def published(kind: Sampler) -> Any:
    """The scheduler as Stable Diffusion 1.5's own file has it, and DDIM as the paper's authors convert it."""
    path = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    if kind == "released":
        return PNDMScheduler(**path, skip_prk_steps=True, set_alpha_to_one=False)
    return DDIMScheduler(**path, clip_sample=False, set_alpha_to_one=False)


@pytest.mark.parametrize("kind", ["released", "paper"])
def test_a_scene_alone_is_diffusers_own_pipeline_bit_for_bit(kind: Sampler) -> None:
    model, vae = unet(), cat_parts.vae()
    texts = {"empty": noise(1, 7, 12, seed=3), "caption": noise(1, 7, 12, seed=4)}

    def network(latents: Tensor, timestep: Tensor, words: tuple[Words, Words]) -> Tensor:
        with torch.no_grad():
            return model(latents, timestep, torch.cat([texts[w] for w in words])).sample  # type: ignore[no-any-return]

    pipe = StableDiffusionPipeline(
        vae,
        cat_parts.text_encoder(),
        clip_tokenizer(),
        model,
        published(kind),
        None,
        None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    stock = pipe(
        prompt_embeds=texts["caption"],
        negative_prompt_embeds=texts["empty"],
        num_inference_steps=8,
        guidance_scale=5.0,
        latents=noise(),
        output_type="latent",
    ).images
    *_, last = states(Networks(network, network), noise(), kind, 8, ONLY_SCENE)
    assert torch.equal(last.latents, stock)


def by_softmax(response_t: Tensor, response_s: Tensor, scale: float) -> Tensor:
    """The mask by the definition, sums of shifted maps in place of pooling, in float64."""
    odds = []
    for response in (response_t, response_s):
        padded = torch.nn.functional.pad((scale * response).abs().mean(1), (1, 1, 1, 1))
        height, width = (side - 3 for side in padded.shape[1:])
        pooled = sum(padded[:, i : i + height, j : j + width] for i in range(4) for j in range(4)) / 16
        stretched = torch.nn.functional.interpolate(pooled[:, None], response.shape[2:], mode="bilinear")[:, 0]
        odds.append(stretched.flatten(1).softmax(1).view_as(stretched))
    return odds[1] > odds[0]


@pytest.mark.parametrize("anchor", ["caption", "empty"])
def test_all_stages_agree_with_a_plain_loop_that_runs_everything(anchor: Anchor) -> None:
    nets, x, scale = networks(), noise(2, 4, 8, 8).double(), 3.0
    found = states(nets, noise(2, 4, 8, 8), "paper", 20, Bounds(6, 12), scale, anchor=anchor)
    tdm, sdm = nets
    assert isinstance(tdm, Gaussian)
    assert isinstance(sdm, Gaussian)
    for i, (timestep, state) in enumerate(zip(range(951, 0, -50), found, strict=True)):
        t = torch.tensor(timestep)
        nothing, caption = (tdm.noise(x, t, w) for w in ("empty", "caption"))
        start, person = (sdm.noise(x, t, w) for w in (anchor, "augmented"))
        guided_t, guided_s = (a + scale * (b - a) for a, b in ((nothing, caption), (start, person)))
        mask = by_softmax(caption - nothing, person - start, scale)
        e = guided_t if i <= 6 else guided_s if i > 12 else torch.where(mask[:, None], guided_s, guided_t)
        if state.mask is not None:
            assert torch.equal(state.mask, mask)
        clean = (x - (1 - ALPHA_SQUARED[timestep]).sqrt() * e) / ALPHA_SQUARED[timestep].sqrt()
        assert torch.allclose(state.denoised.double(), clean, atol=2e-4)
        x = step_ddim(x, e, timestep, timestep - 50)
        assert torch.allclose(state.latents.double(), x, atol=2e-4)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_every_sampler_arrives_where_the_scene_is(kind: Sampler) -> None:
    """With equal means the guidance does nothing, and a Gaussian keeps its standard scores."""
    tdm = gaussian(1)
    tdm.means["empty"] = tdm.means["caption"]
    steps = scheduler(kind, 100)
    alpha = ALPHA_SQUARED[int(steps.timesteps[0])].sqrt()
    scores = noise() * (alpha**2 * 0.25 + 1 - alpha**2).sqrt()
    *_, last = denoise(Networks(tdm, tdm), scores + alpha * tdm.means["caption"], steps, ONLY_SCENE, Guidance())
    assert float((last.latents - tdm.means["caption"] - 0.5 * noise()).abs().max()) < 0.06


@pytest.mark.parametrize("prediction", ["v_prediction", "sample", "epsilon"])
def test_other_predictions_become_noise(prediction: Prediction) -> None:
    def predicting(known: Network) -> Network:
        def network(latents: Tensor, timestep: Tensor, words: tuple[Words, Words]) -> Tensor:
            e, squared = known(latents, timestep, words), ALPHA_SQUARED[int(timestep)]
            clean = (latents - (1 - squared).sqrt() * e) / squared.sqrt()
            return target(prediction, clean, e, squared.sqrt(), (1 - squared).sqrt())

        return as_noise(network, prediction, ALPHA_SQUARED)

    nets = networks()
    found = states(Networks(*map(predicting, nets)), noise(), "paper", 10, Bounds(3, 6))
    for state, known in zip(found, states(nets, noise(), "paper", 10, Bounds(3, 6)), strict=True):
        assert torch.allclose(state.latents, known.latents, atol=2e-4)


# ---- who is called with what


@pytest.mark.parametrize(
    ("kind", "steps", "bounds", "calls"),
    [
        ("released", 50, Bounds(15, 30), (31, 35)),
        ("paper", 50, Bounds(15, 30), (31, 34)),
        ("released", 50, Bounds(10, 30), (31, 40)),
        ("released", 50, Bounds(10, 40), (41, 40)),
        ("paper", 50, Bounds(49, 49), (50, 0)),
        ("paper", 50, Bounds(-1, -1), (0, 50)),
        ("paper", 20, Bounds(6, 12), (13, 13)),
        ("fast", 20, Bounds(4, 4), (5, 15)),
    ],
)
def test_the_idle_model_is_never_called(kind: Sampler, steps: int, bounds: Bounds, calls: tuple[int, int]) -> None:  # I
    nets = networks()
    found = states(nets, noise(), kind, steps, bounds)
    assert tuple(len(net.calls) for net in nets) == calls  # type: ignore[attr-defined]
    assert found[-1].evaluations == counts(bounds, len(found)).evaluations == 2 * sum(calls)
    for i, state in enumerate(found):
        assert state.step == i
        assert state.stage == bounds.stage(i)
        assert state.evaluations == counts(bounds, i + 1).evaluations
        assert (state.mask is not None) == (state.stage == "fused")


@pytest.mark.parametrize("anchor", ["caption", "empty"])
def test_the_subject_model_starts_from_the_caption_unless_told_otherwise(anchor: Anchor) -> None:  # J
    nets = networks()
    states(nets, noise(), "released", 12, Bounds(3, 7), anchor=anchor)
    tdm, sdm = (net.calls for net in nets)  # type: ignore[attr-defined]
    assert {words for _, words in tdm} == {("empty", "caption")}
    assert {words for _, words in sdm} == {(anchor, "augmented")}
    timesteps = scheduler("released", 12).timesteps.tolist()
    assert [t for t, _ in tdm] == timesteps[:8]
    assert [t for t, _ in sdm] == timesteps[4:]


def test_the_caption_is_the_anchor_by_default() -> None:
    nets = networks()
    list(denoise(nets, noise(), scheduler("paper", 4), ONLY_SUBJECT, Guidance()))
    assert nets.sdm.calls[0][1] == ("caption", "augmented")  # type: ignore[attr-defined]


def test_without_a_difference_nothing_is_guided() -> None:  # R
    tdm = gaussian(1)
    tdm.means["augmented"] = tdm.means["caption"]
    x = noise()
    for state, timestep in zip(states(Networks(tdm, tdm), x, "paper", 6, ONLY_SUBJECT), (831, 665), strict=False):
        assert torch.equal(state.noise, tdm.noise(x, torch.tensor(timestep), "caption"))
        x = state.latents


def test_each_place_is_one_models_guided_noise() -> None:  # H
    nets, x = networks(), noise(2, 4, 8, 8)
    for state in states(nets, x, "paper", 6, Bounds(-1, 9), 2.5):
        t = scheduler("paper", 6).timesteps[state.step]
        (a, b), (p, q) = (
            net(torch.cat([x, x]), t, words).chunk(2)
            for net, words in zip(nets, (("empty", "caption"), ("caption", "augmented")), strict=True)
        )
        assert state.mask is not None
        assert 0 < int(state.mask.sum()) < state.mask.numel()
        assert torch.equal(state.noise, torch.where(state.mask[:, None], p + 2.5 * (q - p), a + 2.5 * (b - a)))
        x = state.latents


@pytest.mark.parametrize("kind", SAMPLERS)
def test_pictures_of_a_batch_do_not_see_each_other(kind: Sampler) -> None:  # S
    nets, x = networks((4, 64, 96)), noise(3, 4, 64, 96)
    together = states(nets, x, kind, 5, Bounds(1, 3))
    for k in range(3):
        for whole, alone in zip(together, states(nets, x[k : k + 1], kind, 5, Bounds(1, 3)), strict=True):
            assert torch.equal(whole.latents[k : k + 1], alone.latents)
            assert whole.mask is None or torch.equal(whole.mask[k : k + 1], alone.mask)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [1.0, 0.0, -3.0, float("nan")])
def test_there_must_be_something_to_guide(scale: float) -> None:
    with pytest.raises(ValueError, match="must be over 1"):
        Guidance(scale)
