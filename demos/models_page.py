"""The Models tab: what is in memory and whose it is, what every preset costs, downloads, and checks of files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from demos.models_board import BoardValue, ModelsBoard
from demos.models_shown import board, key
from demos.owner import at_home
from demos.widgets import QUIET
from models import catalog, downloads, inventory, runtime
from models.contract import BadRequest, MissingWeights

NOT_HERE = "Only who runs Easel on this machine can download weights to it."
Act = Callable[[gr.EventData], str]


def tab() -> None:
    """Build the tab inside the current `gr.Tab`."""
    shown = ModelsBoard(elem_id="models-board")
    shown.look(_looked, None, shown, queue=False, **QUIET)
    for event, act in (("dismiss", _dismissed), ("free", _freed), ("check", _checked)):
        getattr(shown, event)(_answering(act), None, shown, queue=False, **QUIET)
    for event, act in (("halt", _halted), ("fetch", _fetched)):
        getattr(shown, event)(_answering(act, owners=True), None, shown, queue=False, **QUIET)


def _looked(event: gr.EventData, request: gr.Request) -> Any:
    """What is shown, if that is not what the page shows already."""
    value = board(at_home(request))
    return gr.skip() if event.stamp == value.stamp else value


def _answering(act: Act, owners: bool = False) -> Callable[..., BoardValue]:
    """An answer to an event: what was done, or why not, and everything as it is then."""

    def answer(event: gr.EventData, request: gr.Request) -> BoardValue:
        home = at_home(request)
        try:
            if owners and not home:
                raise BadRequest(NOT_HERE)
            return board(home, act(event))
        except (BadRequest, MissingWeights) as error:
            return board(home, str(error), bad=True)

    return answer


def _dismissed(event: gr.EventData) -> str:
    for one in runtime.cache.held():
        if key(one.weights) == event.key:
            freed = runtime.cache.drop(one.weights)
            return f"{freed / 1e6:.0f} MB freed." if freed else "A run is using it; it stays."
    return "It is not loaded any more."


def _freed(event: gr.EventData) -> str:
    before = sum(runtime.cache.resident().values())
    runtime.cache.clear()
    freed = before - sum(runtime.cache.resident().values())
    return f"{freed / 1e6:.0f} MB freed; what a run is using stays."


def _checked(event: gr.EventData) -> str:
    """Look at the files of one preset, or of every one that is here; raises `MissingWeights` with what is wrong."""
    looked, faults = [], []
    for shelf in catalog.shelves():
        for preset in shelf.presets.values():
            chosen = (str(event.method), str(event.preset)) in (("", ""), (shelf.key, preset.name))
            if chosen and not inventory.missing(preset):
                said, found = inventory.check(shelf.key, preset)
                looked.append(f"{shelf.title} ({preset.name})" if not event.method else said)
                faults += found
    if faults:
        raise MissingWeights(" ".join(dict.fromkeys(faults)))
    if not looked:
        raise BadRequest("Nothing of that is here to be checked.")
    lead = "Every file is as published. Looked at: "
    return f"{lead}{'; '.join(looked)}."


def _halted(event: gr.EventData) -> str:
    downloads.stop()
    return ""


def _fetched(event: gr.EventData) -> str:
    downloads.start(str(event.method), str(event.preset), str(event.token)[:200])
    return ""
