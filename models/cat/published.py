"""The five networks in a checkpoint of the published layout: their sizes, prefixes and names in today's libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from diffusers import AutoencoderKL
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModel

from models.cat.semantic_inpainter import SemanticInpainter
from models.cat.unet import CATUNet2DConditionModel
from models.checkpoint import State

Sizes = Mapping[str, Mapping[str, Any]]  # by folder: what the network's class or config is made with

PUBLISHED: Sizes = {
    "unet": {
        "sample_size": 64,
        "in_channels": 9,
        "cross_attention_dim": 768,
        "attention_head_dim": 8,  # diffusers' old name for the number of heads
        "ref_adapter_dim": 1024,
    },
    "semantic_inpainter": {},
    "vae": {
        "sample_size": 512,
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "scaling_factor": 0.18215,
    },
    "text_encoder": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "projection_dim": 768,
    },
    "clip_vision": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 768,
    },
}


@dataclass(frozen=True)
class Part:
    """One network: the folder it is saved in, the prefix of its keys, how it is built and what renames its keys.

    `rename` takes the keys with their prefix and gives the class's own; what it does not know it leaves out.
    """

    folder: str
    prefix: str
    title: str
    build: Callable[[Mapping[str, Any]], Any]
    rename: Callable[[State, Part, Any], State]


def _unet(state: State, part: Part, model: Any) -> State:
    """diffusers' own conversion, which moves the adapters along; their names follow the slot they are put in here."""
    renamed = convert_ldm_unet_checkpoint(state, model.config)
    return {key.replace(".attn3.", ".fuser.").replace(".norm4.", ".fuser.norm."): v for key, v in renamed.items()}


def _vae(state: State, part: Part, model: Any) -> State:
    converted: State = convert_ldm_vae_checkpoint(state, model.config)
    return converted


def _stripped(state: State, part: Part, model: Any) -> State:
    return {key.removeprefix(part.prefix): value for key, value in state.items()}


PARTS = (
    Part("unet", "model.diffusion_model.", "U-Net", lambda size: CATUNet2DConditionModel(**size), _unet),
    Part(
        "semantic_inpainter", "fusion_model.", "semantic inpainter", lambda size: SemanticInpainter(**size), _stripped
    ),
    Part("vae", "first_stage_model.", "autoencoder", lambda size: AutoencoderKL(**size), _vae),
    Part(
        "text_encoder",
        "cond_stage_model.transformer.text_model.",
        "text encoder",
        lambda size: CLIPTextModel(CLIPTextConfig(**size)),
        _stripped,
    ),
    Part(
        "clip_vision",
        "cond_stage_model2.encoder.vision_model.",
        "CLIP vision tower",
        lambda size: CLIPVisionModel(CLIPVisionConfig(**size)),
        _stripped,
    ),
)
