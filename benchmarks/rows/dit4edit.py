"""DiT4Edit's rows: drawn edits towards things, colours and places that no model saw together."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import edits, measures
from benchmarks.contract import Measured, Row
from benchmarks.rows.cat import the_judge
from models import catalog, device, latents, runtime
from models.contract import Preset, Result
from models.diffusion import alphas_cumprod
from models.dit4edit import finishing, method, planning
from models.dit4edit.baselines import sdedit
from models.dit4edit.conditions import Parts, Rows
from models.dit4edit.controller import Controller
from models.dit4edit.editing import Course, edit
from models.dit4edit.source import Way, inverted
from models.dit4edit.spec import EditRequest
from models.dpm_solver import grid
from models.loading import POCKET
from training import export, judge, world

LEAST = 72  # cases of a committed table, 12 of each kind of edit
SHEET = 72
WORTH = 0.02  # of the picture: less background than that is not measured
USUAL = "sdedit_65"  # the strength of the method's own comparison
STRENGTHS = {"sdedit_50": 0.5, "sdedit_80": 0.8}  # tried beside it
BASELINES = {  # key -> heading
    "sdedit": "SDEdit at the best of 0.5, 0.65, 0.8",
    "ddim": "DDIM inversion with the prompt swapped",
    "inversion": "the method's inversion with the prompt swapped",
    "prompt-to-prompt": "prompt-to-prompt only",
    "mutual": "mutual self-attention only",
}
MEASURES = ("success", "asked", "background", "outside")
OF_ALL = {f"{measure}_{name}" for measure in MEASURES for name in ("sdedit", "best")}  # chosen over the whole set

_BESIDE = {heading: key for key, heading in BASELINES.items()}
_JUDGED = {**_BESIDE, "nothing edited": "none", "true picture": "truth"}


def _row(key: str, measure: str, unit: str, against: str, beside: Mapping[str, str]) -> Row:
    kind = key.partition("_")[0]
    columns = {heading: f"{kind}_{name}" for heading, name in beside.items()}
    return Row(key, measure, unit, f"{kind}_ours", 0.0, 0.0, f"{kind}_{against}", columns)


ROWS = (
    _row("success", "edits in which the judge reads the asked word and no kept word is lost", "", "best", _JUDGED),
    _row("asked", "edits in which it reads the asked word, whatever else is lost", "", "best", _JUDGED),
    _row(
        "background",
        "PSNR to the source outside what had to change, where both succeed",
        "dB",
        "best",
        {"the baseline that succeeds most": "best"},
    ),
    *(
        _row(f"background_{key}", f"the same against {heading}", "dB", key, {heading: key})
        for key, heading in BASELINES.items()
    ),
    _row("outside", "the same over all edits, successful or not", "dB", "best", _BESIDE),
)
NOTE = (
    "Edits whose result holds an unseen combination of thing, colour and place, the kinds in turn; raw output, all "
    "controls at their defaults, the kind of edit told for restyling only. The difference is to the baseline that "
    "succeeds most. A noun counts as read among the judge's five likeliest, a colour or style as the likeliest, "
    "a wall's or floor's colour where it is likelier than the one before; a kept word is asked for where the "
    "autoencoder's copy of the source shows it. PSNR is at most that of this copy."
)


@dataclass(frozen=True)
class Case:
    """A request for raw output and the edit it asks for."""

    request: EditRequest
    pair: edits.Pair


def draw(count: int, seed: int, preset: Preset, sprites: Path | None) -> Sequence[Case]:
    """Edits of every kind in turn, at the preset's size; each from a seed of its own. Other cut-outs have no words
    that were trained: raises ValueError."""
    if sprites is not None:
        raise ValueError("A word that was never trained cannot be drawn; these rows take no sprites.")
    return [_draw_one(seed, index, preset) for index in range(count)]


def _draw_one(seed: int, index: int, preset: Preset) -> Case:
    own = int.from_bytes(hashlib.sha256(f"dit4edit {seed} {index}".encode()).digest()[:6])
    kind = edits.KINDS[index % len(edits.KINDS)]
    pair = edits.draw(kind, preset.size, own)
    request = EditRequest(
        image=pair.source,
        source_prompt=pair.source_prompt,
        target_prompt=pair.target_prompt,
        kind="restyle" if kind == "restyle" else "auto",
        seed=seed + index,
        preset=preset.name,
        keep_detail="off",
        paste_back=False,
        comparisons=True,
    )
    return Case(request, pair)


def measure(case: Case, preset: Preset) -> Measured:
    """Edit with the method and all baselines, ask the judge about each, compare what should not have changed."""
    pair, result = case.pair, run(case.request)
    copy = result.extras["encoded"]
    made = {"ours": result.images[0], **{k: result.extras[k] for k in BASELINES if k in result.extras}}
    made |= {USUAL: made.pop("sdedit"), **more(case.request, STRENGTHS)}
    found: dict[str, float] = {}
    for name, picture in {**made, "none": copy, "truth": pair.truth}.items():
        asked = asked_is_read(pair, picture, copy)
        found[f"asked_{name}"] = float(asked)
        found[f"success_{name}"] = float(asked and kept_are_read(pair, picture, copy))
    if pair.outside.mean() >= WORTH:
        most = measures.psnr(copy, pair.source, pair.outside)
        for name, picture in made.items():
            value = min(most, measures.psnr(picture, pair.source, pair.outside))
            found[f"outside_{name}"] = value
            if found[f"success_{name}"]:
                found[f"background_{name}"] = value
    pictures = {"source": pair.source, "true": pair.truth, **made}
    return Measured(pair.name, (pair.kind,), found, pictures, _captions(pair, found, made))


def _captions(pair: edits.Pair, found: Mapping[str, float], made: Iterable[str]) -> dict[str, str]:
    texts = {"source": pair.kind, "true": pair.name}
    for name in made:
        word = "yes" if found[f"success_{name}"] else "no"
        texts[name] = f"{word} {found[f'outside_{name}']:.1f} dB" if f"outside_{name}" in found else word
    return texts


def run(request: EditRequest) -> Result:
    """The method's raw picture with the baselines beside it."""
    for event in runtime.run("dit4edit", request):
        if isinstance(event, Result):
            return event
    raise RuntimeError("The run ended without a picture.")


