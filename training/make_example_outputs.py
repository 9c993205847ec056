"""Run every example once and keep what it makes, for pages on which a run is dear (`serve --examples stored`).

`python -m training.make_example_outputs` writes `assets/examples/<stem>/outputs.json` and the pictures that it names.
Run it whenever shipped weights, an example or a default setting changed: only what is no longer current is made anew,
and a test says what that is. Each run has exactly the fields that its click fills in.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models import catalog, example_outputs, examples, runtime
from models.contract import Request, Result
from models.recipe import picture_sha256

QUALITY = 70  # of what stands beside a result; results themselves lose nothing


def main(arguments: Sequence[str] | None = None) -> None:
    """Make what is asked for; prints a line for each example."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", metavar="STEM", choices=list(catalog.SPECS), help="one method [all of them]")
    parser.add_argument("--preset", default="pocket", help="the weights to run [%(default)s]")
    parser.add_argument("--all", action="store_true", help="also what is current still")
    given = parser.parse_args(arguments)
    for key in [given.only] if given.only else catalog.SPECS:
        renew(key, given.preset, given.all)


def renew(key: str, preset: str, everything: bool = False) -> None:
    """Make a method's outputs that are not current, and remove files that belong to none any more."""
    folder, spec = examples.FOLDER / key, catalog.SPECS[key]
    before = {entry["title"]: entry for entry in _entries(folder)}
    entries = []
    for example in examples.load(key):
        request = examples.request(spec, example).replace(preset=preset)
        current = None if everything else example_outputs.found(key, request)
        if current is None:
            *_, result = runtime.run(key, request)
            assert isinstance(result, Result)
            entries.append(entry(folder, example, key, request, result))
        else:
            entries.append(before[current.title])
        print(f"{key}: {example.title}: {'made' if current is None else 'current'}", flush=True)
    for file in files_of(folder) - _files(entries):
        (folder / file).unlink(missing_ok=True)
    text = json.dumps(entries, indent=1, ensure_ascii=False)
    (folder / example_outputs.INDEX).write_text(text + "\n", encoding="utf-8")


def entry(folder: Path, example: examples.Example, key: str, request: Request, result: Result) -> dict[str, Any]:
    """Write the files of a result and return its line of the index."""
    base = example_outputs.base_of(request, result.images)
    under = getattr(request, base) if base else np.uint8(0)
    numbers = [""] if len(result.images) == 1 else [f"-{k}" for k in range(1, len(result.images) + 1)]
    kept = [f"{example.name}-result{number}.webp" for number in numbers]
    for name, picture in zip(kept, result.images, strict=True):
        Image.fromarray(picture - under).save(folder / name, lossless=True, quality=100, method=6)
    inputs = {name: base for name, picture in result.extras.items() if base and np.array_equal(picture, under)}
    extras = {name: f"{example.name}-beside-{name}.webp" for name in result.extras if name not in inputs}
    for name, file in extras.items():
        Image.fromarray(result.extras[name]).save(folder / file, quality=QUALITY, method=6)
    told, _ = runtime.recorded(key, request, result)
    return {
        "title": example.title,
        "pictures": kept,
        "sha256": [picture_sha256(picture) for picture in result.images],
        "change_of": base,
        "extras": extras,
        "inputs": inputs,
        "recipe": json.loads(told.to_json()),
    }


def files_of(folder: Path) -> set[str]:
    """The names of the files that a method's outputs are in."""
    return _files(_entries(folder))


def _entries(folder: Path) -> list[dict[str, Any]]:
    index = folder / example_outputs.INDEX
    entries: list[dict[str, Any]] = json.loads(index.read_text(encoding="utf-8")) if index.exists() else []
    return entries


def _files(entries: Sequence[Mapping[str, Any]]) -> set[str]:
    return {file for e in entries for file in (*e["pictures"], *e["extras"].values())}


if __name__ == "__main__":
    main()
