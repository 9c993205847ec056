"""Draw a plan's cells one after the other, each through `runtime.run`, and keep what is finished. Plain at import."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models import baselines, catalog, runtime
from models.compare import measures, outputs, pace, report
from models.compare.grid import Grid, title
from models.compare.outcome import Outcome
from models.compare.plan import Plan, Run
from models.contract import BadRequest, MissingWeights, OutOfMemory, Request, Result, Step, Stopped
from models.recipe import Recipe, read_png, write_png
from models.replay import identify

log = logging.getLogger(__name__)
Drawn = tuple[np.ndarray, Recipe, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Update:
    """News of a comparison: `done` of `total` cells; the cell at hand with its step or, once it is there, its outcome;
    `seconds_left` by what the runs so far took, None while that is unknown."""

    done: int
    total: int
    run: Run
    step: Step | None = None
    outcome: Outcome | None = None
    seconds_left: float | None = None


def compare(
    plan: Plan, folder: Path, stop: threading.Event | None = None, resume: bool = False, patience: float | None = None
) -> Generator[Update, None, None]:
    """Yield news while the cells are drawn into `folder`, where in the end the sheet, the page and the tables are.

    A cell that fails is empty and says why. With `resume` cells that are finished there are not drawn again, unless
    their weights are others by now. Stopping or closing keeps what is there, sheet included; a run ended by `stop`
    raises `Stopped` after that. `patience` is that of `runtime.run`. Raises `BadRequest` for a folder of no use.
    """
    stop = stop or threading.Event()
    outcomes = _opened(plan, folder, resume)
    begun = _Pace(plan)
    try:
        for number, run in enumerate(plan.runs):
            if stop.is_set():
                raise Stopped
            if run.id not in outcomes:
                outcomes[run.id] = yield from _cell(plan, run, folder, stop, patience, begun, number)
                report.write(plan, outcomes, folder)
            begun.finished(run)
            yield Update(number + 1, len(plan.runs), run, None, outcomes[run.id], begun.left())
    finally:
        report.write(plan, outcomes, folder)
        outputs.write(plan.grid, [outcomes[run.id] for run in plan.runs if run.id in outcomes], folder)


def _opened(plan: Plan, folder: Path, resume: bool) -> dict[str, Outcome]:
    """What the folder holds of this plan already."""
    if not resume and (folder / report.REPORT).exists():
        raise BadRequest(f"{folder} holds a comparison already; resume it, or choose another folder.")
    try:
        (folder / report.CELLS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(f"The folder {folder} cannot be used ({error.strerror}); please choose another.") from None
    found = report.read(folder) if resume else {}
    now = {needs: _told(map(identify, needs)) for needs in {run.needs for run in plan.runs if run.id in found}}
    kept = [run for run in plan.runs if run.id in found and _drawn_with(folder, found[run.id]) == now[run.needs]]
    return {run.id: found[run.id] for run in kept}


def _drawn_with(folder: Path, outcome: Outcome) -> object:
    """The weights that the recipe in a cell's file names, None where it says nothing."""
    try:
        return _told(read_png(folder / report.CELLS / Path(outcome.file).name)[0].weights.values())
    except BadRequest:
        return None


def _told(weights: Iterable[Mapping[str, str]]) -> object:
    return {frozenset(one.items()) for one in weights}


class _OneStop(threading.Event):
    """The stop of one run, which a finished run raises itself; the stop of the whole comparison raises it too."""

    def __init__(self, whole: threading.Event) -> None:
        super().__init__()
        self._whole = whole

    def is_set(self) -> bool:
        return super().is_set() or self._whole.is_set()


class _Pace:
    """What the runs so far took, and what that says of those to come."""

    def __init__(self, plan: Plan) -> None:
        self._left = [run for run in plan.runs if not (run.cell.baseline or run.reason)]
        self._known = pace.known()
        self._warm: set[Any] = set()

    def took(self, run: Run, seconds: float) -> None:
        """Learn from a run; the first one with some components also loaded them."""
        if run.needs in self._warm:
            pace.add(run.cell.key, run.preset, run.steps, seconds)
            self._known = pace.known()
        self._warm.add(run.needs)

    def finished(self, run: Run) -> None:
        self._left = [one for one in self._left if one is not run]

    def left(self) -> float | None:
        each = [pace.per_step(self._known, run.cell.key, run.preset) for run in self._left]
        if None in each:
            return None
        return sum((one or 0.0) * run.steps for one, run in zip(each, self._left, strict=True))


def _cell(
    plan: Plan, run: Run, folder: Path, stop: threading.Event, patience: float | None, begun: _Pace, done: int
) -> Generator[Update, None, Outcome]:
    """One cell: its picture in its file and its numbers, or why there is none."""
    empty = _described(plan.grid, run)
    if run.reason:
        return Outcome(**empty, reason=run.reason)
    peak = measures.Peak()
    try:
        request = plan.grid.request(run.cell)
        if run.cell.baseline:
            picture, recipe, inputs = _baseline(run, request)
        else:
            picture, recipe, inputs = yield from _method(plan, run, request, stop, patience, peak, done)
            begun.took(run, recipe.seconds)
        peak.look()
        file = f"{report.CELLS}/{run.cell.key}-{run.id}.png"
        write_png(folder / file, picture, recipe, inputs)
        numbers = _measured(plan.grid, run, picture)
    except (BadRequest, MissingWeights, OutOfMemory) as error:
        return Outcome(**empty, reason=str(error))
    except (Stopped, GeneratorExit):
        raise
    except Exception as error:  # one broken cell must not cost the others
        log.exception("A cell failed")
        return Outcome(**empty, reason=f"Something failed inside the app ({type(error).__name__}); its log says what.")
    said = recipe.facts.get("note") or recipe.facts.get("warning") or ""
    more = {"seed": None if run.cell.baseline else recipe.seed, "note": str(said)}
    return Outcome(**{**empty, **more}, file=file, seconds=recipe.seconds, peak_megabytes=peak.megabytes, **numbers)


def _described(grid: Grid, run: Run) -> dict[str, Any]:
    cell = run.cell
    return {
        "id": run.id,
        "case": cell.case,
        "case_name": grid.cases[cell.case].name,
        "key": cell.key,
        "title": title(cell.key),
        "fields": dict(cell.fields),
        "preset": run.preset,
        "steps": run.steps,
    }


def _baseline(run: Run, request: Request) -> Drawn:
    assert isinstance(request, baselines.BaselineRequest)
    started = time.perf_counter()
    picture, note = baselines.BASELINES[run.cell.key].draw(request)
    return picture, *baselines.record(run.cell.key, request, time.perf_counter() - started, note)


def _method(
    plan: Plan,
    run: Run,
    request: Request,
    stop: threading.Event,
    patience: float | None,
    peak: measures.Peak,
    done: int,
) -> Generator[Update, None, Drawn]:
    total, key = len(plan.runs), run.cell.key
    with contextlib.closing(runtime.run(key, request, _OneStop(stop), patience)) as events:
        for event in events:
            peak.look()
            if isinstance(event, Result):
                recipe, inputs = runtime.recorded(key, request, event)
                return event.images[0], recipe, inputs
            yield Update(done, total, run, event)
    raise RuntimeError(f"{catalog.SPECS[key].title} ended without a result")


def _measured(grid: Grid, run: Run, picture: np.ndarray) -> Mapping[str, Any]:
    case = grid.cases[run.cell.case]
    words = measures.words(case)
    score = measures.similarity(measures.focus(case, case.shown(picture)), words) if words else None
    return {**measures.kept(case, picture), "similarity": score}
