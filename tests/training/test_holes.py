"""Holes as the recipes see them: the batched preprocessing is the app's, the measures are what they are called."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.cat.preprocess import latent_mask, views
from training import holes, world
from training.hole_filling import Withheld


def drawn(seed: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A random picture and a mask of two boxes and a disk, uint8."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    rows, columns = np.mgrid[:side, :side]
    mask = (rows - side * 0.4) ** 2 + (columns - side * 0.55) ** 2 < (side * rng.uniform(0.1, 0.3)) ** 2
    mask[side // 7 : side // 3, side // 9 : side // 2] = True
    return picture, np.where(mask, 255, 0).astype(np.uint8)


def batched(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[torch.Tensor, torch.Tensor]:
    pictures = torch.stack([torch.from_numpy(p).permute(2, 0, 1).float() for p, _ in pairs])
    return pictures, torch.stack([torch.from_numpy(m)[None].float() for _, m in pairs])


def test_preprocessing_of_a_batch_is_that_of_the_app_where_nothing_is_resized() -> None:
    pairs = [drawn(seed, 128) for seed in range(4)]
    pictures, masks = batched(pairs)
    for row, (picture, mask) in enumerate(pairs):
        seen = views(picture, mask, clip_size=128, patch=16)
        found = holes.vae_pictures(pictures, masks)[row].permute(1, 2, 0)
        np.testing.assert_allclose(found, seen.vae_picture, atol=1e-6)
        assert found[torch.from_numpy(mask) == 255].eq(-1).all()
        np.testing.assert_array_equal(
            holes.clip_pictures(pictures, masks, 128)[row].permute(1, 2, 0), seen.clip_picture
        )
        np.testing.assert_array_equal(holes.patch_masks(masks, 128, 16)[row, 0], seen.patch_mask)
        np.testing.assert_array_equal(holes.latent_masks(masks)[row, 0], seen.latent_mask)


def test_preprocessing_of_a_batch_is_that_of_the_app_where_pictures_are_shrunk() -> None:
    pairs = [drawn(seed, 512) for seed in range(2)]
    pictures, masks = batched(pairs)
    for row, (picture, mask) in enumerate(pairs):
        seen = views(picture, mask)
        small = holes.clip_pictures(pictures, masks, 224)[row].permute(1, 2, 0).numpy()
        assert np.abs(small - seen.clip_picture).max() <= 1  # Pillow computes in whole numbers
        np.testing.assert_array_equal(holes.patch_masks(masks, 224, 14)[row, 0], seen.patch_mask)
        np.testing.assert_array_equal(holes.latent_masks(masks)[row, 0], seen.latent_mask)
        grown = holes.latent_masks(masks, least=1)[row, 0].numpy()  # as published for training
        assert (grown >= latent_mask(mask)).all()
        assert grown.sum() > seen.latent_mask.sum()


def test_soft_edges_are_blended_and_truncated() -> None:
    picture, mask = np.full((16, 16, 3), 200, np.uint8), np.full((16, 16), 110, np.uint8)
    pictures, masks = batched([(picture, mask)])
    assert holes.clip_pictures(pictures, masks, 16).unique().tolist() == [168]  # 168.51
    assert views(picture, mask, 16, 4).clip_picture.max() == 168


def test_nearness_is_a_mean_over_masked_tokens_of_each_picture_then_over_pictures() -> None:
    truth = torch.tensor([[[1.0, 0], [1, 0], [1, 0], [1, 0]], [[0, 1], [0, 1], [0, 1], [0, 1]]])
    found = torch.tensor([[[1.0, 0], [0, 1], [9, 9], [9, 9]], [[0, 5], [9, 9], [9, 9], [9, 9]]])
    masks = torch.tensor([[1.0, 1, 0, 0], [1, 0, 0, 0]]).view(2, 1, 2, 2)
    torch.testing.assert_close(holes.nearness(found, truth, masks), torch.tensor([0.5, 1.0]))


def test_the_gap_is_closed_by_the_truth_and_not_by_what_was_there() -> None:
    generator = torch.Generator().manual_seed(0)
    truth, patches = torch.randn(2, 3, 4, 8, generator=generator)
    masks = torch.ones(3, 1, 2, 2)
    rows = {"truth": truth, "patches": patches, "holes": masks}
    assert holes.gap_closed(truth, rows)["gap_closed"] == pytest.approx(1)
    assert holes.gap_closed(patches, rows)["gap_closed"] == pytest.approx(0)
    # What all features share makes everything look alike, until it is taken off.
    shared = 50 * torch.ones(8)
    lifted = {"truth": truth + shared, "patches": patches + shared, "holes": masks}
    assert holes.gap_closed(patches + shared, lifted)["cosine_masked"] > 0.99
    centred = holes.gap_closed(patches + shared, lifted, shared)["cosine_masked"]
    assert centred == pytest.approx(holes.gap_closed(patches, rows)["cosine_masked"], abs=1e-4)


def test_text_and_visual_prompt_are_withheld_together() -> None:
    generator = torch.Generator().manual_seed(0)
    no_text, no_prompt = Withheld(both=0.2, prompt=0.25).draw(20_000, generator)
    assert no_prompt[no_text].all()  # never a visual prompt without words
    assert float(no_text.float().mean()) == pytest.approx(0.2, abs=0.01)
    assert float(no_prompt.float().mean()) == pytest.approx(0.2 + 0.8 * 0.25, abs=0.01)
    no_text, no_prompt = Withheld(both=0.2, prompt=0.0).draw(20_000, generator)
    assert torch.equal(no_text, no_prompt)


def test_the_published_draw_is_for_whole_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = [Withheld(both=0.3, batches=True, prompt=0.0).draw(5, generator)[0] for _ in range(400)]
    assert all(draw.all() or not draw.any() for draw in draws)
    assert float(torch.stack(draws).float().mean()) == pytest.approx(0.3, abs=0.07)


def test_a_drawn_hole_hides_the_thing_that_its_text_names() -> None:
    batch = world.holes(4, (64, 64), 3)
    pictures, masks = (batch.image * 255).round(), batch.mask * 255
    hidden = holes.vae_pictures(pictures, masks)
    assert hidden.masked_select(batch.mask.expand_as(hidden).bool()).eq(-1).all()
    rows = torch.arange(4)
    own = batch.scenes.masks[rows, batch.slots][:, None]
    assert float((own * (1 - batch.mask)).sum() / own.sum()) < 0.1
