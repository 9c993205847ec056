"""Real diffusers classes at toy size with random weights: what tests run instead of mocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import ControlNetModel, FluxTransformer2DModel, PixArtTransformer2DModel, UNet2DConditionModel
from torch import Tensor, nn
from transformers import Sam2Config, Sam2Model

TEXT_TOKENS = 7


def unet(seed: int = 0, **changes: Any) -> UNet2DConditionModel:
    """A Stable Diffusion U-Net of two levels: 8x8 latents, sites on 64 and 16 tokens, 8 of them."""
    config = {
        "sample_size": 8,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 12,
        "attention_head_dim": 2,
        "norm_num_groups": 8,
    }
    return _seeded(UNet2DConditionModel, seed, config | changes)


def controlnet(seed: int = 0) -> ControlNetModel:
    """A ControlNet for the default `unet()`, whose residuals are not zero as they are when training begins."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = ControlNetModel.from_unet(unet()).eval().requires_grad_(False)
        for part in (
            model.controlnet_cond_embedding.conv_out,
            *model.controlnet_down_blocks,
            model.controlnet_mid_block,
        ):
            part.weight.normal_(0, 0.3)
    return model


def pixart(seed: int = 0, **changes: Any) -> PixArtTransformer2DModel:
    """A PixArt-alpha transformer of three blocks: 8x8 latents, 16 tokens."""
    config = {
        "sample_size": 8,
        "num_layers": 3,
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "cross_attention_dim": 16,
        "caption_channels": 12,
        "in_channels": 4,
        "out_channels": 8,
    }
    return _seeded(PixArtTransformer2DModel, seed, config | changes)


def flux(seed: int = 0, **changes: Any) -> FluxTransformer2DModel:
    """A guidance-distilled FLUX transformer of two double and three single blocks: 4x4 image tokens."""
    config = {
        "in_channels": 16,
        "num_layers": 2,
        "num_single_layers": 3,
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "axes_dims_rope": (4, 6, 6),
        "joint_attention_dim": 12,
        "pooled_projection_dim": 10,
        "guidance_embeds": True,
    }
    return _seeded(FluxTransformer2DModel, seed, config | changes)


def sam2(seed: int = 0, side: int = 64) -> Sam2Model:
    """A SAM 2 with one block or two in each stage of its encoder; masks at a quarter of `side`."""
    widths = [8, 16, 32, 64]
    config = Sam2Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": widths[0],
                "image_size": [side, side],
                "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": widths,
                "num_attention_heads_per_stage": [1, 1, 2, 2],
                "window_size_per_stage": [4, 4, 4, 4],
                "global_attention_blocks": [3],
            },
            "backbone_channel_list": widths[::-1],
            "backbone_feature_sizes": [[side // stride] * 2 for stride in (4, 8, 16)],
            "fpn_hidden_size": 16,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": side},
        mask_decoder_config={"hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16},
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Sam2Model(config).eval().requires_grad_(False)
        for weight in model.parameters():  # as small as training begins with, every point would have the same mask
            if weight.ndim > 1:
                weight.normal_(0, 0.3)
    return model


FAMILIES: dict[str, Callable[..., nn.Module]] = {"unet": unet, "pixart": pixart, "flux": flux}


def inputs(model: nn.Module, batch: int = 2, seed: int = 1) -> dict[str, Any]:
    """Random arguments of one forward call, the text of the second row padded where the family masks text."""
    draw = torch.Generator().manual_seed(seed)
    if isinstance(model, FluxTransformer2DModel):
        rows, cols = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
        return {
            "hidden_states": torch.randn(batch, 16, 16, generator=draw),
            "encoder_hidden_states": torch.randn(batch, TEXT_TOKENS, 12, generator=draw),
            "pooled_projections": torch.randn(batch, 10, generator=draw),
            "timestep": torch.full((batch,), 0.7),
            "guidance": torch.full((batch,), 3.5),
            "img_ids": torch.stack([torch.zeros_like(rows), rows, cols], dim=-1).reshape(16, 3),
            "txt_ids": torch.zeros(TEXT_TOKENS, 3),
        }
    latents = torch.randn(batch, model.config["in_channels"], 8, 8, generator=draw)
    text = torch.randn(batch, TEXT_TOKENS, 12, generator=draw)
    common = {"timestep": torch.full((batch,), 500), "encoder_hidden_states": text}
    if isinstance(model, PixArtTransformer2DModel):
        mask = torch.ones(batch, TEXT_TOKENS)
        mask[1:, -2:] = 0
        conditions = {"resolution": None, "aspect_ratio": None}
        return common | {
            "hidden_states": latents,
            "encoder_attention_mask": mask,
            "added_cond_kwargs": conditions,
        }
    return common | {"sample": latents}


@torch.no_grad()
def output(model: nn.Module, **changes: Any) -> Tensor:
    """The prediction for `inputs(model)` with some arguments changed."""
    return model(**(inputs(model) | changes)).sample


def _seeded(kind: type[nn.Module], seed: int, config: dict[str, Any]) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind(**config).eval().requires_grad_(False)
