"""From a grid to runs in their order, and what they will cost, said before the first one. Plain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models import catalog, inventory, loading, runtime
from models.compare import pace
from models.compare.grid import Cell, Grid, title
from models.compare.ordering import Needs, cost, ordered
from models.contract import BadRequest, Preset

LIMIT = 400  # cells of one sheet


@dataclass(frozen=True)
class Run:
    """One cell that is to be drawn. `reason`: why it stays empty, known beforehand; "" if it can be tried."""

    cell: Cell
    id: str
    preset: str = ""
    memory: str = ""
    steps: int = 0
    needs: Needs = frozenset()
    reason: str = ""


@dataclass(frozen=True)
class Estimate:
    """What a comparison will cost. `seconds` is None where a preset's pace is not known yet; `memory_gigabytes` is of
    the largest preset, on the device; `missing`: presets whose weights are not on this machine."""

    pictures: int
    baselines: int
    empty: int
    seconds: float | None
    loads: int  # components
    load_gigabytes: float
    memory_gigabytes: float
    missing: tuple[str, ...] = ()

    def sentence(self) -> str:
        """What a person reads before the run."""
        parts = [_many(self.pictures, "picture")]
        parts += [_many(self.baselines, "baseline")] if self.baselines else []
        time = "time not known yet" if self.seconds is None else f"about {duration(self.seconds)}"
        parts += [time, f"{_many(self.loads, 'model part')} to load ({self.load_gigabytes:.2g} GB)"]
        if self.memory_gigabytes:
            parts.append(f"{self.memory_gigabytes:.2g} GB of memory for models")
        parts += [f"{_many(self.empty, 'cell')} left empty"] if self.empty else []
        parts += [f"weights not here: {', '.join(self.missing)}"] if self.missing else []
        return "; ".join(parts) + "."


@dataclass(frozen=True, eq=False)
class Plan:
    """A grid's runs in the order in which they are made, baselines first, and their cost."""

    grid: Grid
    runs: tuple[Run, ...]
    estimate: Estimate


def make(grid: Grid, limit: int = LIMIT) -> Plan:
    """Order the runs so that models are loaded least; raises `BadRequest` with the cost for more than `limit` cells."""
    if grid.size > limit:
        raise BadRequest(
            f"This grid has {grid.size:,} cells, {_rough(grid)}; the limit is {limit}, so please use fewer values."
        )
    known: dict[Any, tuple[Run | None, str]] = {}
    runs = [_run(grid, cell, known) for cell in grid.cells()]
    first = [run for run in runs if run.cell.baseline or run.reason]
    drawn = [run for run in runs if not (run.cell.baseline or run.reason)]
    order = ordered([run.needs for run in drawn])
    runs = [*first, *(drawn[place] for place in order)]
    return Plan(grid, tuple(runs), estimate(runs))


def estimate(runs: list[Run]) -> Estimate:
    """The cost of runs in this order, by what is known of their pace."""
    drawn = [run for run in runs if not (run.cell.baseline or run.reason)]
    paces = pace.known()
    seconds = [_seconds(paces, run) for run in drawn]
    loads, before = (0.0, 0), frozenset[Any]()
    for run in drawn:
        more = cost(before, run.needs)
        loads, before = (loads[0] + more[0], loads[1] + more[1]), run.needs
    used = {(run.cell.key, run.preset, run.memory) for run in drawn}
    presets = [(title(key), catalog.SPECS[key].presets[name], mode) for key, name, mode in sorted(used)]
    return Estimate(
        pictures=len(drawn),
        baselines=sum(run.cell.baseline and not run.reason for run in runs),
        empty=sum(bool(run.reason) for run in runs),
        seconds=None if None in seconds else round(sum(one for one in seconds if one is not None), 1),
        loads=loads[1],
        load_gigabytes=round(loads[0] or _on_disk(drawn), 3),
        memory_gigabytes=max([_memory(preset, mode) for _, preset, mode in presets] + _sizes(drawn), default=0.0),
        missing=tuple(dict.fromkeys(f"{name}, {p.name}" for name, p, _ in presets if inventory.missing(p))),
    )


def duration(seconds: float) -> str:
    """ "40 s", "3 min", "1 h 20 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60:,} h {minutes % 60} min"


def _run(grid: Grid, cell: Cell, known: dict[Any, tuple[Run | None, str]]) -> Run:
    """A cell's run; cells that differ by their seed alone need the same."""
    same = (cell.case, cell.key, tuple(sorted((n, str(v)) for n, v in cell.fields.items() if n != "seed")))
    if same not in known:
        known[same] = _looked_at(grid, cell)
    found, reason = known[same]
    if found is None:
        return Run(cell, grid.identify(cell), reason=reason)
    return Run(cell, grid.identify(cell), found.preset, found.memory, found.steps, found.needs)


def _looked_at(grid: Grid, cell: Cell) -> tuple[Run | None, str]:
    try:
        request = grid.request(cell)
        if cell.baseline:
            return Run(cell, ""), ""
        spec = catalog.SPECS[cell.key]
        resolved, preset = runtime.resolve(spec, request)
    except BadRequest as error:
        return None, str(error)
    needs = frozenset(spec.needed(preset, resolved).values())
    return Run(cell, "", preset.name, resolved.memory, resolved.steps, needs), ""


def _seconds(paces: pace.Paces, run: Run) -> float | None:
    step = pace.per_step(paces, run.cell.key, run.preset)
    return None if step is None else step * run.steps


def _rough(grid: Grid) -> str:
    """The cost of a grid that is too large to be looked at cell by cell."""
    steps = next((axis.values for axis in grid.axes if axis.name == "steps"), (0,))
    each: list[float | None] = []
    paces, drawn = pace.known(), [key for key in grid.methods if key in catalog.SPECS]
    for key in drawn:
        spec = catalog.SPECS[key]
        preset = spec.presets[runtime.choose_preset(spec, "auto")]
        step = pace.per_step(paces, key, preset.name)
        mean = sum(count or preset.steps for count in steps) / len(steps)
        each.append(None if step is None else step * mean)
    if not each or None in each:
        return "and how long they take is not known yet"
    cells = grid.size / len(grid.methods)
    return f"about {duration(cells * sum(one for one in each if one is not None))}"


def _on_disk(runs: list[Run]) -> float:
    """Gigabytes of the shipped files that the runs read, whose presets state no download."""
    folders = {loading.folder(w) for run in runs for w in run.needs if w.local}
    return sum(p.stat().st_size for where in folders for p in where.glob("*") if p.is_file()) / 1e9


def _sizes(runs: list[Run]) -> list[float]:
    """What the shipped components of each kind of run take at least: their files."""
    return [round(_on_disk([run]), 3) for run in {run.needs: run for run in runs}.values()]


def _memory(preset: Preset, mode: str) -> float:
    modes: Mapping[str, float] = preset.memory_gigabytes
    return float(modes.get(mode, 0.0))


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
