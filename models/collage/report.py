"""What a run tells beside its pictures: the rungs, how free each place was, where words looked, numbers. Plain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from models.collage.planning import Course
from models.collage.spec import CollageRequest
from models.word_sheet import word_sheet

BARE, HOLDING = 0.02, 0.3  # of the canvas that is uncovered, and a freedom that leaves it as it is


def noise_view(course: Course) -> np.ndarray:
    """The noise levels in colours (yellow is free) over the gray picture, uint8 of the canvas's size."""
    levels = np.rint(255 * course.levels.clip(0, 1)).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    gray = cv2.cvtColor(course.base, cv2.COLOR_RGB2GRAY)[..., None]
    mixed: np.ndarray = np.rint(0.5 * gray + 0.5 * colours).astype(np.uint8)
    return mixed


def attention_view(picture: np.ndarray, texts: Sequence[str], maps: np.ndarray) -> np.ndarray:
    """A tile for each layer: what every place gives to its words, brightest at the strongest place of them all."""
    scaled = maps / max(float(maps.max()), 1e-6)
    return word_sheet(picture, [("Where each layer's words looked", list(zip(texts, scaled, strict=True)))])


def facts(
    request: CollageRequest,
    course: Course,
    tokens: Sequence[Sequence[int]],
    dropped: str,
    looks: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Numbers and warnings for people."""
    height, width = course.size
    return {
        "seeds": [request.seed + k for k in range(request.num_images)],
        "strength": round(course.strength, 4),
        "tokens": [list(own) for own in tokens],
        "looks": list(looks),
        "worked_at": f"{width}x{height}",
        "dropped_words": dropped,
        "warning": warning(request, course, looks),
    }


def warning(request: CollageRequest, course: Course, looks: Sequence[Mapping[str, Any]]) -> str:
    """Sentences about what may disappoint; empty if nothing."""
    told = []
    uneven = request.variant == "all" or course.edit is not None
    if int(request.steps * (float(course.levels.max()) if uneven else course.strength)) < 1:
        told.append(_held(course))
    bare = float(course.stack.uncovered.mean())
    if bare > BARE and course.strength < HOLDING and course.edit is None:
        told.append(f"{100 * bare:.0f} % of the canvas is bare and will stay so at this freedom; add a backdrop.")
    if "collage" in request.collage.prompt.casefold() and "collage" in request.negative_prompt.casefold():
        told.append("The prompt says “collage” and so does what it should not look like.")
    if any(look.get("moved") for look in looks):
        told.append("A layer was moved since its look was learned; the look is used as it is.")
    return " ".join(told)


def _held(course: Course) -> str:
    """Why nothing was made anew."""
    if course.edit is not None:
        return "So small a change leaves the picture as it was; please raise “Change by”."
    return "Every layer is kept as it is, so this is little more than the paste; please give one more freedom."
