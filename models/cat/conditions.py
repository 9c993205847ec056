"""From a request to what the U-Net is called with: words, visual prompt, masked latents. Computed once per picture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import latents
from models.cat.preprocess import Views, views
from models.cat.semantic_inpainter import mix, pool
from models.contract import Components, Preset
from models.tokens import dropped_words, token_ids

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP's pictures in 0..1
STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, eq=False)
class Parts:
    """What `load` hands to `run`."""

    components: Components
    preset: Preset
    device: str

    @property
    def dtype(self) -> torch.dtype:
        """The U-Net's."""
        return getattr(torch, self.preset.components["unet"].dtype)  # type: ignore[no-any-return]

    @property
    def semantic(self) -> bool:
        """Whether the weights are CAT-Diffusion's; the base it starts from has no visual prompt."""
        return "semantic_inpainter" in self.preset.components

    def views(self, picture: np.ndarray, mask: np.ndarray) -> Views:
        """A working picture as this preset's networks see it."""
        hole = float(self.preset.settings["hole"])
        if not self.semantic:
            return views(picture, mask, hole=hole)
        clip = self.components["clip_vision"].config
        return views(picture, mask, clip.image_size, clip.patch_size, hole=hole)


@dataclass(frozen=True, eq=False)
class Words:
    """A text as CLIP reads it: `tokens` (1, T, D), the `pooled` one (1, 1, D), and what T tokens had no room for."""

    tokens: Tensor
    pooled: Tensor
    dropped: str


@dataclass(frozen=True, eq=False)
class Semantics:
    """Features (1, N, C) of CLIP's patches of the masked picture, `seen`, and what the inpainter made of them,
    `predicted`; `prompt` (1, N/4, C) is the visual prompt."""

    seen: Tensor
    predicted: Tensor
    prompt: Tensor


@torch.no_grad()
def read_words(parts: Parts, text: str) -> Words:
    """Encode a text once; the empty one is asked for with every picture."""

    def compute() -> Words:
        tokenizer, encoder = parts.components["tokenizer"], parts.components["text_encoder"]
        out = encoder(token_ids(tokenizer, text).to(parts.device))
        return Words(out.last_hidden_state, out.pooler_output[:, None], dropped_words(tokenizer, text))

    words: Words = parts.components.remember(("text_encoder", "words", text), compute)
    return words


@torch.no_grad()
def see(parts: Parts, picture: np.ndarray) -> tuple[Tensor, Tensor]:
    """CLIP's patch features (1, N, C), before its last norm, and the pooled one (1, 1, C), after it, of a uint8
    picture of CLIP's size."""

    def compute() -> tuple[Tensor, Tensor]:
        vision = parts.components["clip_vision"]
        scaled = torch.tensor(picture).permute(2, 0, 1).float()[None] / 255
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        out = vision(((scaled - mean) / std).to(parts.device, vision.dtype))
        return out.last_hidden_state[:, 1:], out.pooler_output[:, None]

    found: tuple[Tensor, Tensor] = parts.components.remember(("clip_vision", "see", _digest(picture)), compute)
    return found


@torch.no_grad()
def imagine(parts: Parts, seen: Views, words: Words, text: str) -> Semantics:
    """Semantic pre-inpainting: what CLIP would see in the hole if the text were there."""

    def compute() -> Semantics:
        inpainter = parts.components["semantic_inpainter"]
        patches, pooled = see(parts, seen.clip_picture)
        mask = torch.from_numpy(seen.patch_mask.astype(np.int64)).to(parts.device)[None, None]
        given = (tokens.to(inpainter.dtype) for tokens in (patches, pooled, words.pooled))
        predicted, _ = inpainter.predict(*given, mask)
        prompt = pool(mix(predicted, patches, mask), inpainter.config.grid)
        return Semantics(patches, predicted, prompt)

    key = ("semantic_inpainter", _digest(seen.clip_picture), _digest(seen.patch_mask), text)
    semantics: Semantics = parts.components.remember(key, compute)
    return semantics


@torch.no_grad()
def surroundings(parts: Parts, seen: Views) -> Tensor:
    """What stays with the noisy latents at every step, (1, 1 + C, h, w): the mask, then the masked latents."""

    def compute() -> Tensor:
        vae = parts.components["vae"]
        pixels = torch.from_numpy(seen.vae_picture).permute(2, 0, 1)[None]
        masked = latents.encode(vae, pixels.to(parts.device, vae.dtype))
        mask = torch.from_numpy(seen.latent_mask)[None, None].to(masked)
        return torch.cat([mask, masked], dim=1)

    return _remembered(parts, ("vae", "surroundings", _digest(seen.vae_picture), _digest(seen.latent_mask)), compute)


def _remembered(parts: Parts, key: tuple[Any, ...], compute: Callable[[], Tensor]) -> Tensor:
    found: Tensor = parts.components.remember(key, compute)
    return found.to(parts.device)


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes() + str(array.shape).encode()).hexdigest()
