"""A case is one input: a bundle, and the request that it came from where there was one. Plain."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from models import bundles, catalog, pixels, replay
from models.baselines import BASELINES
from models.contract import BadRequest, Bundle, Request, Spec, options
from models.recipe import picture_sha256, read_png, stored_pictures

FEATHER = 8  # pixels of the seam where the rest of the scene is put back


@dataclass(frozen=True, eq=False)
class Case:
    """One input with a name. `own` is the request that it came from, which its own method answers unchanged but for
    what is set for all; `paste_back`: whether the rest of the scene is put back in every cell."""

    name: str
    bundle: Bundle
    own: Request | None = None
    paste_back: bool = False

    @cached_property
    def region(self) -> np.ndarray | None:
        """What may change, uint8 HxW of the scene's size; None where nothing says so."""
        try:
            return bundles.change_region(self.bundle)
        except BadRequest:  # the object lies outside: the methods say so
            return None

    @cached_property
    def digest(self) -> str:
        """sha256 over everything in it."""
        sha = hashlib.sha256(self.own.digest().encode() if self.own is not None else b"")
        for part in _bytes(self.bundle):
            sha.update(part)
        return sha.hexdigest()

    def shown(self, picture: np.ndarray) -> np.ndarray:
        """A method's picture as it is looked at: of the scene's size and, with `paste_back`, changed in the region
        only, with the same seam for every method."""
        scene = self.bundle.scene
        if scene is None:
            return picture
        if self.paste_back and self.region is not None:
            return pixels.paste_back(scene, picture, self.region, FEATHER)
        return pixels.resize(picture, (scene.shape[0], scene.shape[1]))


def prepared(case: Case, crop: bool, paste_back: bool | None) -> Case:
    """The case as all methods get it: cropped or whole; the rest put back where there is a mask, or as asked for."""
    bundle = bundles.cropped(case.bundle) if crop else case.bundle
    own = case.own if bundle is case.bundle else None  # a request of the whole picture would not be the same input
    keeps = bundle.mask is not None if paste_back is None else paste_back
    return Case(case.name, bundle, own, keeps)


def from_request(name: str, request: Request) -> Case:
    """A case of a request of any tab."""
    spec = method_of(request)
    if spec.give is None:
        raise BadRequest(f"{spec.title} gives no input to others.")
    return Case(name, spec.give(request), request)


def from_png(path: Path, given: Mapping[str, np.ndarray] | None = None) -> Case:
    """The case of an Easel picture; `given` are pictures that it only names, by their sha256.

    Raises `BadRequest` for a file without a usable recipe, or one of a method that this version does not have.
    """
    recipe, inputs = read_png(path)
    if recipe.method in BASELINES:
        raise BadRequest(f"{path.name} is a baseline's picture; please give one that a method made.")
    if recipe.method not in catalog.SPECS:
        raise BadRequest(f"This version has no method “{recipe.method:.40}”; please update.")
    known = given or {}
    wanted = {name: entry["sha256"] for name, entry in stored_pictures(recipe).items()}
    named = {name: known[sha] for name, sha in wanted.items() if sha in known}
    request_type = catalog.SPECS[recipe.method].request
    return from_request(path.stem, replay.to_request(recipe, {**inputs, **named}, request_type))


def by_sha256(pictures: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    """Pictures by the sha256 that recipes name them by."""
    return {picture_sha256(picture): picture for picture in pictures}


def method_of(request: Request) -> Spec:
    """The method that a request belongs to."""
    return next(spec for spec in catalog.SPECS.values() if spec.request is type(request))


def fields_of(spec: Spec, case: Case) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The request fields by which a method answers a case, and what it leaves out of it; raises `BadRequest`."""
    if case.own is not None and type(case.own) is spec.request:
        return {name: getattr(case.own, name) for name in options(spec.request)}, ()
    if spec.take is None:
        raise BadRequest(f"{spec.title} takes no input from elsewhere.")
    fields, left = spec.take(case.bundle)
    return dict(fields), left


def _bytes(value: Any) -> Iterator[bytes]:
    if isinstance(value, np.ndarray):
        yield str(value.shape).encode()
        yield value.tobytes()
    elif dataclasses.is_dataclass(value):
        for f in dataclasses.fields(value):
            yield f"\0{f.name}\0".encode()
            yield from _bytes(getattr(value, f.name))
    elif isinstance(value, tuple):
        for item in value:
            yield b"\0"
            yield from _bytes(item)
    elif isinstance(value, Mapping):
        yield repr(sorted(value.items())).encode()
    else:
        yield repr(value).encode()
