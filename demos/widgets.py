"""Controls made from request fields, notes and badges, and what stands in a result's place while there is none."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from demos.weights_card import OPENS, POCKET, card
from models import costs, inventory, runtime
from models.contract import Option, Preset, Spec, Step, options

PREVIEW = 512  # longest side of a preview in pixels
QUIET: Mapping[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def control(spec: Spec, name: str, **more: Any) -> gr.components.Component:
    """The control for one request field, from its `Option`: label, tip, range and default are said once."""
    field: Option = options(spec.request)[name]
    default = spec.request.__dataclass_fields__[name].default
    common = {"label": field.label, "info": field.tip or None, "value": default, "elem_id": f"{spec.key}-{name}"}
    common |= more
    if field.kind == "flag":
        return gr.Checkbox(**common)
    if field.kind == "choice":
        return gr.Dropdown(**{"choices": list(field.choices), **common})
    if field.kind == "text":
        return gr.Textbox(**{"max_length": field.max_length, **common})
    if name == "seed":
        return gr.Number(precision=0, minimum=field.low, maximum=field.high, **common)
    step = field.step or (1 if field.kind == "integer" else None)
    return gr.Slider(minimum=field.low, maximum=field.high, step=step, **common)


def more(
    spec: Spec, names: Sequence[str] | Mapping[str, Sequence[str]], **special: Mapping[str, Any]
) -> dict[str, Any]:
    """Every control that is not needed for a first try, in groups where `names` has titles; `special` are further
    arguments by field."""
    presets = [("Automatic", "auto"), *((preset.label, name) for name, preset in spec.presets.items())]
    told: dict[str, Mapping[str, Any]] = {
        "preset": {"choices": presets},
        "num_images": {"label": "Pictures"},
        **special,
    }
    with gr.Accordion("More", open=False, elem_id=f"{spec.key}-more", elem_classes="easel-more"):
        made: dict[str, Any] = {}
        for title, group in names.items() if isinstance(names, Mapping) else [("", names)]:
            if title:
                gr.HTML(f"<h3>{html.escape(title)}</h3>", elem_classes="easel-group", apply_default_css=False)
            made |= {name: control(spec, name, **{"min_width": 160, **told.get(name, {})}) for name in group}
        return made


def note(text: str, bad: bool = False, escape: bool = True) -> str:
    """A line of HTML under the button; `bad` ones are read out at once."""
    body = html.escape(text) if escape else text
    return f'<div class="easel-note{" bad" if bad else ""}" role="{"alert" if bad else "status"}">{body}</div>'


def badge(preset: Preset) -> str:
    """The HTML that says which weights run; a click opens the Models tab."""
    told = "What runs; open the Models page"
    return f'<button class="easel-badge" title="{told}" onclick="{OPENS}">{html.escape(preset.label)}</button>'


def about(spec: Spec, name: str, differs: str) -> str:
    """The quiet line under a tab's title: the badge of the preset of this name, the paper and what differs from it."""
    preset = spec.presets[runtime.choose_preset(spec, name)]
    paper = f'<a href="https://arxiv.org/abs/{spec.arxiv}" target="_blank" rel="noopener">{html.escape(spec.paper)}</a>'
    return f'<p class="easel-about">{badge(preset)}<span>{paper}</span><span>{html.escape(differs)}</span></p>'


def lacking(spec: Spec, name: str, still: str) -> str:
    """A card where weights of the preset of this name are not here, else an empty note; `still` says what works."""
    preset = spec.presets[runtime.choose_preset(spec, name)]
    absent = inventory.missing(preset)
    if not absent:
        return note("")
    lost = ", ".join(dict.fromkeys(weights.source for weights in absent if weights.local))
    lead = f"{still}: {lost} is missing." if lost else f"{still}."
    return card(costs.of(spec.key, preset.name), lead)


def notice(spec: Spec, value: str = "") -> Any:
    """The line under a tab's button: notes, and the card, whose button triggers `pocket`."""
    return gr.HTML(value or note(""), elem_id=f"{spec.key}-note", js_on_load=POCKET, apply_default_css=False)


def follow(spec: Spec, preset: Any, head: Any, notice: Any, differs: str, still: str) -> None:
    """The line under the title and the note go with the chosen preset; the card's button chooses pocket."""

    def chosen(name: str) -> tuple[str, str]:
        return about(spec, name, differs), lacking(spec, name, still)

    preset.input(chosen, preset, [head, notice], queue=False, **QUIET)
    notice.pocket(lambda: ("pocket", *chosen("pocket")), None, [preset, head, notice], queue=False, **QUIET)


def data_uri(picture: np.ndarray) -> str:
    """A preview (uint8 HxWx3) as a JPEG of at most 512 pixels inside an address."""
    image = Image.fromarray(picture)
    image.thumbnail((PREVIEW, PREVIEW))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def screen(text: str = "", preview: np.ndarray | None = None, meter: str = "") -> str:
    """What stands in the result's place before there is one: a sentence, or a preview with a meter."""
    picture = "" if preview is None else f'<img alt="Preview" src="{data_uri(preview)}">'
    sentence = f"<p>{html.escape(text)}</p>" if text else ""
    return f'<div class="easel-screen">{picture}{sentence}{meter}</div>'


def meter(event: Step, left: float | None) -> str:
    """Step count, note and time left over a progress bar."""
    said = event.note or (f"Step {event.done} of {event.total}" if event.done else "Starting…")
    remaining = "" if left is None else f"{left:.0f} s left" if left >= 1 else "almost done"
    return (
        f'<div class="easel-meter"><span><b>{html.escape(said)}</b><i>{remaining}</i></span>'
        f'<progress max="{max(event.total, 1)}" value="{event.done}" aria-label="Progress"></progress></div>'
    )
