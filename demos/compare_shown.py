"""What the Compare tab shows of a visitor's desk."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from demos.compare_board import Axis, BoardValue, CellSeen, Contender, Input, Progress, Seen, Sheet, Vote
from demos.compare_desk import LIMIT, Choice, Desk, look
from demos.widgets import data_uri
from models import bundles, pixels
from models.baselines import BASELINES
from models.catalog import SPECS
from models.compare import cases, grid, plan, report, votes
from models.compare.arranging import arrange
from models.compare.cases import Case
from models.compare.inputs import WORDS
from models.compare.notes import notes
from models.compare.sheet import caption
from models.contract import PICTURES, BadRequest, Option, options

SMALL = 144  # pixels on the longer side of a thumbnail
MOST_LAYERS = 8  # thumbnails of an input
FIRST = ("seed", "steps", "guidance_scale")  # of the fields that an axis is offered for
NOT_VARIED = ("num_images", "memory")
_numbers = itertools.count(1)


def board(desk: Desk, choice: Choice, *, note: str = "", bad: bool = False, fresh: bool = False) -> BoardValue:
    """Everything; `fresh` says that the inputs are others than before, so that the page asks for an estimate."""
    value = BoardValue(note=note, bad=bad, fields=FIELDS, running=desk.running, number=next(_numbers) if fresh else 0)
    try:
        given = desk.cases(choice)
    except BadRequest as error:
        return _with(value, contenders=contenders([]), estimate=str(error), refused=True, sheet=sheet(desk))
    estimate, refused = _estimate(desk, choice, given)
    told: dict[str, Any] = {"inputs": [shown_input(case) for case in given], "contenders": contenders(given)}
    told |= {"estimate": estimate, "refused": refused, "placing": bool(desk.scenes) and desk.cutout is not None}
    return _with(value, **told, progress=progress(desk), sheet=sheet(desk), vote=vote(desk))


def running(value: BoardValue, desk: Desk) -> BoardValue:
    """The same while a run goes on: only its progress and its cells change."""
    return _with(value, running=desk.running, progress=progress(desk), sheet=sheet(desk), note="", bad=False)


def _with(value: BoardValue, **changes: object) -> BoardValue:
    changed: BoardValue = value.model_copy(update=changes)
    return changed


def _estimate(desk: Desk, choice: Choice, given: list[Case]) -> tuple[str, bool]:
    if not given:
        return "", False
    try:
        return plan.make(desk.grid(choice), LIMIT).estimate.sentence(), False
    except BadRequest as error:
        return str(error), True


# --- on the left


def shown_input(case: Case) -> Input:
    """A case's parts as thumbnails and its words."""
    words = [(WORDS[n].label if n in WORDS else n, text) for n, text in case.bundle.prompts.items() if text.strip()]
    placed = case.bundle.placed
    if placed is not None and placed.prompt.strip():
        words.append((WORDS["object_prompt"].label, placed.prompt))
    pictures = [Seen(label=label, address=_thumbnail(picture)) for label, picture in _pictures(case)]
    return Input(name=case.name, pictures=pictures, words=words)


