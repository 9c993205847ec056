"""Latents against diffusers' own packing and autoencoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, FluxPipeline
from torch import Tensor

from models import latents
from models.autoencoder import PatchAutoencoder, patch_basis


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("height", "width"), [(4, 6), (8, 8), (14, 18)])
def test_packing_is_that_of_flux(height: int, width: int) -> None:
    z = draw(2, 4, height, width)
    packed = latents.pack(z)
    assert torch.equal(packed, FluxPipeline._pack_latents(z, 2, 4, height, width))
    assert torch.equal(latents.unpack(packed, height, width), z)


@torch.no_grad()
def test_encode_and_decode_apply_scale_and_shift() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = AutoencoderKL(
            block_out_channels=(8,), norm_num_groups=4, latent_channels=4, scaling_factor=0.36, shift_factor=0.12
        ).eval()
    pixels = draw(1, 3, 16, 16).clamp(-1, 1)
    z = latents.encode(vae, pixels)
    mode = vae.encode(pixels).latent_dist.mode()
    torch.testing.assert_close(z, (mode - 0.12) * 0.36)
    assert torch.equal(latents.encode(vae, pixels), z)
    torch.testing.assert_close(latents.decode(vae, z), vae.decode(mode).sample, atol=1e-5, rtol=0)
    vae.register_to_config(shift_factor=None)  # Stable Diffusion's has none
    torch.testing.assert_close(latents.encode(vae, pixels), mode * 0.36)


def test_pictures_survive_the_way_to_tensors_and_back() -> None:
    picture = np.arange(256, dtype=np.uint8).reshape(8, 32, 1).repeat(3, axis=2)
    picture.setflags(write=False)
    pixels = latents.to_pixels(picture)
    assert pixels.shape == (1, 3, 8, 32)
    assert pixels.min() == -1
    assert pixels.max() == 1
    assert np.array_equal(latents.to_pictures(pixels)[0], picture)
    assert latents.to_pictures(torch.tensor([[[[-3.0]], [[7.0]], [[0.0]]]])).tolist() == [[[[0, 255, 128]]]]


def test_noise_depends_on_the_seed_alone() -> None:
    first = latents.seeded_noise((1, 4, 8, 8), 7)
    torch.manual_seed(99)
    assert torch.equal(first, latents.seeded_noise((1, 4, 8, 8), 7))
    half = latents.seeded_noise((1, 4, 8, 8), 7, dtype=torch.bfloat16)
    assert torch.equal(half, first.bfloat16())
    assert not torch.equal(first, latents.seeded_noise((1, 4, 8, 8), 8))


@torch.no_grad()
def test_preview_shows_the_colours_of_the_picture() -> None:
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 96), indexing="ij")
    pixels = torch.stack([rows, columns, -rows * columns])[None]
    vae = PatchAutoencoder(8, (8, 8, 8, 8), layers_per_block=1)
    vae.set_basis(patch_basis(pixels, 8))
    z = latents.encode(vae, pixels)
    basis = latents.fit_preview(z, pixels)
    shown = latents.preview(z, basis)
    assert shown.shape == (64, 96, 3)
    difference = np.abs(shown.astype(int) - latents.to_pictures(pixels)[0])
    assert difference.mean() < 4
    assert latents.preview(z, basis, limit=24).shape == (16, 24, 3)
    flat = torch.zeros_like(pixels)  # a plain picture leaves the fit open in every direction but one
    plain = latents.fit_preview(latents.encode(vae, flat), flat)
    assert torch.isfinite(plain).all()
