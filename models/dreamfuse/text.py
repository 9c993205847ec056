"""The prompt as FLUX reads it: T5's tokens and CLIP's pooled vector, both padded, without a mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.contract import Components, Preset
from models.dreamfuse.spec import empty_prompt_path
from models.tokens import dropped_words, token_ids


@dataclass(frozen=True, eq=False)
class Prompt:
    """`tokens` (1, T, D) of T5, `pooled` (1, P) of CLIP, and the words that did not fit into T tokens."""

    tokens: Tensor
    pooled: Tensor
    dropped: str = ""

    def save(self, path: Path) -> None:
        """Keep the embeddings; written beside and renamed, so that a reader never sees half a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        save_file({"tokens": self.tokens.cpu().contiguous(), "pooled": self.pooled.cpu().contiguous()}, part)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Prompt:
        """What `save` wrote."""
        tensors = load_file(path)
        return cls(tensors["tokens"], tensors["pooled"])


@torch.no_grad()
def encode_prompt(components: Components, preset: Preset, prompt: str) -> Prompt:
    """Encode a prompt (section 4.1), or read the empty one's embeddings from disk, where they are constants.

    The empty prompt is what the model was mostly trained on; its embeddings save loading T5 at all.
    """
    path = empty_prompt_path(preset)
    if not prompt and path.exists():
        return Prompt.load(path)
    encoded: Prompt = components.remember(
        ("text_encoder_2", "prompt", prompt), lambda: _encode(components, prompt, preset.settings["text_tokens"])
    )
    if not prompt and "empty_prompt" not in preset.settings:
        encoded.save(path)
    return encoded


def _encode(components: Components, prompt: str, length: int) -> Prompt:
    t5, clip = components["text_encoder_2"], components["text_encoder"]
    tokens = t5(token_ids(components["tokenizer_2"], prompt, length).to(t5.device))[0]
    pooled = clip(token_ids(components["tokenizer"], prompt).to(clip.device)).pooler_output
    return Prompt(tokens, pooled, dropped_words(components["tokenizer_2"], prompt, length))
