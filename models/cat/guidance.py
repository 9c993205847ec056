"""One guided prediction of noise: both halves of classifier-free guidance in one batch.

What no step changes is computed when this is made: the keys and values of the visual prompt and of the words.
The prompt's are passed along and the words' are there while `installed` lasts, so two runs cannot meet each other's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from models import diffusion
from models.attention import edited, recalling
from models.cat.adapter import VisualPrompt
from models.cat.conditions import Parts, Semantics, Words
from models.cat.spec import InpaintRequest


class Guided:
    """The U-Net with everything but noisy latents and time.

    With guidance the batch is [unconditional, conditional]: the negative prompt's words (the empty text's, if there
    is none) with a zero visual prompt, and the prompt's words with the imagined one; mask and masked latents,
    `around` (1, 1 + C, h, w), are the same in both. Without `semantics` the prompt's words get the zero prompt too.
    """

    def __init__(
        self,
        parts: Parts,
        request: InpaintRequest,
        around: Tensor,
        words: Words,
        negative: Words,
        semantics: Semantics | None,
    ) -> None:
        self.unet, self.scale = parts.components["unet"], request.guidance_scale
        read = [words] if self.scale == 1 else [negative, words]
        self.text = torch.cat([w.tokens for w in read]).to(parts.device, parts.dtype)
        self.around = around.to(parts.dtype).expand(len(read), -1, -1, -1)
        self.options: dict[str, Any] = {}
        if parts.semantic:  # the base model has no adapters
            prompt = self._prompt(parts, request, len(read), semantics)
            self.options = {"cross_attention_kwargs": {"gligen": {"ref": prompt}}}

    def _prompt(self, parts: Parts, request: InpaintRequest, rows: int, semantics: Semantics | None) -> VisualPrompt:
        if semantics is None:
            return VisualPrompt((), unconditional=rows)
        tokens = semantics.prompt.to(parts.device)
        visual: VisualPrompt = self.unet.visual_prompt(tokens, rows - 1, request.adapter_strength)
        return visual

    @contextmanager
    def installed(self) -> Iterator[diffusion.Network]:
        """The network (noisy latents (1, C, h, w), timestep) -> noise (1, C, h, w); nothing stays on the U-Net."""
        with edited(self.unet, recalling(self.unet, self.text)):
            yield self._noise

    @torch.no_grad()
    def _noise(self, latents: Tensor, timestep: Tensor) -> Tensor:
        noisy = torch.cat([latents.to(self.around.dtype).expand(len(self.around), -1, -1, -1), self.around], dim=1)
        out = self.unet(noisy, timestep.to(noisy.device), self.text, return_dict=False, **self.options)[0].float()
        if len(out) == 1:
            return out  # type: ignore[no-any-return]
        return diffusion.guide(out[:1], out[1:], self.scale)
