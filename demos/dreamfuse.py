"""Drag & place: put a cut-out where it belongs and let DreamFuse light, shadow and seat it there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import gradio as gr
import numpy as np

from demos import bind, cutting, examples, masks, sending
from demos.canvas import (
    Layer,
    MaskCanvas,
    MaskValue,
    Scene,
    SceneCanvas,
    remove_incoming,
    with_background,
    with_object,
)
from demos.canvas.mask import closed
from demos.cutting import AS_IS, CUT, Outline
from demos.result import ResultPanel
from demos.widgets import QUIET, about, control, follow, lacking, more, note, notice
from models import cutout, pictures, runtime
from models.contract import BadRequest, Kind, Spec
from models.dreamfuse.spec import VARIANTS

PLACEMENT = ("x", "y", "scale", "angle", "flip")
DIFFERS = "Not from the paper: controls marked “ours”, and the cut-outs (SAM 2, GrabCut)."
LACKING = "Placing and settings work, but nothing can be fused yet"
EMPTY = "The fused picture appears here. Pick an example above, or choose a scene and an object."
Handler = Callable[..., dict[Any, Any]]
HINT = "Optional: describe the fused picture, e.g. “a red mug on a wooden table”"
KINDS: dict[str, Kind] = {"background": "rgb", "foreground": "rgba"}
MORE = (
    *("seed", "num_images", "steps", "guidance_scale", "text_strength", "resolution"),
    *("keep_detail", "background_lock", "enlarge", "variant", "affine", "preset", "memory"),
)


def tab(spec: Spec) -> None:
    """Build the tab inside the current `gr.Tab`."""
    head = gr.HTML(about(spec, "auto", DIFFERS), apply_default_css=False)
    shown = examples.load(spec.key)
    strip = examples.strip(spec.key, shown)
    with gr.Row(elem_classes="easel-work"):
        with gr.Column(scale=58, min_width=320, elem_classes="easel-side"):
            scene = SceneCanvas(elem_id="dreamfuse-scene", elem_classes="easel-under")
            mask = MaskCanvas(elem_id="dreamfuse-mask", elem_classes="easel-mask")
            masks.attach(mask)
            outline = cutting.outline("dreamfuse")
            with gr.Row(elem_classes=["easel-ask", "easel-under"]):
                prompt = control(spec, "prompt", info=None, lines=1, max_lines=3, placeholder=HINT, scale=3)
                run = gr.Button("Place it", variant="primary", elem_id="dreamfuse-run", scale=1, min_width=140)
                stop = gr.Button(
                    "Stop", variant="stop", visible=False, elem_id="dreamfuse-stop", scale=1, min_width=140
                )
            told = notice(spec, lacking(spec, "auto", LACKING))
            kinds = ["auto", *(name for name in VARIANTS if name != "mask-tokenizer")]  # no weights of it exist
            controls = {"prompt": prompt, **more(spec, MORE, variant={"choices": kinds})}
        with gr.Column(scale=42, min_width=320):
            panel = ResultPanel("dreamfuse", EMPTY, {"paste": "Raw paste"}, "raw paste | fused")
    part = bind.Shared(scene, ("background", "foreground", *PLACEMENT), read_scene, write_scene)
    form = bind.Form(spec, controls, [part])
    follow(spec, controls["preset"], head, told, DIFFERS, LACKING)
    _connect_scene(form, scene, outline, mask, told)
    _connect_mask(scene, outline, mask, told)
    chosen = [*form.components, told, outline.row, mask]
    bare = {**outline.updates(None), mask: MaskValue()}
    filled = strip.click(_fill(form, shown, told, outline, mask), None, chosen, queue=False, **QUIET)
    sent = sending.Filling(lambda fields: {**form.filled({"prompt": "", **fields}), **bare}, chosen)
    bind.connect(form, run, stop, told, panel, example=filled, filling=sent)


# --- the scene and the request's fields --------------------------------------------------------------------


@lru_cache(maxsize=4)
def _picture(path: str, kind: Kind, name: str) -> np.ndarray:
    """A file of the cache, whose path contains its hash; gestures ask for the same ones again and again."""
    picture = pictures.decode(path, kind, name)
    picture.setflags(write=False)
    return picture


def read_scene(scene: Scene) -> dict[str, Any]:
    """The request fields that the canvas holds; a picture that is not there yet is None."""
    layer = scene.layers[0] if scene.layers else Layer.model_construct()
    fields = {name: getattr(layer, name) for name in PLACEMENT}
    background = _picture(scene.background.path, "rgb", "Background") if scene.background else None
    foreground = _picture(layer.image.path, "rgba", "Object") if scene.layers else None
    return {**fields, "background": background, "foreground": foreground}


def write_scene(fields: Mapping[str, Any]) -> Scene:
    """The canvas that holds these request fields."""
    scene = Scene()
    if fields.get("background") is not None:
        scene = with_background(scene, fields["background"])
    if fields.get("foreground") is not None:
        scene = with_object(scene, fields["foreground"], **{n: fields[n] for n in PLACEMENT if n in fields})
    return scene


# --- what happens on the canvas ---------------------------------------------------------------------------


def _connect_scene(form: bind.Form, scene: Any, outline: Outline, mask: Any, notice: Any) -> None:
    outputs = [*form.components, notice, outline.row, outline.preview, outline.choice]

    def opened(value: Scene) -> dict[Any, Any]:
        try:
            return _opened(form, value, scene, outline, notice)
        except BadRequest as error:
            return {scene: remove_incoming(value), notice: note(str(error), bad=True)}

    def outlined(value: Scene, choice: str, made: MaskValue) -> dict[Any, Any]:
        try:
            changed, picture = cutting.chosen(value, choice, made)
            return {scene: changed, outline.preview: picture, notice: note("")}
        except BadRequest as error:
            return {notice: note(str(error), bad=True)}

    def placed(*values: Any) -> str:
        try:
            return note(_placement(runtime.describe(form.spec.key, form.request(values)), values[0]))
        except BadRequest as error:
            return note(str(error))

    scene.upload(opened, scene, outputs, **QUIET)
    redo = [scene, outline.choice, mask]
    outline.choice.input(outlined, redo, [scene, outline.preview, notice], **QUIET)
    scene.input(placed, form.components, notice, queue=False, trigger_mode="always_last", **QUIET)


def _connect_mask(scene: Any, outline: Outline, mask: Any, notice: Any) -> None:
    """Refine the object's outline, or take an object from the background, on the mask canvas."""

    def opening(how: Callable[[Scene, MaskValue], MaskValue]) -> Handler:
        def opened(value: Scene, made: MaskValue) -> dict[Any, Any]:
            try:
                return {mask: how(value, made), notice: note("")}
            except BadRequest as error:
                return {notice: note(str(error), bad=True)}

        return opened

    def used(value: Scene, made: MaskValue) -> dict[Any, Any]:
        try:
            changed, picture = cutting.used(value, made)
        except Exception as error:
            return {mask: masks.tell(made, note=masks.sentence(error), bad=True)}
        if made.purpose == cutting.REFINE:
            return {scene: changed, mask: closed(made), **outline.updates(picture), notice: note("")}
        said = "Taken from the background, still at its place there: drag it where it should go."
        return {scene: changed, mask: closed(made), **outline.updates(None), notice: note(said)}

    outline.refine.click(opening(cutting.refining), [scene, mask], [mask, notice], **QUIET)
    scene.extract(opening(cutting.extracting), [scene, mask], [mask, notice], **QUIET)
    shown = [scene, mask, outline.row, outline.preview, outline.choice, notice]
    mask.use(used, [scene, mask], shown, **masks.CLICKS)