def _pictures(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    bundle = case.bundle
    if bundle.scene is not None:
        scene = bundle.scene
        if bundle.placed is not None:
            yield "scene and object", bundles.over(scene, [bundle.placed])
        elif bundle.layers:
            yield "the layers", bundles.over(scene, bundle.layers)
        else:
            yield "scene", scene
    if bundle.mask is not None:
        yield "mask", np.dstack([bundle.mask] * 3)
    objects = [bundle.placed] if bundle.placed is not None else list(bundle.layers)
    for placed in objects[-MOST_LAYERS:]:
        left, top, right, bottom = pixels.alpha_box(placed.image[..., 3]) or (0, 0, 1, 1)
        yield placed.prompt[:24] or "object", pixels.flatten(np.ascontiguousarray(placed.image[top:bottom, left:right]))
    for number, picture in enumerate(bundle.references, 1):
        yield f"person {number}", picture


def _thumbnail(picture: np.ndarray) -> str:
    size = pixels.fit_within((picture.shape[0], picture.shape[1]), SMALL)
    return data_uri(np.ascontiguousarray(pixels.resize(picture, size)))


def contenders(given: list[Case]) -> list[Contender]:
    """Every method and baseline, with why it cannot take any of the inputs."""
    return [
        Contender(key=key, title=title, baseline=key in BASELINES, lack=_lack(key, given))
        for key, title in grid.available().items()
    ]


def _lack(key: str, given: list[Case]) -> str:
    said = "There is no input yet."
    for case in given:
        try:
            if key in BASELINES:
                BASELINES[key].take(case.bundle)
            else:
                fields, _ = cases.fields_of(SPECS[key], case)
                SPECS[key].request(**fields)
            return ""
        except BadRequest as error:
            said = str(error)
    return said


def _fields() -> list[Axis]:
    """The request fields that can be axes, those that one varies first before the others."""
    found: dict[str, tuple[Option, list[str]]] = {}
    for key, spec in SPECS.items():
        for name, option in options(spec.request).items():
            if option.kind not in (*PICTURES, "layers", "pictures") and name not in NOT_VARIED:
                found.setdefault(name, (option, []))[1].append(key)
    names = [*FIRST, *(name for name in found if name not in FIRST)]
    return [Axis(name=n, label=found[n][0].label, hint=_hint(n, found[n][0]), keys=found[n][1]) for n in names]


def _hint(name: str, option: Option) -> str:
    """An example of what can be written."""
    if name == "seed":
        return "1-3 or 1, 5, 9"
    if name == "preset":
        return "pocket, full"
    if option.kind == "flag":
        return "on, off"
    if option.kind == "choice":
        return ", ".join(option.choices)
    if option.kind == "integer":
        return "10, 20 or 10..40 step 10"
    return "0..1 step 0.25 or 0.5, 2" if option.kind == "number" else "texts, with || between"


FIELDS = _fields()


# --- on the right


def address(path: Path, number: int | str = "") -> str:
    """Where the page finds a file of Gradio's cache; another `number` is another version of it."""
    return f"gradio_api/file={path}" + (f"?{number}" if number else "")


def progress(desk: Desk) -> Progress:
    """Where a run is, in words and as a share."""
    news = desk.latest
    if news is None:
        return Progress(text="Preparing…")
    cell = f"Cell {min(news.done + (news.outcome is None), news.total)} of {news.total}"
    parts = [f"{cell}: {grid.title(news.run.cell.key)}"]
    step = news.step
    if step is not None and (step.note or step.total):
        parts.append(step.note or f"step {step.done} of {step.total}")
    if news.seconds_left:
        parts.append(f"{plan.duration(news.seconds_left)} left")
    part = step.done / step.total if step is not None and step.total and news.outcome is None else 0.0
    return Progress(done=news.done, total=news.total, text=", ".join(parts), part=part)


def sheet(desk: Desk) -> Sheet | None:
    """The cells that are there, each in its place."""
    planned, folder = desk.planned, desk.folder
    if planned is None or folder is None:
        return None
    arranged = arrange(planned.grid)
    cells = [
        _cell(desk, folder, row, column, arranged.ids[row, column])
        for row in range(len(arranged.rows))
        for column in range(len(arranged.columns))
    ]
    files: Mapping[str, str] = {}
    if desk.ended in ("done", "stopped"):
        named = {"page": report.PAGE, "sheet": report.SHEET, "table": report.TABLE, "report": report.REPORT}
        stamp = (folder / report.REPORT).stat().st_mtime_ns if (folder / report.REPORT).exists() else 0
        files = {name: address(folder / file, stamp) for name, file in named.items() if (folder / file).exists()}
    heading = f"Stopped; {arranged.heading}" if desk.ended == "stopped" else arranged.heading
    return Sheet(
        heading=heading,
        columns=list(arranged.columns),
        rows=list(arranged.rows),
        cells=cells,
        notes=list(notes(planned.grid)),
        files=dict(files),
    )


def _cell(desk: Desk, folder: Path, row: int, column: int, id: str) -> CellSeen:
    outcome = desk.outcomes.get(id)
    if outcome is None:
        waits = "" if desk.running else "Not drawn yet"
        return CellSeen(row=row, column=column, reason=waits)
    if not outcome.file:
        return CellSeen(row=row, column=column, reason=outcome.reason)
    picture, file = address(look(folder, id)), address(folder / report.CELLS / Path(outcome.file).name)
    return CellSeen(row=row, column=column, picture=picture, file=file, caption=caption(outcome))


def vote(desk: Desk) -> Vote | None:
    """The pair to vote on, whose methods are not told, and how often each won."""
    if desk.folder is None or desk.running or not (desk.pairs or desk.voted):
        return None
    sides = ("", "")
    if desk.pairs:
        pair = desk.pairs[0]
        sides = (address(look(desk.folder, pair.left.id)), address(look(desk.folder, pair.right.id)))
    found = votes.tally(desk.folder)
    lines = [(grid.title(k), n["won"], n["lost"], n["tied"]) for k, n in found.items() if k in grid.available()]
    lines.sort(key=lambda line: (-line[1], line[2]))
    return Vote(left=sides[0], right=sides[1], remaining=len(desk.pairs), said=desk.voted, tally=lines)
