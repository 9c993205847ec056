"""What Face-diffuser asks for: the request, the entry of the catalogue. Plain.

A result's `extras`, by name: "maps" where the two models looked in each step that both ran, and who drew what;
"scene", "subject" and "both" the same seed by the other models. No reference picture is among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.contract import BadRequest, Method, Preset, Request, Spec, option, presets_guidance
from models.facediffuser import bundle, markers
from models.facediffuser.presets import PRESETS
from models.facediffuser.references import RESOLUTION, opened
from models.facediffuser.stages import SAMPLERS, TIMELINES, Bounds, from_fractions

VARIANTS = ("both", "scene", "subject")
BALANCED = TIMELINES["balanced"]
SMALLEST, LARGEST = 64, 1024  # pixels on a side


@dataclass(frozen=True, eq=False, kw_only=True)
class FaceRequest(Request):
    """Pictures of people and the words for a scene that they are put into."""

    references: tuple[np.ndarray, ...] = option(
        "pictures",
        (),
        "References",
        "A picture of each person, in the order of the prompt's markers; 1 to 4",
        required=True,
        private=True,
        parse=opened,
    )
    prompt: str = option(
        "text", "", "Describe the scene", f"prompt; {markers.MARKER} after the word of each person: “a man <|image|>”"
    )
    negative_prompt: str = option("text", "", "What it should not look like", "negative_prompt; of the scene model")
    scene_until: float = option(
        "number", BALANCED.scene_until, "Scene alone until", "Share of the steps; 0 = never", low=0, high=1, step=0.01
    )
    subject_from: float = option(
        "number", BALANCED.subject_from, "People alone from", "Share of the steps; 1 = never", low=0, high=1, step=0.01
    )
    guidance_scale: float = presets_guidance()
    variant: str = option(
        "choice",
        "both",
        "Who draws",
        "both = the paper; scene = the scene model alone, which knows no reference; subject = the people's model alone",
        choices=VARIANTS,
    )
    ladder: bool = option("flag", False, "Compare the models", "The same seed by each model alone too")
    sampler: str = option(
        "choice", "released", "Sampler", "; ".join(f"{k} = {v}" for k, v in SAMPLERS.items()), choices=tuple(SAMPLERS)
    )
    anchor: str = option(
        "choice",
        "caption",
        "People's guidance starts from",
        "caption = as published, so that it holds what the pictures add; empty = as FastComposer",
        choices=("caption", "empty"),
    )
    scene_model: str = option(
        "choice",
        "released",
        "Scene model",
        "released = the authors'; base = plain Stable Diffusion 1.5, freer in style; pocket has one",
        choices=("released", "base"),
    )
    object_resolution: int = option(
        "integer", RESOLUTION, "Reference resolution", "Before the encoder's own 224 px", low=224, high=768
    )
    crop_to_face: bool = option(
        "flag", False, "Crop to the face", "Ours: head and shoulders of the largest face that is found"
    )
    width: int = option("integer", 0, "Width", "0 = the preset's size", low=0, high=LARGEST, step=8)
    height: int = option("integer", 0, "Height", "0 = the preset's size", low=0, high=LARGEST, step=8)

    def bounds(self, steps: int, variant: str = "") -> Bounds:
        """The last iteration of the scene model alone and of both, in a run of `steps` steps; of the request's own
        variant or of another one."""
        variant = variant or self.variant
        if variant == "scene":
            return Bounds(steps, steps)
        if variant == "subject":
            return Bounds(-1, -1)
        return from_fractions(self.scene_until, self.subject_from, steps)

    def check(self) -> None:
        """Refuse what the prompt's markers and the pictures do not agree on, crossed stages, and no guidance."""
        markers.check_spelling(self.prompt)
        markers.check_pictures(self.prompt.count(markers.MARKER), len(self.references))
        from_fractions(self.scene_until, self.subject_from, 1)
        if self.guidance_scale and self.guidance_scale <= 1:
            raise BadRequest("Guidance of 1 or less leaves the two models nothing to compare; please use more than 1.")
        small = [side for side in (self.width, self.height) if 0 < side < SMALLEST]
        if small:
            raise BadRequest(f"A side of {small[0]} pixels is too short for people; use {SMALLEST} or more, or 0.")


def describe(request: Request) -> Mapping[str, Any]:
    """For the page: where the markers stand, how many tokens are used, what the stages cost."""
    from models.facediffuser.describing import described

    assert isinstance(request, FaceRequest)
    return described(request)


def needs(preset: Preset, request: Request) -> tuple[str, ...]:
    """The components that this request's models use."""
    assert isinstance(request, FaceRequest)
    drawing = set(VARIANTS if request.ladder else (request.variant,))
    absent: set[str] = set()
    if drawing == {"scene"}:
        absent |= {"sdm", "postfuse"} | ({"image_encoder"} if "clip" not in preset.components else set())
    scenes = {"tdm", "base"} & set(preset.components)
    used = request.scene_model if request.scene_model == "base" and "base" in scenes else "tdm"
    absent |= scenes - ({used} if drawing != {"subject"} else set())
    return tuple(name for name in preset.components if name not in absent)


def _method() -> Method:
    from models.facediffuser import method

    return method


SPEC = Spec(
    key="facediffuser",
    title="Face reference",
    verb="face",
    paper="High-fidelity Person-centric Subject-to-Image Synthesis (Face-diffuser)",
    arxiv="2311.10329",
    base="Stable Diffusion 1.5, twice",
    request=FaceRequest,
    presets=PRESETS,
    accepts=frozenset({"references", "prompts"}),
    method=_method,
    neutral=lambda request: request.replace(variant="scene"),
    needs=needs,
    describe=describe,
    take=bundle.take,
    give=bundle.give,
)
