"""Who draws when: a bar of the run with two ends, the scene alone before the first and the people after the second."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import GradioModel

from demos.canvas.parts import Quiet, Valued, small_parts
from demos.face_chips import NOBODY
from demos.widgets import note
from models import runtime
from models.contract import BadRequest
from models.facediffuser.markers import MARKER
from models.facediffuser.spec import BALANCED, FaceRequest
from models.facediffuser.stages import TIMELINES

HERE = Path(__file__).parent
FIELDS = ("scene_until", "subject_from")
ANYBODY = f"a person {MARKER}"  # stages are the same for every prompt


class Ends(GradioModel):  # type: ignore[misc]
    """Both ends as fractions of the run, the first no later than the second."""

    scene_until: float = BALANCED.scene_until
    subject_from: float = BALANCED.subject_from


class FaceTimeline(Valued, gr.HTML, metaclass=Quiet):  # type: ignore[misc]
    """A bar whose two ends are dragged, or moved by arrows. Its event is `input`, whenever an end has moved."""

    data_model = Ends

    def __init__(self, value: Ends | None = None, **more: Any) -> None:
        named = [[line.label, line.scene_until, line.subject_from] for line in TIMELINES.values()]
        super().__init__(value or Ends(), **small_parts(HERE, "face_timeline"), presets=named, **more)

    def preprocess(self, payload: Ends | None) -> Ends:
        """The value with both ends in 0..1 and in order: anyone can post anything."""
        given = payload or Ends()
        first, last = _fraction(given.scene_until, BALANCED.scene_until), _fraction(given.subject_from, 1.0)
        return Ends(scene_until=min(first, last), subject_from=last)


def read_ends(ends: Ends) -> dict[str, float]:
    """The request fields of the bar."""
    return {name: getattr(ends, name) for name in FIELDS}


def write_ends(fields: Mapping[str, Any]) -> Ends:
    """The bar of these request fields; one that is missing is as on a new page."""
    return Ends(**{name: fields[name] for name in FIELDS if name in fields})


def readout(ends: Ends, variant: str, ladder: bool, sampler: str, steps: int, preset: str) -> str:
    """A line of HTML: the steps of each stage and what they cost; nothing for settings that cannot be run."""
    chosen = {"variant": variant, "sampler": sampler, "steps": steps, "preset": preset}
    fields: dict[str, Any] = {**read_ends(ends), **chosen}
    try:
        told = runtime.describe("facediffuser", FaceRequest(references=(NOBODY,), prompt=ANYBODY, **fields))
    except BadRequest:
        return note("")
    compared = ", then each model alone" if ladder else ""
    return note(f"{told['stages']} · {told['evaluations']} network calls a picture{compared}")


def _fraction(value: float, usual: float) -> float:
    return round(min(max(value, 0.0), 1.0), 4) if math.isfinite(value) else usual
