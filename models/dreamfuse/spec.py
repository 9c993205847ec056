"""What DreamFuse asks for and what it needs: the request, the presets, the entry of the catalogue. Plain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from models.contract import BadRequest, Method, Preset, Request, Spec, Weights, option
from models.dreamfuse import bundle
from models.loading import ROOT, cache_folder
from models.pixels import alpha_box, placement_matrix

TEXT = ("tokenizer", "text_encoder", "tokenizer_2", "text_encoder_2")  # not needed for the empty prompt
VARIANTS = ("positional-affine", "direct-transform", "mask-tokenizer")
SIZES = ("auto", "256", "512", "768", "1024")


@dataclass(frozen=True, eq=False, kw_only=True)
class DreamFuseRequest(Request):
    """A background, a cut-out and where it goes: x, y = centre of the cut-out's alpha box, scale = its width."""

    background: np.ndarray = option("rgb", None, "Background", "The scene", required=True)
    foreground: np.ndarray = option("rgba", None, "Object", "A cut-out; transparent = not it", required=True)
    x: float = option("number", 0.5, "Across", "Object's centre, 0 = left, 1 = right", low=-1, high=2, step=0.01)
    y: float = option("number", 0.5, "Down", "Object's centre, 0 = top, 1 = bottom", low=-1, high=2, step=0.01)
    scale: float = option("number", 0.3, "Size", "Object's width over the scene's", low=0.01, high=3, step=0.01)
    angle: float = option("number", 0.0, "Turn", "Degrees clockwise", low=-360, high=360, step=1)
    flip: bool = option("flag", False, "Mirror", "Left and right change places, before turning")
    prompt: str = option(
        "text", "", "Describe the fused picture", "prompt; empty is what the model was mostly trained on"
    )
    text_strength: int = option(
        "integer", 1, "Weight of the description", "text_strength: how often its tokens count", low=1, high=10
    )
    guidance_scale: float = option(
        "number",
        3.5,
        "How strictly to follow the prompt",
        "guidance_scale, embedded in the model",
        low=1.0,
        high=10.0,
        step=0.1,
    )
    variant: str = option(
        "choice",
        "auto",
        "How the place is told",
        "The paper's three ways; auto = its positional affine, on pocket the direct transform",
        choices=("auto", *VARIANTS),
    )
    resolution: str = option("choice", "auto", "Resolution", "Of the square format, in pixels", choices=SIZES)
    keep_detail: str = option(
        "choice",
        "auto",
        "Keep original detail",
        "Ours: carry the change to the full-resolution pictures; auto = on for pocket",
        choices=("auto", "on", "off"),
    )
    background_lock: bool = option(
        "flag", False, "Lock the background", "Ours: what did not change keeps the scene's own pixels"
    )
    enlarge: bool = option(
        "flag", True, "Use the object's full resolution", "Ours: fit it to 40-80 % of its own canvas"
    )
    affine: str = option(
        "choice",
        "paper",
        "Position map",
        "centred = without the half-token shift; an experiment, not what the weights were trained with",
        choices=("paper", "centred"),
    )

    maximum_aspect: ClassVar[float] = 8.0

    def check(self) -> None:
        """Refuse what cannot be fused: nothing to place, nothing of it in the scene, a strip for a scene."""
        height, width = self.background.shape[:2]
        if max(height, width) > self.maximum_aspect * min(height, width):
            raise BadRequest(f"The background is {width}x{height} pixels; please crop it to at most 8:1.")
        box = alpha_box(self.foreground[..., 3])
        if box is None:
            raise BadRequest("The object is fully transparent; please give a cut-out with something in it.")
        left, top, right, bottom = placed_box(self)
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            raise BadRequest("The object lies outside the scene; please move x and y towards 0.5.")
        if min(right, width) - max(left, 0) < 1 or min(bottom, height) - max(top, 0) < 1:
            raise BadRequest("Less than a pixel of the object is inside the scene; please make it larger.")


def object_matrix(request: DreamFuseRequest) -> np.ndarray:
    """The 2x3 map from the foreground's pixels to the background's."""
    box = alpha_box(request.foreground[..., 3])
    assert box is not None  # `check` refused a transparent foreground
    size = (request.background.shape[0], request.background.shape[1])
    return placement_matrix(box, size, request.x, request.y, request.scale, angle=request.angle, flip=request.flip)


def placed_box(request: DreamFuseRequest) -> tuple[float, float, float, float]:
    """Left, top, right and bottom, in background pixels, of the object's turned alpha box."""
    box = alpha_box(request.foreground[..., 3])
    assert box is not None
    left, top, right, bottom = box
    corners = np.array([[left, right, left, right], [top, top, bottom, bottom], [1, 1, 1, 1]], float)
    x, y = object_matrix(request) @ corners
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def told(request: DreamFuseRequest, preset: Preset) -> DreamFuseRequest:
    """The request with the way in which the place is told decided; "auto" is the preset's word."""
    if request.variant != "auto":
        return request
    return request.replace(variant=str(preset.settings.get("variant", VARIANTS[0])))


def describe(request: Request) -> Mapping[str, Any]:
    """For the page: where the object lands in background pixels and how much of it is inside the scene."""
    assert isinstance(request, DreamFuseRequest)
    left, top, right, bottom = placed_box(request)
    height, width = request.background.shape[:2]
    inside = (min(right, width) - max(left, 0)) * (min(bottom, height) - max(top, 0))
    return {
        "box": [round(left), round(top), round(right), round(bottom)],
        "inside": round(inside / ((right - left) * (bottom - top)), 3),
    }


def empty_prompt_path(preset: Preset) -> Path:
    """The file with the empty prompt's embeddings: shipped with pocket, else kept in the user's cache folder."""
    shipped = preset.settings.get("empty_prompt")
    if shipped:
        return ROOT / str(shipped)
    text = preset.components["text_encoder_2"]
    name = "-".join((*text.source.split("/"), text.revision or "main", str(preset.settings["text_tokens"])))
    return cache_folder("dreamfuse") / f"empty-prompt-{name}.safetensors"


def needs(preset: Preset, request: Request) -> tuple[str, ...]:
    """Without a prompt the text encoders stay on disk once the empty prompt's embeddings are known."""
    if request.prompt or not empty_prompt_path(preset).exists():
        return tuple(preset.components)
    return tuple(name for name in preset.components if name not in TEXT)


def _pocket() -> Preset:
    vae = "assets/pocket/vae"
    return Preset(
        name="pocket",
        label="Pocket - offline, small models",
        components={
            "tokenizer": Weights("assets/pocket/clip", "transformers.AutoTokenizer", dtype=""),
            "text_encoder": Weights("assets/pocket/clip", "transformers.CLIPTextModel"),
            "tokenizer_2": Weights("assets/pocket/t5", "transformers.AutoTokenizer", dtype=""),
            "text_encoder_2": Weights("assets/pocket/t5", "transformers.T5EncoderModel"),
            # So small a base is trained as a whole: the adapter beside it holds the image tags only.
            "transformer": Weights("assets/pocket/dreamfuse", "diffusers.FluxTransformer2DModel", "transformer"),
            "adapter": Weights("assets/pocket/dreamfuse", "models.dreamfuse.adapter.Adapter"),
            "vae": Weights(vae, "models.autoencoder.PatchAutoencoder"),
            "scheduler": Weights(
                "assets/pocket/flux", "diffusers.FlowMatchEulerDiscreteScheduler", "scheduler", dtype=""
            ),
        },
        steps=8,  # more add small errors of these weights: docs/log.md
        size=256,
        licence="Apache-2.0",
        settings={
            "text_tokens": 32,
            "keep_detail": True,
            "threads": 1,  # tensors this small gain nothing from two, and lose much when the cores are shared
            "empty_prompt": "assets/pocket/dreamfuse/empty_prompt.safetensors",
            "variant": "direct-transform",  # a network this small copies tokens in place better than it resamples them
        },
    )


def _full() -> Preset:
    flux = "black-forest-labs/FLUX.1-dev"
    licence = "FLUX.1-dev non-commercial"

    def part(class_name: str, subfolder: str, gigabytes: float, dtype: str = "bfloat16") -> Weights:
        return Weights(flux, class_name, subfolder, dtype=dtype, licence=licence, gated=True, gigabytes=gigabytes)

    return Preset(
        name="full",
        label="Full - FLUX.1-dev, 34 GB, non-commercial",
        components={
            "tokenizer": part("transformers.AutoTokenizer", "tokenizer", 0, dtype=""),
            "text_encoder": part("transformers.CLIPTextModel", "text_encoder", 0.25),
            "tokenizer_2": part("transformers.AutoTokenizer", "tokenizer_2", 0, dtype=""),
            "text_encoder_2": part("transformers.T5EncoderModel", "text_encoder_2", 9.5),
            "transformer": part("diffusers.FluxTransformer2DModel", "transformer", 23.8),
            "adapter": Weights(
                "LL3RD/DreamFuse",
                "models.dreamfuse.adapter.Adapter",
                dtype="bfloat16",
                licence="non-commercial",
                gigabytes=0.04,
            ),
            "vae": part("diffusers.AutoencoderKL", "vae", 0.17),
            "scheduler": part("diffusers.FlowMatchEulerDiscreteScheduler", "scheduler", 0, dtype=""),
        },
        steps=28,
        size=512,
        licence=licence,
        memory_modes=("full", "offload", "fp8", "4bit"),
        # Computed from the weights and about 3 GB of activations, with T5 (9.5 GB) on the device in all but
        # "offload"; after the first empty prompt T5 is not loaded and each needs that much less.
        memory_gigabytes={"full": 38, "offload": 27, "fp8": 25, "4bit": 20},
        settings={"text_tokens": 256, "keep_detail": False, "quantise": ("transformer",)},
    )


def _method() -> Method:
    from models.dreamfuse import method

    return method


PRESETS: dict[str, Preset] = {"pocket": _pocket(), "full": _full()}
SPEC = Spec(
    key="dreamfuse",
    title="Drag & place",
    verb="fuse",
    paper="DreamFuse: Adaptive Image Fusion with Diffusion Transformer",
    arxiv="2504.08291",
    base="FLUX.1-dev",
    request=DreamFuseRequest,
    presets=PRESETS,
    accepts=frozenset({"scene", "placed", "layers", "prompts"}),
    method=_method,
    needs=needs,
    describe=describe,
    take=bundle.take,
    give=bundle.give,
)
