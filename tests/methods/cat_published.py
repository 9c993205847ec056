"""A checkpoint of the authors' layout, made the way back: from the libraries' own classes to the file's names."""

from __future__ import annotations

import re
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModel

from models.cat import checkpoint as converter
from models.cat.published import PARTS
from models.cat.semantic_inpainter import SemanticInpainter
from models.cat.unet import CATUNet2DConditionModel

TINY = {
    "unet": {
        "sample_size": 8,
        "in_channels": 9,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 12,
        "attention_head_dim": 2,
        "norm_num_groups": 8,
        "ref_adapter_dim": 16,
    },
    "semantic_inpainter": {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "grid": 4,
        "label_size": 12,
        "label_intermediate": 10,
    },
    "vae": {
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "norm_num_groups": 4,
    },
    "text_encoder": {
        "vocab_size": 40,
        "hidden_size": 12,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    },
    "clip_vision": {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 4,
    },
}

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def networks(sizes: Any) -> dict[str, nn.Module]:
    """One of each, by folder."""
    return {
        "unet": CATUNet2DConditionModel(**sizes["unet"]),
        "semantic_inpainter": SemanticInpainter(**sizes["semantic_inpainter"]),
        "vae": AutoencoderKL(**sizes["vae"]),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**sizes["text_encoder"])),
        "clip_vision": CLIPVisionModel(CLIPVisionConfig(**sizes["clip_vision"])),
    }


def tiny_networks() -> dict[str, nn.Module]:
    """With weights as after training: no norm is that of a new layer, no two tensors are equal."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        made = networks(TINY)
        for model in made.values():
            for parameter in model.requires_grad_(False).parameters():
                parameter.normal_()
    return made


def checkpoint(made: dict[str, Any]) -> dict[str, Tensor]:
    """The flat file: every tensor under the authors' name, and the twelve tables of the noise schedule."""
    state: dict[str, Tensor] = {}
    for key, value in made["unet"].state_dict().items():
        state["model.diffusion_model." + unet_name(key, made["unet"].config)] = value
    levels = len(made["vae"].config.block_out_channels)
    for key, value in made["vae"].state_dict().items():
        name = vae_name(key, levels)
        convolution = re.search(r"attn_1\.(q|k|v|proj_out)\.weight", name)
        state["first_stage_model." + name] = value[:, :, None, None] if convolution else value
    prefixes = {
        "semantic_inpainter": "fusion_model.",
        "text_encoder": "cond_stage_model.transformer.text_model.",
        "clip_vision": "cond_stage_model2.encoder.vision_model.",
    }
    for folder, prefix in prefixes.items():
        state |= {prefix + key: value for key, value in made[folder].state_dict().items()}
    return state | schedule()


def fitted(state: dict[str, Tensor], sizes: Any = TINY) -> dict[str, Any]:
    """The networks that the converter makes of a file's entries, by folder."""
    groups = converter.split(state)
    return {part.folder: converter.fitted(part, groups[part.folder], sizes[part.folder]) for part in PARTS}


def unet_name(key: str, config: Any) -> str:
    """The authors' name of a weight of the U-Net: blocks counted through, the adapter as norm4 and attn3."""
    key = key.replace(".fuser.norm.", ".norm4.").replace(".fuser.", ".attn3.")
    for ours, theirs in ENDS.items():
        if key.startswith(ours + "."):
            return theirs + key.removeprefix(ours)
    side, *rest = key.split(".")
    if side == "mid_block":
        kind, index, tail = rest[0], int(rest[1]), ".".join(rest[2:])
        return f"middle_block.{1 if kind == 'attentions' else 2 * index}.{_resnet(kind, tail)}"
    block, kind, index, tail = int(rest[0]), rest[1], int(rest[2]), ".".join(rest[3:])
    layers = config.layers_per_block + 1
    if side == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{(block + 1) * layers}.0.op{tail.removeprefix('conv')}"
        return f"input_blocks.{block * layers + index + 1}.{int(kind == 'attentions')}.{_resnet(kind, tail)}"
    if kind == "upsamplers":
        place = 2 if config.up_block_types[block].startswith("CrossAttn") else 1
        return f"output_blocks.{(block + 1) * layers - 1}.{place}.{tail}"
    return f"output_blocks.{block * layers + index}.{int(kind == 'attentions')}.{_resnet(kind, tail)}"


def _resnet(kind: str, tail: str) -> str:
    if kind != "resnets":
        return tail
    layer, _, end = tail.partition(".")
    return f"{RESNET[layer]}.{end}"


def vae_name(key: str, levels: int) -> str:
    """The authors' name of a weight of the autoencoder; its decoder counts levels from the finest."""
    key = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    key = key.replace("mid_block.attentions.0", "mid.attn_1").replace("to_out.0", "proj_out")
    key = key.replace(".group_norm.", ".norm.").replace(".to_", ".")
    key = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", key)
    key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
    key = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block", key)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", key)


def schedule(kind: str = "scaled_linear") -> dict[str, Tensor]:
    """What a thousand steps of DDPM with diffusers' betas need, in single precision as the file has it."""
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule=kind)
    betas = scheduler.betas.double()
    alphas = torch.cumprod(1 - betas, 0)
    before = torch.cat([alphas.new_ones(1), alphas[:-1]])  # where the betas are: callers may be on the meta device
    variance = betas * (1 - before) / (1 - alphas)
    tables = {
        "betas": betas,
        "alphas_cumprod": alphas,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": alphas**0.5,
        "sqrt_one_minus_alphas_cumprod": (1 - alphas) ** 0.5,
        "log_one_minus_alphas_cumprod": torch.log(1 - alphas),
        "sqrt_recip_alphas_cumprod": alphas**-0.5,
        "sqrt_recipm1_alphas_cumprod": (1 / alphas - 1) ** 0.5,
        "posterior_variance": variance,
        "posterior_log_variance_clipped": torch.log(variance.clamp(min=1e-20)),
        "posterior_mean_coef1": betas * before**0.5 / (1 - alphas),
        "posterior_mean_coef2": (1 - before) * (1 - betas) ** 0.5 / (1 - alphas),
    }
    return {name: table.float() for name, table in tables.items()}
