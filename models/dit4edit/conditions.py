"""What the transformer is called with besides latents: prompts as T5 reads them, sizes, masks; and the picture in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.contract import Components, Preset
from models.dit4edit.alignment import Words, normalised, words
from models.dpm_solver import in_full
from models.pixels import Size
from models.tokens import dropped_words

FACTOR = 8  # pixels along the side of a latent


class NotFinite(ArithmeticError):
    """The transformer put out an infinity or no number at all, as half precision can."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What `load` hands to `run`."""

    components: Components
    preset: Preset
    device: str
    wider: torch.dtype | None = None  # the transformer's for this run, where its own overflowed

    @property
    def dtype(self) -> torch.dtype:
        """The transformer's."""
        return self.wider or getattr(torch, self.preset.components["transformer"].dtype)

    @property
    def length(self) -> int:
        """How many tokens of a prompt are read."""
        return int(self.preset.settings["text_tokens"])

    @property
    def prediction(self) -> Any:
        """What the transformer puts out, in `diffusion.Prediction`'s words; PixArt's is epsilon."""
        return self.preset.settings.get("prediction", "epsilon")


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt read: `tokens` (1, L, D) of T5, `mask` (1, L) 1 = no padding, its words, and what did not fit."""

    text: str
    tokens: Tensor
    mask: Tensor
    words: Words
    dropped: str = ""


@torch.no_grad()
def read_prompt(parts: Parts, text: str) -> Prompt:
    """Read a prompt as PixArt was trained to, in lower case; the same words are encoded once."""
    text = normalised(text)
    tokenizer = parts.components["tokenizer"]
    told = tokenizer(
        text,
        padding="max_length",
        max_length=parts.length,
        truncation=True,
        return_offsets_mapping=True,
        return_tensors="pt",
    )
    mask = told.attention_mask
    tokens: Tensor = parts.components.remember(
        ("text_encoder", "prompt", text, parts.length), lambda: _encode(parts, told.input_ids, mask)
    )
    found = words(text, [(int(start), int(end)) for start, end in told.offset_mapping[0].tolist()])
    return Prompt(text, tokens, mask, found, dropped_words(tokenizer, text, parts.length))


def _encode(parts: Parts, ids: Tensor, mask: Tensor) -> Tensor:
    encoder = parts.components["text_encoder"]
    hidden: Tensor = encoder(ids.to(parts.device), attention_mask=mask.to(parts.device)).last_hidden_state
    return hidden.cpu()


class Rows:
    """The transformer on a batch whose rows have their own prompts; called with as many of them as are given.

    prompts: the prompt of each row. size: (height, width) in pixels, which some PixArts are told.
    """

    def __init__(self, parts: Parts, prompts: list[Prompt], size: Size) -> None:
        self.transformer: Any = parts.components["transformer"]
        self.device, self.dtype = parts.device, parts.dtype
        self.text = torch.cat([p.tokens for p in prompts]).to(parts.device, parts.dtype)
        self.mask = torch.cat([p.mask for p in prompts]).to(parts.device)
        self.size = size

    @torch.no_grad()
    def __call__(self, latents: Tensor, timestep: Tensor, chosen: list[int] | None = None) -> Tensor:
        """Latents (R, C, h, w) of the `chosen` rows (all by default) -> the prediction, of the same shape and at least
        float32.

        PixArt puts out a learned variance behind it, which no ODE solver wants.
        """
        rows = list(range(len(latents))) if chosen is None else chosen
        out: Tensor = self.transformer(
            latents.to(self.device, self.dtype),
            encoder_hidden_states=self.text[rows],
            encoder_attention_mask=self.mask[rows],
            timestep=timestep.to(self.device).expand(len(latents)),
            added_cond_kwargs=self._told(len(latents)),
            return_dict=False,
        )[0]
        out = in_full(out[:, : latents.shape[1]]).to(latents.device)
        if not torch.isfinite(out).all():
            raise NotFinite(f"The transformer overflowed in {self.dtype}.")
        return out

    def _told(self, rows: int) -> dict[str, Tensor | None]:
        """The micro-conditions of PixArt-alpha 1024: height, width and their ratio for every row."""
        if not getattr(self.transformer, "use_additional_conditions", False):
            return {"resolution": None, "aspect_ratio": None}
        height, width = self.size
        resolution = torch.tensor([[height, width]], dtype=self.dtype, device=self.device)
        ratio = torch.tensor([[height / width]], dtype=self.dtype, device=self.device)
        return {"resolution": resolution.repeat(rows, 1), "aspect_ratio": ratio.repeat(rows, 1)}
