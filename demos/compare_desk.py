"""What a visitor has on the Compare tab: inputs, the plan of what is chosen, the cells that are there, votes.

Inputs are arrays in this server's memory, so pictures of people never become files; the folder holds results only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gradio.utils import get_upload_folder

from models import pictures, pixels
from models.compare import cases, grid, inputs, plan, report, votes
from models.compare.axes import split
from models.compare.cases import Case
from models.compare.outcome import Outcome
from models.compare.running import Update
from models.contract import BadRequest
from models.recipe import RECIPE_KEY

MOST_CASES = 8
LIMIT = 60  # cells of one sheet here: others wait for the device meanwhile
SEEN = 512  # pixels on the longer side of a cell's picture on the page
LOOKS = "seen"  # the folder of these


@dataclass(frozen=True)
class Choice:
    """What is chosen on the page, as it came from a browser. `words` and `place` are for inputs that have none."""

    methods: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    crop: bool = False
    paste_back: bool | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    place: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def read(found: Any) -> Choice:
        """From JSON that anyone may have written; raises `BadRequest`."""
        if not isinstance(found, dict):
            return Choice()
        axes = [f"{one.get('name', '')}={one.get('values', '')}" for one in _dicts(found.get("axes"))]
        keeps = {"on": True, "off": False}.get(str(found.get("paste_back")))
        words, place = (_dict(found.get(name)) for name in ("words", "place"))
        return Choice(
            tuple(key[:40] for key in _list(found.get("methods")) if isinstance(key, str)),
            tuple(text[:2000] for text in axes if split(text)[1]),
            found.get("crop") is True,
            keeps,
            {name: str(words[name])[:2000] for name in inputs.WORDS if words.get(name)},
            {name: place[name] for name in inputs.PLACE if place.get(name) not in (None, "")},
        )


@dataclass(eq=False)
class Desk:
    """One visitor's. It is changed in place, so that Stop reaches a comparison that is running."""

    sent: list[Case] = field(default_factory=list)
    scenes: list[tuple[str, np.ndarray]] = field(default_factory=list)
    cutout: np.ndarray | None = None
    planned: plan.Plan | None = None  # of the sheet that is shown
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    folder: Path | None = None
    stop: threading.Event | None = None  # of the run under way
    latest: Update | None = None
    ended: str = ""  # "done", "stopped" or "failed"
    pairs: list[votes.Pair] = field(default_factory=list)
    voted: str = ""  # what the last vote was about, said after it

    @property
    def running(self) -> bool:
        """Whether cells are being drawn."""
        return self.stop is not None

    def add(self, case: Case) -> None:
        """One more input, under a name that no other has; raises `BadRequest` for too many."""
        self._room()
        names = {one.name for one in self.sent}
        number = next(k for k in range(1, MOST_CASES + 2) if (case.name if k == 1 else f"{case.name} {k}") not in names)
        name = case.name if number == 1 else f"{case.name} {number}"
        self.sent.append(dataclasses.replace(case, name=name))

    def bring(self, path: Path, name: str) -> str:
        """An upload: an Easel picture is an input, a cut-out the object of all scenes, anything else a scene. Returns
        what to say; raises `BadRequest`."""
        if _signed(path):
            case = cases.from_png(path)
            self.add(dataclasses.replace(case, name=Path(name).stem[:40] or case.name))
            return "The picture's own inputs and settings are one more input."
        picture = pictures.decode(path, "rgba", name)
        if picture[..., 3].min() < 255:
            self.cutout = picture
            return "The cut-out goes into every scene that was added here."
        self._room()
        self.scenes.append((Path(name).stem[:40] or "scene", np.ascontiguousarray(picture[..., :3])))
        return "One more scene."

    def remove(self, number: int) -> None:
        """Take the input of this number away; the object goes with the last scene."""
        if 0 <= number < len(self.sent):
            del self.sent[number]
        elif 0 <= number - len(self.sent) < len(self.scenes):
            del self.scenes[number - len(self.sent)]
        if not self.scenes:
            self.cutout = None

    def cases(self, choice: Choice) -> list[Case]:
        """All inputs, with the chosen words where they have none; raises `BadRequest`."""
        found = [worded(case, choice.words) for case in self.sent]
        if self.scenes:
            names, scenes = [name for name, _ in self.scenes], [scene for _, scene in self.scenes]
            values = {**choice.place, **choice.words}
            found += inputs.made(scenes, names, self.cutout, (), (), values)
        elif self.cutout is not None and not found:
            raise BadRequest("The object needs a scene; please add one.")
        names = inputs.numbered([case.name for case in found])
        return [dataclasses.replace(case, name=name) for case, name in zip(found, names, strict=True)]

    def grid(self, choice: Choice) -> grid.Grid:
        """What is chosen, as cells; raises `BadRequest`."""
        methods = ", ".join(choice.methods) or grid.ALL
        return grid.build(self.cases(choice), methods, choice.axes, choice.crop, choice.paste_back)

    def begin(self, choice: Choice) -> tuple[plan.Plan, Path, threading.Event]:
        """Make ready for a run: what is finished already stays. Raises `BadRequest`."""
        if self.running:
            raise BadRequest("A comparison is running already; please stop it first.")
        planned = plan.make(self.grid(choice), LIMIT)
        folder = self.folder or Path(get_upload_folder()) / uuid.uuid4().hex
        (folder / LOOKS).mkdir(parents=True, exist_ok=True)
        self.planned, self.folder, self.stop, self.ended = planned, folder, threading.Event(), ""
        self.outcomes, self.latest, self.pairs, self.voted = {}, None, [], ""
        return planned, folder, self.stop

    def heard(self, update: Update) -> None:
        """Keep news of a run, and a small copy of a picture that is there."""
        self.latest = update
        if update.outcome is None or self.planned is None or self.folder is None:
            return
        self.outcomes[update.run.id] = update.outcome
        if not update.outcome.file:
            return
        file = self.folder / report.CELLS / Path(update.outcome.file).name
        picture = self.planned.grid.cases[update.outcome.case].shown(pictures.decode(file, "rgb", update.outcome.title))
        small = pixels.resize(picture, pixels.fit_within((picture.shape[0], picture.shape[1]), SEEN))
        look(self.folder, update.run.id).write_bytes(pictures.encode(np.ascontiguousarray(small), 1))

    def end(self, ended: str) -> None:
        """The run is over."""
        self.stop, self.ended = None, ended
        self.pairs = votes.pairs(list(self.outcomes.values()))

    def vote(self, choice: str) -> None:
        """Count a vote for the pair at hand and go on to the next; raises `BadRequest`."""
        if not self.pairs or self.folder is None:
            raise BadRequest("There is no pair to vote on; please compare two methods first.")
        pair = self.pairs[0]
        votes.vote(self.folder, pair, choice)
        self.pairs = self.pairs[1:]
        self.voted = f"Left was {pair.left.title}, right was {pair.right.title}."

    def _room(self) -> None:
        if len(self.sent) + len(self.scenes) >= MOST_CASES:
            raise BadRequest(f"{MOST_CASES} inputs are the most; please remove one first.")


