"""CAT-Diffusion's losses against sums by hand."""

from __future__ import annotations

import pytest
import torch

from models.cat.losses import distillation_loss, noise_loss


@pytest.mark.parametrize("tokens", [16, 256])
def test_distillation_is_the_released_sum_and_the_papers_mean(tokens: int) -> None:
    side, width, delta, masked = int(tokens**0.5), 6, 0.5, 5
    truth = torch.randn(1, tokens, width, generator=torch.Generator().manual_seed(0))
    pooled = torch.ones(1, 1, width)
    mask = torch.zeros(1, 1, side, side)
    mask.view(-1)[:masked] = 1
    released = distillation_loss(truth + delta, truth, pooled, pooled, mask)
    assert float(released) == pytest.approx(tokens * delta**2 / (masked + 1))
    worded = distillation_loss(truth + delta, truth, pooled, pooled, mask, "masked")
    assert float(worded) == pytest.approx(delta**2)
    # The pooled token's mean error is added to either, and masks may be given as a column.
    column = mask.flatten(1)[..., None]
    more = distillation_loss(truth + delta, truth, pooled + 2, pooled, column, "masked")
    assert float(more) == pytest.approx(delta**2 + 4)


def test_only_masked_tokens_count_where_the_paper_says_so() -> None:
    truth, mask = torch.zeros(2, 4, 3), torch.tensor([1.0, 0, 0, 0, 0, 0, 1, 1]).view(2, 1, 2, 2)
    pred = torch.zeros(2, 4, 3)
    pred[0, 1:], pred[1, :2] = 9, 9  # all of it outside the holes
    pooled = torch.zeros(2, 1, 3)
    assert distillation_loss(pred, truth, pooled, pooled, mask, "masked") == 0
    # All of the batch together: five tokens of 81, over three masked ones and one.
    assert float(distillation_loss(pred, truth, pooled, pooled, mask)) == pytest.approx(5 * 81 / 4)


def test_a_batch_without_holes_teaches_nothing_but_the_pooled_token() -> None:
    truth, pooled = torch.randn(2, 4, 3), torch.zeros(2, 1, 3)
    empty = torch.zeros(2, 1, 2, 2)
    assert distillation_loss(truth + 1, truth, pooled, pooled, empty, "masked") == 0
    assert float(distillation_loss(truth + 1, truth, pooled, pooled, empty)) == pytest.approx(8, rel=1e-5)


def test_weights_move_the_noise_loss_into_the_hole_and_keep_its_scale() -> None:
    noise, found = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    found[..., 0, 0] = 1
    weights = torch.ones(1, 1, 2, 2)
    weights[..., 0, 0] = 5
    assert float(noise_loss(found, noise)) == pytest.approx(1 / 4)
    assert float(noise_loss(found, noise, weights)) == pytest.approx(5 / 8)
    assert float(noise_loss(found, noise, 3 * torch.ones(1, 1, 2, 2))) == pytest.approx(1 / 4)
