"""The post-fuse module: what a reference picture shows goes into the text's row of the noun that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

ABSENT = -1  # in place of a slot, where a prompt has fewer subjects than its neighbours


class Mlp(nn.Module):
    """Layer norm and two linear layers around the exact GELU (CLIP's own is the quick one); no residual."""

    def __init__(self, given: int, width: int) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(given)
        self.fc1 = nn.Linear(given, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, given) -> (N, width)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(self.layernorm(x))))
        return out


class PostFuse(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Two MLPs and a layer norm over a text row and an image vector, as FastComposer has them and the paper takes over.

    Names of the weights are the published files'. The text is kept beside the picture, not replaced by it.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, width: int = 768) -> None:
        super().__init__()
        self.mlp1 = Mlp(2 * width, width)
        self.mlp2 = Mlp(width, width)
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, rows: Tensor, vectors: Tensor) -> Tensor:
        """Text rows (N, D) and image vectors (N, D) -> the rows (N, D) that take the place of the text's."""
        fused = self.mlp1(torch.cat([rows, vectors], dim=-1)) + rows
        out: Tensor = self.layer_norm(self.mlp2(fused) + fused)
        return out

    def augment(self, states: Tensor, slots: Tensor | Sequence[Sequence[int]], vectors: Tensor) -> Tensor:
        """Hidden states (B, L, D) of prompts, with the rows of their subjects fused; the argument stays as it is.

        slots: (B, K), the token of each subject, `ABSENT` where a prompt has fewer than K.
        vectors: (B, K, D), one per subject in the same order; those of absent subjects are not looked at.
        Raises `ValueError` where a slot is no token but the first one, which starts every prompt, or taken twice.
        """
        places = torch.as_tensor(slots, device=states.device)
        if places.shape != vectors.shape[:2]:
            raise ValueError(f"{tuple(places.shape)} slots do not go with {tuple(vectors.shape[:2])} image vectors.")
        batch, subject = torch.nonzero(places != ABSENT, as_tuple=True)
        tokens = places[batch, subject]
        if len(tokens) and (int(tokens.min()) < 1 or int(tokens.max()) >= states.shape[1]):
            raise ValueError(f"A subject's slot is one of the tokens 1..{states.shape[1] - 1}.")
        if len(torch.unique(batch * states.shape[1] + tokens)) < len(tokens):
            raise ValueError("Two subjects of a prompt have the same slot.")
        # The module may be kept in full precision beside a text encoder in half.
        rows = self(states[batch, tokens].to(self.dtype), vectors[batch, subject].to(self.dtype))
        augmented = states.clone()
        augmented[batch, tokens] = rows.to(states.dtype)
        return augmented
