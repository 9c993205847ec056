"""Prompt edit: describe the picture, change the words, and DiT4Edit changes what they say and little else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from demos import bind, examples, masks, sending
from demos.canvas import MaskCanvas, MaskValue
from demos.canvas.mask import opened
from demos.edit_words import KINDS, EditWords, compared, weighed
from demos.result import Figure, ResultPanel
from demos.widgets import QUIET, about, control, follow, lacking, more, note, notice
from models import pictures
from models.contract import BadRequest, Kind, Spec, options

DIFFERS = "The authors' code was never published. Not from the paper: controls marked “ours”, and the masks."
LACKING = "Words and settings work, but nothing can be edited yet"
EMPTY = "The edited picture appears here, one for each target. Pick an example above, or give a picture and its words."
TOLD = {
    "empty": "Drop the picture to edit here. Without one, the source is drawn from its words and the seed.",
    "idle": "The whole picture may change. To limit that, click what may; right-click leaves a part out.",
    "remove": "Remove",
}
SOURCE, TARGET = "e.g. “a cat on a red sofa”", "The same words, edited; up to four, one a line"
FILES: dict[str, Kind] = {"image": "rgb"}
USUAL: Mapping[str, Any] = {
    **dict.fromkeys(("source_prompt", "target_prompt", "weights", "blend", "negative_prompt"), ""),
    **{"kind": "auto", "strength": 0.5},
}
SIDES = {
    "input": "Before",
    "reconstruction": "Source rebuilt",
    "encoded": "Autoencoder alone",
    "sdedit": "SDEdit",
    "ddim": "DDIM inversion, prompts swapped",
    "inversion": "This inversion, prompts swapped",
    "prompt-to-prompt": "Prompt-to-prompt",
    "mutual": "Mutual self-attention",
}
WORDS = Figure(
    "Where the words act",
    "How strongly each word of the prompts was looked at in every part of the picture, over all steps (yellow is "
    "most). An edit that misses its place often shows here.",
)
MORE = {
    "Inversion": ("inversion", "invert_with", "grid", "steps", "refine", "pin_source"),
    "Attention": (
        *("guidance_scale", "negative_prompt", "weights", "control", "control_until", "words_until"),
        *("from_layer", "renormalise"),
    ),
    "Region": ("blend", "feather", "paste_back"),
    "Speed": ("merge_ratio", "merge_stride", "preset", "memory"),
    "Size": ("resolution", "width", "height"),
    "Output": ("seed", "keep_detail", "match_colours", "comparisons"),
}
PLAIN: dict[str, dict[str, str]] = {  # the options' own names, and what they do
    "control": {
        "auto": "By the kind of edit",
        "non_rigid": "Look kept, shape free (non-rigid)",
        "unified": "Layout first, then the look (unified)",
        "rigid": "Layout kept at first (rigid)",
        "structure": "Layout kept throughout (structure)",
        "union": "Source beside the target (union)",
        "none": "Nothing",
    },
    "inversion": {
        "fast": "Fast",
        "paper": "The paper's formula",
        "accurate": "Accurate",
        "exact": "Exact, slow",
        "ddim": "DDIM",
    },
    "invert_with": {"source": "What the picture shows", "target": "What it shall show", "empty": "Nothing"},
    "grid": {
        "quadratic": "Finer at the end (quadratic)",
        "linspace_tail": "Even, with a fine end",
        "linspace": "Even",
        "karras": "Karras",
        "uniform_lambda": "Even in log-SNR",
    },
    "keep_detail": {"auto": "Automatic", "on": "On", "off": "Off"},
}
COPY = """(source, target) => {
  const lines = target.split('\\n').map((line) => line.trim()).filter(Boolean);
  return lines.at(-1) === source.trim() ? target : [...lines, source.trim()].join('\\n');
}"""  # another line, so that nothing written is lost
Controls = dict[str, Any]


def tab(spec: Spec) -> None:
    """Build the tab inside the current `gr.Tab`."""
    head = gr.HTML(about(spec, "auto", DIFFERS), apply_default_css=False)
    shown = examples.load(spec.key)
    strip = examples.strip(spec.key, shown)
    with gr.Row(elem_classes="easel-work"):
        with gr.Column(scale=58, min_width=320, elem_classes="easel-side"):
            canvas = MaskCanvas(inline=True, verb="", told=TOLD, elem_id="dit4edit-mask")
            controls, words = _prompts(spec)
            controls |= _choices(spec)
            with gr.Row(elem_classes="easel-ask"):
                with gr.Column(scale=3, min_width=280):
                    controls["strength"] = control(spec, "strength", info=None)
                    gr.HTML('<div class="easel-ends"><span>Closer to the source</span><span>More change</span></div>')
                run = gr.Button("Edit", variant="primary", elem_id="dit4edit-run", scale=1, min_width=140)
                stop = gr.Button("Stop", variant="stop", visible=False, elem_id="dit4edit-stop", scale=1, min_width=140)
            told = notice(spec, lacking(spec, "auto", LACKING))
            plain = {name: {"choices": [(text, value) for value, text in one.items()]} for name, one in PLAIN.items()}
            controls |= more(spec, MORE, **plain)
        with gr.Column(scale=42, min_width=320):
            panel = ResultPanel("dit4edit", EMPTY, SIDES, "before | after", {"words": WORDS})
    part = bind.Shared(canvas, ("image", "mask"), read_canvas, write_canvas)
    form = bind.Form(spec, controls, [part])

    def restored(path: str) -> dict[Any, Any] | None:
        update = bind.restored(form, path)
        said = "Picture, words and settings restored."
        return update and {**update, **_looked(controls, words, update), told: note(said)}

    masks.attach(canvas, restored, [*form.components, words, told])
    follow(spec, controls["preset"], head, told, DIFFERS, LACKING)
    _connect_words(controls, words)
    filling = _fill(form, controls, words, shown, told)
    filled = strip.click(filling, None, [*form.components, words, told], queue=False, **QUIET)
    asked = [controls["source_prompt"].submit, controls["target_prompt"].submit, canvas.use]
    sent = sending.Filling(lambda fields: _filled(form, controls, words, fields), [*form.components, words])
    bind.connect(form, run, stop, told, panel, after=asked, example=filled, filling=sent)


# --- what is in sight


def _prompts(spec: Spec) -> tuple[Controls, EditWords]:
    """Both prompts, and under them what differs."""
    with gr.Row(elem_classes="easel-prompts"):
        with gr.Column(min_width=280):
            source = control(spec, "source_prompt", info=None, lines=2, max_lines=6, placeholder=SOURCE)
            copy = gr.Button("Copy source to target", size="sm", elem_id="dit4edit-copy")
        with gr.Column(min_width=280):
            target = control(spec, "target_prompt", info=None, lines=4, max_lines=8, placeholder=TARGET)
    copy.click(None, [source, target], target, js=COPY, **QUIET)
    words = EditWords(compared("", ""), elem_id="dit4edit-difference")
    return {"source_prompt": source, "target_prompt": target}, words


def _choices(spec: Spec) -> Controls:
    """The kind of edit as a row of plain names."""
    field = options(spec.request)["kind"]
    named = [(KINDS[kind], kind) for kind in field.choices]
    return {"kind": gr.Radio(named, value="auto", label=field.label, elem_id="dit4edit-kind", elem_classes="easel-row")}


# --- words and weights


def _connect_words(controls: Controls, words: EditWords) -> None:
    """What differs is compared while it is typed; a word's weight becomes the text of all weights."""
    read = [controls[name] for name in ("source_prompt", "target_prompt", "weights", "kind")]

    def weigh(source: str, target: str, weights: str, kind: str, event: gr.EventData) -> tuple[Any, Any]:
        try:
            told = weighed(weights, str(event.word)[:100], float(event.factor))
        except (BadRequest, TypeError, ValueError):  # the hint under the words says what is wrong with the text
            told = weights
        return told, compared(source, target, told, kind)

    gr.on([c.change for c in read], compared, read, words, trigger_mode="always_last", queue=False, **QUIET)
    words.weigh(weigh, read, [controls["weights"], words], trigger_mode="always_last", queue=False, **QUIET)
    merging = [controls["merge_ratio"], controls["merge_stride"]]
    gr.on([c.change for c in merging], _kept, merging, merging[0], queue=False, **QUIET)


