"""The verbs, and what their errors become: one sentence on standard error and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from cli import compare, doctor, generate, models, replay, segment, serve
from models import catalog
from models.contract import BadRequest, MissingWeights, OutOfMemory, Stopped

DONE, BROKEN, USAGE, WEIGHTS, MEMORY, STOPPED = 0, 1, 2, 3, 4, 5
CODES: tuple[tuple[type[BaseException], int], ...] = (
    (BadRequest, USAGE),
    (MissingWeights, WEIGHTS),
    (OutOfMemory, MEMORY),
    (MemoryError, MEMORY),
    (Stopped, STOPPED),
    (KeyboardInterrupt, STOPPED),
)
EPILOG = """exit codes: 0 done; 2 usage, bad input or a file that cannot be written; 3 weights gated, missing or
damaged; 4 out of memory; 5 stopped; 1 anything else (set EASEL_DEBUG=1 for the traceback)"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are sentences instead of a usage block and an exit."""

    def error(self, message: str) -> NoReturn:
        raise BadRequest(f"{message}; see `python {self.prog} --help`.")


def main(argv: Sequence[str]) -> int:
    """Run one command line without the program's name; returns the exit code."""
    try:
        arguments = parser().parse_args(with_verb(argv))
        return int(arguments.handler(arguments))
    except SystemExit as done:  # --help
        return int(done.code or 0)
    except BaseException as error:
        if os.environ.get("EASEL_DEBUG"):
            traceback.print_exc()
        print(sentence(error), file=sys.stderr)
        return next((code for kind, code in CODES if isinstance(error, kind)), BROKEN)


def with_verb(argv: Sequence[str]) -> list[str]:
    """Without a verb, `serve`."""
    if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help")):
        return ["serve", *argv]
    return list(argv)


def parser() -> Parser:
    """The whole command line; generating verbs come from the catalogue."""
    root = Parser(
        "app.py",
        description="Image composition methods, one verb each; without a verb the page is served.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = root.add_subparsers(metavar="VERB", required=True)
    serve.add(verbs)
    for spec in catalog.SPECS.values():
        generate.add(verbs, spec)
    for verb in (segment, compare, replay, models, doctor):
        verb.add(verbs)
    return root


def sentence(error: BaseException) -> str:
    """What a person reads about an error, on one line."""
    if isinstance(error, Stopped | KeyboardInterrupt):
        return "Stopped."
    if isinstance(error, MemoryError):
        return "This machine has not enough memory for the run; choose fewer pictures or a smaller preset."
    text = " ".join(str(error).split())
    if isinstance(error, tuple(kind for kind, _ in CODES)):
        return text
    return f"Something went wrong ({type(error).__name__}: {text:.300}); set EASEL_DEBUG=1 to see where."
