"""Prompts with their tokens written out, and batches of a toy PixArt laid out as an edit needs them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from models.attention import sites
from models.dit4edit.alignment import Words, words
from models.dit4edit.rows import Rows

LENGTH = 14


def split(pieces: str, padding: int = 0) -> Words:
    """Words of a prompt whose pieces are written out: 'a tig|er' has three tokens before the end."""
    offsets, start = [], 0
    for word in pieces.split(" "):
        for piece in word.split("|"):
            offsets.append((start, start + len(piece)))
            start += len(piece)
        start += 1
    return words(pieces.replace("|", ""), [*offsets, (0, 0), *[(0, 0)] * padding])


def batch(model: nn.Module, rows: Rows, prompts: list[str], size: tuple[int, int] = (8, 8), seed: int = 4) -> Any:
    """Arguments of one forward call; a prompt's text is random and only its own, as are a branch's latents.

    Equal prompts have equal text, and branches with equal prompts equal latents.
    """
    dtype = next(model.parameters()).dtype
    first = [prompts.index(prompt) for prompt in prompts]

    def noise(key: int, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(100 * seed + key), dtype=dtype)

    latents = [noise(n, 4, *size) for n in first]
    texts = [noise(50 + n, LENGTH, 12) for n in first]
    mask = torch.zeros(len(rows), LENGTH, dtype=dtype)
    for number, row in enumerate(rows):
        mask[number, : (split(prompts[row.branch]).eos if row.conditional else 0) + 1] = 1
    conditions: dict[str, Tensor | None] = {"resolution": None, "aspect_ratio": None}
    if model.config["use_additional_conditions"]:
        conditions = {
            "resolution": torch.tensor([[64.0, 96.0]], dtype=dtype).expand(len(rows), -1),
            "aspect_ratio": torch.full((len(rows), 1), 64 / 96, dtype=dtype),
        }
    return {
        "hidden_states": torch.stack([latents[row.branch] for row in rows]),
        "timestep": torch.full((len(rows),), 500),
        "encoder_hidden_states": torch.stack(
            [texts[row.branch] if row.conditional else noise(99, LENGTH, 12) for row in rows]
        ),
        "encoder_attention_mask": mask,
        "added_cond_kwargs": conditions,
    }


class Seen:
    """What every attention module took and gave in the last call, and its projections by hand."""

    def __init__(self, model: nn.Module) -> None:
        self.calls: dict[str, tuple[Tensor, Tensor, Tensor | None, Tensor]] = {}
        for site in sites(model):
            model.get_submodule(site.name).register_forward_hook(self._looking(site.name), with_kwargs=True)
        self.model = model

    def _looking(self, name: str) -> Any:
        def look(module: nn.Module, args: Any, kwargs: dict[str, Any], out: Tensor) -> None:
            text = kwargs.get("encoder_hidden_states")
            self.calls[name] = args[0], args[0] if text is None else text, kwargs.get("attention_mask"), out

        return look

    def qkv(self, name: str) -> tuple[Tensor, ...]:
        module: Any = self.model.get_submodule(name)
        hidden, context, _, _ = self.calls[name]
        found = []
        for letter, tokens in zip("qkv", (hidden, context, context), strict=True):
            linear = getattr(module, f"to_{letter}")
            found.append(torch.stack((tokens @ linear.weight.T + linear.bias).chunk(module.heads, dim=-1), dim=1))
        return tuple(found)

    def result(self, name: str, probabilities: Tensor, v: Tensor) -> Tensor:
        module: Any = self.model.get_submodule(name)
        return module.to_out[0](torch.cat((probabilities @ v).unbind(1), dim=-1))

    def maps(self, name: str, q: Tensor, k: Tensor) -> Tensor:
        mask = self.calls[name][2]
        logits = q @ k.mT / math.sqrt(q.shape[-1]) + (0 if mask is None else mask[:, None])
        return logits.softmax(-1)
