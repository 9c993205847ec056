"""From a prompt to the ids that a text encoder reads, and what they had no room for."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def token_ids(tokenizer: Any, prompt: str, length: int | None = None) -> Tensor:
    """Ids (1, length), cut or padded; `length` None is the tokenizer's own maximum."""
    length = length or tokenizer.model_max_length
    ids: Tensor = tokenizer(
        prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids
    return ids


def dropped_words(tokenizer: Any, prompt: str, length: int | None = None) -> str:
    """The end of the prompt that `length` tokens have no room for; empty if it fits."""
    length = length or tokenizer.model_max_length
    found = tokenizer(prompt, truncation=False, verbose=False, return_offsets_mapping=True)
    if len(found.input_ids) <= length:
        return ""
    start = found.offset_mapping[length - 1][0]  # the end token takes the last place
    return prompt[start:].strip()
