"""Which of the two models runs in which iteration (section 3.2 of arXiv 2311.10329). Plain.

Bounds are inclusive and count loop iterations from 0, as the released scripts count them: with bounds 15 and 30 the
scene model has 16 iterations to itself. PNDM makes one iteration more than it has steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from models.contract import BadRequest

Stage = Literal["scene", "fused", "subject"]
Sampler = Literal["released", "paper", "fast"]
SAMPLERS: Mapping[Sampler, str] = {
    "released": "PNDM, as the authors' scripts",
    "paper": "DDIM, as the paper",
    "fast": "DPM++ 2M, for fewer steps",
}
PER_CALL = 2  # evaluations of a network per picture and call: the two halves of its guidance


@dataclass(frozen=True)
class Bounds:
    """The last iteration of the scene model alone, and the last one that both share.

    `scene` = -1 leaves out the first stage; `fused` = `scene` the second; `fused` at or past the last iteration the
    third. Raises `BadRequest` for bounds that cross or lie before -1.
    """

    scene: int
    fused: int

    def __post_init__(self) -> None:
        if self.scene < -1:
            raise BadRequest(f"The first bound was {self.scene}; please use -1 for no scene stage, or more.")
        if self.fused < self.scene:
            raise BadRequest(
                f"The subject stage would begin before the scene stage ends (bounds {self.scene} and {self.fused}); "
                "please let the second bound be no smaller than the first."
            )

    def stage(self, iteration: int) -> Stage:
        """The stage of an iteration, counted from 0."""
        if iteration <= self.scene:
            return "scene"
        return "fused" if iteration <= self.fused else "subject"


@dataclass(frozen=True)
class Counts:
    """Iterations per stage, and how often a picture passes through a network."""

    scene: int
    fused: int
    subject: int

    @property
    def tdm(self) -> int:
        """Calls of the scene model."""
        return self.scene + self.fused

    @property
    def sdm(self) -> int:
        """Calls of the subject model."""
        return self.fused + self.subject

    @property
    def evaluations(self) -> int:
        """Of both networks, per picture, the idle one left out."""
        return PER_CALL * (self.tdm + self.sdm)

    @property
    def all_evaluations(self) -> int:
        """What running both models in every iteration would cost."""
        return 2 * PER_CALL * (self.scene + self.fused + self.subject)

    @property
    def after_scene(self) -> int:
        """Evaluations per picture of a run that starts from a kept scene stage."""
        return self.evaluations - PER_CALL * self.scene

    def readout(self) -> str:
        """For people: "16 scene / 15 fused / 20 subject steps"."""
        return f"{self.scene} scene / {self.fused} fused / {self.subject} subject steps"


def iterations(sampler: Sampler, steps: int) -> int:
    """How many iterations `steps` steps are: PNDM visits its second timestep twice."""
    return steps + 1 if sampler == "released" and steps > 1 else steps


def counts(bounds: Bounds, total: int) -> Counts:
    """Lengths of the stages in a run of `total` iterations."""
    scene = min(bounds.scene + 1, total)
    fused = min(bounds.fused + 1, total) - scene
    return Counts(scene, fused, total - scene - fused)


def from_fractions(scene_until: float, subject_from: float, steps: int) -> Bounds:
    """Bounds at fractions 0..1 of the steps; 0 for `scene_until` leaves out the scene stage.

    Raises `BadRequest` for fractions outside 0..1 or in the wrong order.
    """
    if not 0 <= scene_until <= subject_from <= 1:
        raise BadRequest(
            f"The stages were set to {scene_until:g} and {subject_from:g} of the run; please use two fractions "
            "from 0 to 1, the smaller one first."
        )
    first = round(scene_until * steps) if scene_until > 0 else -1
    return Bounds(first, max(first, round(subject_from * steps)) if subject_from > 0 else first)


@dataclass(frozen=True)
class Timeline:
    """Named stages: up to `scene_until` the scene alone, from `subject_from` the subjects alone, both in 0..1."""

    label: str
    scene_until: float
    subject_from: float

    def bounds(self, steps: int) -> Bounds:
        """For a run of that many steps."""
        return from_fractions(self.scene_until, self.subject_from, steps)


TIMELINES: Mapping[str, Timeline] = {
    "scene": Timeline("Scene first", 0.4, 0.8),
    "balanced": Timeline("Balanced (the released demo: 15 and 30 of 50)", 0.3, 0.6),
    "released_test": Timeline("The released test: 10 and 30 of 50", 0.2, 0.6),
    "identity": Timeline("Identity first", 0.1, 0.4),
}
