"""What a run tells beside its pictures: reconstruction, word maps and the numbers that say why an edit failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from models.dit4edit import finishing
from models.dit4edit.conditions import Parts
from models.dit4edit.controller import Controller
from models.dit4edit.merging import kept
from models.dit4edit.planning import Plan, Prompts, shown_words
from models.dit4edit.source import Way
from models.dit4edit.spec import EditRequest
from models.inversion import statistics
from models.word_sheet import word_sheet

HEALTHY = (0.9, 1.1)  # standard deviation of inverted noise that still edits well
PIECES = 3  # a word of so many tokens is hard to move


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
    prompts: Prompts,
    warning: str,
) -> dict[str, Any]:
    """Numbers for people: reconstruction, noise, network calls, what was merged, what was not read."""
    working, height, width = way.source.working, *plans[0].tokens
    noise = statistics(way.trajectory[0])
    left = kept(request.merge_ratio, request.merge_stride, height, width)
    told = [*warnings(request, noise.std, prompts), *([warning] if warning else [])]
    return {
        "seeds": [request.seed] * len(prompts.targets),
        "titles": list(request.targets),
        "kinds": [plan.chosen.kind for t in range(len(prompts.targets)) for plan in plans if t in plan.targets],
        "psnr_encoded": finishing.psnr(way.source.decoded, working),
        "psnr_reconstruction": finishing.psnr(shown["reconstruction"], working),
        "noise": {"std": round(noise.std, 3), "correlation": round(noise.correlation, 3)},
        "evaluations": way.evaluations + len(plans) * (len(way.trajectory) - 1),
        "inversion_reused": way.reused,
        "kept_tokens": f"{left} of {height * width}",
        "worked_at": f"{working.shape[1]}x{working.shape[0]}",
        "dropped_words": "; ".join(filter(None, (p.dropped for p in (prompts.source, *prompts.targets)))),
        "warning": " ".join(told),
    }


def warnings(request: EditRequest, deviation: float, prompts: Prompts) -> list[str]:
    """Sentences about what may disappoint."""
    found = []
    if not request.weights and any(target.text == prompts.source.text for target in prompts.targets):
        found.append("Source and target say the same, so nothing but the reconstruction was made.")
    if request.image is not None and not HEALTHY[0] <= deviation <= HEALTHY[1]:
        found.append(f"The inverted noise has deviation {deviation:.2f} instead of 1; another grid may edit better.")
    if request.inversion == "paper" and request.grid == "linspace":
        found.append("The paper's formula loses the picture on evenly spaced timesteps; choose another spacing.")
    long = {p.words[n] for p in (prompts.source, *prompts.targets) for n in shown_words(p.words)
            if len(p.words.tokens_of(n)) >= PIECES}  # fmt: skip
    if long:
        found.append(f"Read in many pieces, and hard to move: {', '.join(sorted(long))}.")
    return found
