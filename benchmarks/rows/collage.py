"""Collage Diffusion's rows: drawn collages, the paper's ladder from one seed for each of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import collages, measures
from benchmarks.collages import Drawn
from benchmarks.contract import Measured, Row
from benchmarks.looks import looks_apart
from benchmarks.rows.cat import the_judge
from benchmarks.rows.dreamfuse import round_trip
from models import runtime
from models.collage.spec import CollageRequest, fields_of
from models.contract import Preset, Result
from models.loading import POCKET
from training import export, world

LEAST = 128  # cases of a committed table, 64 of each kind
SHEET = 64
AMONG = 5  # likeliest nouns
RUNGS = ("paste", "gh", "gh+ca", "gh+ca+ti", "all")  # of the sheet, in the paper's order

_LADDER = {"paste": "paste", "GH (img2img)": "gh", "GH + CA with noise per layer": "all", "lit scene": "truth"}
_LOOKS = {"GH": "gh", "GH + CA": "gh+ca", "with noise per layer": "all", "autoencoder's copy of the paste": "copy"}

ROWS = (
    Row(
        "label",
        "things that the judge reads where their layer lies: with CA",
        "",
        "label_gh+ca",
        floor=0.0,
        aim=0.0,
        against="label_gh",
        better=True,
        beside={heading: f"label_{name}" for heading, name in _LADDER.items()},
    ),
    Row(
        "among",
        f"the same among its {AMONG} likeliest",
        "",
        "among_gh+ca",
        floor=0.0,
        aim=0.0,
        against="among_gh",
        better=True,
        beside={heading: f"among_{name}" for heading, name in _LADDER.items()},
    ),
    Row(
        "look",
        "cosine of the judge's features to the layer's own: with CA and TI",
        "",
        "look_gh+ca+ti",
        floor=0.0,
        aim=0.0,
        against="look_gh+ca",
        better=True,
        beside={heading: f"look_{name}" for heading, name in _LOOKS.items()},
    ),
    Row(
        "kept",
        "PSNR to the collage of a layer with noise 0",
        "dB",
        "kept_all",
        floor=-2.0,
        aim=-0.5,
        against="kept_copy",
        beside={"autoencoder's copy": "kept_copy", "GH": "kept_gh", "GH + CA": "kept_gh+ca"},
    ),
)
NOTE = (
    "A place and two to four things pasted into it unlit, every rung from the same seed; dials by the automatic rule, "
    "but one thing with noise 0, which only the last rung heeds. Labels: trained things, one of them in an unseen "
    "combination of colour and place. Looks: things that no model saw, learned for the preset's own number of steps. "
    "The first two differences are to GH, the third to GH + CA, the last to the autoencoder's round trip. Raw output. "
    "A case's number is the mean of its things; cases of one unseen thing, the nearest of several, are one cluster."
)


@dataclass(frozen=True, eq=False)
class Case:
    """A request for the whole ladder in raw output, and the collage that it is of."""

    request: CollageRequest
    drawn: Drawn


def draw(count: int, seed: int, preset: Preset, sprites: Path | None) -> Sequence[Case]:
    """Collages of both kinds in turn at the preset's size; other cut-outs have no words that were trained, so of them
    only looks are measured."""
    found = collages.draw(count, seed, preset.size, sprites)
    return [Case(as_request(drawn, seed + index, preset), drawn) for index, drawn in enumerate(found)]


def as_request(drawn: Drawn, seed: int, preset: Preset) -> CollageRequest:
    """The whole ladder; looks are learned where no model saw the things."""
    fields = fields_of(drawn.collage)
    looks = drawn.kind == "objects"
    return CollageRequest(**fields, seed=seed, preset=preset.name, ladder=True, looks=looks, keep_detail="off")


def measure(case: Case, preset: Preset) -> Measured:
    """Make every rung and compare: what the judge reads, how alike the layers are, what is left of the kept one."""
    drawn = case.drawn
    with looks_apart():
        made = run(case.request)
    made["copy"] = round_trip(drawn.stack.flat, preset)
    found: dict[str, float] = {}
    for name, picture in made.items():
        if drawn.kind == "objects" and name != "paste":
            found[f"look_{name}"] = float(np.mean(collages.likeness(the_judge(), picture, drawn)))
        if drawn.kind == "words":
            found |= _read(name, picture, drawn)
        if name != "paste":
            found[f"kept_{name}"] = measures.psnr(picture, drawn.stack.flat, drawn.kept_region)
    if drawn.kind == "words":
        found |= _read("truth", drawn.truth, drawn)
    groups = (drawn.kind, drawn.place, f"{len(drawn.names)} things")
    return Measured(drawn.name, groups, found, _pictures(made), _captions(drawn, found))


def _read(name: str, picture: np.ndarray, drawn: Drawn) -> dict[str, float]:
    ranks = np.array(collages.ranks(the_judge(), picture, drawn))
    return {f"label_{name}": float((ranks == 0).mean()), f"among_{name}": float((ranks < AMONG).mean())}


def run(request: CollageRequest) -> dict[str, np.ndarray]:
    """The method's raw pictures by rung."""
    for event in runtime.run("collage", request):
        if isinstance(event, Result):
            return {name: event.extras[name] for name in RUNGS if name in event.extras} | {"all": event.images[0]}
    raise RuntimeError("The run ended without a picture.")


def _pictures(made: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every rung's picture, white where it was not made."""
    return {name: made.get(name, np.full_like(made["paste"], 255)) for name in RUNGS}


def _captions(drawn: Drawn, found: Mapping[str, float]) -> dict[str, str]:
    kind = "label" if drawn.kind == "words" else "look"
    texts = {name: f"{kind} {found[f'{kind}_{name}']:.2f}" for name in RUNGS if f"{kind}_{name}" in found}
    texts["paste"] = drawn.name
    texts["all"] = f"{drawn.names[drawn.kept - 1][:8]} {found['kept_all']:.1f} dB"
    return texts


def world_digest() -> str:
    """sha256 of the world's code and art and of the judge."""
    return hashlib.sha256(f"{world.digest()} {export.digest(POCKET / 'judge')}".encode()).hexdigest()
