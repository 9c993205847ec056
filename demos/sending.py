"""Send to: what stands in one tab, or a result of it as the scene, goes to a tab that can take it, or to Compare.

A tab joins by `bind.connect`, with its form. What is sent is carried in the visitor's part of this server's memory
and is gone from there once it has arrived; no file gets it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from demos.output import Shown
from demos.send_to import CourierValue, SendValue, Target
from demos.widgets import QUIET, note
from models import pictures
from models.collage.layers import Layer
from models.compare.cases import Case
from models.contract import BadRequest, Bundle, Placed, Spec, options
from models.facediffuser.markers import MARKER

if TYPE_CHECKING:
    from demos.bind import Form

COMPARE, TITLE = "compare", "Compare"
INPUT, RESULT = "input", "result"
STAND_IN = "\N{WHITE SQUARE}"  # for words that are still missing: no prompt has it
BACKDROP = "background"  # what a scene without words is called where it becomes a layer
Updates = dict[Any, Any]
_numbers = itertools.count(1)  # of answers: the same one twice has to be news


@dataclass(frozen=True, eq=False)
class Filling:
    """How a tab takes request fields from elsewhere: `fill` gets them and the values of `inputs`, and answers with
    updates of `outputs`."""

    fill: Callable[..., Updates]
    outputs: Sequence[Any]
    inputs: Sequence[Any] = ()


@dataclass(frozen=True, eq=False)
class Place:
    """A tab that takes part: its form, the line where it tells the visitor something, its result, how it is filled."""

    form: Form
    notice: Any
    panel: Any
    filling: Filling

    @property
    def key(self) -> str:
        """The method's key, which is the tab's id."""
        return self.form.spec.key


@dataclass(frozen=True, eq=False)
class Parcel:
    """What is under way: for a method's tab request fields and what to say of them, for Compare a case."""

    to: str
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    said: str = ""
    case: Case | None = None


_joined: ContextVar[list[Place] | None] = ContextVar("joined", default=None)


@contextlib.contextmanager
def places() -> Iterator[list[Place]]:
    """The tabs that join while the page is built."""
    found: list[Place] = []
    token = _joined.set(found)
    try:
        yield found
    finally:
        _joined.reset(token)


def join(place: Place) -> None:
    """Take part, if the page that is being built has others."""
    found = _joined.get()
    if found is not None:
        found.append(place)


def connect(joined: Sequence[Place], tabs: Any, courier: Any, parcel: Any) -> None:
    """Wire the tabs: `courier` is the component with an event for each, `parcel` the state that carries."""
    for place in joined:
        inputs = [place.panel.state, *place.form.components]
        outputs = [place.panel.send, parcel, tabs, courier]
        place.panel.send.send(_sender(place, joined, outputs), inputs, outputs, queue=False, **QUIET)
        filled = list(dict.fromkeys([*place.filling.outputs, place.notice, parcel]))
        arrives = getattr(courier, place.key)
        arrives(_receiver(place, parcel), [parcel, *place.filling.inputs], filled, queue=False, **QUIET)


def _sender(place: Place, joined: Sequence[Place], outputs: Sequence[Any]) -> Callable[..., Any]:
    menu, parcel, tabs, courier = outputs

    def send(event: gr.EventData, shown: Shown | None, *values: Any) -> Updates:
        to, what = str(event.to), str(event.what)
        if not to:
            return {menu: offered(place, joined, shown, values)}
        try:
            made = packed(place, joined, to, what, shown, values)
        except BadRequest as error:
            return {menu: SendValue(said=str(error), number=next(_numbers))}
        number = next(_numbers)
        return {
            menu: SendValue(number=number),
            parcel: made,
            tabs: gr.update(selected=to),
            courier: CourierValue(to=to, number=number),
        }

    return send


def _receiver(place: Place, parcel: Any) -> Callable[..., Updates]:
    def receive(came: Parcel | None, *values: Any) -> Updates:
        if came is None or came.to != place.key:
            return {parcel: came}
        try:
            update = place.filling.fill(came.fields, *values)
        except BadRequest as error:
            return {place.notice: note(str(error), bad=True), parcel: None}
        return {**update, place.notice: note(came.said), parcel: None}

    return receive


# --- what is offered, and what is sent


def offered(place: Place, joined: Sequence[Place], shown: Shown | None, values: Sequence[Any]) -> SendValue:
    """Who can take the tab's input, and who its result as the scene."""
    said, found = "", dict[str, list[Target]]()
    for what in (INPUT, RESULT):
        try:
            case = case_of(place, what, shown, values)
        except BadRequest as error:
            said = said or (str(error) if what == INPUT else "")
            continue
        others = [other for other in joined if what == RESULT or other is not place]
        takers = [Target(key=o.key, title=o.form.spec.title) for o in others if _can(o.form.spec, case.bundle)]
        found[what] = [*takers, Target(key=COMPARE, title=TITLE)]
    if said and found:
        said = f"The input goes nowhere yet: {said}"
    return SendValue(**found, said=said, number=next(_numbers))


