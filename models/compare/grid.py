"""Cases x methods x axes as cells, and the request of each. Plain.

The same for all: one seed, one case as it was cropped, the whole of it worked on, the same seam where the rest of a
picture is put back, and no pictures beside the one that is shown.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from models import catalog
from models.baselines import BASELINES, BaselineRequest
from models.compare.axes import CASE, METHOD, Axis, listed, parse, split
from models.compare.cases import FEATHER, Case, fields_of, prepared
from models.contract import BadRequest, Request, Spec, options

ALL = "all"
FAIR: Mapping[str, Any] = {"num_images": 1, "paste_back": True, "feather": FEATHER, "region": "whole"}
ALONE: Mapping[str, Any] = {"comparisons": {"flag": False, "choice": "off"}, "ladder": {"flag": False}}


@dataclass(frozen=True)
class Cell:
    """One picture of the sheet: the number of its case, its method or baseline, and the values of the axes."""

    case: int
    key: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def baseline(self) -> bool:
        """Whether no network draws it."""
        return self.key in BASELINES


@dataclass(frozen=True, eq=False)
class Grid:
    """What is compared. `methods` are keys of methods and baselines; `left_out`: key -> why "all" is without it;
    `refusals`: (case, key) -> why that cell stays empty; `notes`: what methods leave out of the cases."""

    cases: tuple[Case, ...]
    methods: tuple[str, ...]
    axes: tuple[Axis, ...]
    seed: int
    left_out: Mapping[str, str]
    refusals: Mapping[tuple[int, str], str]
    notes: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many cells it has."""
        drawn = math.prod(len(axis.values) for axis in self.axes)
        return len(self.cases) * sum(1 if key in BASELINES else drawn for key in self.methods)

    def cells(self) -> list[Cell]:
        """Every cell, by case, method and axes; a baseline has one for each case."""
        names = [axis.name for axis in self.axes]
        values = [dict(zip(names, one, strict=True)) for one in product(*(axis.values for axis in self.axes))]
        return [
            Cell(case, key, {} if key in BASELINES else one)
            for case in range(len(self.cases))
            for key in self.methods
            for one in (values[:1] if key in BASELINES else values)
        ]

    def request(self, cell: Cell) -> Request:
        """The request of a cell; raises `BadRequest` where it cannot be made, which leaves the cell empty."""
        case = self.cases[cell.case]
        if (cell.case, cell.key) in self.refusals:
            raise BadRequest(self.refusals[cell.case, cell.key])
        if cell.baseline:
            return BASELINES[cell.key].take(case.bundle)
        spec = catalog.SPECS[cell.key]
        fields, _ = fields_of(spec, case)
        known = options(spec.request)
        same = {name: value for name, value in FAIR.items() if name in known}
        same |= {n: kinds[known[n].kind] for n, kinds in ALONE.items() if n in known and known[n].kind in kinds}
        return spec.request(**{**fields, **same, "seed": self.seed, **cell.fields})

    def identify(self, cell: Cell) -> str:
        """Twelve hexadecimal digits that name the cell by its content, wherever it stands in a grid."""
        case = self.cases[cell.case]
        seed = None if cell.baseline else self.seed
        told = [case.digest, cell.key, seed, sorted(cell.fields.items())]
        return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()[:12]


def build(
    cases: Sequence[Case],
    methods: str = ALL,
    axes: Sequence[str] = (),
    crop: bool = False,
    paste_back: bool | None = None,
) -> Grid:
    """The grid of these cases, methods ("all", or keys and verbs as a list) and axes as texts.

    Raises `BadRequest` for no case, a method or a field that does not exist, an axis given twice, and a method that
    can answer none of the cases.
    """
    if not cases:
        raise BadRequest("There is nothing to compare on; please give an input.")
    split_axes = [split(text) for text in axes]
    names = [name for name, _ in split_axes]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise BadRequest(f"The axis “{twice[0][:40]}” is given twice; please join their values.")
    if METHOD in names:
        if methods not in ("", ALL):
            raise BadRequest("Please name the methods once: as an axis or beside the axes.")
        methods = dict(split_axes)[METHOD]
    chosen = _chosen_cases(list(cases), next((t for t in axes if split(t)[0] == CASE), None))
    ready = tuple(prepared(case, crop, paste_back) for case in chosen)
    keys, left, refusals, notes = _answering(ready, methods)
    specs = [catalog.SPECS[key] for key in keys if key not in BASELINES]
    found = tuple(parse(text, specs) for text in axes if split(text)[0] not in (METHOD, CASE))
    own = next((case.own.seed for case in ready if case.own is not None and case.own.seed >= 0), 0)
    return Grid(ready, keys, found, own, left, refusals, notes)


def title(key: str) -> str:
    """What a person calls a method or a baseline."""
    return (BASELINES[key] if key in BASELINES else catalog.SPECS[key]).title


def available() -> dict[str, str]:
    """Key -> title of everything that can be compared, methods first."""
    return {key: title(key) for key in (*catalog.SPECS, *BASELINES)}


def _chosen_cases(cases: list[Case], axis: str | None) -> list[Case]:
    if axis is None:
        return cases
    numbers = parse(axis, ()).values
    if max(numbers) > len(cases):
        raise BadRequest(f"There is no case {max(numbers)}; there are {len(cases)}.")
    return [cases[number - 1] for number in numbers]


def _keys(methods: str) -> tuple[str, ...]:
    verbs = {spec.verb: key for key, spec in catalog.SPECS.items()}
    known = available()
    found = [verbs.get(name, name) for name in listed(METHOD, methods.lower())]
    strange = [name for name in found if name not in known]
    if strange:
        raise BadRequest(f"There is no method “{strange[0][:40]}”; choose from {', '.join(known)}, or “{ALL}”.")
    return tuple(dict.fromkeys(found))


def _answering(
    cases: Sequence[Case], methods: str
) -> tuple[tuple[str, ...], dict[str, str], dict[tuple[int, str], str], tuple[str, ...]]:
    """Who can answer: keys, why others are left out of "all", why single cells stay empty, what is not used."""
    every = methods.strip().lower() in ("", ALL)
    keys, left, refusals, notes = [], dict[str, str](), dict[tuple[int, str], str](), list[str]()
    for key in available() if every else _keys(methods):
        reasons = {}
        for number, case in enumerate(cases):
            try:
                notes += _tried(key, case)
            except BadRequest as error:
                reasons[number] = str(error)
        if len(reasons) == len(cases):
            if not every:
                raise BadRequest(reasons[0])
            left[key] = reasons[0]
            continue
        keys.append(key)
        refusals |= {(number, key): reason for number, reason in reasons.items()}
    if not keys:
        raise BadRequest("No method can answer this input; please give a scene and an object, a mask or words.")
    return tuple(keys), left, refusals, tuple(dict.fromkeys(notes))


def _tried(key: str, case: Case) -> tuple[str, ...]:
    """What is left out of the case; raises `BadRequest`."""
    if key in BASELINES:
        request: BaselineRequest = BASELINES[key].take(case.bundle)
        assert request.scene is not None
        return ()
    spec: Spec = catalog.SPECS[key]
    fields, left = fields_of(spec, case)
    spec.request(**fields)
    return left
