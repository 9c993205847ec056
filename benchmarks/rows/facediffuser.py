"""Face-diffuser's rows: drawn people whom no model saw, by both models and by each alone, each case from one seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import face_reading, faces
from benchmarks.contract import Measured, Row
from benchmarks.faces import Drawn
from models import runtime
from models.contract import Preset, Result
from models.facediffuser.spec import FaceRequest
from models.loading import POCKET
from training import export, world

LEAST = 128  # cases of a committed table: 64 people alone and 64 couples
SHEET = 64
ANSWERS = True  # numbers are shares of a judge's answers, of which a rounding can turn one: means are measured again
WITHIN = 0.98  # of the subject model's identity is near enough

MADE = {  # heading -> what made the pictures beside ours
    "scene model only": "scene",
    "subject model only": "subject",
    "subject model guided from the empty prompt": "text",
    "subject model after the scene stage, nothing fused": "handed",
    "true picture": "truth",
    "true picture, place known": "known",
}


def _row(key: str, measure: str, number: str, against: str, aim: float) -> Row:
    beside = {heading: f"{number}_{name}" for heading, name in MADE.items()}
    return Row(key, measure, "", f"{number}_both", 0.0, aim, f"{number}_{against}", beside, better=against == "subject")


ROWS = (
    # Beyond the subject model's own is the aim, which 2 % of all attributes surely are.
    _row("identity", "one person: attributes recovered (hair, skin, beard, glasses)", "identity", "near", 1 - WITHIN),
    _row("prompt", "one person: words of the prompt that are seen", "prompt", "subject", 0.0),
    _row("two", "two people: attributes of the one who is recovered worse", "worse", "subject", 0.0),
    _row("prompt_two", "two people: words of the prompt that are seen", "words", "subject", 0.0),
)
NOTE = (
    "People whom no model saw, alone and in couples, in described places; references show them in other clothes. The "
    "judge, which no method uses, is asked for hair style, hair colour, skin, beard and glasses, and for the prompt's "
    "place, style, colours of walls, floors, skies and clothes, man or woman, hats, glasses and what is held, where "
    "it is likeliest to see somebody. The first difference is to 98 % of the subject model alone, the others to the "
    "subject model alone. What the judge reads in true pictures is the most that can be reached. All from one seed."
)


@dataclass(frozen=True, eq=False)
class Case:
    """A request for all variants, and the people that it is about."""

    request: FaceRequest
    drawn: Drawn


def draw(count: int, seed: int, preset: Preset, sprites: Path | None) -> Sequence[Case]:
    """One person and two in turn, at the preset's size. Cut-outs are no people: raises ValueError."""
    if sprites is not None:
        raise ValueError("These rows are about people; they take no sprites.")
    found = faces.draw(count, seed, preset.size)
    return [Case(as_request(drawn, seed + index, preset), drawn) for index, drawn in enumerate(found)]


def as_request(drawn: Drawn, seed: int, preset: Preset) -> FaceRequest:
    """Both models and each alone, every other control at its default."""
    return FaceRequest(references=drawn.references, prompt=drawn.prompt, seed=seed, preset=preset.name, ladder=True)


def measure(case: Case, preset: Preset) -> Measured:
    """Draw by all variants and ask the judge about each, and about the true picture."""
    drawn = case.drawn
    made = run(case.request)
    found: dict[str, float] = {}
    for name, picture in {**made, "truth": drawn.truth}.items():
        found |= _read(name, picture, face_reading.find(picture, len(drawn.people)), drawn)
    found |= _read("known", drawn.truth, face_reading.look(drawn.truth, drawn.people), drawn)
    if drawn.kind == "one":
        found["identity_near"] = WITHIN * found["identity_subject"]
    return Measured(drawn.name, (drawn.kind, drawn.place), found, _pictures(drawn, made), _captions(drawn, found))


def _read(name: str, picture: np.ndarray, seen: Sequence[face_reading.Seen], drawn: Drawn) -> dict[str, float]:
    who = [face_reading.recovered(one, person) for one, person in zip(seen, drawn.people, strict=True)]
    prompt = face_reading.told(picture, seen, drawn)
    if drawn.kind == "one":
        return {f"identity_{name}": who[0], f"prompt_{name}": prompt}
    return {f"worse_{name}": min(who), f"words_{name}": prompt}


def run(request: FaceRequest) -> dict[str, np.ndarray]:
    """Pictures by variant. The scene stage that the first run keeps is not drawn again."""
    first, plain = _result(request), request.replace(ladder=False)
    return {
        "both": first.images[0],
        "scene": first.extras["scene"],
        "subject": first.extras["subject"],
        "handed": _result(plain.replace(subject_from=plain.scene_until)).images[0],
        "text": _result(plain.replace(variant="subject", anchor="empty")).images[0],
    }


def _result(request: FaceRequest) -> Result:
    for event in runtime.run("facediffuser", request):
        if isinstance(event, Result):
            return event
    raise RuntimeError("The run ended without a picture.")


def _pictures(drawn: Drawn, made: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A line of the sheet: the references, the second one white where there is none, and what was made of them."""
    references = [*drawn.references, np.full_like(drawn.references[0], 255)][:2]
    shown = {name: made[name] for name in ("scene", "subject", "both")}
    return {"first": references[0], "second": references[1], **shown, "true": drawn.truth}


def _captions(drawn: Drawn, found: Mapping[str, float]) -> dict[str, str]:
    who, words = ("identity", "prompt") if drawn.kind == "one" else ("worse", "words")
    names = {"scene": "scene", "subject": "subject", "both": "both", "true": "truth"}
    texts = {heading: f"{found[f'{who}_{n}']:.2f} {found[f'{words}_{n}']:.2f}" for heading, n in names.items()}
    return {"first": drawn.name, **texts}


def world_digest() -> str:
    """sha256 of the world's code and art and of the judge."""
    return hashlib.sha256(f"{world.digest()} {export.digest(POCKET / 'judge')}".encode()).hexdigest()
