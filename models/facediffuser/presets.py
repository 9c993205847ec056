"""Which weights Face-diffuser runs on: the published pair over Stable Diffusion 1.5, and our own. Plain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from models.contract import Preset, Published, Weights
from models.facediffuser.location import weights_folder

BASE = "stable-diffusion-v1-5/stable-diffusion-v1-5"
# Its code says MIT, its README non-commercial, its weights "unlicense", and its faces come of FFHQ.
LICENCE = "research and non-commercial use (Face-diffuser); CreativeML OpenRAIL-M (base)"


CONVERTED = "models convert-face SUBJECT SCENE"
SUBJECT = Published("CodeGoat24/Face-diffuser", "SDM/pytorch_model.bin", 4.52)
SCENE = Published("CodeGoat24/Face-diffuser", "TDM/pytorch_model.bin", 3.85)


def _pocket() -> Preset:
    clip = "assets/pocket/clip"
    return Preset(
        name="pocket",
        label="Pocket - offline, small models",
        components={
            "tokenizer": Weights(clip, "transformers.AutoTokenizer", dtype=""),
            "text_encoder": Weights(clip, "transformers.CLIPTextModel"),
            "image_encoder": Weights(clip, "transformers.CLIPVisionModelWithProjection"),
            "postfuse": Weights("assets/pocket/postfuse", "models.facediffuser.post_fuse.PostFuse"),
            "tdm": Weights("assets/pocket/sd_unet", "diffusers.UNet2DConditionModel"),
            "sdm": Weights("assets/pocket/sdm_unet", "diffusers.UNet2DConditionModel"),
            "vae": Weights("assets/pocket/vae", "models.autoencoder.PatchAutoencoder"),
            "clip": Weights(clip, "transformers.CLIPModel"),
        },
        steps=20,
        guidance_scale=3.0,  # these young weights saturate at the published 5
        size=128,  # what a CPU could be trained at
        licence="Apache-2.0",
        settings={
            "multiple": 32,
            "prediction": "v_prediction",
            "threads": 1,
            "drawn": True,  # its people are drawings, in which no detector looks for faces
        },
    )


def _convert(paths: list[Path], notify: Callable[[str], None]) -> None:
    """Write what the full preset loads from `SUBJECT` and `SCENE`."""
    from models.facediffuser import published

    subject, scene = paths
    published.convert(subject, scene, weights_folder(), notify=notify)


def _full() -> Preset:
    """The published files, converted; the autoencoder and the tokenizer are Stable Diffusion's."""
    folder = str(weights_folder())

    def own(class_name: str, subfolder: str, dtype: str = "float16") -> Weights:
        return Weights(folder, class_name, subfolder, dtype=dtype, licence=LICENCE, made_by=CONVERTED)

    def base(class_name: str, subfolder: str, gigabytes: float, dtype: str = "float16") -> Weights:
        return Weights(BASE, class_name, subfolder, dtype=dtype, licence=LICENCE, gigabytes=gigabytes)

    return Preset(
        name="full",
        label="Full - Face-diffuser on Stable Diffusion 1.5, converted",
        components={
            "tokenizer": base("transformers.AutoTokenizer", "tokenizer", 0, dtype=""),
            "text_encoder": own("transformers.CLIPTextModel", "text_encoder"),
            "image_encoder": own("transformers.CLIPVisionModelWithProjection", "image_encoder"),
            "postfuse": own("models.facediffuser.post_fuse.PostFuse", "postfuse", dtype="float32"),
            "tdm": own("diffusers.UNet2DConditionModel", "tdm_unet"),
            "base": base("diffusers.UNet2DConditionModel", "unet", 1.72),
            "sdm": own("diffusers.UNet2DConditionModel", "sdm_unet"),
            "vae": base("diffusers.AutoencoderKL", "vae", 0.17),
        },
        steps=50,
        guidance_scale=5.0,
        size=512,
        licence=LICENCE,
        memory_modes=("full", "offload"),
        memory_gigabytes={"full": 7, "offload": 6},  # estimates: both U-Nets are 3.4 of it
        settings={"multiple": 64, "together": ("tdm", "base", "sdm")},
        files=(SUBJECT, SCENE),
        convert=_convert,
    )


PRESETS: dict[str, Preset] = {"pocket": _pocket(), "full": _full()}
