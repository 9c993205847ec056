"""Every method and every preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models import segment
from models.cat.spec import SPEC as cat
from models.collage.spec import SPEC as collage
from models.contract import Preset, Spec
from models.dit4edit.spec import SPEC as dit4edit
from models.dreamfuse.spec import SPEC as dreamfuse
from models.facediffuser.spec import SPEC as facediffuser

SPECS: dict[str, Spec] = {spec.key: spec for spec in (dreamfuse, collage, cat, facediffuser, dit4edit)}


@dataclass(frozen=True)
class Shelf:
    """Something with weights of its own: a method, or the masks that all methods share."""

    key: str
    verb: str
    title: str
    presets: Mapping[str, Preset]


def shelves() -> list[Shelf]:
    """The methods in order, then the masks."""
    methods = [Shelf(spec.key, spec.verb, spec.title, spec.presets) for spec in SPECS.values()]
    return [*methods, Shelf("masks", "segment", "Masks", segment.PRESETS)]
