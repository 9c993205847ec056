"""The weights of SAM 2: the published layout key by key, and files that are not what they should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Sam2Config, Sam2Model, Sam2VideoConfig, Sam2VideoModel

from models import inventory, loading, masks
from models.contract import MissingWeights, Weights
from models.masks import Sam2Masker, matched
from models.segment import PRESETS
from tests import tiny
from tests.test_masks import picture

PUBLISHED = {  # facebook/sam2.1-hiera-tiny, written out
    "backbone": {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 96,
        "num_attention_heads": 1,
        "image_size": [1024, 1024],
        "patch_kernel_size": [7, 7],
        "patch_stride": [4, 4],
        "patch_padding": [3, 3],
        "query_stride": [2, 2],
        "window_positional_embedding_background_size": [7, 7],
        "num_query_pool_stages": 3,
        "blocks_per_stage": [1, 2, 7, 2],
        "embed_dim_per_stage": [96, 192, 384, 768],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "window_size_per_stage": [8, 4, 14, 7],
        "global_attention_blocks": [5, 7, 9],
        "mlp_ratio": 4.0,
    },
    "vision": {
        "backbone_channel_list": [768, 384, 192, 96],
        "backbone_feature_sizes": [[256, 256], [128, 128], [64, 64]],
        "fpn_hidden_size": 256,
        "fpn_top_down_levels": [2, 3],
        "num_feature_levels": 3,
    },
    "prompt": {"hidden_size": 256, "image_size": 1024, "patch_size": 16, "mask_input_channels": 16},
    "decoder": {
        "hidden_size": 256,
        "mlp_dim": 2048,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "attention_downsample_rate": 2,
        "num_multimask_outputs": 3,
        "iou_head_depth": 3,
        "iou_head_hidden_dim": 256,
        "dynamic_multimask_via_stability": True,
        "dynamic_multimask_stability_delta": 0.05,
        "dynamic_multimask_stability_thresh": 0.98,
    },
}


def published(kind: type) -> Any:
    """The published configuration as a picture model's or as a video model's, which is what the file holds."""
    return kind(
        vision_config={**PUBLISHED["vision"], "backbone_config": PUBLISHED["backbone"]},
        prompt_encoder_config=PUBLISHED["prompt"],
        mask_decoder_config=PUBLISHED["decoder"],
    )


@pytest.fixture(scope="module")
def checkpoint() -> dict[str, tuple[int, ...]]:
    """Key and shape of every tensor of the published file."""
    with torch.device("meta"):
        video = Sam2VideoModel(published(Sam2VideoConfig))
    return {name: tuple(tensor.shape) for name, tensor in video.state_dict().items()}


@pytest.fixture(scope="module")
def full() -> Sam2Model:
    return masks.empty(published(Sam2Config))


def test_the_published_checkpoint_fills_every_weight(checkpoint: dict[str, tuple[int, ...]], full: Sam2Model) -> None:
    assert sum(int(np.prod(shape)) for shape in checkpoint.values()) == pytest.approx(38.96e6, rel=1e-3)
    assert len(checkpoint) == 469
    used = matched(checkpoint, full)
    assert used == {name: name for name in full.state_dict()}
    assert (len(used), sum(p.numel() for p in full.parameters())) == (309, 31_440_721)
    assert {name.split(".")[0] for name in checkpoint.keys() - used.keys()} == {
        "memory_attention",
        "memory_encoder",
        "memory_temporal_positional_encoding",
        "mask_downsample",
        "object_pointer_proj",
        "temporal_positional_encoding_projection_layer",
        "no_memory_positional_encoding",
        "no_object_pointer",
        "occlusion_spatial_embedding_parameter",
    }
    assert full.vision_encoder.backbone.blocks[11].attn.qkv.weight.shape == (2304, 768)
    assert checkpoint["vision_encoder.backbone.patch_embed.projection.weight"] == (96, 3, 7, 7)
    assert checkpoint["prompt_encoder.point_embed.weight"] == (4, 256)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("rename", "missing: vision_encoder.backbone.blocks.0.attn.qkv.weight; unknown: blocks.0.qkv$"),
        ("drop", "^missing: mask_decoder.iou_token.weight and 1 more$"),
        ("add", "^unknown: mask_decoder.extra.weight$"),
        ("reshape", "^of another shape: mask_decoder.conv_s0.weight$"),
    ],
)
def test_a_checkpoint_that_is_another_models_is_one_sentence(
    checkpoint: dict[str, tuple[int, ...]], full: Sam2Model, harm: str, says: str
) -> None:
    found = dict(checkpoint)
    if harm == "rename":
        found["blocks.0.qkv"] = found.pop("vision_encoder.backbone.blocks.0.attn.qkv.weight")
    elif harm == "drop":
        del found["mask_decoder.iou_token.weight"], found["mask_decoder.mask_tokens.weight"]
    elif harm == "add":
        found["mask_decoder.extra.weight"] = (1,)
    else:
        found["mask_decoder.conv_s0.weight"] = (32, 256, 3, 3)
    with pytest.raises(ValueError, match=says):
        matched(found, full)


def test_one_matrix_may_be_stored_once(checkpoint: dict[str, tuple[int, ...]], full: Sam2Model) -> None:
    one, other = masks.TWINS
    for name, source in ((one, other), (other, one)):
        found = {key: shape for key, shape in checkpoint.items() if key != name}
        assert matched(found, full)[name] == source


NET = PRESETS["pocket"].components["sam2"]


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy saved in half precision as a shipped component, with its MANIFEST."""
    monkeypatch.setattr(loading, "ROOT", tmp_path)
    folder = tmp_path / NET.source
    tiny.sam2().half().save_pretrained(folder)
    manifest(folder)
    return folder


