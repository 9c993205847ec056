"""A checkpoint of the authors' layout arrives whole, tensor by tensor, or is refused in one sentence."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextModel, CLIPVisionModel

from cli.main import main
from models.cat import checkpoint
from models.cat.published import PARTS, PUBLISHED
from models.cat.semantic_inpainter import SemanticInpainter
from models.cat.unet import CATUNet2DConditionModel
from models.contract import BadRequest, MissingWeights
from tests.methods import cat_published
from tests.methods.cat_published import TINY

CLASSES = {
    "unet": CATUNet2DConditionModel,
    "semantic_inpainter": SemanticInpainter,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "clip_vision": CLIPVisionModel,
}
# The published counts of tensors and weights, by prefix.
COUNTS = {
    "model.diffusion_model.": (798, 909_912_644),
    "fusion_model.": (400, 324_872_192),
    "first_stage_model.": (248, 83_653_863),
    "cond_stage_model.transformer.text_model.": (196, 123_060_480),
    "cond_stage_model2.encoder.vision_model.": (391, 303_179_776),
    "": (12, 12_000),
}
# Where the sixteen adapters stand: the authors' place, ours, the width.
PLACES = {
    "input_blocks.1.1": ("down_blocks.0.attentions.0", 320),
    "input_blocks.2.1": ("down_blocks.0.attentions.1", 320),
    "input_blocks.4.1": ("down_blocks.1.attentions.0", 640),
    "input_blocks.5.1": ("down_blocks.1.attentions.1", 640),
    "input_blocks.7.1": ("down_blocks.2.attentions.0", 1280),
    "input_blocks.8.1": ("down_blocks.2.attentions.1", 1280),
    "middle_block.1": ("mid_block.attentions.0", 1280),
    "output_blocks.3.1": ("up_blocks.1.attentions.0", 1280),
    "output_blocks.4.1": ("up_blocks.1.attentions.1", 1280),
    "output_blocks.5.1": ("up_blocks.1.attentions.2", 1280),
    "output_blocks.6.1": ("up_blocks.2.attentions.0", 640),
    "output_blocks.7.1": ("up_blocks.2.attentions.1", 640),
    "output_blocks.8.1": ("up_blocks.2.attentions.2", 640),
    "output_blocks.9.1": ("up_blocks.3.attentions.0", 320),
    "output_blocks.10.1": ("up_blocks.3.attentions.1", 320),
    "output_blocks.11.1": ("up_blocks.3.attentions.2", 320),
}
TAILS = {
    "norm4.weight": "fuser.norm.weight",
    "norm4.bias": "fuser.norm.bias",
    "attn3.to_q.weight": "fuser.to_q.weight",
    "attn3.to_k.weight": "fuser.to_k.weight",
    "attn3.to_v.weight": "fuser.to_v.weight",
    "attn3.to_out.0.weight": "fuser.to_out.0.weight",
    "attn3.to_out.0.bias": "fuser.to_out.0.bias",
}


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return cat_published.tiny_networks()


@pytest.fixture
def state(made: dict[str, Any]) -> Iterator[dict[str, Tensor]]:
    """A whole tiny checkpoint, to be spoilt."""
    return cat_published.checkpoint(made)


def fitted(state: dict[str, Tensor], sizes: Any = TINY) -> dict[str, Any]:
    groups = checkpoint.split(state)
    return {part.folder: checkpoint.fitted(part, groups[part.folder], sizes[part.folder]) for part in PARTS}


# ---- full size, without memory


@pytest.fixture(scope="module")
def full() -> dict[str, Tensor]:
    with torch.device("meta"):
        state = cat_published.checkpoint(cat_published.networks(PUBLISHED))
    return state | cat_published.schedule()


def test_the_full_checkpoint_has_the_published_counts(full: dict[str, Tensor]) -> None:
    found = dict.fromkeys(COUNTS, (0, 0))
    for key, value in full.items():
        prefix = next(p for p in COUNTS if key.startswith(p))
        found[prefix] = (found[prefix][0] + 1, found[prefix][1] + value.numel())
    assert found == COUNTS
    assert (len(full), sum(value.numel() for value in full.values())) == (2045, 1_744_678_955 + 12_000)


def test_every_key_of_the_full_checkpoint_arrives(full: dict[str, Tensor]) -> None:
    models = fitted(full, PUBLISHED)
    arrived = sum(len(model.state_dict()) for model in models.values())
    assert arrived == 2045 - 12
    assert len(models["unet"].adapters()) == 16


def test_adapters_arrive_where_the_published_table_says(full: dict[str, Tensor]) -> None:
    unet = fitted(full, PUBLISHED)["unet"].state_dict()
    seen = set()
    for theirs, (ours, width) in PLACES.items():
        for tail, own in TAILS.items():
            key = f"model.diffusion_model.{theirs}.transformer_blocks.0.{tail}"
            assert unet[f"{ours}.transformer_blocks.0.{own}"].shape == full[key].shape
            assert full[key].shape[0] == width
            seen.add(key)
    assert {key for key in full if ".attn3." in key or ".norm4." in key} == seen
    assert len(seen) == 112


# ---- real tensors


@pytest.mark.parametrize("form", ["safetensors", "flat pickle", "wrapped pickle"])
def test_a_checkpoint_becomes_five_folders_bit_for_bit(
    tmp_path: Path, made: dict[str, Any], state: dict[str, Tensor], form: str
) -> None:
    path = tmp_path / ("cat.safetensors" if form == "safetensors" else "cat.ckpt")
    state = {key: value.contiguous() for key, value in state.items()}
    if form == "safetensors":
        save_file(state, path)
    elif form == "flat pickle":
        torch.save(state, path)
    else:
        torch.save({"state_dict": state, "global_step": 3, "optimizer_states": [{"step": 1}]}, path)
    said: list[str] = []
    checkpoint.convert(path, tmp_path / "out" / "cat", TINY, said.append)
    folders = sorted(folder.name for folder in (tmp_path / "out" / "cat").iterdir())
    assert folders == sorted(CLASSES)
    assert [folder.name for folder in (tmp_path / "out").iterdir()] == ["cat"]
    assert len(said) == 6
    for folder, kind in CLASSES.items():
        files = [file.name for file in (tmp_path / "out" / "cat" / folder).iterdir()]
        assert [name.endswith((".safetensors", ".json")) for name in files] == [True] * len(files)
        again = kind.from_pretrained(tmp_path / "out" / "cat" / folder).state_dict()
        expected = made[folder].state_dict()
        assert again.keys() == expected.keys()
        assert all(torch.equal(again[key], value) for key, value in expected.items())


def test_what_is_converted_draws_what_was_trained(tmp_path: Path, made: dict[str, Any], state: Any) -> None:
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "cat.safetensors")
    checkpoint.convert(tmp_path / "cat.safetensors", tmp_path / "cat", TINY)
    ids, pixels = torch.tensor([[1, 5, 39]]), torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for folder, given in (("text_encoder", ids), ("clip_vision", pixels)):
        again = CLASSES[folder].from_pretrained(tmp_path / "cat" / folder)
        assert torch.equal(again(given).last_hidden_state, made[folder].eval()(given).last_hidden_state)
    again = AutoencoderKL.from_pretrained(tmp_path / "cat" / "vae")
    assert torch.equal(again.encode(pixels).latent_dist.mean, made["vae"].eval().encode(pixels).latent_dist.mean)


def test_position_ids_of_older_libraries_are_let_pass(state: dict[str, Tensor]) -> None:
    for prefix in ("cond_stage_model.transformer.text_model.", "cond_stage_model2.encoder.vision_model."):
        state[prefix + "embeddings.position_ids"] = torch.arange(5)[None]
    fitted(state)


def test_a_checkpoint_without_schedule_is_let_pass(state: dict[str, Tensor]) -> None:
    fitted({key: value for key, value in state.items() if key not in cat_published.schedule()})


# ---- refusals

UNET = "model.diffusion_model."
ADAPTER = UNET + "input_blocks.1.1.transformer_blocks.0.attn3.to_q.weight"
UPSAMPLER = UNET + "output_blocks.1.1.conv."
KEYS = {
    "adapter": ADAPTER,
    "resnet": UNET + "input_blocks.1.0.in_layers.2.weight",
    "upsampler's weight": UPSAMPLER + "weight",
    "upsampler's bias": UPSAMPLER + "bias",
    "downsampler's bias": UNET + "input_blocks.2.0.op.bias",
    "time": UNET + "time_embed.2.bias",
    "inpainter": "fusion_model.encoder.layers.1.mlp.fc2.weight",
    "autoencoder": "first_stage_model.decoder.up.0.block.1.conv2.bias",
    "its attention": "first_stage_model.encoder.mid.attn_1.k.weight",
    "text": "cond_stage_model.transformer.text_model.final_layer_norm.bias",
    "vision": "cond_stage_model2.encoder.vision_model.post_layernorm.weight",
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
@pytest.mark.parametrize("spoilt", ["missing", "renamed", "extra", "shape"])
def test_a_key_that_does_not_fit_is_an_error(state: dict[str, Tensor], key: str, spoilt: str) -> None:
    value = state[key]
    if spoilt == "shape":
        state[key] = torch.cat([value, value])
    elif spoilt == "extra":
        state[f"{key}_2"] = value.clone()
    else:
        del state[key]
        if spoilt == "renamed":
            state[key.replace(".weight", ".wait").replace(".bias", ".base")] = value
    words = {"missing": "missing", "renamed": "unknown|missing", "extra": "unknown", "shape": "not \\("}
    with pytest.raises(MissingWeights, match=words[spoilt]) as caught:
        fitted(state)
    assert "does not fit" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_of_no_network_is_an_error(state: dict[str, Tensor]) -> None:
    state["model_ema.decay"] = torch.ones(1)
    with pytest.raises(MissingWeights, match=r"1 unknown keys: model_ema\.decay"):
        checkpoint.split(state)
    state["hyper"] = "text"  # type: ignore[assignment]
    with pytest.raises(MissingWeights, match=r"2 unknown keys: hyper; model_ema\.decay"):
        checkpoint.split(state)


def without(state: dict[str, Tensor], *parts: str) -> dict[str, Tensor]:
    """The entries that neither begin with one of `parts` nor, for ".parts.", contain it."""
    return {k: v for k, v in state.items() if not (k.startswith(parts) or any(p in k for p in parts if p[0] == "."))}


PARTIAL = {
    "stage 1b": (("fusion_model.",), "stage 1b.*no semantic inpainter"),
    "stock inpainting": ((".attn3.", ".norm4.", "fusion_model."), "not a CAT-Diffusion checkpoint.*no reference adapt"),
    "inpainter beside a stock U-Net": ((".attn3.", ".norm4."), "no reference adapters"),
    "no autoencoder": (("first_stage_model.",), "lacks: autoencoder .“first_stage_model.”"),
    "no vision tower": (("cond_stage_model2.",), "lacks: CLIP vision tower"),
    "no U-Net": (("model.diffusion_model.",), "lacks: U-Net .“model.diffusion_model.”.\\.$"),
    "nothing": (
        ("model.", "fusion", "first", "cond"),
        "not a whole CAT-Diffusion checkpoint.*U-Net.*semantic inpainter.*text encoder",
    ),
}


@pytest.mark.parametrize(("parts", "sentence"), PARTIAL.values(), ids=PARTIAL.keys())
def test_a_partial_checkpoint_is_named(state: dict[str, Tensor], parts: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(MissingWeights, match=sentence):
        checkpoint.split(without(state, *parts))


def test_untrained_adapters_are_the_file_of_stage_1a(tmp_path: Path, made: dict[str, Any]) -> None:
    fresh = copy.deepcopy(made["unet"])
    for adapter in fresh.adapters():
        adapter.norm.reset_parameters()
    state = cat_published.checkpoint(made | {"unet": fresh})
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "cat.safetensors")
    with pytest.raises(MissingWeights, match=r"stage 1a.*untrained"):
        checkpoint.convert(tmp_path / "cat.safetensors", tmp_path / "cat", TINY)
    assert not (tmp_path / "cat").exists()


@pytest.mark.parametrize("table", sorted(cat_published.schedule()))
def test_another_noise_schedule_is_refused(state: dict[str, Tensor], table: str) -> None:
    with pytest.raises(MissingWeights, match=f"another noise schedule: its {table} differs"):
        checkpoint.split(state | {table: cat_published.schedule("linear")[table]})
    with pytest.raises(MissingWeights, match=f"its {table} differs"):
        checkpoint.split(state | {table: state[table][:500]})


class Payload:
    """What a pickle could run."""


@pytest.mark.parametrize("kind", ["text", "object", "short", "list"])
def test_files_without_plain_tensors_are_refused(tmp_path: Path, state: dict[str, Tensor], kind: str) -> None:
    path = tmp_path / ("cat.safetensors" if kind == "short" else "cat.ckpt")
    if kind == "text":
        path.write_text("not weights")
    elif kind == "object":
        torch.save({"state_dict": state, "callbacks": Payload()}, path)
    elif kind == "list":
        torch.save([1, 2], path)
    else:
        save_file({key: value.contiguous() for key, value in state.items()}, path)
        path.write_bytes(path.read_bytes()[:-100])
    sentences = {"short": "cannot be read", "list": "not a whole CAT-Diffusion checkpoint"}
    with pytest.raises(MissingWeights, match=sentences.get(kind, "plain tensors.*as .safetensors")):
        checkpoint.convert(path, tmp_path / "cat", TINY)
    assert not (tmp_path / "cat").exists()


def test_weights_that_are_there_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "cat" / "vae").mkdir(parents=True)
    with pytest.raises(BadRequest, match=r"already holds weights.*--out"):
        checkpoint.convert(tmp_path / "cat.ckpt", tmp_path / "cat", TINY)


def test_command_line_converts_into_the_folder_of_the_full_preset(
    tmp_path: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "cat.safetensors")
    monkeypatch.setattr(checkpoint, "convert", partial(checkpoint.convert, sizes=TINY))
    monkeypatch.setenv("EASEL_CAT", str(tmp_path / "here"))
    command = ["models", "convert-cat", str(tmp_path / "cat.safetensors")]
    assert main(command) == 0
    said = capsys.readouterr()
    assert str(tmp_path / "here") in said.out
    assert "EASEL_CAT" not in said.out
    assert [line.split()[0] for line in said.err.splitlines()] == ["Reading", *["Writing"] * 5]
    assert sorted(folder.name for folder in (tmp_path / "here").iterdir()) == sorted(CLASSES)
    assert main([*command, "--out", str(tmp_path / "there")]) == 0
    assert f"Set EASEL_CAT={tmp_path / 'there'}" in capsys.readouterr().out
    assert main(command) == 2  # taken
    assert "already holds weights" in capsys.readouterr().err


def test_command_line_says_what_is_wrong_with_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "cat")]
    assert main(["models", "convert-cat", str(tmp_path / "none.ckpt"), *out]) == 2
    assert capsys.readouterr().err.endswith(f"There is no file {tmp_path / 'none.ckpt'}.\n")
    save_file({"down_blocks.0.weight": torch.ones(1)}, tmp_path / "other.safetensors")
    assert main(["models", "convert-cat", str(tmp_path / "other.safetensors"), *out]) == 3
    assert "not a whole CAT-Diffusion checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "cat").exists()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "cat.safetensors")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadRequest, match=r"file/cat cannot be written"):
        checkpoint.convert(tmp_path / "cat.safetensors", tmp_path / "file" / "cat", TINY)
