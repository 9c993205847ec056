"""Controls made from request fields, notes and badges, and the panel that shows a run and its result."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from demos.output import Shown, save
from models.contract import Option, Preset, Request, Result, Spec, Step, options

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


def more(spec: Spec, names: Sequence[str], **special: Mapping[str, Any]) -> dict[str, Any]:
    """Every control that is not needed for a first try; `special` are further arguments by field."""
    presets = [("Automatic", "auto"), *((preset.label, name) for name, preset in spec.presets.items())]
    told: dict[str, Mapping[str, Any]] = {
        "preset": {"choices": presets},
        "num_images": {"label": "Pictures"},
        **special,
    }
    with gr.Accordion("More", open=False, elem_id=f"{spec.key}-more", elem_classes="easel-more"):
        return {name: control(spec, name, **{"min_width": 160, **told.get(name, {})}) for name in names}


def note(text: str, bad: bool = False, escape: bool = True) -> str:
    """A line of HTML under the button; `bad` ones are read out at once."""
    body = html.escape(text) if escape else text
    return f'<div class="easel-note{" bad" if bad else ""}" role="{"alert" if bad else "status"}">{body}</div>'


def badge(preset: Preset) -> str:
    """The HTML that says which weights run; a click opens the Models tab."""
    opens = "[...document.querySelectorAll('[role=tab]')].find((tab) => tab.textContent.trim() === 'Models')?.click()"
    told = "What runs; open the Models page"
    return f'<button class="easel-badge" title="{told}" onclick="{opens}">{html.escape(preset.label)}</button>'


def about(spec: Spec, preset: Preset, differs: str) -> str:
    """The quiet line under a tab's title: the badge, the paper and what differs from it."""
    paper = f'<a href="https://arxiv.org/abs/{spec.arxiv}" target="_blank" rel="noopener">{html.escape(spec.paper)}</a>'
    return f'<p class="easel-about">{badge(preset)}<span>{paper}</span><span>{html.escape(differs)}</span></p>'


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


@dataclass(frozen=True)
class Figure:
    """An extra that is looked at by itself: its title and what one sees in it."""

    title: str
    text: str


