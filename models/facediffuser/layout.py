"""The networks in the published files of Face-diffuser and FastComposer: sizes, prefixes and names of their keys.

One flat file per model. The subject model's (SDM; FastComposer's is of the same layout) has all five networks below,
the scene model's (TDM) neither image encoder nor post-fuse module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from models.checkpoint import State
from models.facediffuser.post_fuse import PostFuse

Kind = Literal["subject", "scene"]
Sizes = Mapping[str, Mapping[str, Any]]  # by part: what the network's class or config is made with

WRAPPED = "module."  # in front of every key where a wrapper for several devices was saved
TOLERATED = "embeddings.position_ids"  # counted from 0; older libraries saved them

PUBLISHED: Sizes = {
    "unet": {
        "sample_size": 64,
        "cross_attention_dim": 768,
        "attention_head_dim": 8,  # diffusers' old name for the number of heads
    },
    "text_encoder": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "projection_dim": 768,
    },
    "image_encoder": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 768,
    },
    "postfuse": {"width": 768},
    "vae": {
        "sample_size": 512,
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "scaling_factor": 0.18215,
    },
}


def _same(key: str) -> str:
    return key


def _today(key: str) -> str:
    """A weight of the autoencoder's attention was called query, key, value or proj_attn."""
    names = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    return re.sub(
        r"(\.attentions\.0\.)(query|key|value|proj_attn)\.", lambda found: f"{found[1]}{names[found[2]]}.", key
    )


@dataclass(frozen=True)
class Part:
    """One network: its name, the prefix of its keys, how it is built and how keys without their prefix are renamed.

    kinds: the files that have it. `checked` only: it is Stable Diffusion's own, so it may be absent and is not kept.
    full: it stays in single precision.
    """

    name: str
    prefix: str
    title: str
    build: Callable[[Mapping[str, Any]], Any]
    kinds: tuple[Kind, ...] = ("subject", "scene")
    rename: Callable[[str], str] = _same
    checked: bool = False
    full: bool = False

    def state(self, entries: State) -> State:
        """The entries under the class's own names."""
        return {self.rename(key.removeprefix(self.prefix)): value for key, value in entries.items()}


PARTS = (
    Part("unet", "unet.", "U-Net", lambda size: UNet2DConditionModel(**size)),
    Part("text_encoder", "text_encoder.", "text encoder", lambda size: CLIPTextModel(CLIPTextConfig(**size))),
    Part(
        "image_encoder",
        "image_encoder.",
        "image encoder",
        lambda size: CLIPVisionModelWithProjection(CLIPVisionConfig(**size)),
        ("subject",),
    ),
    Part("postfuse", "postfuse_module.", "post-fuse module", lambda size: PostFuse(**size), ("subject",), full=True),
    Part("vae", "vae.", "autoencoder", lambda size: AutoencoderKL(**size), rename=_today, checked=True),
)
