"""Examples that ship with the repository: thumbnails to click, and what a click fills in."""

from __future__ import annotations

import html
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import gradio as gr

from demos.output import Before
from demos.widgets import QUIET
from models import example_outputs
from models.contract import BadRequest
from models.examples import FOLDER as FOLDER, Example as Example, load as load

if TYPE_CHECKING:
    from demos.bind import Form
    from demos.result import ResultPanel

CLICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button) trigger('click', { index: Number(button.dataset.index) });
});
"""


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


def kept_first(form: Form, run: Any, panel: ResultPanel, filled: Any) -> tuple[Any, Any]:
    """After a click has filled the form, show what is kept of that very run, made before with the same weights.

    Returns the trigger of a run, for what is not kept, and the event after which the panel may have a result. The
    button `run` is what draws it again.
    """
    missing = gr.State("")
    again = str(run.value)

    def wait() -> dict[Any, Any]:
        return panel.waiting("One moment…")

    def look(earlier: Any, keep: bool, *values: Any) -> dict[Any, Any]:
        try:
            request = form.request(values)
            output = example_outputs.found(form.spec.key, request)
            if output is None:
                return {missing: uuid.uuid4().hex}
            before = Before(output.recipe.versions, again)
            return panel.finished(request, output.result(request), earlier, keep, before)
        except BadRequest:  # the run says what is wrong with a request, and makes what is damaged
            return {missing: uuid.uuid4().hex}

    inputs = [panel.state, panel.keep, *form.components]
    waiting = filled.then(wait, None, panel.components, queue=False, **QUIET)
    # Browsers hear that a state changed from events of the queue only; this one waits for no other.
    looked = waiting.then(
        look, inputs, [missing, *panel.components], concurrency_id="examples", concurrency_limit=None, **QUIET
    )
    return missing.change, looked
