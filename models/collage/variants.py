"""The ladder of the paper: each rung holds the layers by one thing more (its steps 1 to 4). Plain."""

from __future__ import annotations

from dataclasses import dataclass

from models.collage.spec import CollageRequest


@dataclass(frozen=True)
class Rung:
    """What holds the layers: words kept in their places (CA), looks that were learned (TI), and for each layer its own
    noise level and edges. With nothing the collage is harmonised as one picture (GH), which is plain img2img."""

    name: str
    words: bool = False
    looks: bool = False
    levels: bool = False


LADDER = (
    Rung("gh"),
    Rung("gh+ca", words=True),
    Rung("gh+ca+ti", words=True, looks=True),
    Rung("all", words=True, looks=True, levels=True),
)


def learns(request: CollageRequest) -> bool:
    """Whether the run needs the layers' looks."""
    return request.variant == "gh+ca+ti" or (request.variant == "all" and request.looks)


def rungs(request: CollageRequest) -> list[Rung]:
    """What to make, the result last; an edit of a finished picture has no ladder."""
    names = [rung.name for rung in LADDER]
    result = names.index(request.variant)
    if not request.ladder or request.previous is not None:
        return [LADDER[result]]
    return [rung for rung in LADDER[: result + 1] if rung.name != "gh+ca+ti" or learns(request)]
