"""Patch merging: tokens that look alike are averaged for the length of one attention (arXiv 2303.17604).

The grid is cut into cells of stride x stride tokens and one random token of each is a destination. Every other token
looks for its most similar destination, and the most similar ones are merged into theirs. All rows of the batch share
one matching: a row that takes keys from another needs the same tokens in the same order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True, eq=False)
class Merging:
    """How much to merge, and where.

    ratio: the share of tokens to merge, 0 = none; at most all but one of each cell can be, see `kept`.
    stride: the side of a cell in tokens, 2 or more.
    seed: draws the destinations, together with the step and the group of layers.
    group: so many layers share a matching, which the first of them makes.
    cross: whether the queries of cross-attention are merged too.
    labels: (height, width) integers; tokens of different labels are never merged.
    """

    ratio: float = 0.0
    stride: int = 2
    seed: int = 0
    group: int = 4
    cross: bool = False
    labels: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.ratio <= 1 and self.stride >= 2 and self.group >= 1):
            raise ValueError("Merging needs a ratio of 0 to 1, a stride of 2 or more and a group of 1 or more.")


def kept(ratio: float, stride: int, height: int, width: int) -> int:
    """How many of height x width tokens are left; labels may leave more."""
    cells = math.ceil(height / stride) * math.ceil(width / stride)
    wanted = math.floor(ratio * (height * width) + 1e-9)  # 0.29 of 100 is 29
    return height * width - min(wanted, height * width - cells)


@dataclass(frozen=True, eq=False)
class Matching:
    """Which tokens become one. `anchors` (M,) are the tokens that stay, in order; each of `sources` (R,) is merged
    into the anchor number `into` (R,); anchors then have 1 / `share` (M, 1) members, and `slots` (N,) is where each of
    all tokens went."""

    anchors: Tensor
    sources: Tensor
    into: Tensor
    share: Tensor
    slots: Tensor

    def merge(self, hidden: Tensor) -> Tensor:
        """Means of the merged tokens, (rows, N, channels) -> (rows, M, channels); equal tokens stay exactly equal."""
        tokens = hidden.transpose(0, 1)
        means = tokens[self.anchors].float()
        offsets = tokens[self.sources].float().sub_(means[self.into])
        # On GPUs this sum has a fixed order, unlike `index_add_`.
        totals = torch.zeros_like(means).index_put_((self.into,), offsets, accumulate=True)
        means += totals.mul_(self.share[:, None])
        return means.transpose(0, 1).to(hidden.dtype).contiguous()

    def restore(self, merged: Tensor) -> Tensor:
        """Every token gets what it was merged into, (rows, M, channels) -> (rows, N, channels)."""
        return merged[:, self.slots]


def match(hidden: Tensor, merging: Merging, grid: tuple[int, int], step: int = 0, group: int = 0) -> Matching:
    """Match the tokens (rows, height x width, channels) of a grid; similarity is the mean cosine over the rows."""
    count = math.prod(grid)
    is_destination = torch.zeros(count, dtype=torch.bool)
    is_destination[_destinations(grid, merging, step, group)] = True
    others, destinations = (found.nonzero()[:, 0] for found in (~is_destination, is_destination))
    unit = normalize(hidden.float(), dim=-1).to(hidden.dtype).transpose(0, 1).flatten(1)  # a dot product is their sum
    scores = (unit[others] @ unit[destinations].T).float()
    if merging.labels is not None:
        labels = torch.from_numpy(np.asarray(merging.labels).reshape(-1).astype(np.int64))
        apart = labels[others][:, None] != labels[destinations]
        scores = scores.masked_fill(apart.to(scores.device), -torch.inf)
    best, partner = scores.max(dim=1)
    amount = count - kept(merging.ratio, merging.stride, *grid)
    order = best.argsort(descending=True, stable=True)[:amount]
    order = order[best[order] > -torch.inf]
    return _matching(others.to(hidden.device)[order], destinations.to(hidden.device)[partner[order]], count)


def _matching(sources: Tensor, targets: Tensor, count: int) -> Matching:
    """The matching that merges each of `sources` into the token beside it in `targets`."""
    stays = torch.ones(count, dtype=torch.bool, device=sources.device)
    stays[sources] = False
    slots = stays.cumsum(0) - 1
    slots[sources] = slots[targets]
    share = 1 / torch.bincount(slots).float()
    return Matching(stays.nonzero()[:, 0], sources, slots[sources], share[:, None], slots)


def _destinations(grid: tuple[int, int], merging: Merging, step: int, group: int) -> Tensor:
    """One random token of every cell; drawn on the CPU, the same for every device."""
    entropy = np.random.SeedSequence([merging.seed % 2**63, step, group]).generate_state(1)
    draw = torch.Generator().manual_seed(int(entropy[0]))
    starts = [torch.arange(0, size, merging.stride) for size in grid]
    places = []
    for axis, (start, size) in enumerate(zip(starts, grid, strict=True)):
        extent = (size - start).clamp(max=merging.stride)  # cells at the far edges may be smaller
        extent = extent[:, None] if axis == 0 else extent[None]
        corner = start[:, None] if axis == 0 else start[None]
        places.append(corner + (torch.rand(len(starts[0]), len(starts[1]), generator=draw) * extent).long())
    return (places[0] * grid[1] + places[1]).flatten()


@dataclass(eq=False)
class Matchings:
    """The matchings of one run on a grid of tokens: one for each step and group of layers, made when first asked for.

    made: how many were made. left: how many tokens each of them left.
    """

    merging: Merging
    grid: tuple[int, int]
    left: list[int] = field(default_factory=list)
    _step: int = -1
    _groups: dict[int, Matching] = field(default_factory=dict)

    @property
    def made(self) -> int:
        return len(self.left)

    def of(self, step: int, layer: int, hidden: Tensor) -> Matching:
        """The matching at this step and layer; `hidden` is what the first layer of a group is matched by."""
        if step != self._step:
            self._step, self._groups = step, {}
        group = layer // self.merging.group
        if group not in self._groups:
            if hidden.shape[1] != math.prod(self.grid):
                raise ValueError(f"{hidden.shape[1]} tokens are not the grid of {self.grid[0]} x {self.grid[1]}.")
            self._groups[group] = match(hidden, self.merging, self.grid, step, group)
            self.left.append(len(self._groups[group].anchors))
        return self._groups[group]

    @property
    def effective_ratio(self) -> float:
        """The share of tokens that merging took away so far."""
        return 1 - sum(self.left) / (self.made * math.prod(self.grid)) if self.made else 0.0
