"""Files that are not whole, not of the layout, of the other model or not plain tensors are refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.contract import BadRequest, MissingWeights
from models.facediffuser import published
from models.facediffuser.layout import PARTS
from tests.methods import face_published
from tests.methods.face_published import TINY
from tests.methods.spoiling import WORDS, spoil


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return face_published.tiny_networks()


@pytest.fixture
def state(made: dict[str, Any]) -> dict[str, Tensor]:
    """A whole tiny file of the subject model, to be spoilt."""
    return face_published.checkpoint(made)


def fitted(state: dict[str, Tensor]) -> None:
    groups = published.split(state, "subject")
    for part in PARTS:
        published.fitted(part, groups[part.name], TINY[part.name])


KEYS = {
    "U-Net": "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    "its bias": "unet.conv_out.bias",
    "text": "text_encoder.encoder.layers.1.mlp.fc2.weight",
    "image": "image_encoder.vision_model.pre_layrnorm.weight",
    "projection": "image_encoder.visual_projection.weight",
    "post-fuse": "postfuse_module.mlp2.layernorm.bias",
    "autoencoder": "vae.decoder.mid_block.attentions.0.proj_attn.weight",
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
@pytest.mark.parametrize("spoilt", WORDS)
def test_a_key_that_does_not_fit_is_an_error(state: dict[str, Tensor], key: str, spoilt: str) -> None:
    fitted(state)  # whole as it is
    said = spoil(state, key, spoilt)
    with pytest.raises(MissingWeights, match=said) as caught:
        fitted(state)
    assert "does not fit" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_attention_under_both_names_is_an_error(state: dict[str, Tensor]) -> None:
    state["vae.encoder.mid_block.attentions.0.to_q.weight"] = state["vae.encoder.mid_block.attentions.0.query.weight"]
    with pytest.raises(MissingWeights, match="old and new names"):
        fitted(state)


def test_a_key_of_no_network_is_an_error(state: dict[str, Tensor]) -> None:
    state["ema.decay"] = torch.ones(1)
    with pytest.raises(MissingWeights, match=r"1 unknown keys: ema\.decay\."):
        published.split(state, "subject")
    state["unet.hyper"] = "text"  # type: ignore[assignment]
    with pytest.raises(MissingWeights, match=r"2 unknown keys: ema\.decay; unet\.hyper\."):
        published.split(state, "subject")


def without(state: dict[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith(prefixes)}


def test_the_two_models_files_are_not_mixed_up(state: dict[str, Tensor]) -> None:
    scene = without(state, "image_encoder.", "postfuse_module.")
    with pytest.raises(MissingWeights, match=r"neither image encoder nor post-fuse module.*\(TDM\).*give.*\(SDM\)"):
        published.split(scene, "subject")
    with pytest.raises(MissingWeights, match=r"image encoder and post-fuse module.*\(SDM\).*give.*\(TDM\)"):
        published.split(state, "scene")
    published.split(scene, "scene")


PARTIAL = {
    "no post-fuse": (("postfuse_module.",), "lacks: post-fuse module .“postfuse_module.”.\\.$"),
    "no text": (("text_encoder.",), "lacks: text encoder"),
    "no U-Net": (("unet.",), "lacks: U-Net .“unet.”.\\.$"),
    "nothing": (tuple(face_published.PREFIXES.values()), "lacks: U-Net .*text encoder.*image encoder.*post-fuse"),
}


@pytest.mark.parametrize(("prefixes", "sentence"), PARTIAL.values(), ids=PARTIAL.keys())
def test_a_partial_file_is_named(state: dict[str, Tensor], prefixes: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(MissingWeights, match="not a checkpoint of Face-diffuser or FastComposer.*" + sentence):
        published.split(without(state, *prefixes), "subject")


class Payload:
    """What a pickle could run."""


@pytest.mark.parametrize("spoilt", ["object", "text", "absent", "infinite"])
def test_nothing_is_written_of_a_file_that_cannot_be_used(
    tmp_path: Path, state: dict[str, Tensor], spoilt: str
) -> None:
    path = tmp_path / "pytorch_model.bin"
    if spoilt == "object":
        torch.save(state | {"unet.hook": Payload()}, path)
    elif spoilt == "text":
        path.write_text("not weights")
    elif spoilt == "infinite":
        state["unet.conv_in.bias"] = state["unet.conv_in.bias"] + 7e4  # more than half precision holds
        torch.save(state, path)
    expected = {
        "object": (MissingWeights, "plain tensors.*as .safetensors"),
        "text": (MissingWeights, "plain tensors.*as .safetensors"),
        "absent": (BadRequest, "There is no file"),
        "infinite": (MissingWeights, r"sdm_unet.*not finite in torch.float16: conv_in\.bias"),
    }[spoilt]
    with pytest.raises(expected[0], match=expected[1]):
        published.convert(path, None, tmp_path / "face", TINY)
    assert [file.name for file in tmp_path.iterdir()] == ([] if spoilt == "absent" else [path.name])


def test_weights_that_are_there_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "face" / "tdm_unet").mkdir(parents=True)
    with pytest.raises(BadRequest, match="already holds weights"):
        published.convert(tmp_path / "none.bin", None, tmp_path / "face", TINY)


def test_a_second_file_that_does_not_fit_stops_the_first(tmp_path: Path, state: dict[str, Tensor]) -> None:
    for name in ("subject", "scene"):
        torch.save(state, tmp_path / f"{name}.bin")
    with pytest.raises(MissingWeights, match=r"please give the scene model's \(TDM\)"):
        published.convert(tmp_path / "subject.bin", tmp_path / "scene.bin", tmp_path / "face", TINY)
    assert not (tmp_path / "face").exists()
