"""`replay FILE.png`: run a picture's recipe again, and say what has changed on this machine since."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cli import generate, output
from models import baselines, catalog, pictures, replay, runtime
from models.contract import BadRequest
from models.recipe import KINDS, Recipe, read_png, stored_pictures, write_png


def add(verbs: Any) -> None:
    """The `replay` verb."""
    parser = verbs.add_parser("replay", help="make the picture of an Easel PNG again", allow_abbrev=False)
    parser.add_argument("file", type=Path, metavar="FILE.png")
    parser.add_argument(
        "--input", action="append", default=[], metavar="NAME=FILE", help="a picture that the recipe only names"
    )
    generate.add_output(parser, "FILE-replay.png")
    parser.set_defaults(handler=again)


def again(arguments: argparse.Namespace) -> int:
    """Run the recipe with its own seed, preset, memory mode and threads; differences go to standard error."""
    then, inputs = read_png(arguments.file)
    if then.method not in (*catalog.SPECS, *baselines.BASELINES):
        raise BadRequest(f"This version has no method “{then.method:.40}”; please update.")
    inputs |= given(then, arguments.input)
    out = arguments.out or arguments.file.with_name(f"{arguments.file.stem}-replay.png")
    output.check(out)
    if then.method in baselines.BASELINES:
        picture, now = baselines.again(then, inputs)
        write_png(out, picture, None if arguments.strip_recipe else now, inputs)
        return _told(then, now, out, arguments.json)
    spec = catalog.SPECS[then.method]
    request = replay.to_request(then, inputs, spec.request)
    runtime.configure(threads=then.threads)
    result = generate.run(spec, request, arguments)
    if then.picture >= len(result.images):
        raise BadRequest(f"The recipe asks for picture {then.picture + 1} of {len(result.images)}.")
    now = generate.save(out, spec, request, result, then.picture, arguments.strip_recipe)
    return _told(then, now, out, arguments.json)


def _told(then: Recipe, now: Recipe, out: Path, as_json: bool) -> int:
    """What changed since, and the file."""
    for line in replay.differences(then, now):
        print(f"Changed since: {line}.", file=sys.stderr)
    generate.report([out], [now], as_json)
    return 0


def given(recipe: Recipe, flags: list[str]) -> dict[str, np.ndarray]:
    """The pictures of `--input NAME=FILE`, decoded as the recipe says."""
    wanted, found = stored_pictures(recipe), {}
    for flag in flags:
        name, _, file = flag.partition("=")
        if name not in wanted:
            names = ", ".join(wanted) or "none"
            raise BadRequest(f"The recipe names no picture “{name:.40}”; its pictures are: {names}.")
        channels = [*wanted[name]["shape"], 1][2]
        found[name] = pictures.decode(file, KINDS[channels], name)
    return found
