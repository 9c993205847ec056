"""What DiT4Edit asks for and what it needs: the request, the presets, the entry of the catalogue. Plain.

A result has one picture for each target prompt. Its `extras`, by name: "input" the picture as it was; "reconstruction"
the source branch decoded; "encoded" the autoencoder's round trip alone; "words" where the prompts' words act; and,
on request, the baselines "sdedit", "ddim", "inversion", "prompt-to-prompt" and "mutual" for the first target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from models.contract import BadRequest, Method, Preset, Request, Spec, Weights, option, presets_guidance
from models.dit4edit import bundle
from models.dit4edit.sizes import SIZES, refuse_off_grid
from models.dit4edit.weights import word_weights

KINDS = ("auto", "swap", "add", "remove", "restyle", "pose")
CONTROLS = ("auto", "non_rigid", "unified", "rigid", "structure", "union", "none")
INVERSIONS = ("fast", "paper", "accurate", "exact", "ddim")
GRIDS = ("quadratic", "linspace_tail", "linspace", "karras", "uniform_lambda")
TARGETS = 4  # at once


@dataclass(frozen=True, eq=False, kw_only=True)
class EditRequest(Request):
    """A picture with a prompt that describes it, and the prompt of what it shall become."""

    image: np.ndarray | None = option(
        "rgb", None, "Picture", "What to edit; without one the source is drawn from its prompt and the seed"
    )
    source_prompt: str = option("text", "", "What the picture shows", "source_prompt")
    target_prompt: str = option(
        "text", "", "What it shall show", f"target_prompt; the same words, edited. Up to {TARGETS}, one a line"
    )
    kind: str = option(
        "choice", "auto", "Kind of edit", "Sets the controls below; auto = by the words that differ", choices=KINDS
    )
    strength: float = option(
        "number", 0.5, "How much may change", "Ours: moves all controls together", low=0, high=1, step=0.05
    )
    guidance_scale: float = presets_guidance()
    negative_prompt: str = option("text", "", "What should not be there", "negative_prompt")
    weights: str = option(
        "text", "", "Weight of words", "Of the target prompt, e.g. “red: 1.5, hat: 0.5”; 1 = as it is, -2 to 4"
    )
    mask: np.ndarray | None = option("mask", None, "Mask", "White = may change; the rest stays the source's")
    blend: str = option(
        "text", "", "Change only where these words are", "Local blend; words of either prompt, e.g. “cat, dog”"
    )
    control: str = option("choice", "auto", "Self-attention", "What the edit takes from the source", choices=CONTROLS)
    control_until: float = option(
        "number", -1.0, "Self-attention phase", "S, as a part of the steps; -1 = auto", low=-1, high=1, step=0.05
    )
    words_until: float = option(
        "number", -1.0, "Words keep their place", "tau, as a part of the steps; -1 = auto", low=-1, high=1, step=0.05
    )
    from_layer: int = option(
        "integer", -1, "First layer under control", "Of the transformer's; -1 = half-way", low=-1, high=63
    )
    renormalise: bool = option(
        "flag", True, "Keep the attention's sum", "Ours: without it swapped words can change the brightness"
    )
    inversion: str = option(
        "choice", "fast", "Inversion", "How the picture becomes noise; fast = one call a step", choices=INVERSIONS
    )
    invert_with: str = option(
        "choice", "source", "Inversion prompt", "What the inversion is told", choices=("source", "target", "empty")
    )
    refine: bool = option(
        "flag", False, "Refine the latents", "Before the inversion: 50 steps of descent towards what decodes exactly"
    )
    grid: str = option("choice", "quadratic", "Timesteps", "How they are spread", choices=GRIDS)
    pin_source: bool = option(
        "flag", True, "Exact source", "The source branch follows its inversion; off = the paper's four rows"
    )
    merge_ratio: float = option(
        "number", 0.0, "Merge patches", "Share of tokens; faster, with less detail", low=0, high=0.9, step=0.05
    )
    merge_stride: int = option(
        "integer", 2, "Merge within", "Side of a cell in tokens; 2 merges at most 75 %", low=2, high=8
    )
    resolution: str = option("choice", "auto", "Resolution", "In pixels; auto = the preset's", choices=SIZES)
    width: int = option(
        "integer", 0, "Width", "With the height, in steps of 32; 0 = by the resolution", low=0, high=2048, step=32
    )
    height: int = option(
        "integer", 0, "Height", "With the width; a drawn source has this size", low=0, high=2048, step=32
    )
    keep_detail: str = option(
        "choice",
        "auto",
        "Keep original detail",
        "Ours: carries the change to the full-resolution picture; auto = on for pocket",
        choices=("auto", "on", "off"),
    )
    paste_back: bool = option(
        "flag", True, "Keep the rest as it was", "Ours: outside the mask the picture's own pixels"
    )
    feather: int = option("integer", 8, "Soft seam", "Pixels inside the mask, with the above", low=0, high=200)
    match_colours: bool = option(
        "flag", False, "Match colours", "Ours: large-scale colours of the source where nothing was to change"
    )
    comparisons: bool = option(
        "flag", False, "Also the baselines", "SDEdit, inversions with swapped prompts, prompt-to-prompt, MasaCtrl"
    )
    prompt: str = field(default="", init=False)  # there are two of them
    num_images: int = field(default=1, init=False)  # a picture has one inversion, whatever the seed

    mask_of: ClassVar[dict[str, str]] = {"mask": "image"}
    together: ClassVar[bool] = True

    @property
    def targets(self) -> tuple[str, ...]:
        """The target prompts, at least one."""
        lines = tuple(line.strip() for line in self.target_prompt.splitlines() if line.strip())
        return lines or ("",)

    def check(self) -> None:
        """Refuse what leaves nothing to edit."""
        if self.image is None and not self.source_prompt.strip():
            raise BadRequest("Please give a picture, or describe one in the source prompt and it will be drawn.")
        if len(self.targets) > TARGETS:
            raise BadRequest(f"There are {len(self.targets)} target prompts; {TARGETS} lines are the most at once.")
        if self.mask is not None and self.image is None:
            raise BadRequest("A mask needs a picture; please add one or remove the mask.")
        if self.mask is not None and not (self.mask >= 128).any():
            raise BadRequest("The mask is empty; please mark what may change, or remove it.")
        refuse_off_grid(self.width, self.height)
        word_weights(self.weights)


def describe(request: Request) -> Mapping[str, Any]:
    """For the page: which target prompts say the same as the source, so that nothing would change."""
    assert isinstance(request, EditRequest)
    same = [t for t in request.targets if t.lower().split() == request.source_prompt.lower().split()]
    return {"unchanged": bool(same) and not word_weights(request.weights), "targets": list(request.targets)}


def _pocket() -> Preset:
    return Preset(
        name="pocket",
        label="Pocket - offline, small models",
        components={
            "tokenizer": Weights("assets/pocket/t5", "transformers.AutoTokenizer", dtype=""),
            "text_encoder": Weights("assets/pocket/t5", "transformers.T5EncoderModel"),
            "vae": Weights("assets/pocket/vae", "models.autoencoder.PatchAutoencoder"),
            "transformer": Weights("assets/pocket/pixart", "diffusers.PixArtTransformer2DModel"),
        },
        steps=20,
        guidance_scale=1.5,  # these young weights shift and saturate whole pictures beyond it
        size=128,  # what a CPU could be trained at
        licence="Apache-2.0",
        settings={"text_tokens": 32, "keep_detail": True, "threads": 1, "prediction": "v_prediction"},
    )


def _full(name: str, source: str, label: str, size: int, text_tokens: int, gigabytes: Mapping[str, float]) -> Preset:
    licence = "CreativeML OpenRAIL++-M"

    def part(class_name: str, subfolder: str, dtype: str = "bfloat16") -> Weights:
        return Weights(
            source, class_name, subfolder, dtype=dtype, licence=licence, gigabytes=gigabytes.get(subfolder, 0.0)
        )

    return Preset(
        name=name,
        label=label,
        components={
            "tokenizer": part("transformers.AutoTokenizer", "tokenizer", dtype=""),
            "text_encoder": part("transformers.T5EncoderModel", "text_encoder"),
            "vae": part("diffusers.AutoencoderKL", "vae", dtype="float32"),  # in half precision large pictures overflow
            "transformer": part("diffusers.PixArtTransformer2DModel", "transformer"),
        },
        steps=30,
        guidance_scale=4.5,
        size=size,
        licence=licence,
        memory_modes=("full", "offload"),
        memory_gigabytes={"full": 14, "offload": 11},  # estimates: T5 is 9.5 of it
        settings={"text_tokens": text_tokens, "keep_detail": False},
    )


def _method() -> Method:
    from models.dit4edit import method

    return method


ALPHA = {"text_encoder": 19.1, "vae": 0.33, "transformer": 2.45}
PRESETS: dict[str, Preset] = {
    "pocket": _pocket(),
    "full": _full("full", "PixArt-alpha/PixArt-XL-2-512x512", "Full - PixArt-alpha 512", 512, 120, ALPHA),
    "full-1024": _full("full-1024", "PixArt-alpha/PixArt-XL-2-1024-MS", "Full - PixArt-alpha 1024", 1024, 120, ALPHA),
    "sigma": _full(
        "sigma", "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS", "PixArt-Sigma 1024, not in the paper", 1024, 300, ALPHA
    ),
}
SPEC = Spec(
    key="dit4edit",
    title="Prompt edit",
    verb="edit",
    paper="DiT4Edit: Diffusion Transformer for Image Editing",
    arxiv="2411.03286",
    base="PixArt-α or PixArt-Σ",
    request=EditRequest,
    presets=PRESETS,
    accepts=frozenset({"scene", "mask", "prompts"}),
    method=_method,
    neutral=lambda request: request.replace(control="none", words_until=0.0, weights="", blend="", merge_ratio=0.0),
    describe=describe,
    take=bundle.take,
    give=bundle.give,
)
