"""Means over cases that are not independent: several cases share an object or a person."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

RESAMPLES = 10_000
SEED = 20_250_411  # fixed, so that the same cases give the same interval


@dataclass(frozen=True)
class Interval:
    """A mean over `cases` cases from `clusters` clusters and its 95 % interval."""

    mean: float
    low: float
    high: float
    cases: int
    clusters: int

    @property
    def above_zero(self) -> bool:
        """What "better" means everywhere here, for a paired difference: the whole interval lies above 0."""
        return self.low > 0

    def fields(self) -> dict[str, Any]:
        """For a results file; JSON has no infinity, so an unknown bound is null."""
        found = dataclasses.asdict(self)
        return {k: v if np.isfinite(v) else None for k, v in found.items()}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """The interval that `fields` wrote."""
        unknown: dict[str, Any] = {"low": -np.inf, "high": np.inf}
        return cls(**{k: unknown[k] if v is None else v for k, v in fields.items()})


def clustered_mean(values: Sequence[float], clusters: Sequence[Hashable]) -> Interval:
    """The mean of `values` with a 95 % percentile interval of the cluster bootstrap.

    Whole clusters are drawn with replacement (Davison and Hinkley 1997, section 3.8), so cases of one cluster
    are never taken for independent evidence. A single cluster tells nothing of its like: the interval is infinite.
    Raises ValueError without values or unless there is one cluster name per value.
    """
    if not len(values) or len(values) != len(clusters):
        raise ValueError(f"{len(values)} values and {len(clusters)} cluster names; give one name per value.")
    numbers = np.asarray(values, float)
    _, index = np.unique([repr(c) for c in clusters], return_inverse=True)
    sums, counts = np.bincount(index, weights=numbers), np.bincount(index)
    mean = float(numbers.mean())
    if len(sums) == 1:
        return Interval(mean, -np.inf, np.inf, len(numbers), 1)
    drawn = np.random.default_rng(SEED).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(mean, float(low), float(high), len(numbers), len(sums))
