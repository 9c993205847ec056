"""A checkpoint that is not whole, not the authors' or not plain tensors is refused in one sentence."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from cli.main import main
from models.cat import checkpoint
from models.contract import BadRequest, MissingWeights
from tests.methods import cat_published
from tests.methods.cat_published import TINY, fitted
from tests.methods.spoiling import WORDS, spoil


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return cat_published.tiny_networks()


@pytest.fixture
def state(made: dict[str, Any]) -> dict[str, Tensor]:
    """A whole tiny checkpoint, to be spoilt."""
    return cat_published.checkpoint(made)


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
@pytest.mark.parametrize("spoilt", WORDS)
def test_a_key_that_does_not_fit_is_an_error(state: dict[str, Tensor], key: str, spoilt: str) -> None:
    said = spoil(state, key, spoilt)
    with pytest.raises(MissingWeights, match=said) as caught:
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


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "cat.safetensors")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadRequest, match=r"file/cat cannot be written"):
        checkpoint.convert(tmp_path / "cat.safetensors", tmp_path / "file" / "cat", TINY)


def test_command_line_says_what_is_wrong_with_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "cat")]
    assert main(["models", "convert-cat", str(tmp_path / "none.ckpt"), *out]) == 2
    assert capsys.readouterr().err.endswith(f"There is no file {tmp_path / 'none.ckpt'}.\n")
    save_file({"down_blocks.0.weight": torch.ones(1)}, tmp_path / "other.safetensors")
    assert main(["models", "convert-cat", str(tmp_path / "other.safetensors"), *out]) == 3
    assert "not a whole CAT-Diffusion checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "cat").exists()
