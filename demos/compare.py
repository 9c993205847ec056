"""Compare: any methods and baselines on the same inputs, varied along axes, on one sheet that fills cell by cell."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from demos import endpoints
from demos.bind import AT_ONCE, PAUSE
from demos.compare_board import BoardValue, CompareBoard
from demos.compare_desk import Choice, Desk
from demos.compare_shown import board, running
from demos.sending import Parcel
from demos.widgets import QUIET
from models.compare.running import compare
from models.contract import BadRequest, Stopped

log = logging.getLogger(__name__)
DIFFERS = """<p class="easel-about"><span>Every cell gets the same input, seed and seam; each is a picture that can be
opened and repeated.</span></p>"""


def tab(courier: Any, parcel: Any) -> None:
    """Build the tab inside the current `gr.Tab`: `courier` has the event `compare` when `parcel` holds a case."""
    gr.HTML(DIFFERS, apply_default_css=False)
    desk = gr.State(Desk())
    shown = CompareBoard(board(Desk(), Choice()), elem_id="compare-board")
    courier.compare(_received, [parcel, desk], [parcel, shown], queue=False, **QUIET)
    # "always_last" would run again with what came with the first of them.
    for event, act in (("choose", _looked), ("bring", _brought), ("remove", _removed), ("vote", _voted)):
        listen = getattr(shown, event)
        listen(_answering(act), desk, shown, queue=False, trigger_mode="multiple", **QUIET)
    shown.halt(_halted, desk, None, queue=False, **QUIET)
    shown.run(_run, desk, shown, concurrency_id="device", concurrency_limit=AT_ONCE, **QUIET)


Act = Callable[[Desk, Choice, gr.EventData], BoardValue]


def _answering(act: Act) -> Callable[..., Any]:
    """An answer to an event of the board; what is wrong is said there, and nothing else changes."""

    def answer(desk: Desk, event: gr.EventData) -> Any:
        if desk.running:
            return gr.skip()
        choice = Choice()
        try:
            choice = Choice.read(event.choice)
            return act(desk, choice, event)
        except BadRequest as error:
            return board(desk, choice, note=str(error), bad=True)

    return answer


def _looked(desk: Desk, choice: Choice, event: gr.EventData) -> BoardValue:
    return board(desk, choice)


def _brought(desk: Desk, choice: Choice, event: gr.EventData) -> BoardValue:
    name = str(event.name)[:80]
    said = desk.bring(endpoints.uploaded({"path": event.path}, name), name)
    return board(desk, choice, note=said, fresh=True)


def _removed(desk: Desk, choice: Choice, event: gr.EventData) -> BoardValue:
    desk.remove(int(event.place))
    return board(desk, choice, fresh=True)


def _voted(desk: Desk, choice: Choice, event: gr.EventData) -> BoardValue:
    desk.vote(str(event.side))
    return board(desk, choice)


def _received(came: Parcel | None, desk: Desk) -> tuple[Parcel | None, Any]:
    """A case that another tab sent."""
    if came is None or came.case is None:
        return came, gr.skip()
    try:
        desk.add(came.case)
        return None, board(desk, Choice(), note=f"{came.case.name} is one more input.", fresh=True)
    except BadRequest as error:
        return None, board(desk, Choice(), note=str(error), bad=True)


def _halted(desk: Desk) -> None:
    """Stop after the step at hand; the run itself writes the sheet of what is there."""
    if desk.stop is not None:
        desk.stop.set()


def _run(desk: Desk, event: gr.EventData) -> Iterator[BoardValue]:
    """Draw the cells; the same folder again, so that what is finished is not drawn twice."""
    choice = Choice()
    try:
        choice = Choice.read(event.choice)
        planned, folder, stop = desk.begin(choice)
    except BadRequest as error:
        yield board(desk, choice, note=str(error), bad=True)
        return
    ended, note = "failed", ""
    value, shown = board(desk, choice), time.monotonic()
    yield value
    try:
        with contextlib.closing(compare(planned, folder, stop, resume=True, patience=PAUSE)) as news:
            for update in news:
                desk.heard(update)
                if update.outcome is not None or time.monotonic() - shown > PAUSE:
                    shown = time.monotonic()
                    yield running(value, desk)
        ended, note = "done", "Done."
    except Stopped:
        done = sum(bool(one.file) for one in desk.outcomes.values())
        ended, note = "stopped", f"Stopped with {done} of {len(planned.runs)} cells; Compare goes on from there."
    except BadRequest as error:
        note = str(error)
    except Exception:
        log.exception("A comparison failed")
        note = "Something failed inside the app; its log says what. Your choice is kept."
    finally:
        desk.end(ended)
    yield board(desk, choice, note=note, bad=ended == "failed")
