"""The whole Compare tab as one component: inputs, methods and axes on the left, the sheet with its cells on the right.

What is chosen belongs to the browser and comes with its events; the value is what Python knows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import GradioModel
from pydantic import Field

from demos.canvas.parts import Quiet, Valued, small_parts
from models.compare.inputs import PLACE, WORDS

HERE = Path(__file__).parent
SCRIPTS = ("make.js", "compare_board.js", "compare_axes.js", "compare_sheet.js", "compare_life.js")


class Seen(GradioModel):  # type: ignore[misc]
    """A thumbnail and what it is."""

    label: str
    address: str


class Input(GradioModel):  # type: ignore[misc]
    """A case as it is shown: its parts as thumbnails, its words by what they are called."""

    name: str
    pictures: list[Seen] = Field(default_factory=list)
    words: list[tuple[str, str]] = Field(default_factory=list)


class Contender(GradioModel):  # type: ignore[misc]
    """A method or a baseline; `lack` is why it cannot take the inputs, "" if it can."""

    key: str
    title: str
    baseline: bool = False
    lack: str = ""


class Axis(GradioModel):  # type: ignore[misc]
    """A request field that can be an axis, and of which methods."""

    name: str
    label: str
    hint: str
    keys: list[str]


class CellSeen(GradioModel):  # type: ignore[misc]
    """A cell: addresses of its picture and its file, "" where it is empty for `reason` or not there yet."""

    row: int
    column: int
    picture: str = ""
    file: str = ""
    caption: str = ""
    reason: str = ""


class Sheet(GradioModel):  # type: ignore[misc]
    """The cells in their places; `files` are addresses of what can be taken away, by name."""

    heading: str = ""
    columns: list[str] = Field(default_factory=list)
    rows: list[str] = Field(default_factory=list)
    cells: list[CellSeen] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    files: dict[str, str] = Field(default_factory=dict)


class Progress(GradioModel):  # type: ignore[misc]
    """Where a run is."""

    done: int = 0
    total: int = 0
    text: str = ""
    part: float = 0.0  # of the cell at hand


class Vote(GradioModel):  # type: ignore[misc]
    """A blind pair, how many are left, and what was said of the last one."""

    left: str = ""
    right: str = ""
    remaining: int = 0
    said: str = ""
    tally: list[tuple[str, int, int, int]] = Field(default_factory=list)  # method, won, lost, tied


class BoardValue(GradioModel):  # type: ignore[misc]
    """Everything that is shown. `estimate` says what the choice will cost, or with `refused` why it cannot be run."""

    inputs: list[Input] = Field(default_factory=list)
    placing: bool = False  # whether there is an object without a place of its own
    contenders: list[Contender] = Field(default_factory=list)
    fields: list[Axis] = Field(default_factory=list)
    estimate: str = ""
    refused: bool = False
    note: str = ""
    bad: bool = False
    running: bool = False
    progress: Progress = Field(default_factory=Progress)
    sheet: Sheet | None = None
    vote: Vote | None = None
    number: int = 0  # of the inputs: another one asks for a new estimate


class CompareBoard(Valued, gr.HTML, metaclass=Quiet):  # type: ignore[misc]
    """Events: `choose` when something is chosen, `bring` with an upload's `path` and `name`, `remove` with an input's
    `place`, `run`, `halt`, and `vote` with a `side`; all come with the `choice` as it is on the page."""

    data_model = BoardValue

    def __init__(self, value: BoardValue | None = None, **more: Any) -> None:
        super().__init__(
            value,
            **small_parts(HERE, "compare_board", *SCRIPTS),
            words=[[name, option.label, option.tip] for name, option in WORDS.items()],
            place=[
                [name, option.label, option.tip, default, option.low, option.high]
                for name, (option, default) in PLACE.items()
                if option.kind == "number"
            ],
            **more,
        )
