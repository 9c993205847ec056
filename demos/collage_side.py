"""The left-hand side of Layer collage: the editor, what brings layers in, their words, the controls, files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from demos import bind, collage_adding, cutting, masks
from demos.canvas import LayerCanvas, LayerScene, MaskCanvas, MaskValue, remove_incoming, with_layer
from demos.canvas.mask import closed
from demos.collage_adding import Added
from demos.collage_editing import RUN, CollageForm, EditBar
from demos.collage_scene import FIELDS, fields_in, read_scene, save, shown, write_scene
from demos.collage_words import CollageWords, bound
from demos.sprites import Sprites, sprite
from demos.widgets import QUIET, control, lacking, more, note, notice
from models.collage.layers import prompt_of
from models.contract import BadRequest, Spec

LACKING = "Layers, words and settings work, but nothing can be harmonised yet"
HINT = "Empty: built from the layers. Or a sentence with each layer's words, e.g. “a red apple on a wooden table”"
LOOKS = "Textual inversion: takes a while the first time; what was learned is kept, also after Stop"
LADDER = "GH and + CA beside the result, + TI where looks are learned; same seed, a run for each"
PICTURE = {"empty": "Drop a picture here, then click the object in it.", "remove": "Another picture"}
OPENED = "Layers, words and settings opened."
RESTORED = "Layers, words and settings restored from the picture."
KINDS = [".zip", ".json", ".png", ".jpg", ".jpeg", ".webp"]  # of files that can be opened
COLLAGES = (".zip", ".json")
MORE = {
    "Harmonising": ("strength", "variant", "blur", "guidance_scale", "negative_prompt", "keep_detail"),
    "Words and noise": ("bias_sigma", "bias_growth", "antialias", "blend_level"),
    "Output": ("seed", "num_images", "steps", "look_steps", "resolution", "preset", "memory"),
}
PLAIN: dict[str, dict[str, str]] = {  # the options' own names, and what they do
    "variant": {
        "all": "Everything",
        "gh": "Nothing: one noise level (GH)",
        "gh+ca": "Words in place (GH + CA)",
        "gh+ca+ti": "And learned looks (GH + CA + TI)",
    },
    "blend_level": {"aligned": "As the run's", "reference": "One step more (the authors')"},
    "bias_sigma": {"reference": "The authors' table", "true": "The run's own"},
    "bias_growth": {"published": "As published", "ediff": "As eDiff-I, stronger"},
    "keep_detail": {"auto": "Automatic", "on": "On", "off": "Off"},
}
DOWNLOAD = "(file) => file && document.querySelector('#collage-file').click()"
LIVE: Mapping[str, Any] = {"queue": False, "trigger_mode": "always_last", **QUIET}
Update = dict[Any, Any]


class Brought:
    """What is brought in and taken away: cut-outs that ship, files opened, the collage saved."""

    def __init__(self) -> None:
        """Build the row inside the current one."""
        with gr.Row(elem_classes="collage-files"):
            self.sprites = Sprites(elem_id="collage-sprites")
            self.open = gr.UploadButton("Open…", file_count="multiple", file_types=KINDS, elem_id="collage-open")
            self.save = gr.Button("Save collage", elem_id="collage-save")
            self.file = gr.DownloadButton(visible="hidden", elem_id="collage-file")


class Side:
    """Built inside the current column; `connect` wires everything but the run."""

    def __init__(self, spec: Spec, brought: Brought) -> None:
        self.brought = brought
        self.scene = LayerCanvas(elem_id="collage-scene", elem_classes="easel-under")
        self.mask = MaskCanvas(told=PICTURE, elem_id="collage-mask", elem_classes="easel-mask")
        masks.attach(self.mask)
        self.outline = cutting.outline("collage", collage_adding.BACKDROP)
        self.asked = gr.State("")  # the layer that the outline is about
        bar = EditBar(spec)
        with gr.Row(elem_classes="easel-ask"):
            prompt = control(spec, "prompt", info=None, lines=1, max_lines=3, placeholder=HINT, scale=3)
            self.run = gr.Button(RUN, variant="primary", elem_id="collage-run", scale=1, min_width=140)
            self.stop = gr.Button("Stop", variant="stop", visible=False, elem_id="collage-stop", scale=1, min_width=140)
        with gr.Row(elem_classes="collage-told"):
            words = CollageWords(elem_id="collage-words")
            self.write = gr.Button("Write it from the layers", size="sm", elem_id="collage-write", scale=0)
        with gr.Row():
            looks = control(spec, "looks", info=LOOKS, min_width=240)
            ladder = control(spec, "ladder", info=LADDER, min_width=240)
        self.notice = notice(spec, lacking(spec, "auto", LACKING))
        plain = {name: {"choices": [(text, value) for value, text in told.items()]} for name, told in PLAIN.items()}
        controls = {"prompt": prompt, "looks": looks, "ladder": ladder, **bar.controls, **more(spec, MORE, **plain)}
        part = bind.Shared(self.scene, FIELDS, read_scene, write_scene)
        self.form = CollageForm(spec, controls, part, bar, words, self.run)
        self.prompt = prompt
        self._outline = [self.outline.row, self.outline.preview, self.outline.choice, self.asked]

    @property
    def outputs(self) -> list[Any]:
        """Everything that a file may fill."""
        return list(dict.fromkeys([*self.form.outputs, *self._outline, self.mask, self.notice]))

    def shut(self) -> Update:
        """No outline is asked about, and the mask canvas is empty and away."""
        return {**self.outline.updates(None), self.asked: "", self.mask: MaskValue()}

    def connect(self) -> None:
        """Wire it."""
        follows = [self.scene, self.prompt, self.form.bar.layers]
        followers = [self.form.words, self.form.bar.layers, self.outline.row, self.asked]
        self.scene.input(self._moved, [*follows, self.asked], followers, **LIVE)
        self.prompt.change(_worded, follows[:2], self.form.words, **LIVE)
        self.write.click(_written, self.scene, self.prompt, **LIVE)
        self.scene.upload(self._told(self._received), follows, self.outputs, **QUIET)
        picked: Mapping[str, Any] = {"trigger_mode": "always_last", **QUIET}
        self.brought.sprites.pick(self._told(self._picked), follows, self.outputs, **picked)
        self.brought.open.upload(self._told(self._opened), [*follows, self.brought.open], self.outputs, **QUIET)
        asked = [*follows, self.asked, self.mask]
        self.outline.choice.input(self._told(self._chosen), [*asked, self.outline.choice], self.outputs, **QUIET)
        self.outline.refine.click(self._told(self._refining), asked, self.outputs, **QUIET)
        self.scene.extract(self._told(self._extracting), asked, self.outputs, **QUIET)
        self.mask.use(self._used, asked, self.outputs, **masks.CLICKS)
        saved = self.brought.save.click(self._saved, self.form.components, [self.brought.file, self.notice], **QUIET)
        saved.then(None, self.brought.file, None, js=DOWNLOAD, **QUIET)

    # --- each answers an event with updates, or with `BadRequest`, whose sentence is shown while all else stays

    def _told(self, act: Callable[..., Update]) -> Callable[..., Update]:
        def told(event: gr.EventData, scene: LayerScene, *values: Any) -> Update:
            try:
                return act(event, scene, *values)
            except BadRequest as error:
                heard = {} if scene.incoming is None else {self.scene: remove_incoming(scene)}
                return {**heard, self.notice: note(str(error), bad=True)}

        return told

    def _moved(self, scene: LayerScene, prompt: str, chosen: list[str], asked: str) -> Update:
        gone = {} if asked in {layer.id for layer in scene.layers} else {self.outline.row: gr.update(visible=False)}
        return {**self._followed(scene, prompt, chosen), **gone}

    def _followed(self, scene: LayerScene, prompt: str, chosen: Sequence[str]) -> Update:
        """What goes with the scene: the words' places, and the layers that can be changed."""
        return {self.form.words: _worded(scene, prompt), **self.form.bar.named(scene, chosen)}

    def _received(self, event: gr.EventData, scene: LayerScene, prompt: str, chosen: list[str]) -> Update:
        """A file came to the editor: a collage, a result to restore, or a picture."""
        if scene.incoming is None:
            return {self.scene: scene}
        path = scene.incoming.path
        if scene.role == "collage" or Path(path).suffix.lower() in COLLAGES:
            return {**self.form.filled(fields_in([path])), **self.shut(), self.notice: note(OPENED)}
        if scene.dropped and (restored := bind.restored(self.form, path)):
            return {**restored, **self.shut(), self.notice: note(RESTORED)}
        return self._added(collage_adding.opened(scene), prompt, chosen)

    def _opened(self, event: gr.EventData, scene: LayerScene, prompt: str, chosen: list[str], files: Any) -> Update:
        paths = [str(file) for file in files or ()]
        if len(paths) == 1 and (restored := bind.restored(self.form, paths[0])):
            return {**restored, **self.shut(), self.notice: note(RESTORED)}
        return {**self.form.filled(fields_in(paths)), **self.shut(), self.notice: note(OPENED)}

    def _picked(self, event: gr.EventData, scene: LayerScene, prompt: str, chosen: list[str]) -> Update:
        picture, name = sprite(event.number)
        return self._added(Added(with_layer(scene, picture, name)), prompt, chosen)

    def _added(self, added: Added, prompt: str, chosen: list[str]) -> Update:
        return {
            self.scene: added.scene,
            **self.outline.updates(added.picture, added.choice),
            self.asked: added.id,
            self.notice: note(added.said),
            **self._followed(added.scene, prompt, chosen),
        }

    def _chosen(
        self, event: gr.EventData, scene: LayerScene, prompt: str, ids: list[str], asked: str, mask: MaskValue,
        choice: str,
    ) -> Update:  # fmt: skip
        changed, picture = collage_adding.chosen(scene, asked, choice, mask)
        return self._added(Added(changed, "", asked, picture, choice), prompt, ids)

    def _refining(
        self, event: gr.EventData, scene: LayerScene, prompt: str, ids: list[str], asked: str, mask: MaskValue
    ) -> Update:
        return {self.mask: collage_adding.refining(scene, asked, mask), self.notice: note("")}

    def _extracting(
        self, event: gr.EventData, scene: LayerScene, prompt: str, ids: list[str], asked: str, mask: MaskValue
    ) -> Update:
        return {self.mask: collage_adding.extracting(mask), self.notice: note("")}

    def _used(self, scene: LayerScene, prompt: str, ids: list[str], asked: str, mask: MaskValue) -> Update:
        """The mask is done; what is wrong is said where it was made."""
        try:
            added = collage_adding.used(scene, mask)
        except Exception as error:
            return {self.mask: masks.tell(mask, note=masks.sentence(error), bad=True)}
        return {**self._added(added, prompt, ids), self.mask: closed(mask)}

    def _saved(self, *values: Any) -> Update:
        try:
            return {self.brought.file: save(self.form.fields(values)), self.notice: note("Collage saved.")}
        except BadRequest as error:
            return {self.brought.file: None, self.notice: note(str(error), bad=True)}


def _worded(scene: LayerScene, prompt: str) -> Any:
    return bound(prompt, [layer.prompt for layer in shown(scene)])


def _written(scene: LayerScene) -> str:
    return prompt_of([layer.prompt for layer in shown(scene) if layer.prompt])
