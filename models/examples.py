"""Examples that ship with the repository: their inputs, and the request that a click on one makes. Plain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import pictures
from models.contract import Request, Spec, options
from models.loading import ROOT

FOLDER = ROOT / "assets" / "examples"


@dataclass(frozen=True)
class Example:
    """One example: its files by role, roles of several files apart, and the values of request fields."""

    title: str
    thumbnail: Path
    files: Mapping[str, Path]
    fields: Mapping[str, Any]
    lists: Mapping[str, tuple[Path, ...]]

    @property
    def name(self) -> str:
        """What the names of its files begin with."""
        return self.thumbnail.name.rpartition("-")[0]


def load(key: str) -> list[Example]:
    """The examples of a method, in the order of `assets/examples/<key>/index.json`."""
    index = FOLDER / key / "index.json"
    entries = json.loads(index.read_text(encoding="utf-8")) if index.exists() else []
    return [
        Example(
            e["title"],
            index.parent / e["thumbnail"],
            {role: index.parent / name for role, name in e["files"].items() if isinstance(name, str)},
            e.get("fields", {}),
            {role: tuple(index.parent / name for name in names) for role, names in _lists(e["files"])},
        )
        for e in entries
    ]


def _lists(files: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    return [(role, names) for role, names in files.items() if isinstance(names, list)]


def request(spec: Spec, example: Example) -> Request:
    """What a click on it asks for on a new page: its files and fields, all else at its default. Raises `BadRequest`."""
    known, values = options(spec.request), dict[str, Any]()
    for role, path in example.files.items():
        if spec.file is not None and role == spec.file.name:
            values |= spec.file.read(path)
        else:
            values[role] = pictures.decode(path, known[role].kind, example.title)
    for role, paths in example.lists.items():
        parse = known[role].parse
        assert parse is not None  # of every field that takes several files
        values[role] = parse(paths, lambda path: pictures.decode(path, "rgba", example.title))
    return spec.request(**{**values, **example.fields})
