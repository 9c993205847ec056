"""What became of a cell, as it stands in `report.json`: numbers and words, no pictures. Plain."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.contract import BadRequest


@dataclass(frozen=True)
class Outcome:
    """One cell. `file` is its PNG's path in the comparison's folder, "" where it stayed empty for `reason`.

    seconds: of the run, without loading that others had done; peak_megabytes: of the device, or of this process where
    that is the CPU; kept_pixels, kept_changed: pixels outside what may change, and how many differ, before anything is
    put back; kept_error: their mean absolute difference, 0 to 255; similarity: cosine of picture and words, -1 to 1.
    """

    id: str
    case: int
    case_name: str
    key: str
    title: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    preset: str = ""
    steps: int = 0
    file: str = ""
    reason: str = ""
    note: str = ""
    seconds: float | None = None
    peak_megabytes: float | None = None
    kept_pixels: int | None = None
    kept_changed: int | None = None
    kept_error: float | None = None
    similarity: float | None = None

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return dataclasses.asdict(self)

    @staticmethod
    def read(found: Any) -> Outcome:
        """From JSON that anyone may have written; raises `BadRequest`."""
        names = {f.name for f in dataclasses.fields(Outcome)}
        try:
            outcome = Outcome(**{name: value for name, value in found.items() if name in names})
        except (TypeError, AttributeError):
            raise BadRequest("The report in this folder is damaged; please choose another folder.") from None
        if not (isinstance(outcome.id, str) and isinstance(outcome.file, str) and isinstance(outcome.case, int)):
            raise BadRequest("The report in this folder is damaged; please choose another folder.")
        return outcome
