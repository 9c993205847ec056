"""Checkpoints of other people's layout: read as plain tensors, checked key by key, written as ordinary folders."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import logging

from models.contract import BadRequest, MissingWeights

State = dict[str, Tensor]
Notify = Callable[[str], None]

SHOWN = 3  # faults that a sentence names


def silent(_: str) -> None:
    """For callers that do not want to hear of progress."""


def read(path: Path) -> dict[str, Any]:
    """The file's entries by key, flat or from under `state_dict`; a pickle is read as plain tensors only.

    Raises `BadRequest` if there is no such file, and `MissingWeights` for one that does not hold plain tensors.
    """
    if not path.is_file():
        raise BadRequest(f"There is no file {path}.")
    try:
        if path.suffix == ".safetensors":
            held: Any = load_file(path)
        else:
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (SafetensorError, OSError) as error:
        raise MissingWeights(f"{path.name} cannot be read ({error}).") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise MissingWeights(
            f"{path.name} does not hold plain tensors; where you trust it, save its state_dict as .safetensors, "
            "and convert that file."
        ) from error
    state = held.get("state_dict", held) if isinstance(held, Mapping) else {}
    return dict(state)


def fit(model: Any, title: str, state: State, unknown: Sequence[str] = ()) -> None:
    """Put `state` into a model on the meta device; `unknown` are keys of the file that became none of the model's.

    Raises `MissingWeights` unless all keys and shapes fit. The tensors are taken as they are, dtypes included.
    """
    expected = model.state_dict()
    faults = [f"{key} is unknown" for key in unknown]
    faults += [f"{key} is unknown" for key in state.keys() - expected.keys()]
    faults += [f"{key} is missing" for key in expected.keys() - state.keys()]
    faults += [
        f"{key} is {tuple(state[key].shape)}, not {tuple(expected[key].shape)}"
        for key in expected.keys() & state.keys()
        if state[key].shape != expected[key].shape
    ]
    if faults:
        raise MissingWeights(f"The {title} does not fit in {len(faults)} keys: {shown(faults)}.")
    model.load_state_dict(state, assign=True)


@contextmanager
def written(out: Path) -> Iterator[Path]:
    """A folder to write networks to, one subfolder each; they move into `out` at the end, so that half a conversion is
    never taken for weights. Raises `BadRequest` where `out` cannot be written."""
    partial = out.with_name(out.name + ".partial")
    logging.disable_progress_bar()  # the caller says what is written
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        out.mkdir(parents=True, exist_ok=True)
        for folder in sorted(partial.iterdir()):
            folder.rename(out / folder.name)
    except (OSError, SafetensorError) as error:
        raise BadRequest(f"{out} cannot be written ({error}).") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def shown(faults: Sequence[str]) -> str:
    """The first few of them in one line."""
    return "; ".join(sorted(faults)[:SHOWN]) + ("; ..." if len(faults) > SHOWN else "")
