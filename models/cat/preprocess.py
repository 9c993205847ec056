"""What the networks see of a picture with a hole: the VAE a black hole, CLIP a gray one, and two masks. Plain.

Every smaller picture is made from the working one by Pillow's antialiased bicubic filter, as the authors do it:
another filter moves cells of the masks from one side of their thresholds to the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

BLACK, GRAY = -1.0, 0.0  # the hole in the VAE's range: the paper's weights know the first, stock inpainting the second
CLIP_HOLE = 127  # of 255


@dataclass(frozen=True, eq=False)
class Views:
    """A working picture as its readers see it; 1 in a mask = to be generated.

    `vae_picture` float32 HxWx3 in -1..1; `clip_picture` uint8 SxSx3; `patch_mask` uint8 gxg of CLIP's patches
    that the mask touches; `latent_mask` float32 H/8 x W/8, hard, the fifth kind of input of the U-Net.
    """

    vae_picture: np.ndarray
    clip_picture: np.ndarray
    patch_mask: np.ndarray
    latent_mask: np.ndarray


def views(
    picture: np.ndarray,
    mask: np.ndarray,
    clip_size: int = 224,
    patch: int = 14,
    factor: int = 8,
    hole: float = BLACK,
) -> Views:
    """The views of a uint8 HxWx3 picture and its uint8 HxW mask, 255 = generate, soft edges allowed.

    The sides must be multiples of `factor`; CLIP's square is squashed if the picture is none.
    """
    small, small_mask = (resized(x, (clip_size, clip_size)) for x in (picture, mask))
    return Views(
        vae_picture(picture, mask, hole),
        clip_picture(small, small_mask),
        patch_mask(small_mask, patch),
        latent_mask(mask, factor),
    )


def vae_picture(picture: np.ndarray, mask: np.ndarray, hole: float = BLACK) -> np.ndarray:
    """float32 HxWx3 in -1..1, blended into `hole` by the mask."""
    share = mask[..., None].astype(np.float32) / 255
    return (picture.astype(np.float32) / 127.5 - 1) * (1 - share) + hole * share


def clip_picture(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """uint8, blended into gray by the mask; truncated, not rounded, as published."""
    share = mask[..., None].astype(np.float64) / 255
    blended: np.ndarray = picture * (1 - share) + CLIP_HOLE * share
    return (blended + 1e-6).astype(np.uint8)  # a product of floats may fall a hair short of a whole number


def patch_mask(mask: np.ndarray, patch: int) -> np.ndarray:
    """uint8 gxg: 1 where any pixel of the patch is at least half masked."""
    rows, columns = (side // patch for side in mask.shape)
    cells = mask[: rows * patch, : columns * patch].reshape(rows, patch, columns, patch)
    touched: np.ndarray = (cells.max(axis=(1, 3)) >= 128).astype(np.uint8)
    return touched


def latent_mask(mask: np.ndarray, factor: int = 8) -> np.ndarray:
    """float32 H/factor x W/factor: 1 where the shrunk mask is above one half."""
    rows, columns = (side // factor for side in mask.shape)
    return (resized(mask, (rows, columns)) >= 128).astype(np.float32)


def with_thin_parts(cells: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A latent mask and the cells of what it lost of its uint8 mask, as float32 of the same shape; ours.

    A strap that covers less than half of every cell it crosses is blackened for the autoencoder and yet not drawn
    anew: it would stay black. Cells next to one that is drawn are left as they are.
    """
    touched = patch_mask(mask, mask.shape[0] // cells.shape[0])
    reached = cv2.dilate(cells, np.ones((3, 3), np.uint8))
    drawn: np.ndarray = np.where((touched > 0) & (reached == 0), np.float32(1), cells)
    return drawn


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 picture or mask at (height, width), by Pillow's antialiased bicubic filter."""
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BICUBIC))