def look(folder: Path, id: str) -> Path:
    """The small copy of a cell's picture."""
    return folder / LOOKS / f"{id}.png"


def worded(case: Case, words: Mapping[str, str]) -> Case:
    """The case with these words where it has none of its own."""
    bundle = case.bundle
    told = {name: text for name, text in words.items() if not bundle.prompts.get(name, "").strip()}
    of_object = told.pop("object_prompt", "")
    placed = bundle.placed
    if placed is not None and of_object and not placed.prompt.strip():
        placed = dataclasses.replace(placed, prompt=of_object)
    own = case.own
    if own is not None:
        lacking = {name: text for name, text in told.items() if getattr(own, name, None) == ""}
        with contextlib.suppress(BadRequest):  # words that do not fit its layers, say: its own stay
            own = own.replace(**lacking)
    changed = dataclasses.replace(bundle, placed=placed, prompts={**bundle.prompts, **told})
    return dataclasses.replace(case, bundle=changed, own=own)


def _signed(path: Path) -> bool:
    """Whether a file says that it carries a recipe, which stands before its pixels."""
    with path.open("rb") as file:
        return RECIPE_KEY.encode() in file.read(200_000)


def _dict(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _dicts(found: Any) -> list[dict[str, Any]]:
    return [one for one in _list(found) if isinstance(one, dict)]


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []
