"""What a run tells of itself, in words: how well a source was rebuilt, what an inversion left, what was learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from demos import face_facts
from demos.edit_words import KINDS


def diagnostics(facts: Mapping[str, Any], chosen: int = 0) -> dict[str, str]:
    """Name -> value for the line of facts, of picture `chosen`; nothing for a method that measures none of it."""
    said = {}
    if "kinds" in facts:
        said["Kind of edit"] = KINDS[facts["kinds"][chosen]]
    if "psnr_reconstruction" in facts:
        alone = f"; the autoencoder alone {_decibels(facts['psnr_encoded'])}"
        said["Source rebuilt"] = _decibels(facts["psnr_reconstruction"]) + alone
    if "noise" in facts:
        noise = facts["noise"]
        parts = [f"deviation {noise['std']:.2f} (1 is best)", f"correlation {noise['correlation']:.2f} (0 is best)"]
        parts += [f"channel means up to {noise['mean']:.2f}"] if "mean" in noise else []
        said["Source's noise"] = ", ".join(parts)
    said |= face_facts.told(facts, chosen)
    if "evaluations" in facts and "Network calls" not in said:
        again = "; the source is from before" if facts.get("inversion_reused") else ""
        said["Network calls"] = f"{facts['evaluations']}{again}"
    if "tokens" in facts and "strength" in facts:
        said["Starts from"] = f"{100 * facts['strength']:.0f} % noise"
    if facts.get("looks"):
        steps = max(look["steps"] for look in facts["looks"])
        said["Looks"] = f"{len(facts['looks'])} learned, {steps} steps each"
    left, _, total = str(facts.get("kept_tokens", "")).partition(" of ")
    if left != total:
        said["Tokens after merging"] = facts["kept_tokens"]
    return said


def told_apart(titles: Sequence[str]) -> list[str]:
    """Short names of prompts that hardly differ: each one's words that some other one lacks, or all of them."""
    said = [[word.strip(",.;:") for word in title.split()] for title in titles]
    own = [" ".join(w for w in words if not all(w in others for others in said)) for words in said]
    return [short or title for short, title in zip(own, titles, strict=True)]


def _decibels(found: float | None) -> str:
    """A PSNR; None is one of equal pictures."""
    return "exactly" if found is None else f"{found:.1f} dB"
