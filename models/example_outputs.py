"""What the examples' runs made, kept in the repository, and whether a run now would make it again. Plain.

`assets/examples/<key>/outputs.json` lists for each example the recipe of its run and its files, all WebP: the pictures
without any loss, what stands beside them with some. A picture is kept as its change of an input of its size, where the
request has one: an input's grain takes no room twice. `training/make_example_outputs.py` writes them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models import catalog, pictures, replay, runtime
from models.contract import BadRequest, Request, Result
from models.examples import FOLDER
from models.recipe import Recipe, picture_sha256

INDEX = "outputs.json"


@dataclass(frozen=True)
class Output:
    """What the run of one example made."""

    title: str
    recipe: Recipe  # of the first picture
    pictures: tuple[Path, ...]
    sha256: tuple[str, ...]  # of their pixels
    extras: Mapping[str, Path]
    change_of: str = ""  # field of the request whose picture the pictures are changes of
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)  # extras that are pictures of the request

    def result(self, request: Request) -> Result:
        """As the run gave it, but for the loss of extras; `request` is the recipe's. Raises `BadRequest` where a file
        is missing or is not what was made."""
        base = getattr(request, self.change_of) if self.change_of else np.uint8(0)
        images = tuple(pictures.decode(path, "rgb", self.title) + base for path in self.pictures)  # wraps around
        if tuple(picture_sha256(image) for image in images) != self.sha256:
            raise BadRequest(f"The kept result of “{self.title}” is damaged; fetch the repository's assets again.")
        extras = {name: pictures.decode(path, "rgb", self.title) for name, path in self.extras.items()}
        extras |= {name: getattr(request, field) for name, field in self.inputs.items()}
        return Result(images, extras, self._facts())

    def _facts(self) -> dict[str, Any]:
        told = self.recipe
        run = {name: getattr(told, name) for name in ("method", *runtime.RUN_FACTS)}
        return {**told.facts, **{name: told.request[name] for name in runtime.RESOLVED}, **run}


def load(key: str) -> list[Output]:
    """What is kept for a method's examples; nothing is decoded yet."""
    index = FOLDER / key / INDEX
    entries = json.loads(index.read_text(encoding="utf-8")) if index.exists() else []
    return [
        Output(
            e["title"],
            Recipe.from_json(json.dumps(e["recipe"])),
            tuple(index.parent / name for name in e["pictures"]),
            tuple(e["sha256"]),
            {name: index.parent / file for name, file in e["extras"].items()},
            e["change_of"],
            e["inputs"],
        )
        for e in entries
    ]


def now(key: str, request: Request) -> Recipe:
    """The settings and the weights that a run of this request would have here; nothing of the run itself."""
    spec = catalog.SPECS[key]
    resolved, preset = runtime.resolve(spec, request)
    needed = spec.needed(preset, resolved)
    told, _ = replay.record(key, resolved, preset, needed, device="", threads=0, seconds=0.0)
    return Recipe.from_json(told.to_json())  # as it reads from a file


def changes(output: Output, told: Recipe) -> list[str]:
    """One line for each setting and each component's weights in which a run as `told` would differ; the machine and its
    libraries do not count, as the picture says which they were."""
    then, today = (dataclasses.replace(r, versions={}, device="", threads=0) for r in (output.recipe, told))
    before, after = _settings(then), _settings(today)
    differ = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    return [f"the setting “{name}” is another" for name in differ] + replay.differences(then, today)


def _settings(told: Recipe) -> dict[str, Any]:
    """A recipe's request without the names of layers, which an editor draws anew and no pixel depends on."""
    layers = told.request.get("layers", ())
    nameless = [{name: value for name, value in layer.items() if name != "key"} for layer in layers]
    return {**told.request, "layers": nameless}


def found(key: str, request: Request) -> Output | None:
    """What is kept of a run of this very request with the weights of today; None if nothing is."""
    outputs = load(key)
    preset = runtime.resolve(catalog.SPECS[key], request)[1].name
    if preset not in {output.recipe.preset for output in outputs}:  # those of published weights are dear to identify
        return None
    told = now(key, request)
    return next((output for output in outputs if not changes(output, told)), None)


def base_of(request: Request, images: Sequence[np.ndarray]) -> str:
    """The field of a request whose picture has the size of these, "" if none has."""
    fields = (name for name, value in vars(request).items() if _like(value, images[0]))
    return next(fields, "")


def _like(value: object, picture: np.ndarray) -> bool:
    return isinstance(value, np.ndarray) and value.shape == picture.shape
