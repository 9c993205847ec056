"""The generating verbs: flags to a request, the run with its progress, pictures and one line of JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cli import flags, machine, output
from cli.progress import Progress
from models import pictures, runtime
from models.contract import Request, Result, Spec
from models.recipe import Recipe, write_png


def add(verbs: Any, spec: Spec) -> None:
    """The verb of a method, with one flag per option of its request."""
    parser = verbs.add_parser(spec.verb, help=f"{spec.title}: {spec.paper}", allow_abbrev=False)
    flags.add(parser.add_argument_group("request"), spec)
    add_output(parser, f"{spec.verb}-SEED.png")
    parser.set_defaults(handler=lambda arguments: generate(spec, arguments))


def add_output(parser: argparse.ArgumentParser, default: str) -> None:
    """The flags that every verb has which makes pictures."""
    group = parser.add_argument_group("output and machine")
    group.add_argument("--out", type=Path, metavar="FILE.png", help=f"several become FILE-1.png, ... [{default}]")
    group.add_argument("--json", action="store_true", help="one line: files, seeds, seconds, recipe")
    group.add_argument("--strip-recipe", action="store_true", help="pictures without the recipe inside")
    group.add_argument("--quiet", action="store_true", help="no progress on standard error")
    machine.add(group)


def generate(spec: Spec, arguments: argparse.Namespace) -> int:
    """Run the method and write its pictures."""
    if arguments.out:
        output.check(arguments.out)
    request = flags.request(arguments, spec)
    result = run(spec, request, arguments)
    out = arguments.out or Path(f"{spec.verb}-{result.facts['seed']}.png")
    files = output.names(out, len(result.images))
    recipes = [save(file, spec, request, result, k, arguments.strip_recipe) for k, file in enumerate(files)]
    if not arguments.quiet:
        print(*notes(result.facts), sep="", end="", file=sys.stderr)
    report(files, recipes, arguments.json, {kind: beside(out, result, kind) for kind in ("ladder", "baselines")})
    return 0


def notes(facts: Mapping[str, Any]) -> list[str]:
    """A line for each thing that the page would say beside the result: warnings, and words that were not read."""
    said = [facts.get("warning"), *facts.get("warnings", ())]
    if facts.get("dropped_words"):
        said.append(f"Too long, not read: “{facts['dropped_words']}”")
    return [f"{line}\n" for line in said if line]


def beside(out: Path, result: Result, kind: str) -> dict[str, Path]:
    """Write the rungs or the baselines that were asked for beside the result, as FILE-gh.png; their files by name."""
    files = {name: out.with_name(f"{out.stem}-{name}{out.suffix}") for name in result.facts.get(kind, ())}
    for name, file in files.items():
        file.write_bytes(pictures.encode(result.extras[name]))
    return files


def save(file: Path, spec: Spec, request: Request, result: Result, index: int, strip: bool = False) -> Recipe:
    """Write picture `index` of a run, with its recipe unless that is stripped; returns the recipe."""
    recipe, inputs = runtime.recorded(spec.key, request, result, index)
    write_png(file, result.images[index], None if strip else recipe, inputs)
    return recipe


def run(spec: Spec, request: Request, arguments: argparse.Namespace) -> Result:
    """The result of a run that shows its progress and ends at Ctrl-C; raises what `runtime.run` raises."""
    machine.configure(arguments)
    progress = Progress(sys.stderr, quiet=arguments.quiet)
    with interrupted() as stop, contextlib.redirect_stdout(sys.stderr), progress:
        for event in runtime.run(spec.key, request, stop):
            if isinstance(event, Result):
                return event
            progress.show(event)
    raise RuntimeError(f"{spec.key} ended without a result")


@contextlib.contextmanager
def interrupted() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second one ends the program at once."""
    stop = threading.Event()

    def handle(*_: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    here = threading.current_thread() is threading.main_thread()
    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)} if here else {}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def report(
    files: list[Path], recipes: list[Recipe], as_json: bool, more: Mapping[str, Mapping[str, Path]] | None = None
) -> None:
    """The files' names, or the one line of JSON, on standard output; the recipe is the first picture's."""
    if not as_json:
        print(*files, *(file for found in (more or {}).values() for file in found.values()), sep="\n")
        return
    first = recipes[0]
    told: dict[str, Any] = {"files": [str(file) for file in files], "seeds": [recipe.seed for recipe in recipes]}
    for kind, found in (more or {}).items():
        told |= {kind: {name: str(file) for name, file in found.items()}} if found else {}
    print(json.dumps({**told, "seconds": first.seconds, "recipe": json.loads(first.to_json())}))
