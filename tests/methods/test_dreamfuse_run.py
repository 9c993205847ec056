"""A whole run on toy components: same seed, same picture; every field counts; nothing outlives the run."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

from models import pixels
from models.contract import BadRequest, MissingWeights, Result, Step
from models.dreamfuse import finishing, method
from models.dreamfuse.conditions import Parts
from models.dreamfuse.spec import PRESETS, DreamFuseRequest, told
from models.dreamfuse.transformer import Conditions, conditioned
from tests.methods import dreamfuse_tiny as tiny


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


def test_same_seed_same_picture(parts: Parts) -> None:
    first = result(parts)
    with torch.inference_mode():
        again = result(parts)
    with tiny.parts() as others:  # fresh components, no remembered latents
        fresh = result(others)
    assert first.images[0].shape == (128, 160, 3)
    assert first.images[0].dtype == np.uint8
    assert np.array_equal(first.images[0], again.images[0])
    assert np.array_equal(first.images[0], fresh.images[0])
    assert first.facts["bucket"] == "144x112"


@torch.no_grad()
def by_hand(request: DreamFuseRequest) -> np.ndarray:
    """The raw output with diffusers' own packing, scheduler and LoRA loading."""
    made = tiny.components()
    vae, flux, scheduler = made["vae"], made["transformer"], made["scheduler"]
    framing, prompt = method.frame(request, 128), made["text_encoder_2"]
    both = np.stack([framing.foreground, framing.background]) / 127.5 - 1
    z = vae.encode(torch.tensor(both).permute(0, 3, 1, 2).float()).latent_dist.mode()
    height, width = z.shape[2:]
    packed = FluxPipeline._pack_latents((z - 0.1) * 0.5, 2, 8, height, width)
    grid = FluxPipeline._prepare_latent_image_ids(1, height // 2, width // 2, "cpu", torch.float32)
    ids = torch.cat([grid, tiny.sampled_ids(framing.affine, height // 2, width // 2), grid])
    lora = {"r": 2, "lora_alpha": 4, "target_modules": ["to_q", "to_k", "to_v", "to_out.0"]}
    flux.load_lora_adapter(dict(made["adapter"].lora), prefix=None, metadata=lora)
    noise = torch.randn(1, 8, height, width, generator=torch.Generator().manual_seed(request.seed))
    latents, count = FluxPipeline._pack_latents(noise, 1, 8, height, width), len(grid)
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / 3, 3), mu=calculate_shift(count))
    for timestep in scheduler.timesteps:
        with conditioned(flux) as model:
            flow = model(
                latents,
                encoder_hidden_states=prompt(torch.tensor([[1] + 7 * [0]]))[0],
                pooled_projections=made["text_encoder"](torch.tensor([[49406] + 76 * [49407]])).pooler_output,
                timestep=timestep[None] / 1000,
                guidance=torch.tensor([request.guidance_scale]),
                img_ids=ids,
                txt_ids=torch.zeros(8, 3),
                conditions=Conditions(packed.reshape(1, 2 * count, -1), made["adapter"].tags),
            ).sample
        latents = scheduler.step(flow, timestep, latents, return_dict=False)[0]
    z = FluxPipeline._unpack_latents(latents, 8 * height, 8 * width, 8)
    pixels = vae.decode(z / 0.5 + 0.1).sample[0].permute(1, 2, 0)
    return ((pixels + 1) * 127.5).clamp(0, 255).numpy()


def test_run_equals_the_loop_written_with_diffusers(parts: Parts) -> None:
    scene = np.array(tiny.request().background)[:112, :144]  # a bucket's own size: nothing is resized
    request = tiny.request(background=scene, guidance_scale=2.5)
    *_, last = method.run(parts, request)
    assert isinstance(last, Result)
    assert np.abs(last.images[0] - by_hand(request)).max() < 0.6  # the rounding


def test_batch_of_two_is_two_runs_with_seed_and_seed_plus_one(parts: Parts) -> None:
    both = result(parts, num_images=2)
    assert both.facts["seeds"] == [5, 6]
    assert np.array_equal(both.images[0], result(parts).images[0])
    assert np.array_equal(both.images[1], result(parts, seed=6).images[0])
    assert not np.array_equal(*both.images)


CHANGES: dict[str, Any] = {
    "x": 0.5,
    "y": 0.4,
    "scale": 0.5,
    "angle": 40,
    "flip": True,
    "prompt": "a gold car",
    "guidance_scale": 6.0,
    "text_strength": 5,
    "variant": "direct-transform",
    "resolution": "256",
    "enlarge": False,
    "affine": "centred",
    "steps": 5,
    "seed": 6,
    "keep_detail": "on",
    "background_lock": True,
}


def test_how_the_place_is_told_is_the_papers_way_or_the_presets(parts: Parts) -> None:
    request = tiny.request()
    assert told(request, PRESETS["full"]).variant == "positional-affine"
    assert told(request, PRESETS["pocket"]).variant == "direct-transform"
    assert told(tiny.request(variant="positional-affine"), PRESETS["pocket"]).variant == "positional-affine"
    named = dataclasses.replace(parts.preset, settings={**parts.preset.settings, "variant": "direct-transform"})
    *_, found = method.run(dataclasses.replace(parts, preset=named), request)
    assert np.array_equal(found.images[0], result(parts, variant="direct-transform").images[0])
    assert np.array_equal(result(parts).images[0], result(parts, variant="positional-affine").images[0])


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_changes_the_picture(parts: Parts, field: str) -> None:
    changed = result(parts, **{field: CHANGES[field]}).images[0]
    assert not np.array_equal(changed, result(parts).images[0])


def test_steps_are_counted_and_previewed(parts: Parts) -> None:
    *steps, _ = method.run(parts, tiny.request(num_images=2))
    assert [(s.done, s.total) for s in steps] == [(k, 6) for k in range(1, 7)]  # type: ignore[union-attr]
    assert steps[0].preview is not None  # type: ignore[union-attr]
    assert steps[0].preview.shape == (112, 144, 3)  # type: ignore[union-attr]


@pytest.mark.parametrize("ending", ["end", "stop", "error"])
def test_the_transformer_is_stock_after_a_run(parts: Parts, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = parts.components["transformer"]
    kinds, keys = [type(m) for m in model.modules()], list(model.state_dict())
    events = method.run(parts, tiny.request())
    next(events)
    assert [type(m) for m in model.modules()] != kinds
    if ending == "stop":
        events.close()  # type: ignore[attr-defined]
    elif ending == "error":
        monkeypatch.setattr(model.proj_out, "forward", lambda x: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(events)
    else:
        list(events)
    assert [type(m) for m in model.modules()] == kinds
    assert list(model.state_dict()) == keys


def test_offloaded_components_give_the_same_picture(parts: Parts) -> None:
    expected = result(parts).images[0]
    with tiny.parts() as others:
        others.components.to("cpu", offload=True)  # type: ignore[attr-defined]
        model = others.components["transformer"]
        assert "_old_forward" in vars(model)
        assert np.array_equal(result(others).images[0], expected)
        assert model._old_forward.__func__ is FluxTransformer2DModel.forward


def test_raw_output_is_the_decoded_picture_and_lock_keeps_the_scene(parts: Parts) -> None:
    raw = result(parts, keep_detail="off")
    locked = result(parts, keep_detail="off", background_lock=True)
    assert np.array_equal(raw.images[0], result(parts).images[0])  # this preset's own choice
    assert locked.facts["kept_pixels_changed"] == [0]
    assert raw.facts["kept_pixels_changed"] == raw.facts["kept_pixels"]


@torch.no_grad()
def test_kept_detail_follows_the_change_only(parts: Parts) -> None:
    """A model that gives the scene, or the raw paste, back leaves exactly that at full resolution."""
    request = tiny.request(keep_detail="on")
    background = method.frame(request, 128).background
    around = finishing.surroundings(parts, request, background)
    solid, outside = around.object_mask == 255, around.object_mask == 0
    same = finishing.finish(parts, request, around, finishing.encode_picture(parts, background))
    assert np.array_equal(same.picture[outside], request.background[outside])
    assert same.kept == int(outside.sum())
    assert same.kept_changed == 0
    small = pixels.resize(around.pasted, (background.shape[0], background.shape[1]))
    pasted = finishing.finish(parts, request, around, finishing.encode_picture(parts, small))
    assert np.array_equal(pasted.picture[solid], around.pasted[solid])
    assert not np.array_equal(same.picture[solid], around.pasted[solid])


def test_paste_stands_beside_the_result(parts: Parts) -> None:
    paste = result(parts).extras["paste"]
    assert paste[77, 56].tolist() == pytest.approx([220, 40, 30], abs=2)
    assert np.array_equal(paste[:20], tiny.request().background[:20])


def test_variant_without_weights_is_refused_in_words(parts: Parts) -> None:
    with pytest.raises(MissingWeights, match="no mask tokenizer"):
        result(parts, variant="mask-tokenizer")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "transparent": ({"foreground": np.zeros((20, 20, 4), np.uint8)}, "fully transparent"),
    "outside": ({"x": 1.6}, "outside the scene"),
    "no size": ({"scale": 0.0}, "between 0.01 and 3"),
    "huge": ({"scale": 50}, "between 0.01 and 3"),
    "strip": ({"background": np.zeros((10, 100, 3), np.uint8)}, "at most 8:1"),
    "no scene": ({"background": None}, "Background"),
    "variant": ({"variant": "magic"}, "positional-affine"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_request_that_cannot_be_fused_says_why(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        tiny.request(**changes)


def test_needs_leave_text_encoders_alone_for_a_known_empty_prompt(tmp_path: Any, monkeypatch: Any) -> None:
    from models.dreamfuse import spec
    from models.dreamfuse.text import encode_prompt

    monkeypatch.setenv("EASEL_CACHE", str(tmp_path))
    full = spec.PRESETS["full"]
    empty, worded = tiny.request(), tiny.request(prompt="a gold car")
    assert set(spec.needs(full, empty)) == set(full.components)
    with tiny.parts(full) as parts:
        first = encode_prompt(parts.components, full, "")
    assert set(spec.needs(full, empty)) == {"transformer", "adapter", "vae", "scheduler"}
    assert set(spec.needs(full, worded)) == set(full.components)
    read = encode_prompt({}, full, "")  # type: ignore[arg-type]  # asks no component
    assert torch.equal(read.tokens, first.tokens)
    assert torch.equal(read.pooled, first.pooled)


def test_request_is_described_before_it_runs() -> None:
    from models.dreamfuse.spec import SPEC

    assert SPEC.describe is not None
    assert SPEC.describe(tiny.request(x=0.0)) == {"box": [-24, 57, 24, 97], "inside": pytest.approx(0.5)}
    assert isinstance(tiny.request(), DreamFuseRequest)
