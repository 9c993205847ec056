"""What CAT-Diffusion asks for and what it needs: the request, the presets, the entry of the catalogue. Plain.

A result's `extras`, by name: "input" the picture as it was; "plain" the same seed by the words alone, a zero visual
prompt; "classical" a fill without any network (Telea); "semantics" how near the features in the hole were to those of
the finished picture, before and after the semantic inpainter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from models.cat import bundle
from models.cat.framing import REGIONS, frame_box
from models.cat.location import weights_folder
from models.contract import BadRequest, Method, Preset, Request, Spec, Weights, option, presets_guidance

SIZES = ("auto", "128", "256", "384", "512", "768")


@dataclass(frozen=True, eq=False, kw_only=True)
class InpaintRequest(Request):
    """A picture, a mask of what to replace in it and the words for what shall be there."""

    image: np.ndarray = option("rgb", None, "Picture", "What to fill something into", required=True)
    mask: np.ndarray = option("mask", None, "Mask", "White = to be filled, black = kept", required=True)
    prompt: str = option("text", "", "What should be there", "prompt; a thing and its look, e.g. “a red teapot”")
    negative_prompt: str = option("text", "", "What should not be there", "negative_prompt; ours")
    guidance_scale: float = presets_guidance()
    adapter_strength: float = option(
        "number", 1.0, "Weight of the visual prompt", "Ours: 1 = the paper, 0 = words only", low=0, high=2, step=0.05
    )
    region: str = option(
        "choice",
        "auto",
        "Work on",
        "masked = a crop around the mask (ours); whole = all; squash = the paper's square; auto = a crop if small",
        choices=REGIONS,
    )
    padding: float = option(
        "number", 0.5, "Surroundings of the crop", "In lengths of the masked area", low=0, high=3, step=0.05
    )
    resolution: str = option("choice", "auto", "Resolution", "Of the square format, in pixels", choices=SIZES)
    grow: int = option("integer", 0, "Grow the mask", "Pixels of the picture", low=0, high=200)
    paste_back: bool = option(
        "flag", True, "Keep the rest as it was", "Ours: outside the mask the picture's own pixels"
    )
    feather: int = option("integer", 8, "Soft seam", "Pixels inside the mask, with the above", low=0, high=200)
    comparisons: str = option(
        "choice",
        "auto",
        "Also without the visual prompt",
        "The first picture by the words alone, drawn in the time of one more; auto = on for pocket",
        choices=("auto", "on", "off"),
    )

    mask_of: ClassVar[dict[str, str]] = {"mask": "image"}

    def check(self) -> None:
        """Refuse what cannot be filled: no words, nothing to fill, nothing to keep."""
        if not self.prompt.strip():
            raise BadRequest("Please say what should be there; the method draws what the words name.")
        brightest = int(self.mask.max(initial=0))
        if brightest == 0:
            raise BadRequest("The mask is empty; please mark what should be replaced.")
        if brightest < 128:
            raise BadRequest(f"The mask is nowhere brighter than {brightest} of 255; please use 255 for what shall go.")
        if (self.mask >= 128).all():
            raise BadRequest("The mask covers the whole picture; please leave something of it to keep.")


def describe(request: Request) -> Mapping[str, Any]:
    """For the page: the crop that is worked on in pixels of the picture, and the masked share of the picture."""
    assert isinstance(request, InpaintRequest)
    box = frame_box(request.mask, request.region, request.padding, request.grow)
    return {"box": list(box), "masked": round(float((request.mask >= 128).mean()), 4)}


def _pocket() -> Preset:
    clip, licence = "assets/pocket/clip", "Apache-2.0"
    return Preset(
        name="pocket",
        label="Pocket - offline, small models",
        components={
            "tokenizer": Weights(clip, "transformers.AutoTokenizer", dtype=""),
            "text_encoder": Weights(clip, "transformers.CLIPTextModel"),
            "clip_vision": Weights(clip, "transformers.CLIPVisionModel"),
            "semantic_inpainter": Weights(
                "assets/pocket/semantic_inpainter", "models.cat.semantic_inpainter.SemanticInpainter"
            ),
            "vae": Weights("assets/pocket/vae", "models.autoencoder.PatchAutoencoder"),
            "unet": Weights("assets/pocket/cat_unet", "models.cat.unet.CATUNet2DConditionModel"),
        },
        steps=20,
        guidance_scale=3.0,  # these young weights saturate at the paper's 7.5
        size=128,  # what a CPU could be trained at
        licence=licence,
        settings={"multiple": 32, "comparisons": True, "threads": 1, "hole": -1.0, "prediction": "v_prediction"},
    )


def _full() -> Preset:
    """A converted checkpoint of the authors' layout; none can be downloaded, so it is the user's own."""
    folder, licence = str(weights_folder()), "MIT (code); CreativeML OpenRAIL-M (base)"

    def part(class_name: str, subfolder: str, dtype: str = "float16") -> Weights:
        made_by = "models convert-cat FILE"
        return Weights(folder, class_name, subfolder, dtype=dtype, licence=licence, made_by=made_by)

    return Preset(
        name="full",
        label="Full - CAT-Diffusion on SD 1.5 inpainting, your own checkpoint",
        components={
            "tokenizer": Weights("openai/clip-vit-large-patch14", "transformers.AutoTokenizer", dtype=""),
            "text_encoder": part("transformers.CLIPTextModel", "text_encoder"),
            "clip_vision": part("transformers.CLIPVisionModel", "clip_vision"),
            # Runs once a picture, on features without a norm: half precision saves little and may overflow.
            "semantic_inpainter": part(
                "models.cat.semantic_inpainter.SemanticInpainter", "semantic_inpainter", "float32"
            ),
            "vae": part("diffusers.AutoencoderKL", "vae"),
            "unet": part("models.cat.unet.CATUNet2DConditionModel", "unet"),
        },
        steps=50,
        guidance_scale=7.5,
        size=512,
        licence=licence,
        memory_gigabytes={"full": 6},
        settings={"multiple": 64, "comparisons": False, "hole": -1.0},
    )


def _base() -> Preset:
    """What can be downloaded: the inpainting model that the paper starts from, without what it adds."""
    source, licence = "stable-diffusion-v1-5/stable-diffusion-inpainting", "CreativeML OpenRAIL-M"

    def part(class_name: str, subfolder: str, gigabytes: float, dtype: str = "float16") -> Weights:
        return Weights(source, class_name, subfolder, dtype=dtype, licence=licence, gigabytes=gigabytes)

    return Preset(
        name="base",
        label="Stable Diffusion 1.5 inpainting, without CAT-Diffusion",
        components={
            "tokenizer": part("transformers.AutoTokenizer", "tokenizer", 0, dtype=""),
            "text_encoder": part("transformers.CLIPTextModel", "text_encoder", 0.25),
            "vae": part("diffusers.AutoencoderKL", "vae", 0.17),
            "unet": part("diffusers.UNet2DConditionModel", "unet", 1.72),
        },
        steps=50,
        guidance_scale=7.5,
        size=512,
        licence=licence,
        memory_gigabytes={"full": 5},
        settings={"multiple": 64, "comparisons": False, "hole": 0.0},
    )


def _method() -> Method:
    from models.cat import method

    return method


PRESETS: dict[str, Preset] = {"pocket": _pocket(), "full": _full(), "base": _base()}
SPEC = Spec(
    key="cat",
    title="Mask inpaint",
    verb="inpaint",
    paper="CAT-Diffusion: Improving Text-guided Object Inpainting with Semantic Pre-inpainting",
    arxiv="2409.08260",
    base="Stable Diffusion 1.5 inpainting",
    request=InpaintRequest,
    presets=PRESETS,
    accepts=frozenset({"scene", "placed", "mask", "layers", "prompts"}),
    method=_method,
    describe=describe,
    take=bundle.take,
    give=bundle.give,
)
