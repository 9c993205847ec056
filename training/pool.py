"""Drawn samples kept for a few uses each, since drawing and encoding cost about as much as a step on a CPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Sample = dict[str, Tensor]  # every tensor has the same number of rows
Draw = Callable[[torch.Generator], Sample]


class Pool:
    """The newest `capacity` rows of what `draw` makes; each is used about `reuse` times, at random."""

    def __init__(self, draw: Draw, capacity: int, reuse: float) -> None:
        self.draw, self.capacity, self.reuse = draw, capacity, reuse
        self.rows: Sample = {}
        self.credit = 0.0  # rows that may still be used before more are drawn

    def batch(self, count: int, generator: torch.Generator) -> Sample:
        """`count` rows at random, after drawing more where the old ones have been used enough."""
        while self.credit < count:
            self._add(self.draw(generator))
        self.credit -= count
        chosen = torch.randint(_length(self.rows), (count,), generator=generator)
        return {name: values[chosen.to(values.device)] for name, values in self.rows.items()}

    def _add(self, fresh: Sample) -> None:
        self.credit += self.reuse * _length(fresh)
        if self.rows:
            fresh = {name: torch.cat([old, fresh[name]])[-self.capacity :] for name, old in self.rows.items()}
        self.rows = fresh


def _length(sample: Sample) -> int:
    return len(next(iter(sample.values())))
