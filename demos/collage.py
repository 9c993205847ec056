"""Layer collage: put cut-outs where they belong, each with its words, and let Collage Diffusion make one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from demos import bind, examples, sending
from demos.canvas import LayerScene
from demos.collage_editing import Edited
from demos.collage_scene import fields_in, shown
from demos.collage_side import LACKING, Brought, Side, Update
from demos.output import Shown
from demos.result import Figure, ResultPanel
from demos.versions import Node, Versions, drawn, numbered, recorded
from demos.widgets import QUIET, about, follow, note
from models.contract import Spec

DIFFERS = "Not from the paper: controls marked “ours”, edges (the authors' web app has them), and the cut-outs."
EMPTY = "The harmonised picture appears here. Pick an example above, or put some layers on the canvas."
SIDES = {
    "previous": "Before the change",
    "paste": "The paste",
    "gh": "Harmonised as one (GH)",
    "gh+ca": "Words in place (+ CA)",
    "gh+ca+ti": "Learned looks (+ TI)",
}
FIGURES = {
    "noise": Figure(
        "How free each place was",
        "The noise level that each place is held to the layers down to, over the flat picture: yellow was made anew.",
    ),
    "attention": Figure(
        "Where each layer's words looked",
        "How strongly every layer's words were looked at in each part of the picture, over all steps (yellow is most).",
    ),
    "rungs": Figure(
        "The ladder, side by side",
        "The paste, each rung and the result, from one seed. Tick “Show the ladder” before a run to get it.",
    ),
}


def tab(spec: Spec) -> None:
    """Build the tab inside the current `gr.Tab`."""
    head = gr.HTML(about(spec, "auto", DIFFERS), apply_default_css=False)
    found = examples.load(spec.key)
    with gr.Row(elem_classes="collage-top"):
        strip = examples.strip(spec.key, found)
        brought = Brought()
    with gr.Row(elem_classes="easel-work"):
        with gr.Column(scale=58, min_width=320, elem_classes="easel-side"):
            side = Side(spec, brought)
        with gr.Column(scale=42, min_width=320):
            history = _History(side)
            panel = ResultPanel("collage", EMPTY, SIDES, "the paste | harmonised", FIGURES, history.build)

    def fill(event: gr.EventData) -> Update:
        example = found[event.index]
        fields = {**fields_in([str(example.files["collage"])]), **example.fields}
        return {**side.form.filled(fields), **side.shut(), side.notice: note("")}

    controls = side.form.controls
    follow(spec, controls["preset"], head, side.notice, DIFFERS, LACKING)
    filled = strip.click(fill, None, side.outputs, queue=False, **QUIET)
    side.connect()
    asked = [controls["prompt"].submit]
    sent = sending.Filling(lambda fields: {**side.form.filled(fields), **side.shut()}, side.outputs)
    runs = bind.connect(side.form, side.run, side.stop, side.notice, panel, after=asked, example=filled, filling=sent)
    history.connect(panel, runs)


class _History:
    """The results of a visit: which of them is looked at, and which one's layers are changed."""

    def __init__(self, side: Side) -> None:
        self.side = side

    def build(self) -> None:
        """What stands under the result."""
        self.nodes = gr.State([])
        self.change = gr.Button(
            "Change layers of this picture", visible=False, size="sm", elem_id="collage-change-layers"
        )
        self.tree = Versions(elem_id="collage-versions")

    def connect(self, panel: ResultPanel, runs: Sequence[Any]) -> None:
        """Wire it to the panel, and to the runs whose results are kept."""
        side, self.panel = self.side, panel
        bar = side.form.bar
        for run in runs:
            run.then(
                self._record, [panel.state, self.nodes], [self.nodes, self.tree, self.change], queue=False, **QUIET
            )
        edits = [bar.state, side.scene, bar.layers]
        outputs = [*bar.components, side.run]
        begun = [*outputs, side.notice]
        self.change.click(self._begin, [panel.state, self.nodes, *edits], begun, queue=False, **QUIET)
        bar.leave.click(self._leave, side.scene, outputs, queue=False, **QUIET)
        picked = [*panel.components, self.tree, *outputs]
        self.tree.pick(self._picked, [self.nodes, panel.keep, *edits], picked, queue=False, **QUIET)

    def _record(self, result: Shown | None, nodes: list[Node]) -> Update:
        if result is None:
            return {self.nodes: nodes}
        kept = recorded(nodes, result)
        file = result.pictures[result.chosen].plain
        return {self.nodes: kept, self.tree: drawn(kept, file), self.change: gr.update(visible=True)}

    def _begin(
        self, result: Shown | None, nodes: list[Node], edited: Edited | None, scene: LayerScene, chosen: list[str]
    ) -> Update:
        if result is None:
            return {self.side.notice: note("Please harmonise the layers first.")}
        ids = chosen if edited else [layer.id for layer in shown(scene) if layer.id == scene.selected]
        said = "Choose the layers to change, and what they become: their words, their place, their picture."
        return {
            **self.side.form.editing(_edited(result, nodes), scene, ids),
            self.side.notice: note(said),
        }

    def _leave(self, scene: LayerScene) -> Update:
        return self.side.form.editing(None, scene)

    def _picked(
        self, nodes: list[Node], keep: bool, edited: Edited | None, scene: LayerScene, chosen: list[str],
        event: gr.EventData,
    ) -> Update:  # fmt: skip
        node = numbered(nodes, event.number)
        if node is None:
            return {self.tree: drawn(nodes)}
        update = self.panel.restored(node.shown, keep)
        update[self.tree] = drawn(nodes, node.shown.pictures[node.shown.chosen].plain)
        return {**update, **(self.side.form.editing(_edited(node.shown, nodes), scene, chosen) if edited else {})}


def _edited(result: Shown, nodes: Sequence[Node]) -> Edited:
    """The picture of a result that is looked at, as the one to change."""
    picture = result.pictures[result.chosen]
    number = next((n.number for n in nodes if n.shown.pictures[n.shown.chosen].plain == picture.plain), None)
    return Edited(picture.plain, f"result {number}, seed {picture.recipe.seed}" if number else "this result")
