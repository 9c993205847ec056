"""Twice the width, the same output, and copies that training can tell apart."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from models.dreamfuse.transformer import Conditions, conditioned
from training.dreamfuse import FuseConfig, Fuser
from training.widen import twice

POCKET = Path(__file__).resolve().parents[2] / "assets" / "pocket"


@pytest.fixture(scope="module")
def narrow() -> Fuser:
    return Fuser(FuseConfig(assets=str(POCKET), resume=True)).double().eval()


def velocity(fuser: Fuser) -> torch.Tensor:
    """Of the weights as they are, at inputs that are always the same."""
    config, generator = fuser.flux.config, torch.Generator().manual_seed(2)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    ids = torch.rand(48, 3, generator=generator) * 4
    with conditioned(fuser.flux) as flux:
        return flux(
            drawn(2, 16, config.in_channels),
            timestep=torch.tensor([0.3, 0.9], dtype=torch.float64),
            conditions=Conditions(drawn(2, 32, config.in_channels), fuser.tags),
            encoder_hidden_states=drawn(2, 5, config.joint_attention_dim),
            pooled_projections=drawn(2, config.pooled_projection_dim),
            img_ids=ids,
            txt_ids=torch.zeros(5, 3),
            guidance=torch.tensor([1.0, 3.5], dtype=torch.float64),
            return_dict=False,
        )[0]


def test_resuming_wider_begins_with_the_same_output(narrow: Fuser) -> None:
    wide = Fuser(FuseConfig(assets=str(POCKET), resume=True, widen=True)).double().eval()
    assert wide.flux.inner_dim == 2 * narrow.flux.inner_dim
    assert wide.flux.config.attention_head_dim == narrow.flux.config.attention_head_dim
    torch.testing.assert_close(velocity(wide), velocity(narrow), rtol=1e-5, atol=1e-5)  # weights were widened in fp32


def test_copies_are_read_by_different_weights_and_get_different_gradients(narrow: Fuser) -> None:
    wide = Fuser(dataclasses.replace(FuseConfig(assets=str(POCKET), resume=True), widen=True))
    width = narrow.flux.inner_dim
    writer = wide.flux.single_transformer_blocks[0].attn.to_v.weight
    first, second = writer[:width], writer[width:]
    assert not torch.allclose(first[:, :width], first[:, width:])
    assert torch.allclose(first[:, :width] + first[:, width:], second[:, :width] + second[:, width:], atol=1e-6)
    wide.double()
    velocity(wide).square().mean().backward()
    grad = wide.flux.single_transformer_blocks[0].attn.to_v.weight.grad
    assert not torch.allclose(grad[:width], grad[width:], rtol=0.1, atol=0)


def test_runs_of_rows_are_repeated_one_by_one() -> None:
    assert torch.equal(twice(torch.tensor([0, 1, 2, 3]), 2), torch.tensor([0, 1, 0, 1, 2, 3, 2, 3]))
