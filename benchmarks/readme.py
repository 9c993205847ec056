"""Regenerate the README's tables: `python -m benchmarks.readme`; `--check` only says whether they are current.

A table stands between `<!-- begin: NAME -->` and `<!-- end: NAME -->` and is made from committed results only.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, papers, tables

README = machine.ROOT / "README.md"


class MissingBlock(ValueError):
    """A marked block that should be in the text is not there."""


def replace_block(text: str, name: str, content: str) -> str:
    """The text with what stands between a block's two marks replaced. Raises `MissingBlock`."""
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.S)
    if not pattern.search(text):
        raise MissingBlock(f"the block “{name}” is missing; add the lines {begin} and {end} where its table belongs")
    return pattern.sub(lambda _: f"{begin}\n{content.strip()}\n{end}", text, count=1)


def _read(pattern: str, folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob(pattern))]


def fidelity_block(folder: Path = machine.RESULTS) -> str:
    """A table and a contact sheet for every committed `fidelity-*.json`."""
    parts = []
    for found in _read("fidelity-*.json", folder):
        parts.append(tables.fidelity(found))
        sheet = f"docs/fidelity/{found['method']}.webp"
        parts.append(f"Every case, in order: [contact sheet]({sheet}).")
    return "\n\n".join(parts) or "Not measured yet."


def speed_block(folder: Path = machine.RESULTS) -> str:
    """A table for every committed `speed-*.json`."""
    return "\n\n".join(tables.speed(found) for found in _read("speed-*.json", folder)) or "Not measured yet."


BLOCKS: Mapping[str, Callable[[], str]] = {
    "methods": papers.papers,
    "weights": papers.weights,
    "fidelity": fidelity_block,
    "speed": speed_block,
}


def rendered(text: str) -> str:
    """The README's text with every block made anew. Raises `MissingBlock`."""
    for name, make in BLOCKS.items():
        text = replace_block(text, name, make())
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the README; with --check write nothing and return 1 if it is stale or lacks a block."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a table is stale")
    check = parser.parse_args(arguments).check
    if not README.exists():
        print("README.md does not exist.", file=sys.stderr)
        return 1
    text = README.read_text()
    try:
        wanted = rendered(text)
    except MissingBlock as error:
        print(f"README.md: {error}.", file=sys.stderr)
        return 1
    if check and text != wanted:
        print("README.md is stale; run `python -m benchmarks.readme`.", file=sys.stderr)
        return 1
    if not check:
        README.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
