"""Weights of words as people write them: “red: 1.5, hat: 0.5”. Plain."""

from __future__ import annotations

import math

from models.contract import BadRequest

LOW, HIGH = -2.0, 4.0  # beyond it attention falls apart


def word_weights(text: str) -> dict[str, float]:
    """Word or phrase -> factor; raises `BadRequest` that says how to write it."""
    found = {}
    for part in filter(None, (piece.strip() for piece in text.replace("\n", ",").split(","))):
        word, colon, number = (piece.strip() for piece in part.rpartition(":"))
        try:
            factor = float(number)
        except ValueError:
            factor = math.nan
        if not (colon and word and LOW <= factor <= HIGH):
            raise BadRequest(
                f"“{part[:40]}” is no weight: write a word, a colon and {LOW:g} to {HIGH:g}, as “red: 1.5”."
            )
        found[word] = factor
    return found


def phrases(text: str) -> list[str]:
    """The words or phrases of a list with commas."""
    return [piece.strip() for piece in text.replace("\n", ",").split(",") if piece.strip()]
