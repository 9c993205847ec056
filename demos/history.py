"""The History tab: what this visitor made, in pages, newest first. It is there with `--history` only.

Thumbnails travel inside the value; a picture that is opened is copied into Gradio's cache, so no folder of anybody's
is ever served. The copy is deleted with the picture.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData, GradioModel
from pydantic import Field

from demos.canvas.parts import Quiet, Valued, small_parts, stored
from demos.history_visitor import visitor
from demos.widgets import QUIET
from models import runtime
from models.catalog import SPECS
from models.contract import BadRequest, options
from models.history import Entry, History, private
from models.recipe import Recipe

HERE = Path(__file__).parent
SCRIPTS = ("make.js", "history.js", "history_look.js")
ROOM = 24  # pictures on a page
TOLD = ("seed", "preset", "memory")  # said in other words
NOBODY = "This browser sends no cookie to this page, so nothing can be kept for you; allow cookies and load it again."
_numbers = itertools.count(1)  # of answers: the same one twice has to be news
_copies: dict[Path, Path] = {}  # a picture -> its copy in Gradio's cache


class Seen(GradioModel):  # type: ignore[misc]
    """A picture of the list: its file's name, and what stands under the thumbnail (an address with the data in it)."""

    name: str
    title: str
    words: str
    seed: int
    when: float
    small: str


class Listing(GradioModel):  # type: ignore[misc]
    """One page of the pictures of a method ("" = all); `methods` are key, title and number of each that is there."""

    pictures: list[Seen] = Field(default_factory=list)
    methods: list[tuple[str, str, int]] = Field(default_factory=list)
    method: str = ""
    page: int = 0
    pages: int = 1
    total: int = 0  # of this visitor, whatever the method


class Opened(GradioModel):  # type: ignore[misc]
    """A picture that is looked at: its file and its settings in words."""

    name: str
    title: str
    file: FileData
    settings: list[tuple[str, str]]


class HistoryValue(GradioModel):  # type: ignore[misc]
    """An answer: a listing, a picture to look at, or a sentence alone; what it does not hold stays as it was."""

    listing: Listing | None = None
    opened: Opened | None = None
    note: str = ""
    bad: bool = False
    number: int = 0


class HistoryBoard(Valued, gr.HTML, metaclass=Quiet):  # type: ignore[misc]
    """Events: `look` with a `method` and a `page`, `open` with a `name`, `remove` with `names` and where one looks, and
    `clear`, which deletes all pictures of the visitor."""

    data_model = HistoryValue

    def __init__(self, value: HistoryValue | None = None, **more: Any) -> None:
        unkept = [spec.title for spec in SPECS.values() if private(spec.request)]
        super().__init__(value, **small_parts(HERE, "history", *SCRIPTS), unkept=unkept, **more)


def tab() -> None:
    """Build the tab inside the current `gr.Tab`."""
    shown = HistoryBoard(elem_id="history-board")
    for event, act in (("look", _looked), ("open", _opened), ("remove", _removed), ("clear", _cleared)):
        listen = getattr(shown, event)
        listen(_answering(act), None, shown, queue=False, trigger_mode="multiple", **QUIET)


Given = dict[str, Any]


def _answering(act: Callable[[History, Given], HistoryValue]) -> Callable[..., HistoryValue]:
    """An answer to an event for the visitor who sent it; what is wrong is one sentence, and nothing else changes."""

    def answer(event: gr.EventData, request: gr.Request) -> HistoryValue:
        number = next(_numbers)
        try:
            who = visitor(request)
            if not who:
                raise BadRequest(NOBODY)
            given = event._data if isinstance(event._data, dict) else {}
            value = act(History(Path(runtime.settings.history_dir), who), given)
            value.number = number
            return value
        except BadRequest as error:
            return HistoryValue(note=str(error), bad=True, number=number)

    return answer


def _looked(mine: History, given: Given) -> HistoryValue:
    return HistoryValue(listing=listing(mine, given))


def _opened(mine: History, given: Given) -> HistoryValue:
    name = str(given.get("name", ""))
    told = mine.recipe(name)
    file = stored(mine.data(name), "png", Path(name).stem)
    _copies[mine.folder / name] = Path(file.path)
    title = SPECS[told.method].title
    return HistoryValue(opened=Opened(name=name, title=title, file=file, settings=settings(told)))


def _removed(mine: History, given: Given) -> HistoryValue:
    names = given.get("names")
    deleted = _delete(mine, [one for one in names if isinstance(one, str)] if isinstance(names, list) else [])
    return HistoryValue(listing=listing(mine, given), note=deleted)


def _cleared(mine: History, given: Given) -> HistoryValue:
    deleted = _delete(mine, [entry.name for entry in mine.entries()])
    return HistoryValue(listing=listing(mine, {}), note=deleted)


def _delete(mine: History, names: list[str]) -> str:
    """Delete pictures and their copies; returns what to say."""
    number = mine.delete(names)
    for name in names:
        if copy := _copies.pop(mine.folder / name, None):
            with contextlib.suppress(OSError):
                copy.unlink()
    return f"{number} {'picture' if number == 1 else 'pictures'} deleted."


# --- what is shown


def listing(mine: History, given: Given) -> Listing:
    """The page that is asked for, or the nearest there is; a picture that cannot be drawn is left out."""
    entries = mine.entries()
    count = Counter(entry.method for entry in entries)
    method = next((key for key in count if key == given.get("method")), "")
    found = [entry for entry in entries if method in ("", entry.method)]
    pages = max(1, math.ceil(len(found) / ROOM))
    wanted = given.get("page")
    page = min(max(wanted, 0), pages - 1) if isinstance(wanted, int) else 0
    return Listing(
        pictures=[seen for entry in found[page * ROOM : (page + 1) * ROOM] if (seen := _seen(mine, entry))],
        methods=[(key, SPECS[key].title, count[key]) for key in SPECS if key in count],
        method=method,
        page=page,
        pages=pages,
        total=len(entries),
    )


def _seen(mine: History, entry: Entry) -> Seen | None:
    try:
        small = base64.b64encode(mine.thumbnail(entry.name)).decode()
    except BadRequest:  # its pixels are broken, or it has gone meanwhile
        return None
    return Seen(
        name=entry.name,
        title=SPECS[entry.method].title,
        words=entry.words,
        seed=entry.seed,
        when=entry.when,
        small=f"data:image/webp;base64,{small}",
    )


def settings(told: Recipe) -> list[tuple[str, str]]:
    """The seed, what runs, the time, and each setting that is not at its default, by their labels on the page."""
    spec = SPECS[told.method]
    preset = spec.presets.get(told.preset)
    lines = [("Seed", str(told.seed)), ("Weights", preset.label if preset else told.preset)]
    for name, option in options(spec.request).items():
        value = told.request.get(name)
        usual = ("", spec.request.__dataclass_fields__[name].default)
        if name in TOLD or not isinstance(value, str | int | float) or value in usual:
            continue
        lines.append((option.label, ("off", "on")[value] if isinstance(value, bool) else f"{value}"))
    return [*lines, ("Time", f"{told.seconds:.1f} s on {told.device}")]
