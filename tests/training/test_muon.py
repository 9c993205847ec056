"""Muon against the singular value decomposition and against torch's own."""

import copy

import pytest
import torch
from torch import nn

from training.muon import Muon, is_inner, orthogonal


@pytest.mark.parametrize("shape", [(3, 40, 24), (3, 24, 40)])
def test_matrices_become_nearly_orthogonal(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    values = left.mT @ orthogonal(matrices) @ right.mT  # in the singular vectors' bases only lengths change
    lengths = values.diagonal(dim1=1, dim2=2)
    assert lengths.min() > 0.6
    assert lengths.max() < 1.25
    torch.testing.assert_close(values, torch.diag_embed(lengths), atol=1e-4, rtol=0)


def test_it_steps_as_torchs_own_does() -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(24, 40, bias=False), nn.Linear(40, 24, bias=False))
    theirs = copy.deepcopy(ours)
    settings = {"lr": 0.02, "weight_decay": 0.1}
    one = Muon(ours.parameters(), **settings)
    other = torch.optim.Muon(theirs.parameters(), adjust_lr_fn="match_rms_adamw", **settings)
    for _ in range(3):
        x = torch.randn(16, 24)
        for model, optimizer in ((ours, one), (theirs, other)):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=0.02)  # theirs computes in bfloat16


def test_only_maps_between_hidden_states_are_inner() -> None:
    weight = torch.zeros(4, 4)
    assert is_inner("transformer_blocks.0.attn.to_q.weight", weight)
    assert not is_inner("transformer_blocks.0.norm1.linear.weight", weight)
    assert not is_inner("transformer_blocks.0.attn.to_q.bias", weight[0])
    assert not is_inner("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", weight)
    assert not is_inner("proj_out.weight", weight)
    kernel = torch.zeros(4, 4, 3, 3)
    assert not is_inner("down_blocks.0.resnets.0.conv1.weight", kernel)
    assert is_inner("down_blocks.0.resnets.0.conv1.weight", kernel, convolutions=True)
    assert not is_inner("conv_in.weight", kernel, convolutions=True)


def test_a_kernel_moves_as_the_matrix_that_it_is() -> None:
    torch.manual_seed(0)
    for out in (6, 60):  # wider than high, and higher than wide
        matrix = nn.Parameter(torch.randn(out, 4 * 9))
        kernel = nn.Parameter(matrix.detach().view(out, 4, 3, 3).clone())
        before, one, other = matrix.detach().clone(), Muon([matrix], 0.1), Muon([kernel], 0.1)
        for _ in range(2):
            matrix.grad = torch.randn(out, 4 * 9)
            kernel.grad = matrix.grad.view(out, 4, 3, 3).clone()
            one.step()
            other.step()
        assert torch.equal(kernel.flatten(1), matrix)
        assert not torch.equal(matrix, before)
