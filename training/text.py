"""Captions as the pocket FLUX reads them, up to T5: ids and CLIP's pooled vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, CLIPTextModel

from training.pool import Sample


class Text:
    """The pocket's frozen CLIP tower and both tokenizers: what a caption is before T5."""

    def __init__(self, assets: str, tokenizer_2: Any, length: int, device: torch.device) -> None:
        folder = f"{assets}/clip"
        self.tokenizer, self.tokenizer_2, self.length = AutoTokenizer.from_pretrained(folder), tokenizer_2, length
        clip = CLIPTextModel.from_pretrained(folder, dtype=torch.float32)
        self.clip = clip.to(device).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, captions: Sequence[str]) -> Sample:
        """T5's ids (N, length) and CLIP's pooled vectors (N, width)."""
        ids = self._ids(self.tokenizer, captions, self.tokenizer.model_max_length)
        pooled = self.clip(ids.to(self.clip.device)).pooler_output
        return {"ids": self._ids(self.tokenizer_2, captions, self.length).to(pooled.device), "pooled": pooled}

    @staticmethod
    def _ids(tokenizer: Any, captions: Sequence[str], length: int) -> Tensor:
        options: dict[str, Any] = {"padding": "max_length", "truncation": True, "max_length": length}
        ids: Tensor = tokenizer(list(captions), return_tensors="pt", **options).input_ids
        return ids
