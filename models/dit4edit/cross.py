"""Prompt-to-prompt control of cross-attention without a map: operations on its columns are operations on values.

A, the probabilities over the tokens of a prompt, is controlled column by column (arXiv 2208.01626, section 3.2):
replaced words take A_source M, refined ones the source's column of the same word, and a word's column may be scaled.
All of that is A_source R + A_target diag(r), so (A_source R + A_target diag(r)) V is two stock kernels, on
(Q_source, K_source, R V) and on (Q_target, K_target, r V); one of them, where the other part is zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from models.attention import QKV, attend
from models.dit4edit.alignment import Alignment
from models.dit4edit.rows import active_steps

Kind = Literal["replace", "refine", "auto", "none"]
SMALLEST_SUM = 0.05  # what a row is divided by at least: negative weights can bring its sum to zero


@dataclass(frozen=True, eq=False)
class Fold:
    """What becomes of one target row's map in one step.

    mixing: (length, length) R, None = nothing is taken from the source.
    own: (length,) r, None = nothing is left of the target's own map; never both None.
    plain: R hands every token to the same token and there is no r, so the target's values stay as they are.
    renormalise: whether the controlled map's rows need dividing by their sums.
    """

    mixing: Tensor | None
    own: Tensor | None
    plain: bool = False
    renormalise: bool = False

    def fitted(self, values: Tensor) -> Fold:
        """The same for values (..., keys, channels): of their length, type and device."""
        mixing, own = (part if part is None else _fitted(part, values) for part in (self.mixing, self.own))
        return Fold(mixing, own, self.plain, self.renormalise)


@dataclass(frozen=True, eq=False)
class CrossControl:
    """How one target's cross-attention follows the source's.

    kind: `replace` gives a replaced word's attention to its replacement, `refine` leaves replaced words to the
        target, `auto` is what the alignment says, `none` takes nothing from the source. New words are always the
        target's own.
    until: the fraction of the steps it acts in, from the first step on.
    weights: factors of the columns of some target tokens, 1 = as it is, useful from -2 to 4.
    word_until: other fractions than `until` for some target tokens.
    renormalise: whether the rows of the controlled map are brought to sum 1 again. PixArt adds what cross-attention
        gives to its residual as it is, so lost attention is lost contrast. None = where the source is followed, except
        between equal prompts, where it would only undo the weights.
    """

    alignment: Alignment
    kind: Kind = "auto"
    until: float = 0.6
    weights: Mapping[int, float] = field(default_factory=dict)
    word_until: Mapping[int, float] = field(default_factory=dict)
    renormalise: bool | None = None
    _folds: dict[bytes, Fold | None] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        known = range(self.alignment.target.eos + 1)
        if strange := [token for token in (*self.weights, *self.word_until) if token not in known]:
            raise ValueError(f"The target prompt has tokens 0 to {known[-1]}, not {strange[0]}.")
        if not all(np.isfinite(factor) for factor in self.weights.values()):
            raise ValueError("Weights of words must be finite numbers.")

    @property
    def follows(self) -> bool:
        """Whether it takes anything from the source row at all."""
        return self.kind != "none"

    def acts(self, steps: int) -> bool:
        """Whether it does anything in any of `steps`."""
        return any(self.fold(step, steps) is not None for step in range(steps))

    def fold(self, step: int, steps: int) -> Fold | None:
        """What to do in `step` of `steps`; None = nothing."""
        window = np.full(len(self.alignment.refined), float(step < active_steps(self.until, steps)))
        for token, fraction in self.word_until.items():
            window[token] = step < active_steps(fraction, steps)
        key = window.tobytes()
        if key not in self._folds:
            self._folds[key] = self._folded(window) if window.any() else None
        return self._folds[key]

    def _folded(self, window: np.ndarray) -> Fold | None:
        """R and r; `window` is 1 for tokens under control, 0 for those that are the target's own again."""
        scale = np.ones(len(window))
        for token, factor in self.weights.items():
            scale[token] = factor
        if not self.follows:
            own = scale * window + (1 - window)
            return None if (own == 1).all() else Fold(None, torch.from_numpy(own), renormalise=bool(self.renormalise))
        mapping = self._mapping()
        taken = (mapping != 0).any(axis=0)
        mixing = mapping * (scale * window)
        own = (1 - taken) * scale * window + (1 - window)
        own[self.alignment.target.eos + 1 :] = 0  # padding, which the mask gives no attention
        whole = not own.any() and _sums_to_one(mixing, self.alignment.source.eos)
        plain, renormalise = whole and self.alignment.identical, self._renormalises() and not whole
        from_source = torch.from_numpy(mixing) if mixing.any() else None
        left = torch.from_numpy(own) if own.any() or from_source is None else None
        return Fold(from_source, left, plain, renormalise)

    def _mapping(self) -> np.ndarray:
        if self.kind != "refine":
            return self.alignment.mapping
        mapping = np.zeros_like(self.alignment.mapping)
        kept = np.flatnonzero(self.alignment.refined >= 0)
        mapping[self.alignment.refined[kept], kept] = 1
        return mapping

    def _renormalises(self) -> bool:
        if self.renormalise is None:
            return not (self.alignment.identical and self.weights)
        return self.renormalise


