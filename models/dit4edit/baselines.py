"""What DiT4Edit is compared with, on the same transformer and the same inverted picture. No extra weights.

sdedit            noise the picture part of the way and sample the target prompt from there (arXiv 2108.01073)
ddim              invert by DDIM and sample the target prompt by it, without control (arXiv 2010.02502)
inversion         sample the target prompt from the method's own inverted noise, without control
prompt-to-prompt  words keep their place and self-attention its maps (arXiv 2208.01626), nothing else
mutual            keys and values of the source in self-attention (MasaCtrl, arXiv 2304.08465), nothing else
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from models.dit4edit.controller import Controller
from models.dit4edit.cross import CrossControl
from models.dit4edit.editing import Course
from models.dit4edit.mutual import PRESETS
from models.dit4edit.rows import Rows

BASELINES = ("sdedit", "ddim", "inversion", "prompt-to-prompt", "mutual")
SDEDIT_STRENGTH = 0.65  # of the timesteps; 0.5 to 0.8 is usual


@dataclass(frozen=True, eq=False)
class Baseline:
    """One way to edit, ready for `editing.edit`."""

    name: str
    controller: Controller
    course: Course


def baselines(
    rows: Rows,
    layers: int,
    grid: tuple[int, int],
    course: Course,
    cross: CrossControl | None,
    noise: Tensor,
    ddim: Sequence[Tensor],
) -> list[Baseline]:
    """All of them for one target; `rows` are pinned, `grid` is in tokens, `cross` knows the target's words, `noise` is
    (1, C, h, w) and `ddim` the trajectory of DDIM's own inversion."""
    steps = course.grid.n

    def controlled(preset: str, start: float = 0.3, words: bool = False, from_layer: int | None = None) -> Controller:
        rules = PRESETS[preset](steps, layers, start, from_layer)
        return Controller(rows, layers, grid, steps, cross=[cross] if words and cross else [], rules=rules)

    free = controlled("none")
    made = (
        (free, sdedit(course, noise)),
        (free, replace(course, trajectory=ddim, first_order=True)),
        (free, course),
        (controlled("structure", words=True, from_layer=0), course),
        (controlled("non_rigid", start=0.1), course),
    )
    return [Baseline(name, *one) for name, one in zip(BASELINES, made, strict=True)]


def sdedit(course: Course, noise: Tensor, strength: float = SDEDIT_STRENGTH) -> Course:
    """The course from the first stop at or below `strength` of the timesteps on, noised instead of inverted."""
    timesteps = course.grid.timesteps
    start = int((timesteps > strength * timesteps[0]).sum())
    return replace(course, start=start, latents=course.grid.noised(course.trajectory[-1], noise, start))
