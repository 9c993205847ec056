"""A button and a method: controls keyed by request field, one handler, errors in words.

`Form` compares the controls with the request's fields when the page is built, so a control that is no field, or
a field without a control, cannot exist. `connect` makes run, progress, Stop and the result out of a form.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from demos import examples, sending
from demos.result import ResultPanel
from demos.weights_card import card
from demos.widgets import note
from models import costs, recipe, replay, runtime
from models.contract import (
    BadRequest,
    Event,
    GatedWeights,
    MissingWeights,
    OutOfMemory,
    Request,
    Result,
    Spec,
    Step,
    Stopped,
    options,
)

log = logging.getLogger(__name__)
PAUSE = 0.25  # seconds: updates come no faster, and Gradio can close a handler no later
AT_ONCE = 8  # runs that may wait; the device lock of `runtime` lets one compute and tells the others their place

Finish = Callable[[Result], dict[Any, Any]]


@dataclass(frozen=True)
class Shared:
    """One component whose value holds several request fields, and how to take them out and put them back."""

    component: gr.components.Component
    fields: tuple[str, ...]
    read: Callable[[Any], Mapping[str, Any]]
    write: Callable[[Mapping[str, Any]], Any]


class Form:
    """The controls of one request type; raises `TypeError` where controls and fields differ."""

    def __init__(self, spec: Spec, controls: Mapping[str, Any], shared: Sequence[Shared] = ()) -> None:
        self.spec, self.controls, self.shared = spec, dict(controls), tuple(shared)
        have = [*controls, *(name for part in shared for name in part.fields)]
        want = list(options(spec.request))
        wrong = {
            "no field of the request": [n for n in have if n not in want],
            "no control": [n for n in want if n not in have],
            "two controls": sorted({n for n in have if have.count(n) > 1}),
        }
        said = "; ".join(f"{what}: {', '.join(names)}" for what, names in wrong.items() if names)
        if said:
            raise TypeError(f"{spec.key}: {said}")
        self.components = [*(part.component for part in shared), *controls.values()]

    def fields(self, values: Sequence[Any]) -> dict[str, Any]:
        """Field values from the components' values, in the order of `components`."""
        taken: dict[str, Any] = {}
        for part, value in zip(self.shared, values, strict=False):
            taken.update(part.read(value))
        taken.update(zip(self.controls, values[len(self.shared) :], strict=True))
        return taken

    def request(self, values: Sequence[Any]) -> Request:
        """The request; raises `BadRequest`."""
        return self.spec.request(**self.fields(values))

    def filled(self, fields: Mapping[str, Any]) -> dict[Any, Any]:
        """What each component becomes when these fields are restored; components of other fields are left."""
        updates = {part.component: part.write(fields) for part in self.shared if set(part.fields) & set(fields)}
        updates.update({c: fields[name] for name, c in self.controls.items() if name in fields})
        return updates


def sentence(error: Exception, key: str) -> str:
    """The HTML of a note for something that went wrong; errors that are not the user's are logged."""
    if isinstance(error, GatedWeights):
        cards = [card(one, refused=True) for one in costs.table() if one.method == key and one.state == "gated"]
        return "".join(cards) or note(str(error), bad=True)
    if isinstance(error, BadRequest | MissingWeights | OutOfMemory):
        return note(str(error), bad=True)
    log.error("A run failed", exc_info=error)
    return note("Something failed inside the app; its log says what. Your settings are kept.", bad=True)


def restored(form: Form, path: str) -> dict[Any, Any] | None:
    """What each component becomes when a PNG with a recipe is dropped; None if it carries none.

    Raises `BadRequest` if the recipe is another method's or no longer fits.
    """
    try:
        told, inputs = recipe.read_png(path)
    except BadRequest:
        return None
    if told.method != form.spec.key:
        raise BadRequest(f"This picture was made with another method ({told.method[:40]}); drop it on that tab.")
    request = replay.to_request(told, inputs, form.spec.request)
    return form.filled({name: getattr(request, name) for name in options(form.spec.request)})


def connect(
    form: Form,
    run: Any,
    stop: Any,
    notice: Any,
    panel: ResultPanel,
    after: Sequence[Any] = (),
    example: Any = None,
    filling: sending.Filling | None = None,
) -> list[Any]:
    """Make `run` start the form's method and `stop` end it; `after` are further events that start it, `example` is the
    one by which a click on an example has filled the form, and `filling` is how the tab is filled from others, by the
    form alone if it is not given. Returns the events after which there may be a result, for what is to follow them."""
    filling = filling or sending.Filling(form.filled, form.components)
    sending.join(sending.Place(form, notice, panel, filling))

    def begin() -> dict[Any, Any]:
        return {**_buttons(True), notice: note(""), **panel.waiting("Preparing…")}

    def generate(*values: Any) -> Iterator[dict[Any, Any]]:
        earlier, values = values[:2], values[2:]
        try:
            request = form.request(values)
            with contextlib.closing(runtime.run(form.spec.key, request, patience=PAUSE)) as events:
                yield from _relay(events, panel, lambda result: panel.finished(request, result, *earlier))
            yield {**_buttons(False), notice: note("Done.")}
        except Stopped:
            yield {**_buttons(False), **panel.restored(*earlier)}
        except Exception as error:
            yield {**_buttons(False), notice: sentence(error, form.spec.key), **panel.restored(*earlier)}

    def end(*earlier: Any) -> dict[Any, Any]:
        return {**_buttons(False), notice: note("Stopped."), **panel.restored(*earlier)}

    def _buttons(running: bool) -> dict[Any, Any]:
        return {run: gr.update(visible=not running), stop: gr.update(visible=running)}

    outputs = [run, stop, notice, *panel.components]
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    started, shown = [], []
    triggers = [run.click, *after]
    if example is not None and runtime.settings.stored_examples:
        missing, looked = examples.kept_first(form, run, panel, example)
        triggers.append(missing)
        shown.append(looked)
    elif example is not None:
        triggers.append(example.then)
    for trigger in triggers:
        begun = trigger(begin, None, outputs, queue=False, **quiet)
        inputs = [panel.state, panel.keep, *form.components]
        job = begun.then(generate, inputs, outputs, concurrency_id="device", concurrency_limit=AT_ONCE, **quiet)
        started.append(job)
    stop.click(end, [panel.state, panel.keep], outputs, queue=False, cancels=started, **quiet)
    return [*started, *shown]


def _relay(events: Iterator[Event], panel: ResultPanel, finish: Finish) -> Iterator[dict[Any, Any]]:
    """Updates of the panel for the events of a run: at most four a second, each with the latest preview."""
    shown, first, preview = 0.0, None, None
    for event in events:
        if isinstance(event, Result):
            yield finish(event)
            continue
        preview = preview if event.preview is None else event.preview
        now = time.monotonic()
        if event.done and first is None:
            first = (now, event.done)
        if 0 < event.done < event.total and now - shown < PAUSE:
            continue
        shown = now
        yield panel.progress(event, preview, _left(event, first, now))


def _left(event: Step, first: tuple[float, int] | None, now: float) -> float | None:
    """Seconds left by the pace since the first step, or None while that is unknown."""
    if first is None or event.done <= first[1]:
        return None
    return (now - first[0]) / (event.done - first[1]) * (event.total - event.done)