def _sums_to_one(mixing: np.ndarray, eos: int) -> bool:
    return bool(np.allclose(mixing[: eos + 1].sum(axis=1), 1, atol=1e-12, rtol=0))


def attend_folded(qkv: QKV, folds: Mapping[int, tuple[int, Fold]]) -> Tensor:
    """Cross-attention of the batch with some rows controlled: row -> (its source row, what to do, fitted to v).

    All rows go through one kernel call of the stock shape, so the others come out as they would without control.
    """
    order = list(range(len(qkv.q)))
    for row, (source, fold) in folds.items():
        order[row] = source if fold.mixing is not None else row
    values = qkv.v.clone()
    for row, (_, fold) in folds.items():
        values[row] = _first(fold, qkv.v[row])
    out = attend(QKV(qkv.q[order], qkv.k[order], values, _bias(qkv, order)))
    both = [row for row, (_, fold) in folds.items() if fold.mixing is not None and fold.own is not None]
    if both:
        own = torch.stack([_own(folds[row][1]) for row in both])
        second = QKV(qkv.q[both], qkv.k[both], own[:, None, :, None] * qkv.v[both], _bias(qkv, both))
        out[both] += attend(second)
    for row in (row for row, (_, fold) in folds.items() if fold.renormalise):
        out[row] /= _row_sums(qkv, row, *folds[row]).clamp(min=SMALLEST_SUM)
    return out


def read(qkv: QKV, rows: Sequence[int], columns: Tensor) -> Tensor:
    """Sums over columns of the maps of some rows, as (rows, heads, queries, n); columns (rows, keys, n) says of which.

    With one-hot columns these are the maps of single tokens. The columns take the place of values in the stock
    kernel, as many at a time as values have channels, so that it stays the fused one.
    """
    rows, width, count = list(rows), qkv.v.shape[-1], columns.shape[-1]
    columns = columns.to(qkv.v)
    found = []
    for start in range(0, count, width):
        part = columns[..., start : start + width]
        part = torch.nn.functional.pad(part, (0, width - part.shape[-1]))
        part = part[:, None].expand(-1, qkv.v.shape[1], -1, -1)
        found.append(attend(QKV(qkv.q[rows], qkv.k[rows], part, _bias(qkv, rows))))
    return torch.cat(found, dim=-1)[..., :count]


def _first(fold: Fold, values: Tensor) -> Tensor:
    """The values (heads, keys, channels) of the first kernel call."""
    if fold.plain:
        return values
    if fold.mixing is not None:
        return fold.mixing @ values
    return _own(fold)[:, None] * values


def _row_sums(qkv: QKV, row: int, source: int, fold: Fold) -> Tensor:
    """What the rows of the controlled map sum to, (heads, queries, 1)."""
    parts = []
    if fold.mixing is not None:
        parts.append((source, fold.mixing.sum(dim=1)))
    if fold.own is not None:
        parts.append((row, fold.own))
    columns = torch.stack([column for _, column in parts])[..., None]
    return read(qkv, [number for number, _ in parts], columns).sum(dim=0)


def _own(fold: Fold) -> Tensor:
    assert fold.own is not None
    return fold.own


def _fitted(weights: Tensor, values: Tensor) -> Tensor:
    """Weights of the alignment's length for as many tokens as the model was given; what either lacks is padding."""
    missing = values.shape[-2] - weights.shape[-1]
    weights = weights.to(values)
    return torch.nn.functional.pad(weights, (0, missing) * weights.ndim) if missing else weights


def _bias(qkv: QKV, rows: list[int]) -> Tensor | None:
    return None if qkv.bias is None else qkv.bias.expand(len(qkv.q), -1, -1, -1)[rows]
