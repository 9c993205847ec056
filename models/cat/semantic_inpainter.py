"""The semantic inpainter: CLIP features of what a hole should hold, from its surroundings and the text."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from transformers import CLIPVisionConfig
from transformers.activations import ACT2FN
from transformers.models.clip.modeling_clip import CLIPEncoder


def mix(pred: Tensor, patches: Tensor, mask: Tensor) -> Tensor:
    """Predicted tokens (B, N, D) where `mask` is 1, `patches` (B, N, D) elsewhere; mask as in `predict`, 0 or 1."""
    return torch.where(_per_token(mask).bool(), pred, patches)


def pool(tokens: Tensor, grid: int) -> Tensor:
    """Means of 2x2 neighbours: (B, grid * grid, D), row by row -> (B, grid * grid / 4, D)."""
    batch, _, width = tokens.shape
    square = tokens.transpose(1, 2).reshape(batch, width, grid, grid)
    return F.avg_pool2d(square, 2).flatten(2).transpose(1, 2)


class Embeddings(nn.Module):
    """A table for each place of the grid, and one for whether the place is hidden."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.position_embedding = nn.Embedding(tokens, width)
        self.mask_embedding = nn.Embedding(2, width)

    def forward(self, patches: Tensor, mask: Tensor) -> Tensor:
        """Patches (B, N, D) with both embeddings added; `mask` is (B, N), 1 = hidden."""
        out: Tensor = patches + self.position_embedding.weight + self.mask_embedding(mask.long())
        return out


class Mlp(nn.Module):
    """Two linear layers around an activation; neither residual nor norm."""

    def __init__(self, width: int, hidden: int, out: int, activation: str) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = ACT2FN[activation]
        self.fc2 = nn.Linear(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) -> (B, N, out)."""
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class SemanticInpainter(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """A transformer over the patch tokens of a picture with a hole, its pooled token and the text's.

    D = `hidden_size` is the width of CLIP's vision tower, L = `label_size` that of its text tower, g = `grid` the
    patches per side. The global token and the three MLPs are the published code's; the paper's formula has neither.
    """

    _supports_gradient_checkpointing = True

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        hidden_size: int = 1024,
        intermediate_size: int = 4096,
        num_hidden_layers: int = 24,
        num_attention_heads: int = 16,
        hidden_act: str = "quick_gelu",
        layer_norm_eps: float = 1e-5,
        grid: int = 16,
        label_size: int = 768,
        label_intermediate: int = 3072,
    ) -> None:
        super().__init__()
        layers = CLIPVisionConfig(
            hidden_size=hidden_size,
            intermediate_size=intermediate_size,
            num_hidden_layers=num_hidden_layers,
            num_attention_heads=num_attention_heads,
            hidden_act=hidden_act,
            layer_norm_eps=layer_norm_eps,
            attn_implementation="sdpa",  # an encoder outside its model does not choose one
        )
        self.embeddings = Embeddings(grid * grid, hidden_size)
        self.spatial_mlp = Mlp(hidden_size, intermediate_size, hidden_size, hidden_act)
        self.global_mlp = Mlp(hidden_size, intermediate_size, hidden_size, hidden_act)
        self.label_mlp = Mlp(label_size, label_intermediate, hidden_size, hidden_act)
        self.encoder = CLIPEncoder(layers)
        self.post_layernorm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)

    def predict(self, patches: Tensor, pooled: Tensor, text: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, g*g, D) and the global token (B, 1, D) of the picture without its hole.

        patches: (B, g*g, D), the vision tower's last hidden state without the class token, not layer-normed.
        pooled: (B, 1, D), its pooled output.
        text: (B, 1, L), the text tower's pooled output.
        mask: (B, 1, g, g) or (B, g*g, 1), 1 where a patch touches the hole, else 0.
        """
        spatial = self.spatial_mlp(self.embeddings(patches, _per_token(mask).squeeze(-1)))
        tokens = torch.cat([self.global_mlp(pooled), spatial, self.label_mlp(text)], dim=1)
        tokens = self.encoder(inputs_embeds=tokens).last_hidden_state
        return tokens[:, 1:-1], self.post_layernorm(tokens[:, :1])

    def visual_prompt(self, patches: Tensor, pooled: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """The prompt (B, g*g/4, D) for the U-Net's adapters: predicted tokens in the hole, given ones around it,
        averaged over 2x2; arguments as in `predict`."""
        pred, _ = self.predict(patches, pooled, text, mask)
        return pool(mix(pred, patches, mask), self.config["grid"])

    def forward(self, *arguments: Tensor, **named: Tensor) -> Any:
        """`predict`, for wrappers that call the module."""
        return self.predict(*arguments, **named)


def _per_token(mask: Tensor) -> Tensor:
    """(B, 1, g, g) or (B, N, 1) -> (B, N, 1), row by row."""
    return mask.flatten(1).unsqueeze(-1)
