"""How the two models shared a picture: a strip of small maps, which a slider in the browser goes through by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData, GradioModel
from pydantic import Field

from demos.canvas.parts import Quiet, Valued, small_parts
from demos.output import Shown
from demos.result import Figure

HERE = Path(__file__).parent
ROWS = ("Where the scene model looked", "Where the people's model looked", "Who drew it")


class MapsValue(GradioModel):  # type: ignore[misc]
    """The strip, a column for each of `steps` (iterations from 0), and the part of the picture, 0..1, that the people's
    model drew in each."""

    strip: FileData | None = None
    steps: list[int] = Field(default_factory=list)
    areas: list[float] = Field(default_factory=list)


class FaceMaps(Valued, gr.HTML, metaclass=Quiet):  # type: ignore[misc]
    """Shows a `MapsValue`, folded; the strip is fetched when it is opened."""

    data_model = MapsValue

    def __init__(self, title: str, text: str, value: MapsValue | None = None, **more: Any) -> None:
        super().__init__(value, **small_parts(HERE, "face_maps"), title=title, text=text, rows=list(ROWS), **more)


class MapsFigure(Figure):
    """A figure that is a strip of maps."""

    def component(self, elem_id: str) -> Any:
        """The fold, empty until a run."""
        return FaceMaps(self.title, self.text, elem_id=elem_id)

    def drawn(self, shown: Shown, name: str) -> MapsValue:
        """The maps of a result; none where the models never ran together."""
        steps, areas = shown.facts.get("fused_steps", ()), shown.facts.get("area", ())
        if name not in shown.extras or not steps:
            return MapsValue()
        strip = FileData(path=shown.extras[name], mime_type="image/png")
        return MapsValue(strip=strip, steps=list(steps), areas=list(areas))
