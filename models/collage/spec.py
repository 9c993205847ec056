"""What Collage Diffusion asks for: the request, a saved collage as its fields, the entry of the catalogue. Plain.

A result's `extras`, by name: "paste" the flat collage; "gh", "gh+ca" and "gh+ca+ti" the rungs of the paper's ladder
that were made beside the result, and "rungs" all of them side by side; "noise" how free each place was; "attention"
where the layers' words looked; "previous" the picture that was changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.collage import bundle, files, published
from models.collage.alignment import find
from models.collage.composing import compose
from models.collage.editing import REACH
from models.collage.layers import LARGEST, SIZE, SMALLEST, Collage, Layer, prompt_of
from models.collage.noise_map import BLUR
from models.collage.presets import PRESETS
from models.contract import BadRequest, FileInput, Method, Preset, Request, Spec, option, options, presets_guidance

VARIANTS = ("all", "gh", "gh+ca", "gh+ca+ti")
SIZES = ("auto", "128", "256", "512", "768")
NEGATIVE = "collage, blurry, low quality"


@dataclass(frozen=True, eq=False, kw_only=True)
class CollageRequest(Request):
    """Layers on a canvas, each with words of the prompt; or a finished picture of them, some of whose layers change."""

    layers: tuple[Layer, ...] = option(
        "layers",
        (),
        "Layers",
        "Cut-outs from back to front: image, text (words of the prompt), x, y, scale, angle, flip; how it is held: "
        "positive, negative, noise, canny",
        required=True,
        parse=files.layers_of,
    )
    prompt: str = option("text", "", "Prompt", "prompt; names every layer; empty = the layers' words, front to back")
    negative_prompt: str = option("text", NEGATIVE, "What it should not look like", "negative_prompt")
    width: int = option("integer", SIZE[1], "Width", "Of the canvas, in pixels", low=SMALLEST, high=LARGEST, step=8)
    height: int = option("integer", SIZE[0], "Height", "Of the canvas, in pixels", low=SMALLEST, high=LARGEST, step=8)
    colour: str = option("text", "#969696", "Canvas colour", "Where no layer is, as #rrggbb", max_length=7)
    guidance_scale: float = presets_guidance()
    strength: float = option(
        "number",
        0.0,
        "Overall freedom",
        "strength: how much noise the run starts from; 0 = the freest layer's own",
        low=0,
        high=1,
        step=0.05,
    )
    variant: str = option(
        "choice",
        "all",
        "What holds the layers",
        "gh = harmonise as one picture; ca = words kept in their places; ti = learned looks; all = noise per layer too",
        choices=VARIANTS,
    )
    ladder: bool = option("flag", False, "Show the ladder", "The rungs below the chosen one too, from the same seed")
    looks: bool = option(
        "flag", False, "Learn the looks", "Textual inversion: a token for each layer's look, kept for later runs"
    )
    look_steps: int = option("integer", 0, "Steps of learning", "0 = the preset's own number", low=0, high=2000)
    blur: float = option("number", BLUR, "Soft edges of freedom", "Pixels of a canvas of 512", low=0, high=64, step=1)
    blend_level: str = option(
        "choice",
        "aligned",
        "Noise of what is held",
        "reference = one step too noisy, as the authors' code; leaves grain",
        choices=("aligned", "reference"),
    )
    bias_sigma: str = option(
        "choice",
        "reference",
        "Noise level that words are told",
        "reference = the authors' table, which their weights are tuned for; true = the run's own",
        choices=("reference", "true"),
    )
    bias_growth: str = option(
        "choice",
        "published",
        "How words' hold grows with noise",
        "ediff = eDiff-I's schedule, stronger",
        choices=("published", "ediff"),
    )
    antialias: bool = option("flag", True, "Smooth small masks", "Off = the authors' sampling, which loses thin layers")
    resolution: str = option("choice", "auto", "Resolution", "Of the square format, in pixels", choices=SIZES)
    keep_detail: str = option(
        "choice",
        "auto",
        "Keep original detail",
        "Ours: where a layer is held, its own detail comes back; auto = on for pocket",
        choices=("auto", "on", "off"),
    )
    previous: np.ndarray | None = option(
        "rgb", None, "Picture to change", "A result of this collage, to edit layers of"
    )
    edited: str = option("text", "", "Layers to change", "Their numbers from the back, as “2, 3”", max_length=400)
    edit_mode: str = option(
        "choice",
        "continue",
        "Start from",
        "continue = what the picture shows; restart = the layer's own cut-out",
        choices=("continue", "restart"),
    )
    change: float = option("number", 0.6, "Change by", "Noise level of the edited layers", low=0, high=1, step=0.05)
    keep: float = option("number", 0.0, "The rest by", "Noise level of everything else", low=0, high=1, step=0.05)
    uncovered: str = option("choice", "keep", "Where no layer is", "While editing", choices=("keep", "regenerate"))
    lock: bool = option("flag", True, "Keep the rest as it was", "Ours: outside the edited layers no pixel changes")
    reach: float = option(
        "number", REACH, "Room around edited layers", "Pixels of a canvas of 512", low=0, high=128, step=1
    )

    @property
    def collage(self) -> Collage:
        """The collage that the fields describe; raises `BadRequest`."""
        if not all(isinstance(layer, Layer) for layer in self.layers):
            raise BadRequest("“Layers” must be a list of layers, each with a picture and words.")
        shown = [layer.text for layer in self.layers if layer.visible]
        prompt = self.prompt if self.prompt.strip() else prompt_of(shown)
        return Collage(prompt, self.layers, (self.height, self.width), _colour(self.colour))

    @property
    def chosen(self) -> tuple[int, ...]:
        """The layers to change, by their places among those shown, 0 = the one at the back."""
        words = [word for word in re.split(r"[,\s]+", self.edited.strip()) if word]
        if strange := [word for word in words if not word.isdecimal()]:
            raise BadRequest(f"“{strange[0][:20]}” is no layer; please give numbers from the back, as “2, 3”.")
        return tuple(sorted({int(word) - 1 for word in words}))

    def check(self) -> None:
        """Refuse what is no collage, a layer that nothing is seen of, and an edit of nothing."""
        collage = self.collage
        if unseen := compose(collage).unseen():
            raise BadRequest(
                f"Nothing is seen of “{collage.shown[unseen[0]].text}”: it lies outside or under other layers; "
                "please move it, or hide it."
            )
        if self.previous is None and self.edited.strip():
            raise BadRequest("To change layers, please give the picture that they are in.")
        if self.previous is not None:
            _check_edit(self.previous, self.chosen, collage)


def _check_edit(previous: np.ndarray, chosen: tuple[int, ...], collage: Collage) -> None:
    if not chosen:
        raise BadRequest("Please choose at least one layer to change.")
    if previous.shape[:2] != collage.size:
        (height, width), (rows, columns) = collage.size, previous.shape[:2]
        raise BadRequest(f"The picture is {columns}x{rows} pixels and the canvas {width}x{height}; use an equal one.")
    count = len(collage.shown)
    if wrong := [number for number in chosen if not 0 <= number < count]:
        raise BadRequest(f"There is no layer {wrong[0] + 1}; the collage shows {count}.")


def _colour(text: str) -> tuple[int, int, int]:
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise BadRequest(f"The canvas's colour must be written as #rrggbb; it was “{text}”.")
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


# --- a saved collage

APART = {"layers", "prompt", "width", "height", "colour", "previous", "edited"}  # of the fields, no settings of a file


def fields_of(collage: Collage) -> dict[str, Any]:
    """The request fields that a collage holds, among them those of its settings that the request knows."""
    known = options(CollageRequest).keys() - APART
    settings = {name: value for name, value in collage.settings.items() if name in known}
    red, green, blue = collage.background
    return {
        **settings,
        "layers": collage.layers,
        "prompt": collage.prompt,
        "width": collage.size[1],
        "height": collage.size[0],
        "colour": f"#{red:02x}{green:02x}{blue:02x}",
    }


def collage_of(request: CollageRequest) -> Collage:
    """The collage of a request with every setting in it, to be saved; pictures that are edited are no part of it."""
    settings = {name: getattr(request, name) for name in options(CollageRequest) if name not in APART}
    return request.collage.replace(settings=settings)


def read(path: str | Path) -> dict[str, Any]:
    """The request fields of a `.collage.zip`, or of the authors' own formats: a folder of PNGs, a JSON file.

    Raises `BadRequest`.
    """
    path = Path(path)
    if path.is_dir():
        return fields_of(published.read_folder(path))
    return fields_of(published.read_json(path) if path.suffix.lower() == ".json" else files.decode(path))


# --- the catalogue


def describe(request: Request) -> Mapping[str, Any]:
    """For the page: the prompt that is used, where each layer's words stand in it, what is seen of each layer."""
    assert isinstance(request, CollageRequest)
    collage = request.collage
    stack = compose(collage)
    return {
        "prompt": collage.prompt,
        "words": find(collage.prompt, [layer.text for layer in collage.shown]),
        "seen": [round(float(mask.mean()), 4) for mask in stack.visible],
        "uncovered": round(float(stack.uncovered.mean()), 4),
    }


def needs(preset: Preset, request: Request) -> tuple[str, ...]:
    """The ControlNet stays on disk where no layer asks for its edges."""
    assert isinstance(request, CollageRequest)
    edges = request.variant == "all" and any(layer.dials.canny > 0 for layer in request.layers if layer.visible)
    return tuple(name for name in preset.components if name != "controlnet" or edges)


def _method() -> Method:
    from models.collage import method

    return method


SPEC = Spec(
    key="collage",
    title="Layer collage",
    verb="collage",
    paper="Collage Diffusion",
    arxiv="2303.00262",
    base="Stable Diffusion 1.5 or 2.1",
    request=CollageRequest,
    presets=PRESETS,
    accepts=frozenset({"scene", "placed", "layers", "prompts"}),
    method=_method,
    neutral=lambda request: request.replace(variant="gh"),
    needs=needs,
    describe=describe,
    file=FileInput("collage", "Collage", f"A saved collage, {files.SUFFIX}, or the authors' JSON", "layers", read),
    take=bundle.take,
    give=bundle.give,
)
