"""The panel that shows a run and its result: a slider with something beside the picture, facts, PNG and recipe."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import quote

import gradio as gr
import numpy as np

from demos.diagnostics import diagnostics, told_apart
from demos.output import Before, Shown, save
from demos.send_to import SendTo
from demos.widgets import QUIET, meter, screen
from models.contract import Request, Result, Step
from models.pixels import resize


@dataclass(frozen=True)
class Figure:
    """An extra that is looked at by itself: its title and what one sees in it."""

    title: str
    text: str

    def component(self, elem_id: str) -> Any:
        """What shows it, inside the current column; nothing is seen before a run."""
        return gr.HTML(_figure(self), elem_id=elem_id, apply_default_css=False)

    def drawn(self, shown: Shown, name: str) -> Any:
        """The component's value for a result in which the extra has this name, or is missing."""
        return _figure(self, shown.extras.get(name))


class ResultPanel:
    """The right-hand side of a tab: preview, before/after slider, seeds, facts, PNG and recipe."""

    def __init__(
        self,
        key: str,
        empty: str,
        sides: Mapping[str, str],
        head: str,
        figures: Mapping[str, Figure] | None = None,
        under: Callable[[], None] | None = None,
        carries: str = "Settings and inputs, so that it can be opened and repeated; off strips them",
    ) -> None:
        """`empty` is what an empty panel says and `head` what stands over the slider. `sides` are the extras that
        may stand on its left, with their labels, the usual one first; `figures` those that are shown below. `under`
        builds what the tab has to offer right under the picture; `carries` says what a PNG's recipe holds."""
        self.key, self.empty, self.sides, self.told = key, empty, sides, figures or {}
        self.state = gr.State(None)
        with gr.Column(elem_classes="easel-side", elem_id=f"{key}-result"):
            gr.HTML(f'<div class="easel-sidehead"><b>Result</b><span>{html.escape(head)}</span></div>')
            self.screen = gr.HTML(screen(empty), elem_id=f"{key}-screen", apply_default_css=False)
            self.slider = _slider(key)
            self.beside = gr.Radio(
                [(label, name) for name, label in sides.items()],
                label="On the left",
                visible=False,
                elem_id=f"{key}-beside",
                elem_classes="easel-beside",
            )
            if under:
                under()
            self.facts = gr.HTML('<div class="easel-facts"><span>No result yet</span></div>', elem_id=f"{key}-facts")
            with gr.Row(equal_height=True):
                self.download = gr.DownloadButton("Download PNG", interactive=False, elem_id=f"{key}-download", scale=1)
                self.keep = gr.Checkbox(
                    True,
                    label="Keep the recipe in the PNG",
                    elem_id=f"{key}-keep",
                    scale=2,
                    container=False,
                    info=carries,
                )
            self.send = SendTo(elem_id=f"{key}-send")
            self.gallery = _gallery(key)
            self.figures = {name: told.component(f"{key}-{name}") for name, told in self.told.items()}
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

    def finished(
        self, request: Request, result: Result, earlier: Shown | None, keep: bool, before: Before | None = None
    ) -> dict[Any, Any]:
        """The pictures of a run, made now or `before`, written to disk and shown; `keep` offers the file with the
        recipe. What stands on the left is what stood there for the `earlier` result, or the usual one if that had
        none."""
        size = result.images[0].shape[0], result.images[0].shape[1]
        sides = {name: resize(picture, size) for name, picture in result.extras.items() if name in self.sides}
        result = replace(result, extras={**result.extras, **sides})  # the slider's halves have to match
        shown = save(self.key, request, result, [*self.sides, *self.told], before)
        usual = next(iter(self.sides))
        wanted = earlier.beside if earlier and usual in earlier.extras else usual
        chosen = (wanted, earlier.beside if earlier else "", *self.sides)
        beside = next((name for name in chosen if name in shown.extras), "")
        return self.restored(replace(shown, beside=beside), keep)

    def restored(self, shown: Shown | None, keep: bool) -> dict[Any, Any]:
        """The panel as it is for this result, or empty."""
        if shown is None:
            return {self.screen: gr.update(value=screen(self.empty), visible=True)}
        sides = [(label, name) for name, label in self.sides.items() if name in shown.extras]
        titles = told_apart(shown.facts.get("titles", ())) or [f"Seed {p.recipe.seed}" for p in shown.pictures]
        several = [(p.plain, title) for p, title in zip(shown.pictures, titles, strict=True)]
        return {
            self.state: shown,
            self.screen: gr.update(visible=False),
            self.slider: gr.update(value=_pair(shown), visible=True, elem_classes=_classes(shown)),
            self.beside: gr.update(choices=sides, value=shown.beside, visible=len(sides) > 1),
            **{self.figures[name]: told.drawn(shown, name) for name, told in self.told.items()},
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


def _slider(key: str) -> Any:
    return gr.ImageSlider(
        format="png",
        visible=False,
        show_label=False,
        container=False,
        interactive=False,
        elem_id=f"{key}-slider",
        elem_classes=["easel-stage"],
        buttons=["fullscreen"],
    )


def _gallery(key: str) -> Any:
    return gr.Gallery(
        visible=False,
        columns=4,
        height=128,
        show_label=False,
        object_fit="cover",
        allow_preview=False,
        elem_id=f"{key}-gallery",
        elem_classes="easel-gallery",
        buttons=[],
        format="png",
        interactive=False,
    )


def _pair(shown: Shown) -> tuple[str, str]:
    """The files on the slider's left and right."""
    result = shown.file(keep_recipe=False)
    return shown.extras.get(shown.beside, result), result


def _classes(shown: Shown) -> list[str]:
    """A picture that nothing stands beside has no handle to drag."""
    return ["easel-stage"] if shown.beside in shown.extras else ["easel-stage", "easel-alone"]


def _figure(told: Figure, file: str | None = None) -> str:
    """The HTML of a fold with one picture in it, of which no pixel is left out; empty until a run."""
    picture = ""
    if file:
        seen = f"gradio_api/file={quote(file)}"  # relative: a proxy may serve us under a path
        image = f'<img alt="{html.escape(told.title)}" src="{seen}" loading="lazy">'
        picture = f'<a href="{seen}" target="_blank" title="Open at full size">{image}</a>'
    text = f"<summary>{html.escape(told.title)}</summary><p>{html.escape(told.text)}</p>"
    return f'<details class="easel-figure">{text}{picture}</details>'


def facts_line(shown: Shown) -> str:
    """Seed, steps, seconds, how many kept pixels changed, and words that were not read, as HTML."""
    recipe, facts = shown.pictures[shown.chosen].recipe, shown.facts
    said = {"Seed": str(recipe.seed), "Steps": str(facts["steps"])}
    if shown.before:  # its seconds were another machine's
        said["Made before"] = f"with these settings; press “{shown.before.button}” to draw it again"
    else:
        said["Time"] = f"{recipe.seconds:.1f} s"
    if "kept_pixels" in facts:
        kept, changed = facts["kept_pixels"][shown.chosen], facts["kept_pixels_changed"][shown.chosen]
        said["Kept pixels that changed"] = f"{changed:,} of {kept:,}"
    said |= diagnostics(facts, shown.chosen)
    if facts.get("worked_at"):
        said["Drawn at"] = facts["worked_at"].replace("x", " × ")
    if facts.get("warning"):
        said["Note"] = facts["warning"]
    if facts.get("unkept"):
        said["Not in the history"] = facts["unkept"]
    if facts.get("dropped_words"):
        said["Too long, not read"] = f"“{facts['dropped_words']}”"
    cells = "".join(f"<div><span>{name}</span> <b>{html.escape(value)}</b></div>" for name, value in said.items())
    return f'<div class="easel-facts">{cells}</div>'
