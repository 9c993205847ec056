"""From edited latents to the picture a person gets; ours: original detail, kept pixels, matched colours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from models import latents, pixels, regions
from models.dit4edit.conditions import Parts
from models.dit4edit.spec import EditRequest
from models.finishing import Finished, keeps_detail

BLUR = 1 / 32  # of the height: what counts as large-scale colour
SHIFT = 24.0  # levels of it; more is an edit


@dataclass(frozen=True, eq=False)
class Source:
    """The picture at its own size, at working size, and what the autoencoder makes of it there; all uint8 HxWx3."""

    original: np.ndarray
    working: np.ndarray
    decoded: np.ndarray


@torch.no_grad()
def decoded(parts: Parts, found: Tensor) -> np.ndarray:
    """Latents (1, C, h, w) as a uint8 picture of working size."""
    vae = parts.components["vae"]
    picture: np.ndarray = latents.to_pictures(latents.decode(vae, found.to(parts.device, vae.dtype)))[0]
    return picture


def finish(parts: Parts, request: EditRequest, source: Source, found: Tensor) -> Finished:
    """The edited latents (1, C, h, w) as a picture of the original's size."""
    edited = decoded(parts, found)
    if request.match_colours:
        edited = matched(edited, source.decoded)
    size = source.original.shape[0], source.original.shape[1]
    if keeps_detail(parts.preset, request.keep_detail):
        picture = pixels.keep_detail(source.original, source.decoded, edited)
    else:
        picture = pixels.resize(edited, size)
    if request.mask is None:
        return Finished(picture, 0, 0)
    if request.paste_back:
        picture = pixels.paste_back(source.original, picture, request.mask, request.feather)
    kept = int(np.count_nonzero(request.mask == 0))
    return Finished(picture, kept, pixels.changed_pixels(source.original, picture, request.mask))


def matched(edited: np.ndarray, source: np.ndarray) -> np.ndarray:
    """`edited` with its large-scale colours brought to those of `source`, as learned where the two hardly differ."""
    sigma = max(1.0, edited.shape[0] * BLUR)
    difference = source.astype(np.float32) - edited
    same = np.abs(cv2.GaussianBlur(difference, (0, 0), sigma / 2)).max(axis=2) < SHIFT
    same = cv2.erode(same.astype(np.float32), np.ones((3, 3)), iterations=round(sigma))  # edges of the edit are its own
    weight = cv2.GaussianBlur(same, (0, 0), sigma)[..., None]
    shift = cv2.GaussianBlur(difference * same[..., None], (0, 0), sigma) / np.maximum(weight, 1e-3)
    return pixels.to_bytes(edited + shift * np.minimum(weight * 10, 1))  # far from what is known nothing is moved


def psnr(found: np.ndarray, truth: np.ndarray) -> float | None:
    """Peak signal-to-noise ratio of uint8 pictures in dB, None for equal ones."""
    error = float(np.mean((found.astype(np.float64) - truth) ** 2))
    return round(10 * math.log10(255**2 / error), 2) if error else None


def latent_mask(mask: np.ndarray, size: tuple[int, int]) -> Tensor:
    """A mask of the picture's size for latents of (h, w): (1, 1, h, w) in 0..1, any touched cell at least partly."""
    small = pixels.resize(regions.grow(mask, 1), size)
    return torch.from_numpy(small.astype(np.float32) / 255)[None, None]
