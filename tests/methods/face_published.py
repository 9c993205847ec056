"""Files of the published layout, made the way back: from the libraries' own classes to the files' names and dtypes."""

from __future__ import annotations

import re
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from models.facediffuser.layout import Kind
from models.facediffuser.post_fuse import PostFuse

TINY = {
    "unet": {
        "sample_size": 8,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 12,
        "attention_head_dim": 2,
        "norm_num_groups": 8,
    },
    "text_encoder": {
        "vocab_size": 40,
        "hidden_size": 12,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    },
    "image_encoder": {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 4,
        "projection_dim": 12,
    },
    "postfuse": {"width": 12},
    "vae": {
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "norm_num_groups": 4,
    },
}
CLASSES: dict[str, Any] = {
    "unet": UNet2DConditionModel,
    "text_encoder": CLIPTextModel,
    "image_encoder": CLIPVisionModelWithProjection,
    "postfuse": PostFuse,
    "vae": AutoencoderKL,
}
PREFIXES = {
    "unet": "unet.",
    "text_encoder": "text_encoder.",
    "image_encoder": "image_encoder.",
    "postfuse": "postfuse_module.",
    "vae": "vae.",
}
OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def networks(sizes: Any, kind: Kind = "subject") -> dict[str, nn.Module]:
    """What a file of `kind` holds, by part."""
    made = {
        "unet": UNet2DConditionModel(**sizes["unet"]),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**sizes["text_encoder"])),
        "vae": AutoencoderKL(**sizes["vae"]),
    }
    if kind == "subject":
        made["image_encoder"] = CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes["image_encoder"]))
        made["postfuse"] = PostFuse(**sizes["postfuse"])
    return made


def tiny_networks(kind: Kind = "subject", seed: int = 7) -> dict[str, nn.Module]:
    """With weights as after training, no two tensors equal; what is frozen in training is the same for every seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = networks(TINY, kind)
        for name, model in made.items():
            torch.manual_seed(1 if name in ("text_encoder", "vae") else seed)
            for parameter in model.requires_grad_(False).eval().parameters():
                parameter.normal_()
    return made


def checkpoint(made: dict[str, Any]) -> dict[str, Tensor]:
    """The flat file: trained weights in single precision and frozen ones in bfloat16, as mixed training leaves them;
    position ids of older libraries; the autoencoder's attention under its old names."""
    state: dict[str, Tensor] = {}
    for name, model in made.items():
        trained = trained_layers(model) if name == "image_encoder" else ("",) if name in ("unet", "postfuse") else ()
        for key, value in model.state_dict().items():
            kept = value if any(part in key for part in trained) else value.bfloat16()
            state[PREFIXES[name] + (old_name(key) if name == "vae" else key)] = kept
    for name, inner in (("text_encoder", ""), ("image_encoder", "vision_model.")):
        if name in made:
            config = made[name].config
            length = getattr(config, "max_position_embeddings", 0)
            length = length or (config.image_size // config.patch_size) ** 2 + 1
            state[f"{name}.{inner}embeddings.position_ids"] = torch.arange(length)[None]
    return state


def trained_layers(image_encoder: Any) -> tuple[str, ...]:
    """Parts of the names of the last two layers."""
    count = image_encoder.config.num_hidden_layers
    return tuple(f".encoder.layers.{layer}." for layer in (count - 2, count - 1))


def old_name(key: str) -> str:
    """How diffusers called a weight of the autoencoder when the files were written."""
    pattern = r"(mid_block\.attentions\.0\.)(to_q|to_k|to_v|to_out\.0)"
    return re.sub(pattern, lambda found: found[1] + OLD[found[2]], key)
