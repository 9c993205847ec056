"""Which row of the transformer's batch is what: everything else takes row numbers from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["source", "unconditional", "target"]


@dataclass(frozen=True)
class Row:
    """One row of the batch.

    branch: the latents it sees, 0 = the source, k = the k-th target; it indexes [source, target 1, target 2, ...].
    source: the row that features may be taken from; a source row names itself, -1 = there is none in the batch.
    conditional: whether its text is a prompt (of its branch) or the negative one.
    """

    role: Role
    branch: int
    source: int
    conditional: bool = True


Rows = tuple[Row, ...]


def pinned(targets: int = 1, guided: bool = True) -> Rows:
    """[source, unconditional 1, target 1, unconditional 2, target 2, ...]: 1 + 2n rows that share one source.

    For a source whose latents are known at every step, so that it needs no guidance of its own. `guided` False
    (a guidance scale of 1) leaves the unconditional rows out.
    """
    rows = [Row("source", 0, 0)]
    for branch in range(1, targets + 1):
        rows += [Row("unconditional", branch, 0, conditional=False)] if guided else []
        rows.append(Row("target", branch, 0))
    return tuple(rows)


def paired() -> Rows:
    """[source unconditional, target unconditional, source, target]: the four rows of prompt-to-prompt.

    Each target row takes from the source row with the same kind of text.
    """
    source, target = Row("source", 0, 0, conditional=False), Row("unconditional", 1, 0, conditional=False)
    return source, target, Row("source", 0, 2), Row("target", 1, 2)


def without_source(rows: Rows) -> Rows:
    """The same batch after its source rows were left out."""
    return tuple(Row(row.role, row.branch, -1, row.conditional) for row in rows if row.role != "source")


def indices(rows: Rows, role: Role) -> list[int]:
    """The row numbers of one role."""
    return [number for number, row in enumerate(rows) if row.role == role]


def prompted(rows: Rows, branch: int) -> int | None:
    """The row that reads the prompt of this branch, None if the batch has none."""
    found = (number for number, row in enumerate(rows) if row.branch == branch and row.conditional)
    return next(found, None)


def active_steps(fraction: float, steps: int) -> int:
    """How many of the first steps a control with this fraction of them acts in: steps i < round(fraction * steps)."""
    return round(fraction * steps)
