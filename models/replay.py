"""From a request to its recipe and back, and what changed on this machine in between. Plain at import."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
import types
import typing
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from models import loading
from models.contract import BadRequest, Preset, Request, Weights, options
from models.recipe import Recipe, picture_sha256

R = TypeVar("R", bound=Request)
LIBRARIES = ("torch", "diffusers", "transformers", "peft", "numpy", "opencv-contrib-python-headless", "pillow")


# --- from a run -------------------------------------------------------------------------------------------


def record(
    method: str,
    request: Request,
    preset: Preset,
    components: Mapping[str, Weights],
    *,
    device: str,
    threads: int,
    seconds: float,
    facts: Mapping[str, Any] | None = None,
    index: int = 0,
) -> tuple[Recipe, dict[str, np.ndarray]]:
    """The recipe of picture `index` of a resolved request, and the request's pictures, but for private ones, by the
    recipe's names.

    `components` are those the run really used; picture k of a batch is the request with seed + k, or picture k of the
    whole run again where it makes its pictures together.
    """
    inputs: dict[str, np.ndarray] = {}
    known = options(type(request))
    fields = {name: _told(getattr(request, name), name, {} if o.private else inputs) for name, o in known.items()}
    recipe = Recipe(
        method=method,
        request=fields,
        seed=request.seed + (0 if request.together else index),
        picture=index if request.together else 0,
        preset=preset.name,
        weights={name: identify(w) for name, w in components.items()},
        versions=library_versions(),
        device=device,
        dtype=", ".join(sorted({w.dtype for w in components.values() if w.dtype})),
        threads=threads,
        memory=request.memory,
        seconds=round(seconds, 3),
        facts=facts or {},
    )
    return recipe, inputs


def _told(value: Any, name: str, inputs: dict[str, np.ndarray]) -> Any:
    """A field as JSON; pictures go into `inputs` under the dotted path that leads to them."""
    if isinstance(value, np.ndarray):
        inputs[name] = value
        return {"picture": name, "sha256": picture_sha256(value), "shape": list(value.shape)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _told(item, f"{name}.{key}", inputs) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_told(item, f"{name}.{k}", inputs) for k, item in enumerate(value)]
    return value


def identify(weights: Weights) -> dict[str, str]:
    """A component for the recipe: its data, the commit that is on disk, and one sha256 over its files."""
    told = {f: str(getattr(weights, f)) for f in ("source", "subfolder", "class_name", "dtype", "quantisation")}
    if weights.local:
        folder, _, rest = weights.source.removeprefix("assets/pocket/").partition("/")
        below = "/".join(part for part in (rest, weights.subfolder) if part)
        files = loading.manifest(folder).get("files", {})
        digests = {name: sha for name, sha in files.items() if name.startswith(below + "/" if below else "")}
        return {**told, "revision": "", "sha256": _over(digests)}
    if weights.own:  # the path to it is nobody else's business
        files = [p for p in loading.folder(weights).glob("*") if p.is_file()]
        digests = {p.name: loading.digest(p) for p in files}
        return {**told, "source": Path(weights.source).name, "revision": "", "sha256": _over(digests)}
    commit, digests = _hub_files(weights.source, weights.subfolder, weights.revision)
    return {**told, "revision": weights.revision or commit, "sha256": _over(digests)}


def _over(digests: Mapping[str, str]) -> str:
    lines = "\n".join(f"{sha}  {name}" for name, sha in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest() if digests else ""


def _hub_files(source: str, subfolder: str, revision: str) -> tuple[str, dict[str, str]]:
    """The commit in the hub's cache and its files' blob names, which are their sha256 (or git's sha1)."""
    root = next(iter(loading.snapshots(source, revision)), None)
    if root is None:
        return "", {}
    files = (p for p in (root / subfolder).glob("**/*" if subfolder else "*") if p.is_file())
    return root.name, {p.relative_to(root).as_posix(): p.resolve().name for p in files}


@cache
def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that can change a pixel, read without importing them."""
    return {"python": platform.python_version(), **{name: library_version(name) for name in LIBRARIES}}


def library_version(name: str) -> str:
    """The installed version of a distribution, or "absent"; nothing is imported."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


# --- to a run ---------------------------------------------------------------------------------------------


def to_request(recipe: Recipe, inputs: Mapping[str, np.ndarray], request_type: type[R]) -> R:
    """The request that makes the recipe's picture again.

    Raises `BadRequest` that names a picture which is not in `inputs` or is another one, a setting that this
    version does not know, or a value that it refuses.
    """
    unknown = sorted(set(recipe.request) - set(options(request_type)))
    if unknown:
        raise BadRequest(f"This version does not know the recipe's setting “{unknown[0][:40]}”; please update.")
    hints = typing.get_type_hints(request_type)
    try:
        values = {name: _revived(value, hints[name], inputs) for name, value in recipe.request.items()}
        single = {} if request_type.together else {"num_images": 1}
        return request_type(**{**values, "seed": recipe.seed, "preset": recipe.preset, **single})
    except (TypeError, AttributeError, KeyError, OverflowError):
        raise BadRequest("The recipe does not fit this method; please use the file as it was saved.") from None


def _revived(value: Any, hint: Any, inputs: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, dict) and "picture" in value:
        return _found(value, inputs)
    if typing.get_origin(hint) in (typing.Union, types.UnionType) and value is not None:
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    inner = typing.get_args(hint)
    if isinstance(value, list):
        return tuple(_revived(item, inner[0] if inner else Any, inputs) for item in value)
    if isinstance(value, dict) and dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        return hint(**{name: _revived(item, hints[name], inputs) for name, item in value.items()})
    if isinstance(value, dict):
        return {key: _revived(item, inner[-1] if inner else Any, inputs) for key, item in value.items()}
    return value


def _found(entry: Mapping[str, Any], inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    name, sha, (height, width, *_) = entry["picture"], entry["sha256"], entry["shape"]
    if name not in inputs:
        raise BadRequest(f"Please add the picture “{name}” ({width}x{height}, {sha[:8]}...): the file only names it.")
    if picture_sha256(inputs[name]) != sha:
        raise BadRequest(f"“{name}” is not the picture that was used ({width}x{height}, {sha[:8]}...).")
    return inputs[name]


# --- then and now -----------------------------------------------------------------------------------------


def differences(then: Recipe, now: Recipe) -> list[str]:
    """One line for each weight, library or machine setting that may make other pixels now than it did then."""
    lines = []
    for name in sorted({*then.weights, *now.weights}):
        lines += _changed_weights(name, then.weights.get(name), now.weights.get(name))
    for name in sorted({*then.versions, *now.versions}):
        lines += _changed(name, then.versions.get(name, "absent"), now.versions.get(name, "absent"))
    for name in ("preset", "device", "dtype", "threads", "memory"):
        lines += _changed(name, getattr(then, name), getattr(now, name))
    return lines


def _changed_weights(name: str, then: Mapping[str, str] | None, now: Mapping[str, str] | None) -> list[str]:
    if then is None or now is None:
        return [f"{name} was not used and is now" if then is None else f"{name} was used and is not now"]
    keys = [key for key in dict.fromkeys([*then, *now]) if then.get(key) != now.get(key)]
    return [line for key in keys for line in _changed(f"{name}'s {key}", then.get(key, ""), now.get(key, ""))]


def _changed(name: str, then: object, now: object) -> list[str]:
    return [] if then == now else [f"{name} was {then or 'not known'} and is {now or 'not known'} now"]
