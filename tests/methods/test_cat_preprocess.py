"""The views of a picture with a hole: counts that the authors' preprocessing gives, exact values in the hole."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from models.cat.preprocess import GRAY, clip_picture, vae_picture, views


def _box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((512, 512), np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def _disc(radius: int) -> np.ndarray:
    rows, columns = np.mgrid[:512, :512]
    return np.where((columns - 256) ** 2 + (rows - 256) ** 2 <= radius**2, 255, 0).astype(np.uint8)


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)


@pytest.mark.parametrize(
    ("mask", "patches", "cells"),
    [
        (_box(128, 128, 384, 384), 64, 1024),
        (_box(100, 140, 300, 333), 49, 646),
        (_box(0, 0, 512, 512), 256, 4096),
        (_box(120, 146, 512, 428), 130, 1763),
        (_disc(100), 44, 488),
        (_box(255, 255, 257, 257), 0, 0),
    ],
)
def test_the_masks_have_the_published_counts(picture: np.ndarray, mask: np.ndarray, patches: int, cells: int) -> None:
    seen = views(picture, mask)
    assert seen.patch_mask.shape == (16, 16)
    assert seen.patch_mask.sum() == patches
    assert seen.latent_mask.shape == (64, 64)
    assert seen.latent_mask.sum() == cells


def test_the_hole_is_black_for_the_autoencoder_and_gray_for_clip(picture: np.ndarray) -> None:
    mask = _box(128, 128, 384, 384)
    seen, inside = views(picture, mask), mask == 255
    assert (seen.vae_picture[inside] == -1.0).all()
    assert (vae_picture(picture, mask, GRAY)[inside] == 0.0).all()
    assert np.array_equal(seen.vae_picture[~inside], (picture.astype(np.float32) / 127.5 - 1)[~inside])
    assert (seen.clip_picture[70:154, 70:154] == 127).all()  # 14 pixels of the border see the bicubic filter's lobes
    mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    normalised = (seen.clip_picture[112, 112] / 255 - mean) / std
    assert np.allclose(normalised, [0.0617376, 0.1538894, 0.3257286], atol=1e-6)


def test_a_soft_mask_blends_before_scaling_as_published(picture: np.ndarray) -> None:
    mask = np.asarray(Image.fromarray(_disc(100)).resize((512, 512), Image.Resampling.BICUBIC, (0.5, 0, 511.5, 512)))
    assert len(np.unique(mask)) > 3
    zeroed = picture * (1 - mask[..., None] / 255.0)
    assert np.allclose(vae_picture(picture, mask), zeroed / 127.5 - 1, atol=1e-6)


def test_clips_blend_is_truncated() -> None:
    picture, mask = np.full((1, 2, 3), 10, np.uint8), np.array([[100, 0]], np.uint8)
    assert clip_picture(picture, mask).tolist() == [[[55] * 3, [10] * 3]]  # 55.88
    assert 10
    everywhere = np.arange(256, dtype=np.uint8)[None]
    assert (clip_picture(np.full((1, 256, 3), 127, np.uint8), everywhere) == 127).all()


def test_other_sizes_and_shapes(picture: np.ndarray) -> None:
    wide = np.ascontiguousarray(picture[:256])
    seen = views(wide, _box(128, 0, 384, 256)[:256], clip_size=128, patch=16)
    assert seen.clip_picture.shape == (128, 128, 3)
    assert seen.patch_mask.shape == (8, 8)
    assert seen.latent_mask.shape == (32, 64)
    assert seen.vae_picture.shape == (256, 512, 3)
    assert seen.patch_mask.tolist() == [[0, 0, 1, 1, 1, 1, 0, 0]] * 8
