"""Fusion samples as the transformer sees them: the two ways to tell the place, in training and in the app."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from models.dreamfuse import conditions
from models.dreamfuse.framing import frame
from models.dreamfuse.spec import DreamFuseRequest
from models.latents import decode, unpack
from training import world
from training.fusion import FusionView

SIDE = 128
POCKET = Path(__file__).resolve().parents[2] / "assets" / "pocket"


def pixels(picture: torch.Tensor) -> np.ndarray:
    return (picture.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()


def test_direct_rows_show_the_object_at_its_place_under_plain_ids() -> None:
    batch = world.fusion(4, (SIDE, SIDE), seed=3, kinds=("place",))
    view = FusionView(POCKET, 32, torch.device("cpu"))
    mixed = view.rows(batch, torch.tensor([False, True, True, False]))
    affine, direct = view.rows(batch), view.rows(batch, torch.ones(4, dtype=torch.bool))
    for row, there in enumerate((False, True, True, False)):
        same, other = (direct, affine) if there else (affine, direct)
        for name in ("ids", "seen"):
            assert torch.equal(mixed[name][row], same[name][row])
            assert not torch.equal(mixed[name][row], other[name][row])
    noisy, foreground, background = direct["ids"].chunk(3, dim=1)
    assert torch.equal(noisy, foreground)
    assert torch.equal(noisy, background)
    for name in ("fused", "near", "text", "pooled"):
        assert torch.equal(affine[name], direct[name])


def test_training_and_the_app_place_the_same_pixels() -> None:
    batch = world.fusion(3, (SIDE, SIDE), seed=4, kinds=("place",))
    view = FusionView(POCKET, 32, torch.device("cpu"))
    rows = view.rows(batch, torch.ones(3, dtype=torch.bool))
    tokens = (SIDE // 16) ** 2
    shown = decode(view.vae, unpack(rows["seen"][:, :tokens], SIDE // 8, SIDE // 8))
    for row in range(3):
        x, y, scale, angle = batch.placement[row].tolist()
        request = DreamFuseRequest(
            background=pixels(batch.background[row]),
            foreground=pixels(batch.foreground[row]),
            x=x,
            y=y,
            scale=scale,
            angle=angle,
            variant="direct-transform",
        )
        framing = frame(request, SIDE)
        there = framing.foreground.astype(np.float32) / 127.5 - 1
        error = np.abs(shown[row].permute(1, 2, 0).numpy() - there)
        assert error.mean() < 0.04  # the autoencoder's round trip and two ways to shrink
        assert torch.equal(conditions.position_ids(request, framing), rows["ids"][row])


def test_weighted_by_pixels_the_loss_is_the_error_of_the_linear_picture() -> None:
    view = FusionView(POCKET, 32, torch.device("cpu"))
    near, off = torch.zeros(1, 16), 0.1 * torch.randn(3, 16, 32, generator=torch.Generator().manual_seed(0))
    weights = view.weights(near, 4.0, 2.0)
    assert abs(float(weights.mean()) - 1) < 1e-5
    found = (off.square() * weights).sum((1, 2))
    pictures = [view.vae.decode_linear(unpack(tokens, 8, 8)) for tokens in (off, torch.zeros_like(off))]
    shown = (pictures[0] - pictures[1]).square().sum((1, 2, 3))
    torch.testing.assert_close(found / found.sum(), shown / shown.sum(), rtol=1e-3, atol=0)
    near[:, :4] = 1
    plain = view.weights(near, 4.0, 0.0)[..., 0]
    torch.testing.assert_close(plain, torch.tensor([[4.0] * 4 + [1.0] * 12]) / 1.75)