def manifest(folder: Path) -> None:
    files = {p.name: loading.sha256(p) for p in folder.iterdir() if p.name != "MANIFEST.json"}
    (folder / "MANIFEST.json").write_text(json.dumps({"files": files}))


def test_a_saved_model_loads_in_full_precision_and_answers_the_same(shipped: Path) -> None:
    loaded = loading.load_component(NET)
    assert {t.dtype for t in loaded.state_dict().values()} == {torch.float32}
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    saved = tiny.sam2().half().float()
    for name, tensor in saved.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=0, atol=0)
    image = picture()
    a, b = Sam2Masker(loaded), Sam2Masker(saved)
    torch.testing.assert_close(
        a.answer(a.embed(image), [(60, 40)], [1]).logits, b.answer(b.embed(image), [(60, 40)], [1]).logits
    )


@pytest.mark.parametrize("harm", ["rename", "extra", "reshape"])
def test_a_file_of_another_model_is_told_when_it_is_loaded(shipped: Path, harm: str) -> None:
    from safetensors.torch import load_file, save_file

    file = shipped / "model.safetensors"
    tensors = load_file(file)
    name = "mask_decoder.iou_token.weight"
    if harm == "rename":
        tensors["mask_decoder.iou.weight"] = tensors.pop(name)
    elif harm == "extra":
        tensors["mask_decoder.iou.weight"] = torch.zeros(1)
    else:
        tensors[name] = tensors[name][:, :3].contiguous()
    save_file(tensors, file)
    manifest(shipped)
    with pytest.raises(MissingWeights, match="assets/pocket/sam2 could not be read") as told:
        loading.load_component(NET)
    assert ("mask_decoder.iou" in str(told.value), "\n" in str(told.value)) == (True, False)


def test_a_video_models_folder_is_read_as_a_picture_models(tmp_path: Path) -> None:
    """The published folder says `sam2_video`; the picture's part of it is taken."""
    own = tiny.sam2().config.to_dict()
    video = Sam2VideoConfig(
        **{name: own[name] for name in ("vision_config", "prompt_encoder_config", "mask_decoder_config")},
        image_size=64,
        memory_attention_hidden_size=16,
        memory_attention_num_layers=1,
        memory_encoder_hidden_size=16,
        memory_encoder_output_channels=4,
        mask_downsampler_embed_dim=16,
        memory_fuser_embed_dim=16,
        memory_fuser_intermediate_dim=16,
    )
    saved = Sam2VideoModel(video)
    saved.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "sam2_video"
    loaded = loading.load_component(Weights(str(tmp_path), NET.class_name))
    assert type(loaded) is Sam2Model
    for name, tensor in loaded.state_dict().items():
        torch.testing.assert_close(tensor, saved.state_dict()[name], rtol=0, atol=0)


def test_verify_clicks_on_a_disc(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy knows nothing, so it is caught; with a mask that is the disc nothing is said."""
    preset = PRESETS["pocket"]
    (said,) = inventory.mask_faults(preset)
    assert "finds a disc with an IoU of 0." in said
    y, x = np.mgrid[:256, :256]
    disc = np.where(np.hypot(x - 120, y - 140) < 60, np.uint8(255), np.uint8(0))
    monkeypatch.setattr(Sam2Masker, "mask", lambda *_: (disc[None], np.ones(1)))
    assert list(inventory.mask_faults(preset)) == []
    (shipped / "model.safetensors").write_bytes(b"?")
    (said,) = inventory.mask_faults(preset)
    assert "is damaged (its sha256 differs)" in said
    (shipped / "MANIFEST.json").unlink()
    assert list(inventory.mask_faults(preset)) == [], "what is absent is said elsewhere"
