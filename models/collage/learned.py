"""Learned looks as files: safetensors with what they belong to, and the authors' `.ti.pt` files."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from models.contract import BadRequest

PLACEHOLDER = "<krk>"  # the authors' one key, which every file has
FACTS = "easel"  # the metadata's one key of ours
LARGEST = 10_000_000  # bytes; a row has a few thousand


def save(path: str | Path, row: Tensor, facts: Mapping[str, str | int | float]) -> None:
    """One row (D,) with facts such as base, text, image, steps and rate; any program for textual inversion reads it."""
    metadata = {"format": "pt", FACTS: json.dumps(dict(facts), sort_keys=True)}
    write(path, {PLACEHOLDER: row.detach().float().cpu().contiguous()}, metadata)


def write(path: str | Path, held: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """A file of safetensors, all of it or nothing, whenever the machine goes off and whoever else writes it."""
    path = Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    save_file(held, partial, metadata)
    partial.replace(path)


def load(path: str | Path, width: int) -> tuple[Tensor, dict[str, str | int | float]]:
    """The row (width,) float32 of a safetensors, .pt or .bin file, and its facts, none in the authors' files.

    Raises `BadRequest` with one sentence for a file that is absent, damaged, of code, of several rows, or of another
    base model, whose rows have another width.
    """
    path = Path(path)
    if not path.is_file():
        raise BadRequest(f"There is no file {path!s:.200}.")
    if path.stat().st_size > LARGEST:
        raise BadRequest(f"{path.name} is too large for the look of a layer; it should hold one row.")
    held, facts = _safetensors(path) if path.suffix == ".safetensors" else (_pickled(path), {})
    if len(held) != 1 or not all(isinstance(row, Tensor) for row in held.values()):
        raise BadRequest(f"{path.name} should hold exactly one learned row.")
    row = next(iter(held.values())).detach().float()
    row = row[0] if row.ndim == 2 and len(row) == 1 else row
    if row.shape != (width,):
        raise BadRequest(
            f"{path.name} holds {tuple(row.shape)} numbers and the text encoder has rows of {width}; "
            "it was learned on another base model."
        )
    if not row.isfinite().all():
        raise BadRequest(f"{path.name} holds numbers that are not finite.")
    return row, facts


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str | int | float]]:
    try:
        with safe_open(str(path), framework="pt") as file:
            held = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no mapping
            facts = json.loads((file.metadata() or {}).get(FACTS, "{}"))
    except (SafetensorError, OSError, ValueError):
        raise BadRequest(f"{path.name} is damaged; please save it again.") from None
    return held, facts if isinstance(facts, dict) else {}


def _pickled(path: Path) -> dict[str, Tensor]:
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise BadRequest(f"{path.name} is damaged, or holds more than plain tensors; it is not opened.") from None
    return held if isinstance(held, dict) else {}
