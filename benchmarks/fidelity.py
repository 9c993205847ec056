"""Does a method do what its paper claims? `python -m benchmarks.fidelity --method dreamfuse`

Raw output (nothing pasted back, no detail carried over), the preset's own default steps, ground truth from the
drawn world, baselines beside it. Writes a table, a JSON file with every number, and a contact sheet.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from benchmarks import machine, sheet, tables
from benchmarks.contract import Measured, Row, Rows
from benchmarks.statistics import clustered_mean
from models import catalog, runtime
from models.contract import Preset

Case = Mapping[str, Any]  # as it stands in the JSON


def rows_of(method: str) -> Rows:
    """The module that knows a method's rows."""
    return cast(Rows, importlib.import_module(f"benchmarks.rows.{method}"))


def presets_of(method: str) -> Mapping[str, Preset]:
    """The presets of a method, or of the masks that all methods share; raises KeyError."""
    return {shelf.key: shelf.presets for shelf in catalog.shelves()}[method]


def results_path(method: str) -> Path:
    """Where the committed numbers of a method stand."""
    return machine.RESULTS / f"fidelity-{method}.json"


def sheet_path(method: str) -> Path:
    """Where the committed contact sheet of a method stands."""
    return machine.ROOT / "docs" / "fidelity" / f"{method}.webp"


def numbers(cases: Sequence[Case], key: str, minus: str | None = None) -> list[float]:
    """One number per case, or the paired difference of two."""
    return [c["numbers"][key] - (c["numbers"][minus] if minus else 0.0) for c in cases]


def complete(row: Row, cases: Sequence[Case]) -> list[Case]:
    """The cases that have all numbers of a row."""
    needed = {row.ours, *row.beside.values(), *([row.against] if row.against else [])}
    return [c for c in cases if needed <= c["numbers"].keys()]


def summarise(row: Row, cases: Sequence[Case]) -> dict[str, Any]:
    """Means with intervals of a row over cases as they stand in the JSON; `judged` is what floor and aim speak of.

    Cases that lack one of the row's numbers are left out of all of its columns; without any, raises ValueError.
    """
    columns, cases = {"ours": row.ours, **row.beside}, complete(row, cases)
    clusters = [c["cluster"] for c in cases]
    judged = clustered_mean(numbers(cases, row.ours, row.against), clusters)

    def reaches(bound: float) -> bool:
        return judged.low > bound if row.better else judged.mean >= bound

    return {
        "columns": {h: clustered_mean(numbers(cases, k), clusters).fields() for h, k in columns.items()},
        "judged": judged.fields(),
        "better": judged.above_zero,
        "reached": "aim" if reaches(row.aim) else "floor" if reaches(row.floor) else "below the floor",
    }


def by_group(row: Row, cases: Sequence[Case]) -> dict[str, dict[str, Any]]:
    """The same over each group's cases; a group in which nothing could be measured is left out."""
    found = {}
    for group in sorted({g for c in cases for g in c["groups"]}):
        members = [c for c in complete(row, cases) if group in c["groups"]]
        if members:
            found[group] = summarise(row, members)["judged"]
    return found


