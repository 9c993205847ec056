"""The mask tokenizer (the paper's second variant): the placed mask as 256 tokens behind the text.

The published adapter does not contain these weights, so the variant is offered only where a preset has them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

GRID = 16  # mask tokens per side; their ids are not stretched to the canvas


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w), normalised at each place."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class MaskAttention(nn.Module):
    """Cross-attention from mask tokens to foreground tokens; the output starts at zero."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(width, width, bias=False)
        self.to_v = nn.Linear(width, width, bias=False)
        self.norm_q = nn.LayerNorm(width // heads)
        self.norm_k = nn.LayerNorm(width // heads)
        self.to_out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.to_out.weight)

    def forward(self, queries: Tensor, foreground: Tensor) -> Tensor:
        """(B, M, D) queries and (B, S, D) foreground tokens -> (B, M, D)."""
        q, k, v = (
            _heads(project(x), self.heads)
            for project, x in ((self.to_q, queries), (self.to_k, foreground), (self.to_v, foreground))
        )
        out = functional.scaled_dot_product_attention(self.norm_q(q), self.norm_k(k), v)
        attended: Tensor = self.to_out(out.transpose(1, 2).flatten(2))
        return attended


def _heads(x: Tensor, heads: int) -> Tensor:
    batch, tokens, width = x.shape
    return x.reshape(batch, tokens, heads, width // heads).transpose(1, 2)


class MaskTokens(nn.Module):
    """Tokenizer and attention under the names that the published code saves them by."""

    def __init__(self, width: int = 3072, channels: int = 128, heads: int = 8) -> None:
        super().__init__()
        self.mask_tokenizer = nn.Sequential(
            nn.Conv2d(1, channels // 4, 2, stride=2),
            ChannelNorm(channels // 4),
            nn.GELU(),
            nn.Conv2d(channels // 4, channels, 3, padding=1),
            ChannelNorm(channels),
            nn.GELU(),
            nn.Conv2d(channels, width, 1),
            nn.AdaptiveAvgPool2d(GRID),
        )
        self.mask_attn = MaskAttention(width, heads)

    def forward(self, mask: Tensor, foreground: Tensor) -> Tensor:
        """Mask (B, 1, h, w) of zeros and ones at latent size, foreground tokens (B, S, D) -> (B, 256, D)."""
        queries = self.mask_tokenizer(mask.to(foreground.dtype)).flatten(2).transpose(1, 2)
        tokens: Tensor = self.mask_attn(queries, foreground)
        return tokens


def latent_mask(placed: Tensor, rows: int, columns: int) -> Tensor:
    """A placed mask (B, 1, H, W) in 0..1 at latent size (B, 1, rows, columns), bilinear, cut at one half."""
    small = functional.interpolate(placed, size=(rows, columns), mode="bilinear", antialias=True)
    return (small >= 0.5).to(placed.dtype)
