"""What waiting feels like: `python -m benchmarks.speed`. Ratios hold within one run on the machine it names.

Page up against `import gradio`; first and second click through the server and in a fresh process with one and two
threads; masks; Stop; a second visitor; the component cache; bytes resident. Close other programs first: the load of the
minute before is written down with the numbers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, page, tables
from models import catalog, loading, segment

EXTRAS = {  # method -> key and module of what only this method has
    "cat": {"adapters": "benchmarks.adapters"},
    "dit4edit": {"merging": "benchmarks.merging"},
    "collage": {"looks": "benchmarks.looks"},
    "facediffuser": {"faces": "benchmarks.swaps"},
}


def clicks(method: str, preset: str, threads: int) -> dict[str, Any]:
    """What a fresh process measures with this many threads (see `benchmarks.clicks`)."""
    command = [sys.executable, "-m", "benchmarks.clicks", "--method", method, "--preset", preset]
    done = subprocess.run(
        [*command, "--threads", str(threads)], cwd=machine.ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def taps(model: str) -> dict[str, Any] | None:
    """What a fresh process measures of masks (see `benchmarks.taps`); None where their weights are not here."""
    if not all(loading.present(w) for w in segment.PRESETS[model].components.values()):
        return None
    command = [sys.executable, "-m", "benchmarks.taps", "--model", model]
    done = subprocess.run(command, cwd=machine.ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def child(module: str) -> dict[str, Any]:
    """What a fresh process of a module measures."""
    command = [sys.executable, "-m", module]
    done = subprocess.run(command, cwd=machine.ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(method: str, preset: str, threads: Sequence[int]) -> dict[str, Any]:
    """The whole run."""
    where = machine.describe(max(threads))
    return {
        "machine": where,
        "method": method,
        "preset": preset,
        "steps": catalog.SPECS[method].presets[preset].steps,
        "weights": machine.weight_digests(catalog.SPECS[method].presets[preset]),
        "page": page.measure(method, preset),
        "http": page.clicks_over_http(method, preset),
        "masks": taps("pocket") if method == "dreamfuse" else None,
        **{key: child(module) for key, module in EXTRAS.get(method, {}).items()},
        "clicks": [clicks(method, preset, count) for count in threads],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--method", default="dreamfuse", choices=sorted(catalog.SPECS))
    parser.add_argument("--preset", default="pocket")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="one process of clicks for each")
    parser.add_argument("--json", type=Path, help="default: benchmarks/results/speed-METHOD-MACHINE.json")
    given = parser.parse_args(arguments)
    found = measure(given.method, given.preset, given.threads)
    print(tables.speed(found))
    file = given.json or machine.RESULTS / f"speed-{given.method}-{machine.name()}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
