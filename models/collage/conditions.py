"""What the U-Net is called with: the prompt as states with each layer's tokens, the picture as latents."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import latents
from models.collage.alignment import Tokens, align, offsets, splice
from models.collage.learning import Recipe, extended
from models.contract import Components, Preset
from models.diffusion import Prediction
from models.tokens import dropped_words, token_ids


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
    def prediction(self) -> Prediction:
        """What the U-Net predicts."""
        found: Prediction = self.preset.settings.get("prediction", "epsilon")
        return found

    def recipe(self, steps: int) -> Recipe:
        """How looks are learned; 0 steps are the preset's own."""
        told: dict[str, Any] = dict(self.preset.settings["look"])
        return Recipe(**{**told, "steps": steps or told["steps"]})


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt as CLIP reads it: `states` (1, T, D), each layer's `tokens`, and what T tokens had no room for."""

    states: Tensor
    tokens: tuple[Tokens, ...]
    dropped: str


@torch.no_grad()
def read(parts: Parts, prompt: str, texts: Sequence[str], rows: Tensor | None = None) -> Prompt:
    """Encode a prompt in which each layer's `texts` stand, with `rows` (L, D) of learned looks before them.

    Raises `BadRequest` for words that are missing or that the encoder has no room for.
    """
    held = "" if rows is None else hashlib.sha256(rows.numpy().tobytes()).hexdigest()

    def compute() -> Prompt:
        tokenizer, encoder = parts.components["tokenizer"], parts.components["text_encoder"]
        length = tokenizer.model_max_length
        tokens: Sequence[Tokens] = align(prompt, texts, offsets(tokenizer, prompt), length)
        ids = tokenizer(prompt, truncation=True, max_length=length).input_ids
        with extended(encoder, torch.zeros(1, 1) if rows is None else rows.to(parts.device)) as first:
            if rows is not None:
                ids, tokens = splice(ids, tokens, [first + n for n in range(len(rows))], length)
            padded = torch.tensor([[*ids, *[tokenizer.pad_token_id] * (length - len(ids))]], device=parts.device)
            states = encoder(padded).last_hidden_state
        return Prompt(states, tuple(tokens), dropped_words(tokenizer, prompt))

    found: Prompt = parts.components.remember(("text_encoder", "collage", prompt, *texts, held), compute)
    return found


@torch.no_grad()
def read_negative(parts: Parts, text: str) -> Tensor:
    """States (1, T, D) of what the picture should not look like; it names no layer."""

    def compute() -> Tensor:
        ids = token_ids(parts.components["tokenizer"], text).to(parts.device)
        states: Tensor = parts.components["text_encoder"](ids).last_hidden_state
        return states

    found: Tensor = parts.components.remember(("text_encoder", "negative", text), compute)
    return found


@torch.no_grad()
def encode_picture(parts: Parts, picture: np.ndarray) -> Tensor:
    """Normalised latents (1, C, h, w) float32 of a uint8 picture of working size: the posterior's mode, where the
    authors draw a sample, so that the same picture always starts from the same latents."""

    def compute() -> Tensor:
        vae = parts.components["vae"]
        return latents.encode(vae, latents.to_pixels(picture).to(parts.device, vae.dtype)).float()

    key = ("vae", "collage", hashlib.sha256(picture.tobytes() + str(picture.shape).encode()).hexdigest())
    found: Tensor = parts.components.remember(key, compute)
    return found.to(parts.device)


@torch.no_grad()
def decode_picture(parts: Parts, found: Tensor) -> np.ndarray:
    """Latents (1, C, h, w) as a uint8 picture of working size."""
    vae = parts.components["vae"]
    picture: np.ndarray = latents.to_pictures(latents.decode(vae, found.to(parts.device, vae.dtype)))[0]
    return picture
