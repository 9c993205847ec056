"""The left-hand side of Face reference: people, the prompt and who is who in it, the timeline, the other controls."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from demos import bind, face_people
from demos.face_cards import Card, CardsValue, FaceCards, card
from demos.face_chips import NOBODY, ChipsValue, FaceChips, tied, with_noun
from demos.face_people import People, Person
from demos.face_timeline import FIELDS, FaceTimeline, read_ends, readout, write_ends
from demos.widgets import QUIET, control, lacking, more, note, notice
from models import pictures, recipe, replay
from models.contract import BadRequest, Spec, options
from models.facediffuser.markers import MARKER, MOST
from models.facediffuser.spec import FaceRequest

LACKING = "People, words and settings work, but nothing can be drawn yet"
HINT = f"e.g. “a man {MARKER} and a woman {MARKER} on a beach”"
CONSENT = (
    '<p class="easel-about">Use only pictures of people who agreed to it. They are held in this server\'s memory, at '
    "most an hour longer than the page is open; no file or history gets them, a recipe only their hashes. What is "
    "drawn is synthetic.</p>"
)
CROP = "Ours: head and shoulders around the largest face"
NO_CROP = "Needs OpenCV's contrib package, which has the face detector"
LADDER = "The first picture's seed by each model alone, beside it"
RESTORED = "Settings restored from the picture."
MORE = {
    "Drawing": ("negative_prompt", "variant", "guidance_scale", "sampler", "anchor", "scene_model"),
    "Output": ("seed", "num_images", "steps", "width", "height", "object_resolution", "preset", "memory"),
}
PLAIN: dict[str, dict[str, str]] = {  # the options' own names, and what they do
    "variant": {
        "both": "Both, in turns (the paper)",
        "scene": "The scene model alone",
        "subject": "The people's model alone",
    },
    "sampler": {
        "released": "PNDM (the authors')",
        "paper": "DDIM (the paper's)",
        "fast": "DPM++ 2M (fast)",
    },
    "anchor": {"caption": "The caption (as published)", "empty": "An empty prompt (as FastComposer)"},
    "scene_model": {"released": "The authors'", "base": "Plain Stable Diffusion 1.5"},
}
LIVE: Mapping[str, Any] = {"queue": False, "trigger_mode": "always_last", **QUIET}
EACH: Mapping[str, Any] = {"queue": False, "trigger_mode": "multiple", **QUIET}
Update = dict[Any, Any]


class FaceForm(bind.Form):
    """The form whose pictures are named by cards and lie in the visitor's part of the memory."""

    def __init__(self, spec: Spec, controls: Mapping[str, Any], cards: Any, people: Any, timeline: Any) -> None:
        named = bind.Shared(cards, ("references",), lambda value: {"references": ()}, lambda fields: gr.skip())
        memory = bind.Shared(people, (), lambda kept: {}, lambda fields: gr.skip())
        super().__init__(spec, controls, [named, memory, bind.Shared(timeline, FIELDS, read_ends, write_ends)])

    def fields(self, values: Sequence[Any]) -> dict[str, Any]:
        """As `Form.fields`, with the pictures of the cards; raises `BadRequest`."""
        ids = [one.id for one in values[0].cards]
        return super().fields(values) | {"references": face_people.references_of(values[1], ids)}