def _opened(form: bind.Form, value: Scene, scene: Any, outline: Outline, notice: Any) -> dict[Any, Any]:
    """A file was chosen or dropped: a result to restore, a scene, or an object."""
    if value.incoming is None:
        return {scene: value}
    name, path = value.incoming.orig_name or "The picture", value.incoming.path
    if value.role == "any" and (restored := bind.restored(form, path)):
        return {**restored, **outline.updates(None), notice: note("Scene and settings restored from the picture.")}
    if value.role == "scene" or (value.role == "any" and not value.background):
        picture = pictures.decode(path, "rgb", name)
        return {scene: with_background(value, picture, value.incoming), notice: note("")}
    picture = pictures.decode(path, "rgba", name)
    if picture[..., 3].min() < 255:
        return {scene: with_object(value, picture), **outline.updates(None), notice: note("")}
    try:
        picture, choice, said = cutout.cut_out(picture[..., :3]), CUT, "Cut out of its background; check the outline."
    except BadRequest:
        choice, said = AS_IS, "No object stands out from its background, so the whole picture is used."
    placed = with_object(value, picture, value.incoming)
    return {scene: placed, **outline.updates(picture, choice), notice: note(said)}


def _placement(told: Mapping[str, Any], value: Scene) -> str:
    left, top, right, bottom = told["box"]
    size = f"{right - left} × {bottom - top} of {value.width} × {value.height} pixels"
    cropped = "" if told["inside"] > 0.999 else f"; {told['inside']:.0%} of it is inside the scene"
    return f"The object covers {size}{cropped}."


def _fill(
    form: bind.Form, shown: Sequence[examples.Example], notice: Any, outline: Outline, mask: Any
) -> Callable[..., Any]:
    def fill(event: gr.EventData) -> dict[Any, Any]:
        example = shown[event.index]
        files = {role: pictures.decode(path, KINDS[role], example.title) for role, path in example.files.items()}
        fields = {"prompt": "", **example.fields, **files}
        return {**form.filled(fields), **outline.updates(None), mask: MaskValue(), notice: note("")}

    return fill
