"""The results of a visit as a tree: each run, and each picture that was made by changing an earlier one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData, GradioModel
from pydantic import Field

from demos.canvas.parts import Quiet, Valued, small_parts, stored
from demos.output import Shown
from models import pictures, recipe
from models.pixels import fit_within, resize

HERE = Path(__file__).parent
MOST = 30  # results that are remembered
SMALL = 128  # longest side of a thumbnail


@dataclass(frozen=True)
class Node:
    """One picture of a result: its number in the order of their making, its parent's, and its files."""

    number: int
    parent: int | None
    sha256: str  # of its pixels, by which a picture that was changed is known
    seed: int
    shown: Shown  # the result, this picture chosen
    small: FileData


class Version(GradioModel):  # type: ignore[misc]
    """A node as it is drawn."""

    number: int
    parent: int | None
    depth: int
    seed: int
    small: FileData
    chosen: bool = False


class VersionsValue(GradioModel):  # type: ignore[misc]
    """All nodes, each followed by what was made of it."""

    versions: list[Version] = Field(default_factory=list)


class Versions(Valued, gr.HTML, metaclass=Quiet):  # type: ignore[misc]
    """A strip of thumbnails. Its event `pick` comes with the `number` of the one that was clicked."""

    data_model = VersionsValue

    def __init__(self, value: VersionsValue | None = None, **more: Any) -> None:
        super().__init__(
            value,
            **small_parts(HERE, "versions"),
            **more,
        )


def recorded(nodes: Sequence[Node], shown: Shown | None) -> list[Node]:
    """The nodes with those of the last result, at most `MOST`; the same picture again takes its old place."""
    found = list(nodes)
    for index, picture in enumerate(shown.pictures if shown else ()):
        assert shown is not None
        decoded = pictures.decode(picture.plain, "rgb", "The result")
        sha256 = recipe.picture_sha256(decoded)
        now = replace(shown, chosen=index)
        again = next((n for n, node in enumerate(found) if node.sha256 == sha256), None)
        if again is not None:
            found[again] = replace(found[again], shown=now)
            continue
        source = picture.recipe.request.get("previous")
        told = source.get("sha256") if isinstance(source, Mapping) else None
        parent = next((node.number for node in found if told and node.sha256 == told), None)
        number = max((node.number for node in found), default=0) + 1
        height, width = fit_within((decoded.shape[0], decoded.shape[1]), SMALL)
        small = stored(pictures.encode(resize(decoded, (height, width))), "png", "version")
        found.append(Node(number, parent, sha256, picture.recipe.seed, now, small))
    return found[-MOST:]


def drawn(nodes: Sequence[Node], chosen: str = "") -> VersionsValue:
    """The tree of the nodes; `chosen` is the file of the picture that is looked at."""
    known = {node.number for node in nodes}
    children: dict[int | None, list[Node]] = {}
    for node in nodes:
        children.setdefault(node.parent if node.parent in known else None, []).append(node)

    def below(parent: int | None, depth: int) -> list[Version]:
        found = []
        for node in children.get(parent, ()):
            plain = node.shown.pictures[node.shown.chosen].plain
            found.append(
                Version(
                    number=node.number,
                    parent=None if parent is None else node.parent,
                    depth=depth,
                    seed=node.seed,
                    small=node.small,
                    chosen=plain == chosen,
                )
            )
            found += below(node.number, depth + 1)
        return found

    return VersionsValue(versions=below(None, 0))


def numbered(nodes: Sequence[Node], number: Any) -> Node | None:
    """The node of this number, if it is remembered still."""
    return next((node for node in nodes if node.number == number), None)
