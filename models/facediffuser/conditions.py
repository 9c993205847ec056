"""What the two models are called with: the caption's states without and with the people, the people as vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models import latents
from models.contract import Components, Preset
from models.diffusion import Prediction
from models.facediffuser import references
from models.facediffuser.denoising import Network, Words
from models.facediffuser.image_encoder import embed
from models.facediffuser.markers import Marked, read
from models.tokens import token_ids

CHART, PATCH = 128, 16  # pixels of the coloured chart that previews are fitted on, and of one of its patches


@dataclass(frozen=True, eq=False)
class Parts:
    """What `load` hands to `run`."""

    components: Components
    preset: Preset
    device: str

    @property
    def prediction(self) -> Prediction:
        """What both U-Nets predict."""
        found: Prediction = self.preset.settings.get("prediction", "epsilon")
        return found

    def scene(self, wanted: str) -> str:
        """The component that draws the scene; `base` where the preset has one."""
        return "base" if wanted == "base" and "base" in self.preset.components else "tdm"

    def dtype(self, name: str) -> torch.dtype:
        """A component's."""
        return getattr(torch, self.preset.components[name].dtype)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Texts:
    """The prompt, what the scene model is led away from, and no words at all, as ids of the same length."""

    marked: Marked
    negative: tuple[int, ...]
    empty: tuple[int, ...]


def read_texts(parts: Parts, prompt: str, negative: str) -> Texts:
    """Ids of both; raises `BadRequest` for a marker that is out of place."""
    tokenizer = parts.components["tokenizer"]
    marked = read(tokenizer, prompt, tokenizer.model_max_length)
    negative_ids, empty = (tuple(token_ids(tokenizer, text)[0].tolist()) for text in (negative, ""))
    return Texts(marked, negative_ids, empty)


@torch.no_grad()
def text_states(parts: Parts, ids: tuple[int, ...]) -> Tensor:
    """States (1, T, D) of ids, after the text encoder's last norm."""

    def compute() -> Tensor:
        states: Tensor = parts.components["text_encoder"](torch.tensor([ids], device=parts.device)).last_hidden_state
        return states

    found: Tensor = parts.components.remember(("text_encoder", "face", ids), compute)
    return found.to(parts.device)


@torch.no_grad()
def image_vectors(parts: Parts, pictures: Sequence[np.ndarray], resolution: int) -> Tensor:
    """Vectors (1, K, D) of uint8 pictures, each computed alone, so that its neighbours do not change its last bits.

    They are remembered by what the encoder saw: in memory only, and no picture can be made of them.
    """
    encoder = parts.components["image_encoder"]
    seen = references.encoder_input(pictures, resolution, int(encoder.config.image_size))

    def vector(one: np.ndarray) -> Tensor:
        def compute() -> Tensor:
            return embed(encoder, torch.from_numpy(one)[None, None].to(parts.device))

        key = ("image_encoder", "face", hashlib.sha256(one.tobytes()).hexdigest())
        found: Tensor = parts.components.remember(key, compute)
        return found.to(parts.device)

    return torch.cat([vector(one) for one in seen], dim=1)


@dataclass(frozen=True, eq=False)
class Told:
    """States (1, T, D) by what they say, to each of the two models; the negative prompt is the scene model's alone."""

    scene: dict[Words, Tensor]
    subject: dict[Words, Tensor]


@torch.no_grad()
def told(parts: Parts, texts: Texts, vectors: Tensor | None) -> Told:
    """What both models are told, the people's `vectors` (1, K, D) in their rows; without them no subject model.

    All come of the same clean ids, so caption and augmented rows agree but for the people's.
    """
    caption = text_states(parts, texts.marked.ids)
    scene: dict[Words, Tensor] = {"empty": text_states(parts, texts.negative), "caption": caption}
    if vectors is None:
        return Told(scene, {})
    slots = torch.tensor([texts.marked.slots], device=parts.device)
    augmented = parts.components["postfuse"].augment(caption, slots, vectors)
    return Told(scene, {"empty": text_states(parts, texts.empty), "caption": caption, "augmented": augmented})


def network(parts: Parts, name: str, states: dict[Words, Tensor]) -> Network:
    """A component as `denoise` calls it, told the states by name; it is not asked for before its first call."""

    @torch.no_grad()
    def predicting(noisy: Tensor, timestep: Tensor, words: tuple[Words, Words]) -> Tensor:
        unet, dtype = parts.components[name], parts.dtype(name)
        rows = len(noisy) // len(words)
        text = torch.cat([states[word].to(dtype).expand(rows, -1, -1) for word in words])
        out: Tensor = unet(noisy.to(dtype), timestep.to(noisy.device), text, return_dict=False)[0]
        return out

    return predicting


@torch.no_grad()
def decode_picture(parts: Parts, found: Tensor) -> np.ndarray:
    """Latents (1, C, h, w) as a uint8 picture of working size."""
    vae = parts.components["vae"]
    picture: np.ndarray = latents.to_pictures(latents.decode(vae, found.to(parts.device, vae.dtype)))[0]
    return picture


@torch.no_grad()
def preview_basis(parts: Parts) -> Tensor:
    """Colours of latents for previews, fitted on a chart of coloured patches: there is no picture to begin with."""

    def compute() -> Tensor:
        vae = parts.components["vae"]
        pixels = latents.to_pixels(_chart()).to(parts.device)
        return latents.fit_preview(latents.encode(vae, pixels.to(vae.dtype)).float(), pixels)

    found: Tensor = parts.components.remember(("vae", "face", "preview"), compute)
    return found.to(parts.device)


def _chart() -> np.ndarray:
    """Patches of random colours, uint8, the same each time."""
    count = CHART // PATCH
    colours = np.random.default_rng(0).integers(0, 256, (count, count, 3), dtype=np.uint8)
    return colours.repeat(PATCH, 0).repeat(PATCH, 1)
