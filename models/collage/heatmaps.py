"""Where each layer's words looked: what every place gives to their tokens, a mean over heads, sites and steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import QKV, Edit, Site, edited
from models.collage.alignment import Tokens

COARSEST = 4  # latents a side that one place may stand for: below that nothing can be seen on a picture


class HeatMaps:
    """Maps of layers, each a list of tokens, on latents of `size` (h, w), read from the conditional rows.

    guided: whether the first half of the batch is the unconditional one.
    """

    def __init__(self, tokens: Sequence[Tokens], size: tuple[int, int], guided: bool) -> None:
        self.tokens, self.size, self.guided = list(tokens), size, guided
        self._sum, self._count = torch.zeros(len(self.tokens), *size), 0
        self._levels = self._sizes()

    def _sizes(self) -> dict[int, tuple[int, int]]:
        """Number of places -> (rows, columns) of the levels that are looked at."""
        height, width = self.size
        return {h * w: (h, w) for f in (1, 2, COARSEST) for h, w in [(-(-height // f), -(-width // f))]}

    @contextmanager
    def installed(self, unet: nn.Module) -> Iterator[None]:
        """Read the maps of every call inside the block; nothing is changed. Goes inside every bias."""
        with edited(unet, Edit(lambda site: site.kind == "cross", project=self._look)):
            yield

    def _look(self, site: Site, qkv: QKV) -> QKV:
        shape = self._levels.get(qkv.q.shape[2])
        if shape is not None:
            self._add(self._read(qkv), shape)
        return qkv

    def _read(self, qkv: QKV) -> Tensor:
        """(layers, places) in 0..1, of the first conditional row."""
        row = len(qkv.q) // 2 if self.guided else 0
        logits = qkv.q[row].float() @ qkv.k[row].float().mT / qkv.q.shape[-1] ** 0.5
        if qkv.bias is not None:
            logits = logits + qkv.bias[row if len(qkv.bias) > 1 else 0].float()
        given = logits.softmax(-1).mean(0)  # (places, tokens)
        return torch.stack([given[:, list(tokens)].sum(1) for tokens in self.tokens])

    def _add(self, found: Tensor, shape: tuple[int, int]) -> None:
        maps = F.interpolate(found.cpu().view(1, -1, *shape), size=self.size, mode="bilinear")[0]
        self._sum, self._count = self._sum + maps, self._count + 1

    def mean(self) -> Tensor | None:
        """(layers, h, w) float32 in 0..1, or None before anything was seen."""
        return self._sum / self._count if self._count else None
