"""The input of a comparison as plain values, for the command line and the endpoint: one place for names and ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.compare.cases import Case
from models.contract import BadRequest, Bundle, Option, Placed
from models.fields import checked

PLACE: Mapping[str, tuple[Option, Any]] = {
    "x": (Option("number", "Across", "Object's centre, 0 = left, 1 = right", low=-4, high=5), 0.5),
    "y": (Option("number", "Down", "Object's centre, 0 = top, 1 = bottom", low=-4, high=5), 0.5),
    "scale": (Option("number", "Size", "Object's width over the scene's", low=0.001, high=8), 0.3),
    "angle": (Option("number", "Turn", "Degrees clockwise", low=-360, high=360), 0.0),
    "flip": (Option("flag", "Mirror", "Left and right of the object change places"), False),
}
WORDS: Mapping[str, Option] = {
    "prompt": Option("text", "Prompt", "The whole picture, as it shall be"),
    "object_prompt": Option("text", "Object's words", "For methods that draw the object from words"),
    "scene_prompt": Option("text", "Scene's words", "For methods that name the scene"),
    "source_prompt": Option("text", "Source prompt", "What the scene shows now"),
    "target_prompt": Option("text", "Target prompt", "What the scene shall show"),
    "negative_prompt": Option("text", "Negative prompt", "What should not be there"),
}


def made(
    scenes: Sequence[np.ndarray],
    names: Sequence[str],
    cutout: np.ndarray | None,
    masks: Sequence[np.ndarray],
    references: Sequence[np.ndarray],
    values: Mapping[str, Any],
) -> list[Case]:
    """A case for each scene (uint8 HxWx3), with one object (HxWx4), one mask for each scene or none, references of
    people and words for all; `values` are those of `PLACE` and `WORDS`. One case without a scene where there is none.

    Raises `BadRequest`.
    """
    if masks and len(masks) != len(scenes):
        raise BadRequest(f"There are {len(scenes)} scenes and {len(masks)} masks; please give one mask for each scene.")
    if cutout is not None and not scenes:
        raise BadRequest("The object needs a scene; please give one.")
    place = {name: checked(option, values.get(name, default)) for name, (option, default) in PLACE.items()}
    words = {name: checked(option, values.get(name, "")) for name, option in WORDS.items()}
    placed = None if cutout is None else Placed(cutout, **place, prompt=words["object_prompt"])
    told = {name: text for name, text in words.items() if text and name != "object_prompt"}
    people = tuple(references)
    if not scenes:
        return [Case("prompt", Bundle(references=people, prompts=told))] if people or told else []
    for scene, mask in zip(scenes, masks, strict=False):
        if mask.shape != scene.shape[:2]:
            raise BadRequest("A mask has not the size of its scene; please make them the same size.")
    return [
        Case(name, Bundle(scene, placed, masks[k] if masks else None, (), people, told))
        for k, (name, scene) in enumerate(zip(numbered(names), scenes, strict=True))
    ]


def numbered(names: Sequence[str]) -> list[str]:
    """Names of cases; those that would be equal get their numbers."""
    return [name if list(names).count(name) == 1 else f"{name} {k}" for k, name in enumerate(names, 1)]
