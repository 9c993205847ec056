"""From denoised latents to the picture a person gets: decoding, and ours: kept detail and locked background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models import latents, pixels, regions
from models.dreamfuse.conditions import Parts, encode_picture
from models.dreamfuse.spec import DreamFuseRequest, object_matrix
from models.finishing import Finished, keeps_detail

LOCK_MARGIN = 0.03  # of the shorter side: shadows fade out, and what is locked ends abruptly


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What every picture of a request is finished with: the raw paste and its soft mask at the scene's size,
    and the autoencoder's round trips of scene and paste at bucket size (uint8)."""

    pasted: np.ndarray
    object_mask: np.ndarray
    decoded_scene: np.ndarray
    decoded_paste: np.ndarray


@torch.no_grad()
def surroundings(parts: Parts, request: DreamFuseRequest, background: np.ndarray) -> Surroundings:
    """Prepare for `finish`; `background` is the scene at bucket size."""
    pasted, object_mask = pixels.paste(request.background, request.foreground, object_matrix(request))
    small = pixels.resize(pasted, (background.shape[0], background.shape[1]))
    scene, paste = (_decoded(parts, encode_picture(parts, p)) for p in (background, small))
    return Surroundings(pasted, object_mask, scene, paste)


@torch.no_grad()
def finish(parts: Parts, request: DreamFuseRequest, around: Surroundings, fused: Tensor) -> Finished:
    """`fused` latents (1, C, h, w) as a picture of the scene's own size.

    Kept pixels are those that neither the object covers nor the model changed beyond the round trip.
    """
    scene, size = request.background, (request.background.shape[0], request.background.shape[1])
    decoded, before = _decoded(parts, fused), around.decoded_scene
    if keeps_detail(parts.preset, request.keep_detail):
        picture = pixels.keep_object_detail(
            scene, before, decoded, around.pasted, around.decoded_paste, around.object_mask
        )
    else:
        picture = pixels.resize(decoded, size)
    region = pixels.changed_region(before, decoded, margin=LOCK_MARGIN * min(before.shape[:2]))
    changed = regions.combine(pixels.resize(region, size), around.object_mask, "add")
    if request.background_lock:
        picture = pixels.paste_back(scene, picture, changed, feather=LOCK_MARGIN * min(size))
    kept = int(np.count_nonzero(changed == 0))
    return Finished(picture, kept, pixels.changed_pixels(scene, picture, changed))


def _decoded(parts: Parts, picture: Tensor) -> np.ndarray:
    """Normalised latents (1, C, h, w) -> uint8 HxWx3; rounded, where the published code truncates."""
    decoded: np.ndarray = latents.to_pictures(latents.decode(parts.components["vae"], picture))[0]
    return decoded