class ResultPanel:
    """The right-hand side of a tab: preview, before/after slider, seeds, facts, PNG and recipe."""

    def __init__(
        self,
        key: str,
        empty: str,
        sides: Mapping[str, str],
        head: str,
        figures: Mapping[str, Figure] | None = None,
    ) -> None:
        """`empty` is what an empty panel says and `head` what stands over the slider. `sides` are the extras that
        may stand on its left, with their labels, the usual one first; `figures` those that are shown below."""
        self.key, self.empty, self.sides, self.told = key, empty, sides, figures or {}
        self.state = gr.State(None)
        with gr.Column(elem_classes="easel-side", elem_id=f"{key}-result"):
            gr.HTML(f'<div class="easel-sidehead"><b>Result</b><span>{html.escape(head)}</span></div>')
            self.screen = gr.HTML(screen(empty), elem_id=f"{key}-screen", apply_default_css=False)
            self.slider = gr.ImageSlider(
                format="png",
                visible=False,
                show_label=False,
                container=False,
                interactive=False,
                elem_id=f"{key}-slider",
                elem_classes="easel-stage",
                buttons=["fullscreen"],
            )
            self.beside = gr.Radio(
                [(label, name) for name, label in sides.items()],
                label="On the left",
                visible=False,
                elem_id=f"{key}-beside",
                elem_classes="easel-beside",
            )
            self.facts = gr.HTML('<div class="easel-facts"><span>No result yet</span></div>', elem_id=f"{key}-facts")
            with gr.Row(equal_height=True):
                self.download = gr.DownloadButton("Download PNG", interactive=False, elem_id=f"{key}-download", scale=1)
                self.keep = gr.Checkbox(
                    True,
                    label="Keep the recipe in the PNG",
                    elem_id=f"{key}-keep",
                    scale=2,
                    container=False,
                    info="Settings and inputs, so that it can be opened and repeated; off strips them",
                )
            self.gallery = gr.Gallery(
                visible=False,
                columns=4,
                height=128,
                show_label=False,
                object_fit="cover",
                allow_preview=False,
                elem_id=f"{key}-gallery",
                buttons=[],
                format="png",
                interactive=False,
            )
            self.figures = {name: _figure(key, name, told) for name, told in self.told.items()}
            with gr.Accordion("Settings and recipe", open=False):
                self.recipe = gr.JSON(show_label=False, elem_id=f"{key}-recipe")
        shown = [self.slider, self.facts, self.download, self.recipe, self.state]
        self.gallery.select(self._choose, [self.state, self.keep], shown, queue=False, **QUIET)
        self.beside.input(self._beside, [self.state, self.beside], [self.slider, self.state], queue=False, **QUIET)
        self.keep.input(self._download, [self.state, self.keep], self.download, queue=False, **QUIET)

    @property
    def components(self) -> list[Any]:
        """Everything that a run may change."""
        fixed = [
            self.state,
            self.screen,
            self.slider,
            self.beside,
            self.facts,
            self.gallery,
            self.download,
            self.recipe,
        ]
        return [*fixed, *self.figures.values()]

    def waiting(self, text: str) -> dict[Any, Any]:
        """A run has been asked for."""
        return {
            self.screen: gr.update(value=screen(text), visible=True),
            self.slider: gr.update(visible=False),
            self.beside: gr.update(visible=False),
            self.gallery: gr.update(visible=False),
        }

    def progress(self, event: Step, preview: np.ndarray | None, left: float | None) -> dict[Any, Any]:
        """A step of a run, the latest preview and the seconds left."""
        return {self.screen: screen("", preview, meter(event, left))}

    def finished(self, request: Request, result: Result, earlier: Shown | None, keep: bool) -> dict[Any, Any]:
        """The pictures of a run, written to disk and shown; `keep` offers the file with the recipe. What stands on
        the left is what stood there for the `earlier` result."""
        shown = save(self.key, request, result, [*self.sides, *self.told])
        wanted = earlier.beside if earlier else ""
        beside = next((name for name in (wanted, *self.sides) if name in shown.extras), "")
        return self.restored(replace(shown, beside=beside), keep)

    def restored(self, shown: Shown | None, keep: bool) -> dict[Any, Any]:
        """The panel as it is for this result, or empty."""
        if shown is None:
            return {self.screen: gr.update(value=screen(self.empty), visible=True)}
        sides = [(label, name) for name, label in self.sides.items() if name in shown.extras]
        several = [(p.plain, f"Seed {p.recipe.seed}") for p in shown.pictures]
        return {
            self.state: shown,
            self.screen: gr.update(visible=False),
            self.slider: gr.update(value=_pair(shown), visible=True),
            self.beside: gr.update(choices=sides, value=shown.beside, visible=len(sides) > 1),
            **{figure: shown.extras.get(name) for name, figure in self.figures.items()},
            self.facts: facts_line(shown),
            self.gallery: gr.update(value=several, visible=len(several) > 1, selected_index=shown.chosen),
            self.download: gr.update(value=shown.file(keep), interactive=True),
            self.recipe: asdict(shown.pictures[shown.chosen].recipe),
        }

    def _choose(self, shown: Shown, keep: bool, event: gr.SelectData) -> tuple[Any, ...]:
        shown = replace(shown, chosen=int(event.index))
        update = self.restored(shown, keep)
        return update[self.slider], update[self.facts], update[self.download], update[self.recipe], shown

    def _beside(self, shown: Shown, name: str) -> tuple[Any, ...]:
        shown = replace(shown, beside=name)
        return _pair(shown), shown

    def _download(self, shown: Shown | None, keep: bool) -> Any:
        return shown.file(keep) if shown else gr.skip()


def _pair(shown: Shown) -> tuple[str, str]:
    """The files on the slider's left and right."""
    result = shown.file(keep_recipe=False)
    return shown.extras.get(shown.beside, result), result


def _figure(key: str, name: str, told: Figure) -> Any:
    """A closed fold with one picture, empty until a run."""
    with gr.Accordion(told.title, open=False, elem_id=f"{key}-{name}"):
        gr.HTML(note(told.text), apply_default_css=False)
        return gr.Image(
            show_label=False, container=False, interactive=False, format="png", buttons=["fullscreen"], height=260
        )


def facts_line(shown: Shown) -> str:
    """Seed, steps, seconds, how many kept pixels changed, and words that were not read, as HTML."""
    recipe, facts = shown.pictures[shown.chosen].recipe, shown.facts
    said = {"Seed": str(recipe.seed), "Steps": str(facts["steps"]), "Time": f"{recipe.seconds:.1f} s"}
    if "kept_pixels" in facts:
        kept, changed = facts["kept_pixels"][shown.chosen], facts["kept_pixels_changed"][shown.chosen]
        said["Kept pixels that changed"] = f"{changed:,} of {kept:,}"
    if facts.get("worked_at"):
        said["Drawn at"] = facts["worked_at"].replace("x", " × ")
    if facts.get("warning"):
        said["Mind"] = facts["warning"]
    if facts.get("dropped_words"):
        said["Too long, not read"] = f"“{facts['dropped_words']}”"
    cells = "".join(f"<div><span>{name}</span> <b>{html.escape(value)}</b></div>" for name, value in said.items())
    return f'<div class="easel-facts">{cells}</div>'
