"""The `compare` verb: one input, or several, through many methods, on one sheet in one folder."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cli import flags, generate, machine
from cli.progress import Progress
from models import catalog, pictures
from models.baselines import BASELINES
from models.compare import cases, grid, inputs, plan, report
from models.compare.cases import Case
from models.compare.running import Update, compare
from models.contract import BadRequest, Kind, MissingWeights, Spec, Step
from models.facediffuser.references import opened


def add(verbs: Any) -> None:
    """The `compare` verb."""
    told = "Compare: one input through many methods and baselines, on one sheet"
    parser = verbs.add_parser("compare", help=told, allow_abbrev=False)
    _add_input(
        parser.add_argument_group("input: files, saved collages or Easel pictures; each scene or file is a case")
    )
    group = parser.add_argument_group("what is compared")
    keys = ", ".join((*(spec.verb for spec in catalog.SPECS.values()), *BASELINES))
    group.add_argument("--methods", default=grid.ALL, metavar="A,B", help=f"of {keys}, or all that can [all]")
    axis = 'e.g. "seed=1-3", "steps=10, 20", "guidance_scale=1..4 step 0.5", "case=1, 3"; repeatable'
    group.add_argument("--axis", action="append", default=[], metavar="NAME=VALUES", help=axis)
    group.add_argument("--crop", action="store_true", help="give all methods the surroundings of the change only")
    put = "show every cell with the rest of the scene put back [where there is a mask]"
    group.add_argument("--paste-back", action=argparse.BooleanOptionalAction, default=None, help=put)
    group = parser.add_argument_group("output and machine")
    group.add_argument("--out", type=Path, default=Path("comparison"), metavar="FOLDER", help="[%(default)s]")
    group.add_argument("--resume", action="store_true", help="keep the cells that are finished in the folder")
    group.add_argument("--dry-run", action="store_true", help="say what it would cost, and draw nothing")
    group.add_argument("--json", action="store_true", help="one line: folder, files, estimate, cells")
    group.add_argument("--quiet", action="store_true", help="no progress on standard error")
    machine.add(group)
    parser.set_defaults(handler=run)


def _add_input(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--from", dest="sources", nargs="+", action="extend", default=[], type=Path, metavar="FILE.png")
    for spec in _with_files():
        assert spec.file is not None
        group.add_argument(f"--{spec.file.name}", nargs="+", action="extend", default=[], metavar="FILE")
    group.add_argument("--scene", nargs="+", action="extend", default=[], metavar="FILE", help="a case each")
    group.add_argument("--object", metavar="FILE", help="a cut-out, with transparency")
    for name, (option, default) in inputs.PLACE.items():
        flags.add_option(group, name, option, default)
    group.add_argument("--mask", nargs="+", action="extend", default=[], metavar="FILE", help="white = may change")
    group.add_argument("--references", nargs="+", default=[], metavar="FILE", help="pictures of people; never stored")
    for name, option in inputs.WORDS.items():
        flags.add_option(group, name, option, "")


def run(arguments: argparse.Namespace) -> int:
    """Compare, or say what it would cost; the sheet's name, or one line of JSON, goes to standard output."""
    machine.configure(arguments)
    asked = grid.build(given(arguments), arguments.methods, arguments.axis, arguments.crop, arguments.paste_back)
    planned = plan.make(asked)
    folder: Path = arguments.out
    if arguments.dry_run:
        _estimate(planned, arguments.json)
        return 0
    if not arguments.quiet:
        print(planned.estimate.sentence(), file=sys.stderr)
    _draw(planned, folder, arguments)
    found = json.loads((folder / report.REPORT).read_text(encoding="utf-8"))
    if not any(cell["file"] for cell in found["cells"]):
        none = f"No cell could be drawn. {found['cells'][0]['reason']}"
        raise MissingWeights(none) if planned.estimate.missing else BadRequest(none)
    if arguments.json:
        files = {name: str(folder / name) for name in (report.SHEET, report.PAGE, report.TABLE, report.REPORT)}
        print(
            json.dumps({"folder": str(folder), "files": files, "estimate": found["estimate"], "cells": found["cells"]})
        )
    else:
        print(folder / report.SHEET)
    return 0


def _estimate(planned: plan.Plan, as_json: bool) -> None:
    runs = [{"method": run.cell.key, "case": run.cell.case, **run.cell.fields} for run in planned.runs]
    if as_json:
        print(json.dumps({"estimate": vars(planned.estimate), "runs": runs, "left_out": planned.grid.left_out}))
        return
    print(planned.estimate.sentence())
    for reason in planned.grid.left_out.values():
        print(f"Left out: {reason}")


def _draw(planned: plan.Plan, folder: Path, arguments: argparse.Namespace) -> None:
    progress = Progress(sys.stderr, quiet=arguments.quiet)
    with generate.interrupted() as stop, contextlib.redirect_stdout(sys.stderr), progress:
        with contextlib.closing(compare(planned, folder, stop, arguments.resume)) as news:
            for update in news:
                progress.show(_step(update))


def _step(update: Update) -> Step:
    """News as a line of progress."""
    cell = f"cell {min(update.done + (update.outcome is None), update.total)} of {update.total}"
    name = grid.title(update.run.cell.key)
    if update.outcome is not None:
        left = f", {plan.duration(update.seconds_left)} left" if update.seconds_left else ""
        return Step(0, 0, note=f"{cell}, {name}: {update.outcome.reason or 'done'}{left}")
    step = update.step or Step(0, 0)
    return Step(step.done, step.total, note=", ".join(part for part in (f"{cell}, {name}", step.note) if part))


# --- the input


def given(arguments: argparse.Namespace) -> list[Case]:
    """The cases of the flags; raises `BadRequest`."""
    references = opened(arguments.references, partial(pictures.decode, kind="rgba", name="References"))
    known = cases.by_sha256(references)
    found = [cases.from_png(path, known) for path in arguments.sources]
    for spec in _with_files():
        assert spec.file is not None
        for file in getattr(arguments, spec.file.name):
            found.append(cases.from_request(Path(file).name.split(".")[0], spec.request(**spec.file.read(Path(file)))))
    values = {name: value for name, value in vars(arguments).items() if name in (*inputs.PLACE, *inputs.WORDS)}
    if found and not (arguments.scene or arguments.object or arguments.mask):
        return found
    names = [Path(file).stem for file in arguments.scene]
    scenes = [_picture(file, "rgb", "Scene") for file in arguments.scene]
    cutout = _picture(arguments.object, "rgba", "Object") if arguments.object else None
    masks = [_picture(file, "mask", "Mask") for file in arguments.mask]
    return found + inputs.made(scenes, names, cutout, masks, references, values)


def _picture(file: str, kind: Kind, name: str) -> np.ndarray:
    return pictures.decode(file, kind, f"{name} {Path(file).name}")


def _with_files() -> list[Spec]:
    return [spec for spec in catalog.SPECS.values() if spec.file is not None]
