"""What a kind of edit and a strength mean for the controls. Plain.

Where the paper's own values are not known, they are those of the methods it joins: prompt-to-prompt for words,
MasaCtrl and its successors for self-attention. -1 and "auto" in a request take what stands here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from models.dit4edit.spec import EditRequest


class Usual(NamedTuple):
    """A kind's controls at strength 0.5: preset of self-attention, its phase S, and how long words keep their place."""

    control: str
    control_until: float
    words_until: float


KINDS = {
    "swap": Usual("rigid", 0.3, 0.6),
    "add": Usual("union", 0.3, 0.4),
    "remove": Usual("rigid", 0.3, 0.4),
    "restyle": Usual("structure", 0.3, 0.8),
    "pose": Usual("non_rigid", 0.1, 0.4),
}


@dataclass(frozen=True)
class Controls:
    """The controls of one target prompt, decided."""

    kind: str
    control: str
    control_until: float
    words_until: float
    from_layer: int


def kind_of(changes: Iterable[str], reweighted: bool) -> str:
    """The kind of edit that the difference in words tells: "equal", "replace", "insert" and "delete" spans."""
    found = set(changes)
    if "replace" in found or {"insert", "delete"} <= found:
        return "swap"
    if "insert" in found:
        return "add"
    if "delete" in found:
        return "remove"
    return "restyle" if reweighted else "swap"


def controls(request: EditRequest, changes: Iterable[str], layers: int) -> Controls:
    """The controls of a target whose words differ by `changes`, for a transformer of `layers` blocks."""
    kind = kind_of(changes, bool(request.weights)) if request.kind == "auto" else request.kind
    usual, looser = KINDS[kind], 2 * (1 - request.strength)  # 1 at the usual strength, 0 = no control at all

    def phase(wanted: float, value: float) -> float:
        return wanted if wanted >= 0 else min(1.0, value * looser)

    return Controls(
        kind,
        usual.control if request.control == "auto" else request.control,
        phase(request.control_until, usual.control_until),
        phase(request.words_until, usual.words_until),
        request.from_layer if request.from_layer >= 0 else round(min(1.0, request.strength) * layers),
    )
