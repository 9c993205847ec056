"""The Models page as one component: what a download, the memory and the table of presets look like is Python's, and the
script asks for it again while the page is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import GradioModel

from demos.canvas.parts import Quiet, Valued, small_parts


class BoardValue(GradioModel):  # type: ignore[misc]
    """Three parts as HTML, how much of the disk is `free`, a line that says what was done, and a `stamp` that changes
    with the parts."""

    job: str = ""
    memory: str = ""
    table: str = ""
    free: str = ""
    note: str = ""
    bad: bool = False
    stamp: str = ""


class ModelsBoard(Valued, gr.HTML, metaclass=Quiet):  # type: ignore[misc]
    """Events: `look` with the `stamp` that is shown, `dismiss` with a component's `key`, `free`, `halt`, `check` with
    `method` and `preset`, `fetch` with these and a `token` or ""."""

    data_model = BoardValue

    def __init__(self, value: BoardValue | None = None, **more: Any) -> None:
        super().__init__(value, **small_parts(Path(__file__).parent, "models_board"), **more)
