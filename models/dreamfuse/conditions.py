"""From a request to what the transformer is called with: latents, ids, tags, text and the schedule."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import diffusion, latents
from models.contract import Components, Preset
from models.dreamfuse.adapter import Adapter
from models.dreamfuse.framing import Framing
from models.dreamfuse.mask_tokens import GRID, MaskTokens, latent_mask
from models.dreamfuse.placement import TOKEN, affine_ids, centred_ids, grid_ids
from models.dreamfuse.spec import DreamFuseRequest
from models.dreamfuse.text import Prompt
from models.dreamfuse.transformer import ConditionedFlux, Conditions


@dataclass(frozen=True, eq=False)
class Parts:
    """What `load` hands to `run`."""

    components: Components
    preset: Preset
    device: str

    @property
    def dtype(self) -> torch.dtype:
        """The transformer's compute dtype, which its storage may differ from."""
        return getattr(torch, self.preset.components["transformer"].dtype)  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything of the transformer's call that no step changes, and the noise levels to go through."""

    conditions: Conditions
    arguments: dict[str, Any]  # text, ids, guidance
    sigmas: Tensor
    size: tuple[int, int]  # height and width of the latents

    @torch.no_grad()
    def velocity(self, flux: ConditionedFlux, tokens: Tensor, timestep: Tensor) -> Tensor:
        """The flow at noisy `tokens` (1, S, C) and a timestep in 0..1000, rounded to the model's dtype as in FLUX."""
        dtype = self.conditions.latents.dtype
        time = timestep.to(tokens.device, dtype).expand(len(tokens)) / 1000
        output: Tensor = flux(
            tokens.to(dtype), timestep=time, conditions=self.conditions, return_dict=False, **self.arguments
        )[0]
        return output


@torch.no_grad()
def encode_picture(parts: Parts, picture: np.ndarray) -> Tensor:
    """Normalised latents (1, C, h, w) of a uint8 picture, computed once per content."""
    digest = hashlib.sha256(picture.tobytes() + str(picture.shape).encode()).hexdigest()
    vae = parts.components["vae"]

    def compute() -> Tensor:
        return latents.encode(vae, latents.to_pixels(picture).to(parts.device))

    encoded: Tensor = parts.components.remember(("vae", "latents", digest), compute)
    return encoded.to(parts.device)


@torch.no_grad()
def prepare(parts: Parts, request: DreamFuseRequest, framing: Framing, prompt: Prompt, tags: Tensor) -> Inputs:
    """The call for one request (sections 3.1 and 3.2); `tags` (3, D) are the adapter's."""
    pictures = [encode_picture(parts, p) for p in (framing.foreground, framing.background)]
    height, width = pictures[0].shape[2:]
    tokens = torch.cat([latents.pack(p) for p in pictures], dim=1).to(parts.dtype)
    tags = tags.to(parts.device, parts.dtype)
    mask_tokens, placed = (
        _mask_tokens(parts, framing, (height, width)) if request.variant == "mask-tokenizer" else (None, None)
    )
    extra = GRID * GRID if mask_tokens is not None else 0
    arguments: dict[str, Any] = {
        "encoder_hidden_states": prompt.tokens.to(parts.device, parts.dtype),
        "pooled_projections": prompt.pooled.to(parts.device, parts.dtype),
        "img_ids": position_ids(request, framing).to(parts.device),
        "txt_ids": torch.zeros(prompt.tokens.shape[1], 3, device=parts.device),
        "guidance": torch.full((1,), request.guidance_scale, device=parts.device),
    }
    if request.text_strength > 1:
        others = extra + tokens.shape[1] * 3 // 2
        bias = text_bias(request.text_strength, prompt.tokens.shape[1], others)
        arguments["joint_attention_kwargs"] = {"attention_mask": bias.to(parts.device, parts.dtype)}
    steps = request.steps or parts.preset.steps
    sigmas = noise_levels(parts.components["scheduler"].config, steps, tokens.shape[1] // 2)
    conditions = Conditions(tokens, tags, mask_tokens, placed, cache={})
    return Inputs(conditions, arguments, sigmas, (height, width))


def _mask_tokens(parts: Parts, framing: Framing, size: tuple[int, int]) -> tuple[MaskTokens, Tensor]:
    """The adapter's mask tokenizer and the placed mask at latent size."""
    adapter: Adapter = parts.components["adapter"]
    alpha = torch.from_numpy(framing.placed_mask)[None, None].to(parts.device, parts.dtype) / 255
    return adapter.mask_tokens().to(parts.device, parts.dtype), latent_mask(alpha, *size)


def position_ids(request: DreamFuseRequest, framing: Framing) -> Tensor:
    """Ids (3S, 3) of noisy, foreground and background tokens: only the foreground's tell of the placement."""
    rows, columns = (side // TOKEN for side in framing.background.shape[:2])
    plain = grid_ids(rows, columns)
    placed = plain
    if request.variant in ("auto", "positional-affine"):
        ids = affine_ids if request.affine == "paper" else centred_ids
        placed = ids(framing.affine, rows, columns)
    return torch.cat([plain, placed, plain])


def text_bias(strength: int, text: int, others: int) -> Tensor:
    """Key bias (1, 1, 1, text + others): ln n on the text does exactly what its n-fold repetition does."""
    bias = torch.zeros(1, 1, 1, text + others)
    bias[..., :text] = math.log(strength)
    return bias


def noise_levels(config: Any, steps: int, tokens: int) -> Tensor:
    """Sigmas (steps + 1,) of the scheduler's configuration; mu counts the noisy tokens only, not the conditions."""
    if not config.use_dynamic_shifting:
        return diffusion.flow_sigmas(steps, math.log(config.shift))
    mu = diffusion.flux_mu(
        tokens, config.base_image_seq_len, config.max_image_seq_len, config.base_shift, config.max_shift
    )
    return diffusion.flow_sigmas(steps, mu)
