"""What a run of Face reference tells of itself, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def told(facts: Mapping[str, Any], chosen: int = 0) -> dict[str, str]:
    """Name -> value for the line of facts, of picture `chosen`; nothing for another method's facts."""
    if "all_evaluations" not in facts:
        return {}
    calls = f"{facts['evaluations']} (both models throughout: {facts['all_evaluations']})"
    if facts.get("from_prefix"):
        calls += ", scene stage taken from the last run"
    said = {"Stages": facts["stages"], "Network calls": calls}
    scores = facts.get("scores") or ()
    if chosen < len(scores):
        score = scores[chosen]
        people = zip(_named(facts["nouns"]), score["people"], strict=True)
        said["Likeness"] = ", ".join(f"{noun} {value:.2f}" for noun, value in people)
        said["Prompt"] = f"{score['prompt']:.2f}"
    if facts.get("warnings"):
        said["Note"] = " ".join(facts["warnings"])
    return said


def _named(nouns: list[str]) -> list[str]:
    """The nouns, with the number of the person where one comes twice."""
    return [f"{noun} ({k})" if nouns.count(noun) > 1 else noun for k, noun in enumerate(nouns, 1)]
