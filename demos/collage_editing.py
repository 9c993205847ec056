"""Changing layers of a finished picture: which picture, which layers, how much; and the way out again."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from demos import bind
from demos.canvas import LayerScene
from demos.canvas.parts import stored
from demos.collage_scene import shown
from demos.collage_words import CollageWords, bound
from demos.widgets import control, data_uri
from models import pictures
from models.contract import Spec

RUN, CHANGE = "Harmonise", "Change"


@dataclass(frozen=True)
class Edited:
    """The picture whose layers are changed: its file, and what it is called."""

    path: str
    name: str = "an earlier result"


class EditBar:
    """What stands over the prompt while a picture is changed; its controls are request fields."""

    def __init__(self, spec: Spec) -> None:
        """Build it, hidden, inside the current column."""
        self.state = gr.State(None)
        with gr.Column(visible=False, elem_id="collage-edit", elem_classes="easel-under") as self.group:
            with gr.Row(elem_classes="collage-told"):
                self.line = gr.HTML("", elem_id="collage-edit-line", apply_default_css=False)
                self.leave = gr.Button("Start over from the layers", size="sm", elem_id="collage-leave", scale=0)
            self.layers = gr.CheckboxGroup([], label="Layers to change", elem_id="collage-edited")
            with gr.Row():
                change = control(spec, "change", info="0 = as it is, 1 = anew", scale=2, min_width=200)
                starts = [("The picture", "continue"), ("The layer's own cut-out", "restart")]
                mode = control(spec, "edit_mode", info="What the change begins with", choices=starts, scale=1)
            with gr.Accordion("More about this change", open=False):
                rest = [("Stays as it is", "keep"), ("Is drawn anew", "regenerate")]
                self.controls = {
                    "change": change,
                    "edit_mode": mode,
                    "uncovered": control(spec, "uncovered", info=None, choices=rest, min_width=160),
                    **{name: control(spec, name, min_width=160) for name in ("keep", "lock", "reach")},
                }

    @property
    def components(self) -> list[Any]:
        """What `updates` fills, apart from the button that runs."""
        return [self.group, self.line, self.state, self.layers]

    def updates(self, edited: Edited | None, scene: LayerScene, chosen: Sequence[str] = ()) -> dict[Any, Any]:
        """The bar for this picture, or none, with the layers of these ids chosen."""
        return {
            self.group: gr.update(visible=edited is not None),
            self.line: _line(edited) if edited else "",
            self.state: edited,
            **self.named(scene, chosen if edited else ()),
        }

    def named(self, scene: LayerScene, chosen: Sequence[str]) -> dict[Any, Any]:
        """The layers to choose from, as the scene has them now; front first, as the editor lists them."""
        choices = [(layer.prompt or "no words", layer.id) for layer in reversed(shown(scene))]
        known = {id for _, id in choices}
        return {self.layers: gr.update(choices=choices, value=[id for id in chosen if id in known])}


class CollageForm(bind.Form):
    """The form whose layers to change are chosen by name and asked for by number, and whose prompt shows its words."""

    def __init__(
        self, spec: Spec, controls: Mapping[str, Any], scene: bind.Shared, bar: EditBar, words: CollageWords, run: Any
    ) -> None:
        edited = bind.Shared(bar.layers, ("edited",), lambda ids: {"edited": ids or ()}, lambda fields: gr.skip())
        previous = bind.Shared(bar.state, ("previous",), read_previous, lambda fields: gr.skip())
        super().__init__(spec, controls, [scene, edited, previous])
        self.bar, self.words, self.run = bar, words, run

    def fields(self, values: Sequence[Any]) -> dict[str, Any]:
        """As `Form.fields`; without a picture to change no layer is."""
        taken = super().fields(values)
        ids = taken["edited"] if taken["previous"] is not None else ()
        return taken | {"edited": numbers_of(values[0], ids)}

    def filled(self, fields: Mapping[str, Any]) -> dict[Any, Any]:
        """As `Form.filled`, for fields that hold a scene: with the bar and the words that go with them."""
        updates = super().filled(fields)
        scene = updates[self.shared[0].component]
        texts = [layer.prompt for layer in shown(scene)]
        updates |= {self.words: bound(str(fields.get("prompt", "")), texts)}
        return updates | self.editing(write_previous(fields.get("previous")), scene, ids_of(scene, fields))

    def editing(self, edited: Edited | None, scene: LayerScene, chosen: Sequence[str] = ()) -> dict[Any, Any]:
        """The bar, and the name of the button that runs."""
        name = CHANGE if edited else RUN
        return {**self.bar.updates(edited, scene, chosen), self.run: gr.update(value=name)}

    @property
    def outputs(self) -> list[Any]:
        """Everything that `filled` fills."""
        return list(dict.fromkeys([*self.components, *self.bar.components, self.words, self.run]))


def numbers_of(scene: LayerScene, ids: Sequence[str]) -> str:
    """The numbers of these layers, counted from the back among those shown: "2, 3"."""
    return ", ".join(str(n + 1) for n, layer in enumerate(shown(scene)) if layer.id in ids)


def ids_of(scene: LayerScene, fields: Mapping[str, Any]) -> list[str]:
    """The layers that the field `edited` names."""
    layers = shown(scene)
    numbers = {int(number) for number in re.findall(r"\d{1,4}", str(fields.get("edited", "")))}
    return [layer.id for n, layer in enumerate(layers) if n + 1 in numbers]


def read_previous(edited: Edited | None) -> dict[str, np.ndarray | None]:
    """The request field of the picture to change."""
    return {"previous": pictures.decode(edited.path, "rgb", "The picture to change") if edited else None}


def write_previous(picture: np.ndarray | None) -> Edited | None:
    """A picture to change that came with a request."""
    if picture is None:
        return None
    return Edited(stored(pictures.encode(picture, compress_level=1), "png", "previous").path)


def _line(edited: Edited) -> str:
    seen = data_uri(pictures.decode(edited.path, "rgb", "The picture to change"))
    return (
        f'<p class="collage-editing" role="status"><img alt="" src="{seen}">'
        f"<span>You are changing <b>{html.escape(edited.name)}</b>: choose layers; the rest of it stays.</span></p>"
    )
