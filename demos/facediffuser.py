"""Face reference: a picture of each person and the words for a scene, and Face-diffuser puts them into it together."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demos import bind, examples, face_people, sending
from demos.face_maps import MapsFigure
from demos.face_people import People
from demos.face_side import LACKING, Side
from demos.result import ResultPanel
from demos.widgets import QUIET, about, follow
from models.contract import Spec

DIFFERS = "Not from the paper: controls marked “ours”, the numbers of likeness, and reruns from a kept scene stage."
EMPTY = "The picture appears here. Pick an example above, or add people and say where they are."
SIDES = {
    "scene": "The scene model alone",
    "subject": "The people's model alone",
    "both": "Both models",
}
HEAD = "compared: one model alone | both"
MAPS = MapsFigure(
    "How the two models shared the picture",
    "In the steps that both ran each place was drawn by the model that cared more about it (yellow is most): bright "
    "places are the people's model's, dim grey ones the scene model's. Of the first picture.",
)
CARRIES = "Settings, and hashes of the people's pictures in place of them; off strips them"


def tab(spec: Spec) -> None:
    """Build the tab inside the current `gr.Tab`."""
    head = gr.HTML(about(spec, "auto", DIFFERS), apply_default_css=False)
    found = examples.load(spec.key)
    strip = examples.strip(spec.key, found)
    with gr.Row(elem_classes="easel-work"):
        with gr.Column(scale=58, min_width=320, elem_classes="easel-side"):
            side = Side(spec)
        with gr.Column(scale=42, min_width=320):
            panel = ResultPanel("facediffuser", EMPTY, SIDES, HEAD, {"maps": MAPS}, carries=CARRIES)

    def fill(people: People, event: gr.EventData) -> dict[Any, Any]:
        example = found[event.index]
        persons = [face_people.person(path.read_bytes(), example.title) for path in example.lists["references"]]
        return side.filled({"negative_prompt": "", **example.fields}, persons, people)

    side.connect()
    follow(spec, side.controls["preset"], head, side.notice, DIFFERS, LACKING)
    filled = strip.click(fill, side.people, side.outputs, queue=False, **QUIET)
    asked = [side.controls["prompt"].submit]
    sent = sending.Filling(side.sent, side.outputs, [side.people])
    bind.connect(side.form, side.run, side.stop, side.notice, panel, after=asked, example=filled, filling=sent)