class Side:
    """Built inside the current column; `connect` wires everything but the run."""

    def __init__(self, spec: Spec) -> None:
        self.people = gr.State({})  # the visitor's `People`
        self.cards = FaceCards(elem_id="facediffuser-cards")
        gr.HTML(CONSENT, apply_default_css=False)
        with gr.Row(elem_classes="easel-ask"):
            prompt = control(spec, "prompt", info=None, lines=1, max_lines=3, placeholder=HINT, scale=3)
            self.run = gr.Button("Create", variant="primary", elem_id="facediffuser-run", scale=1, min_width=140)
            self.stop = gr.Button(
                "Stop", variant="stop", visible=False, elem_id="facediffuser-stop", scale=1, min_width=140
            )
        self.chips = FaceChips("#facediffuser-prompt textarea", elem_id="facediffuser-chips")
        self.notice = notice(spec, lacking(spec, "auto", LACKING))
        self.timeline = FaceTimeline(elem_id="facediffuser-timeline")
        self.readout = gr.HTML(note(""), elem_id="facediffuser-readout", apply_default_css=False)
        detector = face_people.has_detector()
        with gr.Row():
            told = {"info": CROP if detector else NO_CROP, "interactive": detector}
            crop = control(spec, "crop_to_face", **told, min_width=240)
            ladder = control(spec, "ladder", info=LADDER, min_width=240)
        plain = {name: {"choices": [(text, value) for value, text in names.items()]} for name, names in PLAIN.items()}
        self.controls = {"prompt": prompt, "crop_to_face": crop, "ladder": ladder, **more(spec, MORE, **plain)}
        self.form = FaceForm(spec, self.controls, self.cards, self.people, self.timeline)

    @property
    def outputs(self) -> list[Any]:
        """Everything that an example or a file may fill."""
        return [*self.form.components, self.chips, self.notice]

    def connect(self) -> None:
        """Wire it."""
        controls = self.controls
        follows = [self.cards, self.people, controls["prompt"], controls["preset"]]
        drawn = [self.cards, self.chips]
        looks = [controls["object_resolution"], controls["crop_to_face"]]
        self.cards.bring(self._added, [*follows, *looks], self.outputs, **EACH)
        self.cards.remove(self._removed, follows, drawn, **EACH)
        self.cards.order(self._followed, follows, drawn, **LIVE)
        self.cards.rename(self._renamed, follows, [controls["prompt"], *drawn], **EACH)
        for changed in (controls["prompt"].change, controls["preset"].change):
            changed(self._followed, follows, drawn, **LIVE)
        self.chips.take(_taken, None, controls["prompt"], **LIVE)
        for changed in (looks[0].release, looks[0].change, looks[1].change):
            changed(_seen, [self.cards, self.people, *looks], self.cards, **LIVE)
        names = ("variant", "ladder", "sampler", "steps", "preset")
        costs = [self.timeline, *(controls[name] for name in names)]
        for changed in (self.timeline.input, self.timeline.change, *(controls[name].change for name in names)):
            changed(readout, costs, self.readout, **LIVE)

    def filled(self, fields: Mapping[str, Any], persons: Sequence[Person], people: People) -> Update:
        """Everything as these fields and persons have it."""
        update = self.form.filled({name: value for name, value in fields.items() if name != "references"})
        cards = [card(face_people.kept(people, one), people) for one in persons]
        chips, nouns = _tied(cards, people, str(fields.get("prompt", "")), str(fields.get("preset", "auto")))
        value = CardsValue(cards=[_named(one, nouns) for one in cards], fresh=True)
        return {**update, self.cards: value, self.chips: chips, self.notice: note("")}

    def sent(self, fields: Mapping[str, Any], people: People) -> Update:
        """Everything as fields from another tab have it, pictures among them."""
        given = enumerate(fields.get("references", ()), 1)
        persons = [face_people.person(pictures.encode(one, 1), f"Reference {k}") for k, one in given]
        return self.filled(fields, persons, people)

    # --- each answers an event with updates

    def _followed(self, value: CardsValue, people: People, prompt: str, preset: str) -> Update:
        """What goes with the cards and the prompt: who is who, and the cards' words."""
        chips, nouns = _tied(value.cards, people, prompt, preset)
        changed = [named for one in value.cards if (named := _named(one, nouns)) != one]
        return {self.chips: chips, **({self.cards: CardsValue(cards=changed)} if changed else {})}

    def _added(
        self, value: CardsValue, people: People, prompt: str, preset: str, resolution: int, crop: bool,
        event: gr.EventData,
    ) -> Update:  # fmt: skip
        name = str(event.name)[:80]
        try:
            data = face_people.file_of(event.data, name)
            if event.dropped and (restored := self._restored(data, value, people)):
                return restored | {self.cards: restored[self.cards].model_copy(update={"answered": event.file})}
            if len(value.cards) >= MOST:
                raise BadRequest(f"{MOST} people are the most; please remove one first.")
            added = card(face_people.kept(people, face_people.person(data, name, int(resolution), crop)), people)
        except BadRequest as error:
            return {self.cards: CardsValue(answered=event.file), self.notice: note(str(error), bad=True)}
        chips, nouns = _tied([*value.cards, added], people, prompt, preset)
        changed = [named for one in value.cards if (named := _named(one, nouns)) != one]
        answer = CardsValue(cards=[*changed, _named(added, nouns)], answered=event.file)
        return {self.cards: answer, self.chips: chips, self.notice: note("")}

    def _removed(self, value: CardsValue, people: People, prompt: str, preset: str, event: gr.EventData) -> Update:
        people.pop(str(event.id), None)
        return self._followed(value, people, prompt, preset)

    def _renamed(self, value: CardsValue, people: People, prompt: str, preset: str, event: gr.EventData) -> Update:
        changed = with_noun(prompt, int(event.place), str(event.noun))
        return {**self._followed(value, people, changed, preset), self.controls["prompt"]: changed}

    def _restored(self, data: bytes, value: CardsValue, people: People) -> Update | None:
        """What a result of this method restores: all but the pictures, which it only names; None for another file.

        People who are here already, by the hashes of their pictures, are put into its order.
        """
        try:
            told, _ = recipe.read_png(data)
        except BadRequest:
            return None
        if told.method != "facediffuser":
            return None
        wanted = [str(entry.get("sha256")) for entry in told.request.get("references", ())]
        stand_in = {"picture": "nobody", "sha256": recipe.picture_sha256(NOBODY), "shape": list(NOBODY.shape)}
        blank = dataclasses.replace(told, request={**told.request, "references": [stand_in] * len(wanted)})
        request = replay.to_request(blank, {"nobody": NOBODY}, FaceRequest)
        fields = {name: getattr(request, name) for name in options(FaceRequest)}
        here = {people[one.id].sha256: people[one.id] for one in value.cards if one.id in people}
        if all(sha in here for sha in wanted):
            return {**self.filled(fields, [here[sha] for sha in wanted], people), self.notice: note(RESTORED)}
        update = self.filled(fields, list(here.values()), people)
        pictures = "the same picture" if len(wanted) == 1 else f"the same {len(wanted)} pictures, in their order"
        return {**update, self.notice: note(f"{RESTORED} To repeat it, add {pictures}: the file holds no faces.")}


def _tied(cards: Sequence[Card], people: People, prompt: str, preset: str) -> tuple[ChipsValue, dict[str, str]]:
    """Who is who, and the words that the prompt has for the cards, by their ids."""
    known = [one for one in cards if one.id in people]
    small = [people[one.id].small for one in known]
    chips = tied(prompt, [one.noun for one in known], small, {"preset": preset})
    return chips, {one.id: chip.noun for one, chip in zip(known, chips.chips, strict=False)}


def _named(one: Card, nouns: Mapping[str, str]) -> Card:
    changed: Card = one.model_copy(update={"noun": nouns.get(one.id, one.noun)})
    return changed


def _taken(event: gr.EventData) -> str:
    return str(event.offer)


def _seen(value: CardsValue, people: People, resolution: int, crop: bool) -> CardsValue:
    """The cards as the encoder sees them with these settings."""
    shown = []
    for one in value.cards:
        if known := people.get(one.id):
            people[one.id] = face_people.person(known.data, known.name, int(resolution), crop)
            shown.append(card(one.id, people, one.noun))
    return CardsValue(cards=shown)
