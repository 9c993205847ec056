"""Where the words of each prompt are seen: columns of the cross-attention maps, averaged as they come by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.attention import QKV
from models.dit4edit.cross import read
from models.dit4edit.rows import Rows, prompted

Tokens = Sequence[int]


class HeatMaps:
    """Maps of words, each a list of tokens, for every branch: [words of the source, of target 1, ...].

    Each branch's words are read from its own map, as it is without control. Maps are means over heads, layers and
    steps so far of what a patch gives to all tokens of a word.
    """

    def __init__(self, words: Sequence[Sequence[Tokens]], grid: tuple[int, int]) -> None:
        self.words, self.grid = [list(branch) for branch in words], grid
        self._sums: list[Tensor | None] = [None] * len(self.words)
        self._counts = [0] * len(self.words)

    def __bool__(self) -> bool:
        return any(self.words)

    def look(self, qkv: QKV, rows: Rows) -> Tensor | None:
        """What every patch gives to every word, a mean over heads: (branches in sight, patches, most words)."""
        seen = self._seen(rows)
        if not seen:
            return None
        columns = torch.zeros(len(seen), qkv.k.shape[2], max(len(self.words[branch]) for branch, _ in seen))
        for number, (branch, _) in enumerate(seen):
            for word, tokens in enumerate(self.words[branch]):
                columns[number, list(tokens), word] = 1
        return read(qkv, [row for _, row in seen], columns).float().mean(dim=1)

    def add(self, found: Tensor, rows: Rows) -> None:
        """Add what `look` gave, with all patches of the grid."""
        for part, (branch, _) in zip(found, self._seen(rows), strict=True):
            maps = part.T[: len(self.words[branch])].unflatten(1, self.grid)
            known = self._sums[branch]
            self._sums[branch] = maps if known is None else known + maps
            self._counts[branch] += 1

    def mean(self, branch: int) -> Tensor | None:
        """(words, h, w) float32, what a patch gives to the word, in 0..1; None before anything was seen."""
        total = self._sums[branch] if branch < len(self._sums) else None
        return None if total is None else total / self._counts[branch]

    def _seen(self, rows: Rows) -> list[tuple[int, int]]:
        """(branch, its row) for the branches that have words and a row."""
        found = ((branch, prompted(rows, branch)) for branch, words in enumerate(self.words) if words)
        return [(branch, row) for branch, row in found if row is not None]
