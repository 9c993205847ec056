"""Mask inpaint: mark what should go, say what should be there, and let CAT-Diffusion imagine it before it draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from demos import bind, examples, masks, sending
from demos.canvas import MaskCanvas, MaskValue
from demos.canvas.mask import opened
from demos.result import Figure, ResultPanel
from demos.widgets import QUIET, about, control, follow, lacking, more, note, notice
from models import pictures
from models.contract import Kind, Spec

DIFFERS = "Not from the paper: controls marked “ours”, and the masks (SAM 2, GrabCut)."
LACKING = "Masks and settings work, but nothing can be filled yet"
EMPTY = "The filled picture appears here. Pick an example above, or mark a thing and say what it becomes."
HINT = "A thing and its look, e.g. “a red teapot”"
KINDS: dict[str, Kind] = {"image": "rgb", "mask": "mask"}
USUAL = {"prompt": "", "negative_prompt": "", "grow": 0}
SIDES = {"input": "Before", "plain": "Without the visual prompt", "classical": "Classical fill (Telea)"}
IMAGINED = Figure(
    "What the semantic inpainter did",
    "How near the features in the hole are to those of the finished picture (cosine, yellow is 1): as CLIP sees the "
    "hole, and after the semantic inpainter has imagined it. Of the first picture.",
)
MORE = (
    *("negative_prompt", "seed", "num_images", "steps", "guidance_scale", "adapter_strength"),
    *("region", "padding", "resolution", "feather", "paste_back", "comparisons", "preset", "memory"),
)
CHOICES: dict[str, dict[str, Any]] = {
    "region": {
        "info": "Automatic: a crop where the mask is small, which draws it larger (ours)",
        "choices": [
            ("Automatic", "auto"),
            ("A crop around the mask", "masked"),
            ("The whole picture", "whole"),
            ("The whole, squashed to a square as in the paper", "squash"),
        ],
    },
    "comparisons": {"choices": [("Automatic", "auto"), ("On", "on"), ("Off", "off")]},
}


def tab(spec: Spec) -> None:
    """Build the tab inside the current `gr.Tab`."""
    head = gr.HTML(about(spec, "auto", DIFFERS), apply_default_css=False)
    shown = examples.load(spec.key)
    strip = examples.strip(spec.key, shown)
    with gr.Row(elem_classes="easel-work"):
        with gr.Column(scale=58, min_width=320, elem_classes="easel-side"):
            canvas = MaskCanvas(inline=True, verb="", elem_id="cat-mask")
            with gr.Row(elem_classes="easel-ask"):
                prompt = control(spec, "prompt", info=None, lines=1, max_lines=1, placeholder=HINT, scale=3)
                run = gr.Button("Fill", variant="primary", elem_id="cat-run", scale=1, min_width=140)
                stop = gr.Button("Stop", variant="stop", visible=False, elem_id="cat-stop", scale=1, min_width=140)
            told = notice(spec, lacking(spec, "auto", LACKING))
            controls = {"prompt": prompt, **more(spec, MORE, **CHOICES)}
        with gr.Column(scale=42, min_width=320):
            panel = ResultPanel("cat", EMPTY, SIDES, "before | after", {"semantics": IMAGINED})
    part = bind.Shared(canvas, ("image", "mask", "grow"), read_canvas, write_canvas)
    form = bind.Form(spec, controls, [part])

    def restored(path: str) -> dict[Any, Any] | None:
        update = bind.restored(form, path)
        return update and {**update, told: note("Picture, mask and settings restored.")}

    masks.attach(canvas, restored, [*form.components, told])
    follow(spec, controls["preset"], head, told, DIFFERS, LACKING)
    filled = strip.click(_fill(form, shown, told), None, [*form.components, told], queue=False, **QUIET)
    sent = sending.Filling(lambda fields: form.filled({**USUAL, **fields}), form.components)
    asked = [prompt.submit, canvas.use]
    bind.connect(form, run, stop, told, panel, after=asked, example=filled, filling=sent)


# --- the canvas and the request's fields


def read_canvas(value: MaskValue) -> dict[str, Any]:
    """The request fields that the canvas holds. Its mask is grown already. Raises `BadRequest`."""
    return {"image": masks.picture_of(value), "mask": masks.mask_of(value), "grow": 0}


def write_canvas(fields: Mapping[str, Any]) -> MaskValue:
    """The canvas that holds these request fields: the mask is what clicks go on from."""
    if fields.get("image") is None:
        return MaskValue()
    value = opened(MaskValue(), fields["image"], start=fields.get("mask"))
    grown: MaskValue = value.model_copy(update={"grow": float(fields.get("grow", 0))})
    return grown


def _fill(form: bind.Form, shown: Sequence[examples.Example], told: Any) -> Callable[..., Any]:
    def fill(event: gr.EventData) -> dict[Any, Any]:
        example = shown[event.index]
        files = {role: pictures.decode(path, KINDS[role], example.title) for role, path in example.files.items()}
        return {**form.filled({**USUAL, **example.fields, **files}), told: note("")}

    return fill
