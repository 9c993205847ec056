"""The patch autoencoder: its linear part is a principal component analysis, its surface is AutoencoderKL's."""

import numpy as np
import pytest
import torch

from models.autoencoder import PatchAutoencoder, patch_basis

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(24, 3, 8, 12, generator=generator)
    return torch.nn.functional.interpolate(coarse, (64, 96), mode="bicubic").clamp(0, 1) * 2 - 1


@pytest.fixture(scope="module")
def vae(pictures: torch.Tensor) -> PatchAutoencoder:
    model = PatchAutoencoder()
    model.set_basis(patch_basis(pictures, 8))
    return model.eval().requires_grad_(False)


def numpy_patches(pictures: torch.Tensor) -> np.ndarray:
    """Rows of 192 numbers (channel, row, column), cut out one by one."""
    x = pictures.double().numpy()
    rows = [
        x[b, :, i : i + 8, j : j + 8].ravel()
        for b in range(x.shape[0])
        for i in range(0, x.shape[2], 8)
        for j in range(0, x.shape[3], 8)
    ]
    return np.stack(rows)


def test_basis_is_the_principal_components(pictures: torch.Tensor) -> None:
    rows = numpy_patches(pictures)
    _, singular, vectors = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    mean, components, std = patch_basis(pictures, 8)
    np.testing.assert_allclose(mean, rows.mean(0), atol=1e-6)
    np.testing.assert_allclose(std, singular[:8] / np.sqrt(len(rows)), rtol=1e-4)
    np.testing.assert_allclose(np.abs(components.double().numpy() @ vectors[:8].T), np.eye(8), atol=1e-3)


def test_untrained_round_trip_is_the_projection_on_the_basis(pictures: torch.Tensor, vae: PatchAutoencoder) -> None:
    rows = numpy_patches(pictures)
    _, _, vectors = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    projected = (rows - rows.mean(0)) @ vectors[:8].T @ vectors[:8] + rows.mean(0)
    np.testing.assert_allclose(numpy_patches(vae(pictures)), projected, atol=2e-4)


def test_latents_are_white(pictures: torch.Tensor, vae: PatchAutoencoder) -> None:
    latents = vae.encode(pictures).latent_dist.mode().permute(1, 0, 2, 3).flatten(1)
    np.testing.assert_allclose(latents @ latents.T / latents.shape[1], np.eye(8), atol=1e-3)


def test_posterior_has_no_noise(pictures: torch.Tensor, vae: PatchAutoencoder) -> None:
    posterior = vae.encode(pictures).latent_dist
    assert torch.equal(posterior.sample(torch.Generator().manual_seed(1)), posterior.mode())


@pytest.mark.parametrize(("height", "width"), [(64, 96), (96, 64), (8, 200)])
def test_sides_need_not_be_equal(vae: PatchAutoencoder, height: int, width: int) -> None:
    latents = vae.encode(torch.zeros(2, 3, height, width)).latent_dist.mode()
    assert latents.shape == (2, 8, height // 8, width // 8)
    assert vae.decode(latents).sample.shape == (2, 3, height, width)


def test_a_side_that_eight_does_not_divide_is_refused(vae: PatchAutoencoder) -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        vae.encode(torch.zeros(1, 3, 64, 60))


def test_saved_and_loaded_it_draws_the_same(vae: PatchAutoencoder, pictures: torch.Tensor, tmp_path) -> None:
    vae.save_pretrained(tmp_path)
    loaded = PatchAutoencoder.from_pretrained(tmp_path)
    assert torch.equal(loaded(pictures), vae(pictures))
    config = loaded.config
    assert (config.latent_channels, config.scaling_factor, config.shift_factor) == (8, 1.0, 0.0)
    assert len(config.block_out_channels) == 4  # diffusers reads the factor of 8 from it
    assert not config.force_upcast
