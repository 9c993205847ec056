"""What the subject model's training sees of a photograph: the square target, and a person's cut-out as a reference.

Pictures are uint8 HxWx3, segments masks bool HxW. Randomness comes from a numpy generator, so a sample can be drawn
again. The augmentations and their ranges are FastComposer's, written for OpenCV and numpy.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

REFERENCE = 224  # pixels on a side of a reference
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def squared(picture: np.ndarray, masks: np.ndarray, side: int, flip: bool) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its masks (K, H, W) as a square of `side`, both flipped or neither.

    The short side becomes `side` (antialiased bilinear, the nearest for masks); wide pictures lose both ends, tall
    ones get black bars and are made smaller once more.
    """
    height, width = picture.shape[:2]
    scale = side / min(height, width)
    size = (round(height * scale), round(width * scale))
    picture, masks = _resized(picture, size), _nearest(masks, size)
    if flip:
        picture, masks = picture[:, ::-1], masks[..., ::-1]
    if size[1] >= size[0]:
        start = (size[1] - side) // 2
        return picture[:, start : start + side], masks[..., start : start + side]
    return _resized(_padded(picture), (side, side)), _nearest(_padded_masks(masks), (side, side))


def cut_out(
    picture: np.ndarray, segment: np.ndarray, box: tuple[int, int, int, int], rng: np.random.Generator
) -> np.ndarray:
    """The box (left, top, right, bottom) of a picture, with noise of 0..254 wherever the segment is not."""
    left, top, right, bottom = box
    noise = rng.integers(0, 255, picture.shape, dtype=np.uint8)
    return np.where(segment[..., None], picture, noise)[top:bottom, left:right]


def augmented(reference: np.ndarray, rng: np.random.Generator, side: int = REFERENCE) -> np.ndarray:
    """A reference as a square of `side` that has been zoomed, turned, recoloured, blurred, flipped and bent, each with
    its own chance."""
    picture = zoomed(reference, rng) if rng.random() < 0.5 else reference
    picture = _resized(_padded(picture), (side, side))
    if rng.random() < 0.75:
        turn = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), rng.uniform(-30, 30), 1)
        picture = cv2.warpAffine(picture, turn, (side, side), flags=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        picture = recoloured(picture, rng)
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (5, 5), rng.uniform(0.1, 2), borderType=cv2.BORDER_REFLECT_101)
    if rng.random() < 0.1:
        picture = np.repeat(_rounded(picture @ LUMA)[..., None], 3, 2)
    if rng.random() < 0.5:
        picture = np.ascontiguousarray(picture[:, ::-1])
    return bent(picture, rng) if rng.random() < 0.5 else picture


def zoomed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One to two times as large, cut to the size it had, at random; then the square at the top, where a face is."""
    height, width = picture.shape[:2]
    zoom = rng.uniform(1, 2)
    large = _resized(picture, (max(height, round(height * zoom)), max(width, round(width * zoom))))
    top, left = (int(rng.integers(0, a - b + 1)) for a, b in zip(large.shape, (height, width), strict=False))
    window = large[top : top + height, left : left + width]
    side = min(height, width)
    start = (width - side) // 2
    return window[:side, start : start + side]


def recoloured(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast and saturation times 0.5..1.5, hue turned by up to a half, in random order."""
    out = picture.astype(np.float32)
    for kind in rng.permutation(4):
        factor = rng.uniform(0.5, 1.5)
        if kind == 3:
            # Along the wheel of 0..360 degrees, which OpenCV has for floats of 0..1.
            hsv = cv2.cvtColor(out / 255, cv2.COLOR_RGB2HSV)
            hsv[..., 0] = (hsv[..., 0] + 360 * (factor - 1)) % 360
            out = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255
            continue
        luma = (out @ LUMA)[..., None]
        grey = np.zeros(1) if kind == 0 else luma.mean() if kind == 1 else luma
        out = np.clip(grey + factor * (out - grey), 0, 255).astype(np.float32)
    return _rounded(out)


def bent(picture: np.ndarray, rng: np.random.Generator, strength: float = 25.0, smooth: float = 5.0) -> np.ndarray:
    """Every place moved by smoothed noise of -1..1, times `strength` pixels; black comes in from outside."""
    height, width = picture.shape[:2]
    noise = rng.uniform(-1, 1, (2, height, width)).astype(np.float32)
    across, down = (cv2.GaussianBlur(plane, (0, 0), smooth) * strength for plane in noise)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.asarray(cv2.remap(picture, x + across, y + down, cv2.INTER_LINEAR))


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _nearest(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    planes = [cv2.resize(mask.astype(np.uint8), (size[1], size[0]), interpolation=cv2.INTER_NEAREST) for mask in masks]
    return np.stack(planes).astype(bool) if planes else np.zeros((0, *size), bool)


def _margins(size: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    """What both axes lack of a square, halved, less before than after."""
    down, across = (max(size) - n for n in size[:2])
    return (down // 2, down - down // 2), (across // 2, across - across // 2)


def _padded(picture: np.ndarray) -> np.ndarray:
    return np.pad(picture, (*_margins(picture.shape[:2]), (0, 0)))


def _padded_masks(masks: np.ndarray) -> np.ndarray:
    return np.pad(masks, ((0, 0), *_margins(masks.shape[1:])))


def _rounded(values: np.ndarray) -> np.ndarray:
    whole: np.ndarray = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return whole
