"""What a run tells beside its pictures: reconstruction, word maps and the numbers that say why an edit failed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from models.dit4edit import finishing
from models.dit4edit.baselines import BASELINES
from models.dit4edit.conditions import Parts
from models.dit4edit.controller import Controller
from models.dit4edit.planning import Plan, Prompts, shown_words
from models.dit4edit.source import Way
from models.dit4edit.spec import EditRequest
from models.inversion import statistics
from models.word_sheet import word_sheet

HEALTHY = (0.9, 1.1)  # standard deviation of inverted noise that still edits well
PIECES = 3  # a word of so many tokens is hard to move
MOVING = 0.01  # of latents of unit size: an inversion that still does is not exact
SQUEEZED = 1.6  # times another shape than its own: rounding to multiples of 32 makes less, and people see more


def extras(
    parts: Parts,
    way: Way,
    reconstruction: Tensor,
    controllers: Sequence[Controller],
    plans: Sequence[Plan],
    prompts: Prompts,
) -> dict[str, np.ndarray]:
    """The pictures beside the result; reconstruction and round trip have the working size."""
    rebuilt = finishing.decoded(parts, reconstruction)
    return {
        "input": way.source.original,
        "reconstruction": rebuilt,
        "encoded": way.source.decoded,
        "words": _words(way.source.working, controllers, plans, prompts),
    }


def _words(
    picture: np.ndarray, controllers: Sequence[Controller], plans: Sequence[Plan], prompts: Prompts
) -> np.ndarray:
    rows = []
    for number, (controller, plan) in enumerate(zip(controllers, plans, strict=True)):
        maps = controller.word_maps()
        read = [("Source", prompts.source), *((f"Target {t + 1}", prompts.targets[t]) for t in plan.targets)]
        for (title, prompt), found in zip(read, maps, strict=True):
            if title == "Source" and number:
                continue
            words = [prompt.words[n] for n in shown_words(prompt.words)]
            rows.append((title, [(w, m.numpy()) for w, m in zip(words, found, strict=True)]))
    return word_sheet(picture, rows)


def facts(
    request: EditRequest,
    way: Way,
    shown: dict[str, np.ndarray],
    plans: Sequence[Plan],
    controllers: Sequence[Controller],
    prompts: Prompts,
    warning: str,
) -> dict[str, Any]:
    """Numbers for people: reconstruction, noise, network calls, what was merged, what was not read."""
    working, height, width = way.source.working, *plans[0].tokens
    noise = statistics(way.trajectory[0])
    left = max(round((1 - one.effective_ratio) * height * width) for one in controllers)  # a mask may leave more
    told = [*warnings(request, way, noise.std, plans, prompts), *([warning] if warning else [])]
    return {
        "seeds": [request.seed] * len(prompts.targets),
        "titles": list(request.targets),
        "kinds": [plan.chosen.kind for t in range(len(prompts.targets)) for plan in plans if t in plan.targets],
        "psnr_encoded": finishing.psnr(way.source.decoded, working),
        "psnr_reconstruction": finishing.psnr(shown["reconstruction"], working),
        "noise": {
            "std": round(noise.std, 3),
            "mean": round(max(abs(mean) for mean in noise.mean), 3),
            "correlation": round(noise.correlation, 3),
        },
        "baselines": [name for name in BASELINES if name in shown],
        "evaluations": way.evaluations + len(plans) * (len(way.trajectory) - 1),
        "inversion_reused": way.reused,
        "kept_tokens": f"{left} of {height * width}",
        "worked_at": f"{working.shape[1]}x{working.shape[0]}",
        "dropped_words": "; ".join(filter(None, (p.dropped for p in (prompts.source, *prompts.targets)))),
        "warning": " ".join(told),
    }


def warnings(request: EditRequest, way: Way, deviation: float, plans: Sequence[Plan], prompts: Prompts) -> list[str]:
    """Sentences about what may disappoint."""
    found = []
    if same := sorted(target + 1 for plan in plans if plan.same for target in plan.targets):
        who = f"target {' and '.join(map(str, same))}" if len(prompts.targets) > 1 else "target"
        found.append(f"Source and {who} say the same, so nothing but the reconstruction was made.")
    elif not all(target.text for target in prompts.targets):
        found.append("There is no target prompt, so nothing says what the picture shall show.")
    if way.moved is not None and math.isinf(way.moved):
        found.append(f"The {request.inversion} inversion ran away, so the fast one was used; more steps may help.")
    elif request.inversion == "exact" and way.moved is not None and way.moved > MOVING:
        found.append(f"The exact inversion was still moving, by {way.moved:.1g}, when it had to end.")
    if squeezed(way.source.original, way.source.working):
        found.append("The picture was squeezed out of its proportions for the model; crop it to lose less.")
    if request.image is not None and not HEALTHY[0] <= deviation <= HEALTHY[1]:
        found.append(f"The inverted noise has deviation {deviation:.2f} instead of 1; another grid may edit better.")
    if request.inversion == "paper" and request.grid == "linspace":
        found.append("The paper's formula loses the picture on evenly spaced timesteps; choose another spacing.")
    long = {p.words[n] for p in (prompts.source, *prompts.targets) for n in shown_words(p.words)
            if len(p.words.tokens_of(n)) >= PIECES}  # fmt: skip
    if long:
        found.append(f"Read in many pieces, and hard to move: {', '.join(sorted(long))}.")
    return found


def squeezed(original: np.ndarray, working: np.ndarray) -> bool:
    """Whether pictures (H, W, 3) have proportions so different that what was drawn is out of shape."""
    shapes = (picture.shape[0] / picture.shape[1] for picture in (original, working))
    factor: float = next(shapes) / next(shapes)
    return max(factor, 1 / factor) > SQUEEZED
