"""Blind A/B: two pictures without names, a vote, a tally, which is a file in the comparison's folder. Plain."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from models.compare.outcome import Outcome
from models.compare.report import CELLS
from models.contract import BadRequest

VOTES, INPUT = "votes.jsonl", "input"
Choice = Literal["left", "right", "tie"]
CHOICES = ("left", "right", "tie")


@dataclass(frozen=True)
class Pair:
    """Two cells of one case and equal settings by different methods; which of them is on the left is drawn by lot."""

    left: Outcome
    right: Outcome

    def files(self, folder: Path) -> tuple[Path, Path]:
        """The pictures, left and right; nothing else of the pair is to be shown before the vote."""
        return folder / CELLS / Path(self.left.file).name, folder / CELLS / Path(self.right.file).name


def pairs(outcomes: Sequence[Outcome], seed: int | None = None) -> list[Pair]:
    """Every pair of finished cells that differ by the method alone, in random order and with random sides.

    A baseline, which has no settings, meets every cell of its case; the bare input is no answer and meets none. `seed`
    makes the shuffle repeatable.
    """
    lot = random.Random(seed)
    found = []
    for one, other in combinations([o for o in outcomes if o.file and o.key != INPUT], 2):
        comparable = not one.preset or not other.preset or dict(one.fields) == dict(other.fields)
        if one.case == other.case and one.key != other.key and comparable:
            found.append(Pair(one, other) if lot.random() < 0.5 else Pair(other, one))
    lot.shuffle(found)
    return found


def vote(folder: Path, pair: Pair, choice: str) -> dict[str, Any]:
    """Append a vote to the tally file, and only now say which methods they were; raises `BadRequest`."""
    if choice not in CHOICES:
        raise BadRequest(f"A vote is one of {', '.join(CHOICES)}; it was “{choice[:40]}”.")
    winner = {"left": pair.left.key, "right": pair.right.key}.get(choice, "")
    record = {
        "time": round(time.time()),
        "left": pair.left.id,
        "right": pair.right.id,
        "left_method": pair.left.key,
        "right_method": pair.right.key,
        "choice": choice,
        "winner": winner,
    }
    try:
        with (folder / VOTES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    except OSError as error:
        raise BadRequest(f"The vote could not be written to {folder} ({error.strerror}).") from None
    return record


def tally(folder: Path) -> dict[str, dict[str, int]]:
    """Method -> how often it won, lost and tied; lines that are no votes are passed over."""
    found: dict[str, dict[str, int]] = {}
    file = folder / VOTES
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            record = json.loads(line)
            sides, winner = (str(record["left_method"]), str(record["right_method"])), record["winner"]
        except (ValueError, KeyError, TypeError):
            continue
        for side in sides:
            counts = found.setdefault(side, {"won": 0, "lost": 0, "tied": 0})
            counts["tied" if not winner else "won" if winner == side else "lost"] += 1
    return found
