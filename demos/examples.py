"""Examples that ship with the repository: thumbnails to click, and what a click fills in."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from demos.widgets import data_uri

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "examples"
CLICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button) trigger('click', { index: Number(button.dataset.index) });
});
"""


@dataclass(frozen=True)
class Example:
    """One example: its files by role and the values of request fields."""

    title: str
    files: Mapping[str, Path]
    fields: Mapping[str, Any]


def load(key: str) -> list[Example]:
    """The examples of a method, in the order of `assets/examples/<key>/index.json`."""
    index = FOLDER / key / "index.json"
    entries = json.loads(index.read_text(encoding="utf-8")) if index.exists() else []
    return [
        Example(e["title"], {role: index.parent / name for role, name in e["files"].items()}, e.get("fields", {}))
        for e in entries
    ]


def strip(key: str, titles: list[str], thumbnails: list[np.ndarray]) -> gr.HTML:
    """A row of buttons; a click sends the example's `index`."""
    buttons = "".join(
        f'<button type="button" data-index="{k}" aria-label="Try: {html.escape(title)}" title="{html.escape(title)}">'
        f'<img alt="" src="{data_uri(picture)}"></button>'
        for k, (title, picture) in enumerate(zip(titles, thumbnails, strict=True))
    )
    value = f'<div class="easel-examples"><b>Try one</b><div>{buttons}</div></div>'
    return gr.HTML(value, js_on_load=CLICK, elem_id=f"{key}-examples", apply_default_css=False)