@torch.inference_mode()
def more(request: EditRequest, strengths: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Raw pictures of what the method does not compare itself with: SDEdit at these strengths, from the noise that the
    method's own comparison takes."""
    resolved, preset = runtime.resolve(catalog.SPECS["dit4edit"], request)
    assert isinstance(resolved, EditRequest)
    with runtime.cache.lease(preset.components) as lease:
        where = device.pick(runtime.settings.device)
        lease.to(where)
        parts = method.load(lease, preset, where)
        free = _Free(parts, resolved)
        noise = latents.seeded_noise(tuple(free.course.trajectory[0].shape), resolved.seed, parts.device)
        return {name: free.picture(sdedit(free.course, noise, strength)) for name, strength in strengths.items()}


class _Free:
    """Edits of one request without any control, on the method's own inversion of its picture."""

    def __init__(self, parts: Parts, request: EditRequest) -> None:
        size, prompts = planning.size_of(parts, request), planning.read(parts, request)
        stops = grid(alphas_cumprod("linear", **method.BETAS), request.steps, request.grid)  # type: ignore[arg-type]
        layers = len(parts.components["transformer"].transformer_blocks)
        plan = planning.plans(request, prompts, layers, size)[0].single()
        self.parts, self.request = parts, request
        self.way = _returned(inverted(parts, request, stops, size, prompts.told, stops.n))
        self.course = Course(stops, self.way.trajectory, request.guidance_scale, parts.prediction)
        self.network = Rows(parts, [prompts.of(row, plan.targets) for row in plan.rows], size)
        self.controller = Controller(plan.rows, layers, plan.tokens, stops.n)

    def picture(self, course: Course) -> np.ndarray:
        *_, moment = edit(self.network, self.controller, course)
        return finishing.finish(self.parts, self.request, self.way.source, moment.latents[1:2]).picture


def _returned(steps: Generator[Any, None, Way]) -> Way:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            way: Way = end.value
            return way


@torch.inference_mode()
def answers(picture: np.ndarray, box: edits.Box, question: str) -> torch.Tensor:
    """The judge's probabilities (answers,) for what is in a box of a uint8 picture."""
    image = torch.tensor(picture).permute(2, 0, 1)[None].float() / 255
    crop = world.crop(image, torch.tensor([box]), judge.JudgeConfig.side)
    found: torch.Tensor = the_judge()(crop)[question][0].softmax(0)
    return found


def reads(picture: np.ndarray, word: edits.Word) -> bool:
    """Whether the judge reads a word where it should stand."""
    found = answers(picture, word.box, word.question)
    ahead = word.instead is None or bool(found[word.answer] > found[word.instead])
    return ahead and (not word.among or int((found > found[word.answer]).sum()) < word.among)


def asked_is_read(pair: edits.Pair, picture: np.ndarray, copy: np.ndarray) -> bool:
    """Whether the edit did what was asked; `copy` is the autoencoder's of the source.

    Something added is looked for where the true picture has it and where the picture changed: no prompt says where.
    Something removed must no longer be read, and be at most half as likely as before.
    """
    word = pair.asked
    if pair.kind == "remove":
        was, now = (float(answers(p, word.box, word.question)[word.answer]) for p in (copy, picture))
        return now < was / 2 and not reads(picture, word)
    if reads(picture, word):
        return True
    box = measures.changed_box(copy, picture) if pair.kind == "add" else None
    return box is not None and reads(picture, replace(word, box=box))


def kept_are_read(pair: edits.Pair, picture: np.ndarray, copy: np.ndarray) -> bool:
    """Whether every other word that the judge reads in the copy is still read."""
    return all(reads(picture, after) for before, after in pair.kept if reads(copy, before))


def finish(cases: Sequence[Case], measured: Sequence[Measured]) -> list[Measured]:
    """Choose SDEdit's strength and the best baseline: the most successes, then the better background."""
    strength = best((USUAL, *STRENGTHS), measured)
    chosen = [_named(m, "sdedit", strength) for m in measured]
    found = [_named(m, "best", best(BASELINES, chosen)) for m in chosen]
    shown = ("source", "true", "ours", *BASELINES)
    return [
        replace(
            m,
            pictures={name: {**m.pictures, "sdedit": m.pictures[strength]}[name] for name in shown},
            captions={**m.captions, "sdedit": m.captions[strength]},
        )
        for m in found
    ]


def best(names: Iterable[str], measured: Sequence[Measured]) -> str:
    """The one of `names` that succeeds most often; of equals, the one that leaves more of the rest as it was."""

    def rank(name: str) -> tuple[float, float]:
        successes = [m.numbers[f"success_{name}"] for m in measured]
        outside = [m.numbers[f"outside_{name}"] for m in measured if f"outside_{name}" in m.numbers]
        return float(np.mean(successes)), float(np.mean(outside)) if outside else 0.0

    return max(names, key=rank)


def _named(one: Measured, name: str, chosen: str) -> Measured:
    """The numbers of `chosen` again, as those of `name`."""
    same = {f"{m}_{name}": one.numbers[f"{m}_{chosen}"] for m in MEASURES if f"{m}_{chosen}" in one.numbers}
    return replace(one, numbers={**one.numbers, **same})


def world_digest() -> str:
    """sha256 of the world's code and art and of the judge."""
    return hashlib.sha256(f"{world.digest()} {export.digest(POCKET / 'judge')}".encode()).hexdigest()
