"""The Models tab: which presets are ready, what the others need, under which licence, and whether files are sound."""

from __future__ import annotations

import html

import gradio as gr

from demos.widgets import QUIET, note
from models import inventory, runtime

COLUMNS = ("Task", "Models", "State", "Download", "Memory", "Licence")
STATES = {"ready": "Ready", "missing": "Not downloaded", "gated": "Licence first"}
WORDS = """<p class="easel-about"><span>Nothing is downloaded without your yes: the commands below state the size and
the licence, and ask.</span></p>"""


def tab() -> None:
    """Build the tab inside the current `gr.Tab`."""
    gr.HTML(WORDS, apply_default_css=False)
    table = gr.HTML(_table(), elem_id="models-table", apply_default_css=False)
    with gr.Row():
        refresh = gr.Button("Look again", size="sm", scale=0, min_width=200, elem_id="models-refresh")
        verify = gr.Button("Check the shipped files", size="sm", scale=0, min_width=200, elem_id="models-verify")
        free = gr.Button("Free memory", size="sm", scale=0, min_width=200, elem_id="models-free")
    said = gr.HTML(note(""), elem_id="models-note", apply_default_css=False)
    refresh.click(_table, None, table, queue=False, **QUIET)
    verify.click(_verified, None, said, **QUIET)
    free.click(_freed, None, said, queue=False, **QUIET)


def _table() -> str:
    """The inventory as an HTML table, with what to do under each preset that is not ready."""
    head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    rows = "".join(_row(entry) for entry in inventory.survey())
    return f'<table class="easel-models"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _row(entry: inventory.Entry) -> str:
    memory = min(entry.memory_gigabytes.values(), default=0.0)
    cells = (
        html.escape(entry.title),
        html.escape(entry.label),
        f"<b>{STATES[entry.state]}</b>{to_do(entry)}",
        f"{entry.download_gigabytes:.1f} GB" if entry.sources else "Ships with Easel",
        f"from {memory:.0f} GB" if memory else "",
        html.escape(entry.licence),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def to_do(entry: inventory.Entry) -> str:
    """The steps to a preset that is not ready; nothing for one that is."""
    if entry.state == "ready":
        return ""
    if not entry.sources:
        return "<br>Fetch the repository again with its assets."
    pages = (f'<a href="https://huggingface.co/{s}" target="_blank" rel="noopener">{s}</a>' for s in entry.sources)
    steps = [f"Accept the licence: {', '.join(pages)}", "Set <code>HF_TOKEN</code>"] if entry.state == "gated" else []
    if entry.own:
        steps.append(f"<code>python app.py {entry.made_by}</code>: a checkpoint of your own")
    steps.append(f"<code>python app.py models download {entry.method}</code> ({entry.needs_gigabytes:.1f} GB)")
    return "<ol>" + "".join(f"<li>{step}</li>" for step in steps) + "</ol>"


def _verified() -> str:
    faults = list(inventory.pocket_damage())
    return note(" ".join(faults), bad=True) if faults else note("Every shipped file is as published.")


def _freed() -> str:
    before = sum(runtime.cache.resident().values())
    runtime.cache.clear()
    freed = before - sum(runtime.cache.resident().values())
    return note(f"{freed / 1e6:.0f} MB freed; what a run is using stays.")
