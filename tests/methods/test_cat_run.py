"""A whole run on toy components: stock inpainting without the paper's parts, kept pixels kept, everything reused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionInpaintPipeline
from PIL import Image

from models import latents
from models.cat import conditions, guidance, method
from models.cat.conditions import Parts
from models.contract import BadRequest, Result, Step
from tests.methods import cat_parts as tiny


@pytest.fixture(scope="module")
def parts() -> Any:
    torch.set_num_threads(1)
    with tiny.parts() as made:
        yield made


def result(parts: Parts, **changes: Any) -> Result:
    *steps, last = method.run(parts, tiny.request(**changes))
    assert isinstance(last, Result)
    assert all(isinstance(step, Step) for step in steps)
    return last


def scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1, timestep_spacing="leading", prediction_type="epsilon",
    )  # fmt: skip


@pytest.mark.parametrize("guidance", [1.0, 6.0])
def test_the_base_preset_equals_diffusers_own_pipeline(guidance: float) -> None:
    """Hole value 0, the same cells of the mask, the same noise."""
    square = np.ascontiguousarray(tiny.request().image[:, :64])
    mask = np.zeros((64, 64), np.uint8)
    mask[16:40, 24:56] = 255
    request = tiny.request(
        image=square, mask=mask, region="squash", paste_back=False, guidance_scale=guidance, negative_prompt="a tree"
    )
    with tiny.parts(tiny.BASE) as parts:
        *_, last = method.run(parts, request)
        made = {name: parts.components[name] for name in ("vae", "text_encoder", "tokenizer", "unet")}
    assert isinstance(last, Result)
    pipeline = StableDiffusionInpaintPipeline(
        **made, scheduler=scheduler(), safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    stock = pipeline(
        prompt="a red car",
        negative_prompt="a tree",
        image=Image.fromarray(square),
        mask_image=Image.fromarray(mask),
        height=64,
        width=64,
        num_inference_steps=3,
        guidance_scale=guidance,
        strength=1.0,
        latents=latents.seeded_noise((1, 4, 8, 8), 5),
        output_type="np",
    ).images[0]
    assert np.abs(last.images[0] - 255 * stock).max() < 0.6  # the rounding
    assert stock.std() > 0.02


@torch.no_grad()
def test_plain_comparison_is_the_full_evaluation_of_a_zero_prompt(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = result(parts)
    monkeypatch.setattr(guidance.Guided, "_prompt", lambda *_: torch.zeros(2, 4, tiny.cat_tiny.PROMPT))
    expected = result(parts).images[0].astype(int)
    assert np.abs(shown.extras["plain"] - expected).max() <= 1  # the rounding
    assert np.abs(shown.images[0] - expected).max() > 1


def test_same_seed_same_picture_and_two_are_two_runs(parts: Parts) -> None:
    first, both = result(parts), result(parts, num_images=2)
    with tiny.parts() as others:
        assert np.array_equal(result(others).images[0], first.images[0])
    assert np.array_equal(both.images[0], first.images[0])
    assert np.array_equal(both.images[1], result(parts, seed=6).images[0])
    assert not np.array_equal(*both.images)
    assert both.facts["seeds"] == [5, 6]


CHANGES: dict[str, Any] = {
    "prompt": "a blue tree",
    "negative_prompt": "a car",
    "guidance_scale": 3.0,
    "adapter_strength": 0.5,
    "region": "masked",
    "grow": 5,
    "feather": 6,
    "paste_back": False,
    "resolution": "128",
    "steps": 5,
    "seed": 6,
}


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_changes_the_picture(parts: Parts, field: str) -> None:
    changed = result(parts, **{field: CHANGES[field]}).images[0]
    assert not np.array_equal(changed, result(parts).images[0])


def test_padding_changes_a_crop(parts: Parts) -> None:
    image, mask = np.tile(tiny.request().image, (4, 4, 1)), np.zeros((256, 384), np.uint8)
    mask[100:150, 140:200] = 255
    asked = {"image": image, "mask": mask, "region": "masked"}
    near, far = (result(parts, padding=p, **asked) for p in (0.1, 0.5))
    assert near.facts["box"] != far.facts["box"]
    assert not np.array_equal(near.images[0], far.images[0])


@pytest.mark.parametrize("region", ["whole", "masked", "squash"])
def test_outside_the_mask_no_pixel_changes(parts: Parts, region: str) -> None:
    request = tiny.request()
    shown = result(parts, region=region, feather=4)
    kept = request.mask == 0
    for picture in (*shown.images, *(shown.extras[name] for name in ("plain", "classical"))):
        assert np.array_equal(picture[kept], request.image[kept])
        assert not np.array_equal(picture[~kept], request.image[~kept])
    assert shown.facts["kept_pixels_changed"] == [0]
    assert shown.facts["kept_pixels"] == [int(kept.sum())]


def test_raw_output_says_how_many_kept_pixels_changed(parts: Parts) -> None:
    shown, kept = result(parts, paste_back=False), tiny.request().mask == 0
    changed = (shown.images[0] != tiny.request().image).any(axis=2) & kept
    assert shown.facts["kept_pixels_changed"] == [int(changed.sum())]
    assert changed.sum() > 0


def test_a_second_seed_computes_nothing_but_its_steps(parts: Parts) -> None:
    """Words, features, imagined features and masked latents are computed once per picture and prompt."""
    calls: list[str] = []
    names = ("text_encoder", "clip_vision", "semantic_inpainter")
    with tiny.parts() as fresh:
        for name in names:
            model = fresh.components[name]
            inner = model.encoder if name == "semantic_inpainter" else model
            inner.register_forward_hook(lambda *_, name=name: calls.append(name))
        encode = fresh.components["vae"].encoder
        encode.register_forward_hook(lambda *_: calls.append("vae"))
        result(fresh, comparisons="off")
        first = sorted(calls)
        calls.clear()
        result(fresh, comparisons="off", seed=6)
    # The finished picture is looked at once more, for the view of what the semantic inpainter did.
    assert first == sorted(["text_encoder", "text_encoder", "clip_vision", "clip_vision", "semantic_inpainter", "vae"])
    assert calls == ["clip_vision"]


def test_strength_zero_adds_nothing_to_the_words(parts: Parts) -> None:
    """Without any bias of the adapters that is the zero prompt."""
    adapters = parts.components["unet"].adapters()
    kept = [adapter.to_out[0].bias.clone() for adapter in adapters]
    for adapter in adapters:
        adapter.to_out[0].bias.zero_()
    shown = result(parts, adapter_strength=0)
    assert np.abs(shown.images[0].astype(int) - shown.extras["plain"]).max() <= 1
    for adapter, bias in zip(adapters, kept, strict=True):
        adapter.to_out[0].bias.copy_(bias)


def test_comparisons_can_be_left_out(parts: Parts) -> None:
    *steps, last = method.run(parts, tiny.request(comparisons="off", num_images=2))
    assert isinstance(last, Result)
    assert "plain" not in last.extras
    assert [(s.done, s.total) for s in steps] == [(k, 6) for k in range(1, 7)]  # type: ignore[union-attr]
    *steps, _ = method.run(parts, tiny.request(num_images=2))
    assert [(s.done, s.total) for s in steps] == [(k, 9) for k in range(1, 10)]  # type: ignore[union-attr]
    assert steps[0].preview is not None  # type: ignore[union-attr]


def test_long_prompts_say_what_was_not_read(parts: Parts) -> None:
    words = " ".join(f"car{k}" for k in range(80))
    shown = result(parts, prompt=words)
    assert shown.facts["dropped_words"]
    assert words.endswith(shown.facts["dropped_words"])
    assert result(parts).facts["dropped_words"] == ""


def test_a_mask_that_the_latents_cannot_hold_is_refused_with_the_size_that_would() -> None:
    def hole(side: int, at: int) -> np.ndarray:
        mask = np.zeros((256, 256), np.uint8)
        mask[at : at + side, at : at + side] = 255
        return mask

    image = np.full((256, 256, 3), 90, np.uint8)
    with tiny.parts() as parts:
        with pytest.raises(BadRequest, match="at least 48x48 pixels"):
            next(iter(method.run(parts, tiny.request(image=image, mask=hole(8, 124), region="whole"))))
        for at in range(96, 128, 4):  # what the sentence promises, wherever it lies
            request = tiny.request(image=image, mask=hole(48, at), region="whole")
            assert method._framed(parts, request)[1].latent_mask.any()
        request = tiny.request(image=image, mask=hole(8, 124), region="masked", resolution="128")
        assert method._framed(parts, request)[1].latent_mask.any()


@torch.no_grad()
def test_unet_sees_noise_then_mask_then_masked_latents(parts: Parts) -> None:
    request, seen = tiny.request(region="squash"), []
    hook = parts.components["unet"].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    list(method.run(parts, request))
    hook.remove()
    noisy = seen[0]
    views = method._framed(parts, request)[1]
    assert noisy.shape == (2, 9, 8, 8)
    assert torch.equal(noisy[:, :4], latents.seeded_noise((1, 4, 8, 8), 5).expand(2, -1, -1, -1))
    assert torch.equal(noisy[0, 4], torch.from_numpy(views.latent_mask))
    pixels = torch.from_numpy(views.vae_picture).permute(2, 0, 1)[None]
    masked = parts.components["vae"].encode(pixels).latent_dist.mode() * 0.5
    assert torch.equal(noisy[:, 5:], masked.expand(2, -1, -1, -1))


def test_clip_sees_the_masked_picture_as_its_own_processor_would(parts: Parts) -> None:
    from transformers import CLIPImageProcessor

    views = method._framed(parts, tiny.request())[1]
    side = {"height": 32, "width": 32}
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=side)
    pixels = processor(Image.fromarray(views.clip_picture), return_tensors="pt").pixel_values
    with torch.no_grad():
        out = parts.components["clip_vision"](pixels)
    patches, pooled = conditions.see(parts, views.clip_picture)
    assert torch.allclose(patches, out.hidden_states[-1][:, 1:] if out.hidden_states else out.last_hidden_state[:, 1:])
    assert torch.allclose(pooled[:, 0], out.pooler_output)


def test_semantics_view_shows_the_hole_only(parts: Parts) -> None:
    view = result(parts).extras["semantics"]
    assert view.dtype == np.uint8
    assert view.shape[2] == 3
    assert len(np.unique(view.reshape(-1, 3), axis=0)) > 10


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt": "  "}, "say what should be there"),
        ({"mask": np.zeros((64, 96), np.uint8)}, "mask is empty"),
        ({"mask": np.full((64, 96), 255, np.uint8)}, "covers the whole picture"),
        ({"mask": np.full((32, 32), 255, np.uint8)}, "same size"),
        ({"mask": np.full((64, 96, 3), 255, np.uint8)}, "8-bit HxW"),
    ],
)
def test_what_cannot_be_filled_is_refused_in_words(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        tiny.request(**changes)


@pytest.mark.parametrize("ending", ["end", "stop", "error"])
def test_the_unet_is_stock_after_a_run(parts: Parts, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = parts.components["unet"]
    before = dict(model.attn_processors)
    events = method.run(parts, tiny.request())
    next(iter(events))
    assert model.attn_processors != before
    if ending == "stop":
        events.close()  # type: ignore[attr-defined]
    elif ending == "error":
        monkeypatch.setattr(model.conv_out, "forward", lambda x: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(events)
    else:
        list(events)
    assert model.attn_processors == before


def test_words_and_prompt_are_projected_once_per_picture(parts: Parts) -> None:
    calls: dict[str, int] = {}

    def count(name: str) -> Any:
        return lambda *_: calls.update({name: calls.get(name, 0) + 1})

    model = parts.components["unet"]
    places = [name for name, _ in model.named_modules() if name.endswith(("attn2.to_k", "attn2.to_v", "fuser.to_k"))]
    hooks = [model.get_submodule(name).register_forward_hook(count(name)) for name in places]
    result(parts, comparisons="off", steps=5, num_images=2)
    for hook in hooks:
        hook.remove()
    assert calls == dict.fromkeys(places, 1)
    assert len(places) == 12