def summaries(rows: Iterable[Row], cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Every row over all cases and, as a secondary breakdown, its judged number in each group.

    A row that no case has all numbers of is left out, see `unmeasured`.
    """
    measurable = [row for row in rows if complete(row, cases)]
    named = [(row, {k: v for k, v in dataclasses.asdict(row).items() if k != "beside"}) for row in measurable]
    return [{**fields, **summarise(row, cases), "groups": by_group(row, cases)} for row, fields in named]


def unmeasured(rows: Iterable[Row], cases: Sequence[Case]) -> list[str]:
    """The measures of rows that say nothing, since no case has all of their numbers."""
    return [row.measure for row in rows if not complete(row, cases)]


def as_case(index: int, measured: Measured) -> dict[str, Any]:
    """One case as it stands in the JSON: two runs agree if these do."""
    rounded = {k: round(float(v), 4) for k, v in measured.numbers.items()}
    return {"index": index, "cluster": measured.cluster, "groups": list(measured.groups), "numbers": rounded}


def measure_all(
    rows: Rows, preset: Preset, count: int, seed: int, sprites: Path | None, whole: bool = True
) -> list[Measured]:
    """Measure `count` cases one after another, telling progress on standard error; then, if they are a `whole` set,
    what only the set can tell."""
    done: list[Measured] = []
    cases = rows.draw(count, seed, preset, sprites)
    for case in cases:
        done.append(rows.measure(case, preset))
        print(f"\r{len(done)}/{count} {done[-1].cluster:<24.24}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    finish = getattr(rows, "finish", None) if whole else None
    return finish(cases, done) if finish else done


def report(arguments: argparse.Namespace, measured: Sequence[Measured], seconds: float) -> dict[str, Any]:
    """Everything that goes into the JSON file."""
    rows, preset = rows_of(arguments.method), presets_of(arguments.method)[arguments.preset]
    cases = [as_case(i, m) for i, m in enumerate(measured)]
    return {
        "method": arguments.method,
        "preset": preset.name,
        "size": preset.size,
        "steps": preset.steps,
        "seed": arguments.seed,
        "sprites": arguments.sprites.name if arguments.sprites else "held out",
        "note": rows.NOTE,
        "seconds": round(seconds, 1),
        "machine": machine.describe(arguments.threads),
        "weights": machine.weight_digests(preset),
        "world": rows.world_digest(),
        "rows": summaries(rows.ROWS, cases),
        "unmeasured": unmeasured(rows.ROWS, cases),
        "cases": cases,
    }


def stale(found: Mapping[str, Any]) -> list[str]:
    """What a results file was measured with and is no longer so: weight files, or the world; empty = it still holds."""
    preset = presets_of(found["method"])[found["preset"]]
    world = [] if rows_of(found["method"]).world_digest() == found["world"] else ["the world"]
    return world + machine.changed_weights(found["weights"], preset)


def remeasure(found: Mapping[str, Any], count: int) -> list[Case]:
    """The first `count` cases of a results file, measured again, without the numbers of the whole set."""
    rows, preset = rows_of(found["method"]), presets_of(found["method"])[found["preset"]]
    return [as_case(i, m) for i, m in enumerate(measure_all(rows, preset, count, found["seed"], None, False))]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; a run with its own sprites or few cases never overwrites the committed files unasked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fidelity", description=__doc__)
    parser.add_argument("--method", required=True, choices=sorted(shelf.key for shelf in catalog.shelves()))
    parser.add_argument("--cases", type=int, help="default: as many as the committed rows need")
    parser.add_argument("--seed", type=int, default=0, help="of the cases")
    parser.add_argument("--sprites", type=Path, help="a folder of RGBA cut-outs (file name = caption) to use instead")
    parser.add_argument("--preset", default="pocket")
    parser.add_argument("--threads", type=int, default=1, help="torch threads on the CPU")
    parser.add_argument("--json", type=Path, help="default: benchmarks/results/fidelity-METHOD.json")
    parser.add_argument("--sheet", type=Path, help="default: docs/fidelity/METHOD.webp")
    given = parser.parse_args(arguments)
    if given.preset not in presets_of(given.method):
        parser.error(f"{given.method} has the presets {', '.join(presets_of(given.method))}")
    least = rows_of(given.method).LEAST
    given.cases = least if given.cases is None else given.cases
    if given.cases < 1:
        parser.error("--cases must be at least 1")
    standard = given.cases >= least and given.sprites is None and given.preset == "pocket"
    if standard:
        given.json = given.json or results_path(given.method)
        given.sheet = given.sheet or sheet_path(given.method)
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the files."""
    given = parse(arguments)
    runtime.configure(threads=given.threads, preset=given.preset)
    preset = presets_of(given.method)[given.preset]
    started = time.perf_counter()
    measured = measure_all(rows_of(given.method), preset, given.cases, given.seed, given.sprites)
    found = report(given, measured, time.perf_counter() - started)
    print(tables.fidelity(found))
    print("\n" + tables.groups(found))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    if given.sheet:
        sheet.write(measured[: getattr(rows_of(given.method), "SHEET", None)], given.sheet)
    return 0


if __name__ == "__main__":
    sys.exit(main())
