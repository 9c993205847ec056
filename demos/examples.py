"""Examples that ship with the repository: thumbnails to click, and what a click fills in."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "examples"
CLICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button) trigger('click', { index: Number(button.dataset.index) });
});
"""


@dataclass(frozen=True)
class Example:
    """One example: its files by role, roles of several files apart, and the values of request fields."""

    title: str
    thumbnail: Path
    files: Mapping[str, Path]
    fields: Mapping[str, Any]
    lists: Mapping[str, tuple[Path, ...]]


def load(key: str) -> list[Example]:
    """The examples of a method, in the order of `assets/examples/<key>/index.json`."""
    index = FOLDER / key / "index.json"
    entries = json.loads(index.read_text(encoding="utf-8")) if index.exists() else []
    return [
        Example(
            e["title"],
            index.parent / e["thumbnail"],
            {role: index.parent / name for role, name in e["files"].items() if isinstance(name, str)},
            e.get("fields", {}),
            {role: tuple(index.parent / name for name in names) for role, names in _lists(e["files"])},
        )
        for e in entries
    ]


def _lists(files: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    return [(role, names) for role, names in files.items() if isinstance(names, list)]


def strip(key: str, shown: Sequence[Example]) -> gr.HTML:
    """A row of buttons; a click sends the example's `index`. The page must be launched with `FOLDER` allowed."""
    buttons = "".join(_button(number, example) for number, example in enumerate(shown))
    value = f'<div class="easel-examples"><b>Try one</b><div>{buttons}</div></div>'
    return gr.HTML(value, js_on_load=CLICK, elem_id=f"{key}-examples", apply_default_css=False)


def _button(number: int, example: Example) -> str:
    title = html.escape(example.title)
    address = f"gradio_api/file={quote(example.thumbnail.as_posix())}"  # relative: a proxy may serve us under a path
    picture = f'<img alt="" src="{address}" loading="lazy">'
    return f'<button type="button" data-index="{number}" aria-label="Try: {title}" title="{title}">{picture}</button>'
