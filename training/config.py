"""What every recipe can be told, and how a frozen dataclass becomes its flags."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar


@dataclass(frozen=True)
class Flags:
    """What `read` fills in: the settings of a recipe, each a field with a default, and how it was started."""

    command: str = field(default="", metadata={"flag": False})


@dataclass(frozen=True)
class Config(Flags):
    """Settings that the pocket recipes share; each adds its own and changes the defaults it has a reason to change."""

    name: str = "model"  # folder under `runs` and, for most recipes, under `assets`
    minutes: float = 5.0  # wall clock of this call; the schedule runs over it
    steps: int = 0  # stop after so many steps instead (tests); 0 = the clock decides
    batch: int = 16
    size: int = 128  # pixels on a side; 256 on a GPU
    seed: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    muon: bool = False  # for the matrices inside the network, AdamW for the rest
    convolutions: bool = False  # with `muon`: for the kernels inside the network too
    warmup: int = 100  # steps
    schedule: str = "cosine"  # or "constant"
    clip: float = 1.0  # gradient norm
    pixels: float = 0.0  # where latents are predicted: 0 = their channels count alike, 2 = by what they paint
    ema: float = 0.999  # decay of the weights' average, which is what is exported
    threads: int = 1
    device: str = ""  # "" = cuda, mps or cpu, whichever is there first
    resume: bool = False  # go on from `runs`, or warm-start from the committed snapshot
    snapshot_minutes: float = 5.0  # between two exports to `assets`
    assets: str = "assets/pocket"
    runs: str = "runs"


C = TypeVar("C", bound=Flags)


def read(kind: type[C], module: str, arguments: Sequence[str] | None = None) -> C:
    """The settings of `kind` from command line flags named like its fields, with dashes."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(f"python -m {module}", description=kind.__doc__)
    for item in dataclasses.fields(kind):
        if item.metadata.get("flag", True):
            _add(parser, item)
    return kind(**vars(parser.parse_args(given)), command=" ".join(["python -m", module, *given]))


def _add(parser: argparse.ArgumentParser, item: dataclasses.Field[Any]) -> None:
    flag = "--" + item.name.replace("_", "-")
    if isinstance(item.default, bool):
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=item.default)
    else:
        parser.add_argument(flag, type=type(item.default), default=item.default, help=f"default {item.default!r}")
