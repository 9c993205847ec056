"""A checkpoint of the authors' layout arrives whole, tensor by tensor, and becomes what the full preset loads."""

from __future__ import annotations

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
from models.cat.published import PUBLISHED
from models.cat.semantic_inpainter import SemanticInpainter
from models.cat.unet import CATUNet2DConditionModel
from tests.methods import cat_published
from tests.methods.cat_published import TINY, fitted

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
def state(made: dict[str, Any]) -> dict[str, Tensor]:
    return cat_published.checkpoint(made)


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
