"""From denoised latents to the picture a person gets; ours: everything that keeps what lies outside the mask."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from models import latents, pixels
from models.cat.conditions import Parts
from models.cat.framing import Framing
from models.cat.spec import InpaintRequest
from models.finishing import Finished

TELEA_RADIUS = 3  # working pixels


@torch.no_grad()
def finish(parts: Parts, request: InpaintRequest, framing: Framing, drawn: Tensor) -> Finished:
    """`drawn` latents (1, C, h, w) in their place, with the original's own pixels around if so asked."""
    vae = parts.components["vae"]
    patch = latents.to_pictures(latents.decode(vae, drawn.to(vae.device, vae.dtype)))[0]
    return stitched(request, framing, patch)


def stitched(request: InpaintRequest, framing: Framing, patch: np.ndarray) -> Finished:
    """A worked-on crop (uint8, any size) in its place in the original; kept pixels are those where the mask is 0."""
    left, top, right, bottom = framing.box
    if request.paste_back:
        picture = pixels.stitch(request.image, patch, framing.box, framing.whole_mask, request.feather)
    else:
        picture = request.image.copy()
        picture[top:bottom, left:right] = pixels.resize(patch, (bottom - top, right - left))
    kept = int(np.count_nonzero(framing.whole_mask == 0))
    return Finished(picture, kept, pixels.changed_pixels(request.image, picture, framing.whole_mask))


def classical(request: InpaintRequest, framing: Framing) -> np.ndarray:
    """The hole filled from its rim by fast marching (Telea 2004), at working size, in its place in the original."""
    hole = (framing.mask >= 128).astype(np.uint8)
    filled = cv2.inpaint(np.ascontiguousarray(framing.picture), hole, TELEA_RADIUS, cv2.INPAINT_TELEA)
    return stitched(request, framing, filled).picture
