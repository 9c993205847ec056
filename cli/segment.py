"""The `segment` verb: clicks and a box as text, a mask and a cut-out as PNG files."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cli import flags, generate, machine, output
from models import cutout, pictures, runtime
from models.contract import PICTURES, BadRequest
from models.pixels import alpha_box
from models.recipe import write_png
from models.segment import OPTIONS, SegmentRequest


def add(verbs: Any) -> None:
    """The verb with one flag per option of the request, and the three that no option describes."""
    told = "Masks: click an object, get its mask; SAM 2, or GrabCut where no weights are"
    parser = verbs.add_parser("segment", help=told, allow_abbrev=False)
    group = parser.add_argument_group("request")
    flags.add_option(group, "image", OPTIONS["image"], None)
    group.add_argument("--points", default="", metavar='"X,Y,1;X,Y,0"', help="pixels; 1 = include, 0 = exclude")
    group.add_argument("--box", default="", metavar="X0,Y0,X1,Y1", help="pixels: left, top, right, bottom")
    defaults = SegmentRequest.__dataclass_fields__
    for name, option in OPTIONS.items():
        if name != "image":
            flags.add_option(group, name, option, defaults[name].default)
    group = parser.add_argument_group("output and machine")
    group.add_argument("--out", type=Path, default=Path("mask.png"), metavar="FILE.png", help="the mask [%(default)s]")
    group.add_argument("--cutout", type=Path, metavar="FILE.png", help="what the mask covers, with transparency")
    group.add_argument("--json", action="store_true", help="one line: files, score, box, area, model, seconds")
    machine.add(group)
    parser.set_defaults(handler=segment)


def segment(arguments: argparse.Namespace) -> int:
    """Find the mask and write the files."""
    targets = [path for path in (arguments.out, arguments.cutout) if path]
    for path in targets:
        output.check(path)
    if len({path.resolve() for path in targets}) < len(targets):
        raise BadRequest("The mask and the cut-out need two files; please choose another name for one.")
    request = SegmentRequest(**given(arguments))
    machine.configure(arguments)
    with generate.interrupted() as stop, contextlib.redirect_stdout(sys.stderr):
        found = runtime.segment(request, stop)
    made = [found.mask, cutout.lifted(request.image, found.mask)] if arguments.cutout else [found.mask]
    for path, picture in zip(targets, made, strict=True):
        write_png(path, picture)
    if not arguments.json:
        print(*targets, sep="\n")
        return 0
    said = {"files": [str(path) for path in targets], "score": found.score, "box": alpha_box(found.mask)}
    print(json.dumps({**said, "area": round(float(np.mean(found.mask)) / 255, 4), **found.facts}))
    return 0


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fields of the request that were given as flags, with pictures read from their files."""
    values = {name: value for name, value in vars(arguments).items() if name in OPTIONS}
    for name, value in values.items():
        if OPTIONS[name].kind in PICTURES:
            values[name] = pictures.decode(value, OPTIONS[name].kind, OPTIONS[name].label)
    places, labels = points(arguments.points)
    return {**values, "points": places, "labels": labels, "box": numbers(arguments.box)}


def points(text: str) -> tuple[list[list[float]], list[int]]:
    """Points and labels of "x,y,1;x,y,0"; the label may be left out (include). Raises `BadRequest`."""
    places, labels = [], []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        values = numbers(part)
        if len(values) not in (2, 3):
            raise BadRequest(f'A point is "x,y,1" to include or "x,y,0" to exclude; it was “{part:.40}”.')
        label = values[2] if len(values) == 3 else 1
        places.append(values[:2])
        labels.append(int(label) if label in (0, 1) else 2)
    return places, labels


def numbers(text: str) -> list[float]:
    """The numbers of "1,2,3"; raises `BadRequest`."""
    try:
        return [float(part) for part in text.split(",")] if text.strip() else []
    except ValueError:
        raise BadRequest(f"“{text:.40}” is not a list of numbers with commas between.") from None
