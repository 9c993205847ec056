"""The button under a result that lists where it, or what stands on the left, can go; and the page's head, which tells
a tab that something came for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import GradioModel
from pydantic import Field

from demos.canvas.parts import Quiet, Valued, small_parts

HERE = Path(__file__).parent


class Target(GradioModel):  # type: ignore[misc]
    """A tab that can take it."""

    key: str
    title: str


class SendValue(GradioModel):  # type: ignore[misc]
    """Where the input and the shown result can go, and why one of them cannot; `number` counts the answers."""

    input: list[Target] = Field(default_factory=list)
    result: list[Target] = Field(default_factory=list)
    said: str = ""
    number: int = 0


class SendTo(Valued, gr.HTML, metaclass=Quiet):  # type: ignore[misc]
    """A button with a list. Its event `send` comes with `to`, a tab's key, and `what`, "input" or "result"; with
    neither when the list is opened, and its value is the answer."""

    data_model = SendValue

    def __init__(self, value: SendValue | None = None, **more: Any) -> None:
        super().__init__(value, **small_parts(HERE, "send_to"), **more)


class CourierValue(GradioModel):  # type: ignore[misc]
    """The tab that something came for; `number` counts what came."""

    to: str = ""
    number: int = 0


class Courier(Valued, gr.HTML, metaclass=Quiet):  # type: ignore[misc]
    """HTML that is always on the page and has an event for each tab, by its key: what a tab is filled with is sent to
    that tab's own handler alone, and not to all. It also opens the tab of an Easel picture that is dropped."""

    data_model = CourierValue

    def __init__(self, html: str, titles: Mapping[str, str], **more: Any) -> None:
        script = (HERE / "courier.js").read_text(encoding="utf-8")
        told = f"const titles = {json.dumps(titles)};\nconst places = Object.keys(titles);\n"
        super().__init__(None, html_template=html, js_on_load=told + script, apply_default_css=False, **more)
