"""What a method's rows are made of. A method adds its rows by one module `benchmarks/rows/<key>.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from models.contract import Preset


@dataclass(frozen=True)
class Row:
    """One line of the table: which number is judged, against what, and what it must reach."""

    key: str
    measure: str
    unit: str
    ours: str  # key of the number per case
    floor: float
    aim: float
    against: str | None = None  # the paired number that is taken off before judging; None: ours is judged itself
    beside: Mapping[str, str] = field(default_factory=dict)  # heading -> key of a baseline's number per case
    better: bool = False  # floor and aim ask for "better than `against`": the interval's lower end lies above them


@dataclass(frozen=True)
class Measured:
    """What one case gave: numbers by key, and the pictures of its line on the contact sheet by heading."""

    cluster: str  # cases of one object or identity are not independent
    groups: tuple[str, ...]  # that it counts in, for the secondary breakdown
    numbers: Mapping[str, float]  # a key is left out where the case has nothing to measure
    pictures: Mapping[str, np.ndarray]
    captions: Mapping[str, str]  # heading -> what is written under that picture


class Rows(Protocol):
    """What a module of `benchmarks/rows` offers.

    It may also have `finish(cases, measured) -> list[Measured]`, which adds numbers that only the whole set of cases
    tells, their keys `OF_ALL`; and `SHEET`, how many cases the contact sheet shows, where all are too many.
    """

    ROWS: tuple[Row, ...]
    LEAST: int  # cases of a committed table
    NOTE: str  # how the cases are drawn and what the baselines are, for the table's caption

    def draw(self, count: int, seed: int, preset: Preset, sprites: Path | None) -> Sequence[Any]:
        """`count` cases; the first n of them do not depend on `count`."""
        ...

    def measure(self, case: Any, preset: Preset) -> Measured:
        """Run the method and the baselines on one case."""
        ...

    def world_digest(self) -> str:
        """sha256 of everything that decides what a case looks like."""
        ...
