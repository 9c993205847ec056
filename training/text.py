"""Captions as the pocket FLUX reads them, up to T5: ids and CLIP's pooled vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
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
        options: dict[str, Any] = {"truncation": True, "return_tensors": "pt"}
        # CLIP is causal and pools at the first end token, so that padding changes nothing; T5 attends to its pads.
        ids = self.tokenizer(list(captions), padding="longest", **options).input_ids
        ids_2 = self.tokenizer_2(list(captions), padding="max_length", max_length=self.length, **options).input_ids
        device = self.clip.device
        return {"ids": ids_2.to(device), "pooled": self.clip(ids.to(device)).pooler_output}