def _looked(controls: Controls, words: EditWords, update: Mapping[Any, Any]) -> dict[Any, Any]:
    """The words as they are when these components are filled, which need not be on the screen."""
    names = ("source_prompt", "target_prompt", "weights", "kind")
    return {words: compared(*(update[controls[name]] for name in names))}


def _kept(ratio: float, stride: int) -> Any:
    """What merging leaves, in the slider's tip."""
    return gr.update(info=kept_share(ratio, stride))


def kept_share(ratio: float, stride: int) -> str:
    """Which share of the tokens attention still sees: a cell keeps one of its own at least."""
    least = 1 / stride**2
    left = f"Attention sees {100 * max(1 - ratio, least):.0f} % of the tokens"
    return f"{left}, the least in cells of {stride} × {stride}" if 1 - ratio < least else left


# --- the canvas and the request's fields


def read_canvas(value: MaskValue) -> dict[str, Any]:
    """The request fields that the canvas holds: a picture or none, a mask or none. Raises `BadRequest`."""
    if value.image is None:
        return {"image": None, "mask": None}
    drawn = value.points or value.box or value.paint or value.start
    return {"image": masks.picture_of(value), "mask": masks.mask_of(value) if drawn else None}


def write_canvas(fields: Mapping[str, Any]) -> MaskValue:
    """The canvas that holds these request fields."""
    if fields.get("image") is None:
        return MaskValue()
    return opened(MaskValue(), fields["image"], start=fields.get("mask"))


def _filled(form: bind.Form, controls: Controls, words: EditWords, fields: Mapping[str, Any]) -> dict[Any, Any]:
    """Everything as these fields have it; what they do not say is as on a new page."""
    update = form.filled({**USUAL, **fields})
    return {**update, **_looked(controls, words, update)}


def _fill(
    form: bind.Form, controls: Controls, words: EditWords, shown: Sequence[examples.Example], told: Any
) -> Callable[..., Any]:
    def fill(event: gr.EventData) -> dict[Any, Any]:
        example = shown[event.index]
        files = {role: pictures.decode(path, FILES[role], example.title) for role, path in example.files.items()}
        return {**_filled(form, controls, words, {**example.fields, **files}), told: note("")}

    return fill