def packed(
    place: Place, joined: Sequence[Place], to: str, what: str, shown: Shown | None, values: Sequence[Any]
) -> Parcel:
    """What is sent to the tab `to`; raises `BadRequest` where it cannot be."""
    case = case_of(place, what, shown, values)
    if to == COMPARE:
        return Parcel(to, case=case)
    spec = next((other.form.spec for other in joined if other.key == to), None)
    if spec is None:
        raise BadRequest("There is no such tab; please choose one of the list.")
    fields, left = taken(spec, case.bundle)
    lead = f"{'The result' if what == RESULT else 'The input'} of {place.form.spec.title}."
    return Parcel(to, fields, " ".join([lead, *(_own(spec, sentence) for sentence in left)]))


def case_of(place: Place, what: str, shown: Shown | None, values: Sequence[Any]) -> Case:
    """The tab's input with the request it makes, or its shown result as a scene; raises `BadRequest`."""
    spec = place.form.spec
    if what == RESULT:
        if shown is None:
            raise BadRequest("There is no result yet.")
        return Case(f"{spec.title}, result", scene_of(shown))
    request = place.form.request(values)
    if spec.give is None:
        raise BadRequest(f"{spec.title} gives no input to others.")
    return Case(spec.title, spec.give(request), request)


def scene_of(shown: Shown) -> Bundle:
    """The result that is looked at, as a scene with the words for what it shows."""
    picture = shown.pictures[shown.chosen]
    told = picture.recipe.request
    lines = str(told.get("target_prompt") or "").splitlines()
    # Words for a mask or for a thing are not words for the picture.
    words = "" if told.get("mask") or lines else str(told.get("prompt") or "")
    if lines:
        words = lines[min(shown.chosen, len(lines) - 1)]
    words = " ".join(words.replace(MARKER, " ").split())
    scene = pictures.decode(picture.plain, "rgb", "The result")
    return Bundle(scene, prompts={"source_prompt": words, "scene_prompt": words} if words else {})


def taken(spec: Spec, bundle: Bundle) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A method's fields for a bundle and what to say of them. What is not yet enough for a run goes as far as it does,
    with what is still needed in words. Raises `BadRequest` where nothing of it is of use."""
    if spec.take is None:
        raise BadRequest(f"{spec.title} takes no input from elsewhere.")
    try:
        fields, left = spec.take(bundle)
        return dict(fields), left
    except BadRequest as error:
        needed = error
    with contextlib.suppress(BadRequest):  # all is there but words
        fields, left = spec.take(_worded(bundle))
        return {name: _unworded(value) for name, value in fields.items()}, (*left, str(needed))
    if bundle.scene is None or bundle.placed is not None or bundle.layers:
        raise needed
    kinds = {option.kind: name for name, option in reversed(options(spec.request).items())}
    if "layers" in kinds:
        fields, left = spec.take(_laid(bundle, bundle.scene))
        return dict(fields), left
    if "rgb" not in kinds:
        raise needed
    return {kinds["rgb"]: bundle.scene}, (str(needed),)


def _worded(bundle: Bundle) -> Bundle:
    """The bundle with a stand-in for every word that is missing."""
    told = {name: bundle.prompts.get(name, "").strip() or STAND_IN for name in ("prompt", "target_prompt")}
    layers = tuple(dataclasses.replace(one, prompt=one.prompt.strip() or STAND_IN) for one in bundle.layers)
    return dataclasses.replace(bundle, prompts={**bundle.prompts, **told}, layers=layers)


def _unworded(value: Any) -> Any:
    """A field without stand-ins."""
    if isinstance(value, str):
        return "" if value == STAND_IN else value
    if isinstance(value, tuple):
        return tuple(_unworded(item) for item in value)
    return value.replace(prompt="") if isinstance(value, Layer) and value.text == STAND_IN else value


def _can(spec: Spec, bundle: Bundle) -> bool:
    try:
        taken(spec, bundle)
    except BadRequest:
        return False
    return True


def _laid(bundle: Bundle, scene: np.ndarray) -> Bundle:
    """The scene as the only layer of a white canvas of its size."""
    whole = np.dstack([scene, np.full(scene.shape[:2], 255, np.uint8)])
    layer = Placed(whole, scale=1.0, prompt=bundle.prompts.get("scene_prompt", "").strip() or BACKDROP)
    negative = {n: text for n, text in bundle.prompts.items() if n == "negative_prompt"}
    return Bundle(np.full_like(scene, 255), layers=(layer,), prompts=negative)


def _own(spec: Spec, sentence: str) -> str:
    """A sentence without the name of the tab that it is read in."""
    rest = sentence.removeprefix(f"{spec.title}: ")
    return rest[:1].upper() + rest[1:]
