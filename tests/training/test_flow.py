"""How FLUX starts: attention looks where the offsets say, by diffusers' own rotary embedding."""

import pytest
import torch
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxPosEmbed

from training import flow

AXES = (8, 12, 12)


@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.6, -0.3)])
def test_a_query_looks_at_its_own_place_plus_the_offset(offset: tuple[float, float]) -> None:
    embed = FluxPosEmbed(theta=10000, axes_dim=list(AXES))

    def turned(vector: torch.Tensor, row: float, column: float) -> torch.Tensor:
        return apply_rotary_emb(vector[None, None, None], embed(torch.tensor([[0.0, row, column]])), sequence_dim=1)

    query = turned(flow._waves(8, AXES[1:], (0, 0)), 3, 3)
    key = flow._waves(8, AXES[1:], offset)
    steps = [step / 10 for step in range(-25, 26)]
    found = {(a, b): float((query * turned(key, 3 + a, 3 + b)).sum()) for a in steps for b in steps}
    assert max(found, key=found.__getitem__) == offset
    assert found[offset] == pytest.approx(sum(AXES), rel=1e-4)  # unit mean square: RMS norms leave it alone
