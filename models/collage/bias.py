"""Words attend where their layer is: a bias on the logits of cross-attention (section 2.2), by the stock kernel.

For a token j of layer l at place p, before the softmax: f(sigma) M_j (w+ m_l(p) - w- (1 - m_l(p))), where M_j is the
largest logit of j over heads and places, of each picture by itself. Other tokens, the unconditional half of the batch
and self-attention stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import QKV, Edit, Site, edited
from models.collage.noise_map import CELL

Growth = Literal["published", "ediff"]


def growth(sigma: float, kind: Growth = "published") -> float:
    """f, how strong the bias is at a noise level sigma >= 0: about 0 at the end, 1.32 at Stable Diffusion's start.

    `published` is ln(ln(sigma + 1.01) + 1), what both of the authors' programs run; `ediff` is ln(sigma + 1.01), the
    schedule of eDiff-I (arXiv 2211.01324) that it grew out of.
    """
    once = math.log(sigma + 1.01)
    return math.log(once + 1) if kind == "published" else once


def pyramid(masks: Tensor, cell: int = CELL, antialias: bool = True) -> dict[int, Tensor]:
    """Masks (L, H, W) in 0..1 at every level of a U-Net: number of places -> (places, L) float32.

    Levels halve, rounded up, from the latents' H / cell x W / cell to a single place. Without `antialias` bilinear
    samples are taken as the authors did in 2023, where thin layers vanish from some levels.
    """
    levels: dict[int, Tensor] = {}
    height, width = (side // cell for side in masks.shape[1:])
    while height * width not in levels:
        small = F.interpolate(
            masks[None].float(), size=(height, width), mode="bilinear", align_corners=False, antialias=antialias
        )
        levels[height * width] = small[0].flatten(1).T.contiguous()
        height, width = -(-height // 2), -(-width // 2)
    return levels


@dataclass(frozen=True)
class Words:
    """One layer's share of the prompt: its tokens, and what they gain where it is and lose elsewhere (w+, w-)."""

    tokens: tuple[int, ...]
    positive: float
    negative: float


class CrossBias:
    """The bias of all layers of one run; `at` tells it the noise level before each call of the network.

    masks: (L, H, W), what is seen of each layer, in 0..1. guided: whether the first half of every batch is the
    unconditional one; otherwise all rows are biased. held: keep M_j from falling below zero, where the bias would
    push words out of their layers.
    Raises `ValueError` if masks and words differ in number, or two layers share a token.
    """

    def __init__(
        self,
        words: Sequence[Words],
        masks: Tensor,
        guided: bool = True,
        kind: Growth = "published",
        antialias: bool = True,
        held: bool = True,
    ) -> None:
        if len(words) != len(masks):
            raise ValueError(f"{len(words)} layers have words and {len(masks)} have masks.")
        self.tokens = [token for one in words for token in one.tokens]
        if len(set(self.tokens)) < len(self.tokens):
            raise ValueError("Two layers share a token.")
        self.guided, self.kind, self.held = guided, kind, held
        self.acts = any(one.positive or one.negative for one in words)
        owner = [number for number, one in enumerate(words) for _ in one.tokens]
        gain, loss = (torch.tensor([getattr(one, w) for one in words])[owner] for w in ("positive", "negative"))
        levels = pyramid(masks, antialias=antialias)
        self._gains = {n: (gain + loss) * m[:, owner] - loss for n, m in levels.items()}  # w+ m - w- (1 - m)
        self._factor = torch.zeros(())

    def at(self, sigma: float) -> None:
        """Set f for the calls to come."""
        self._factor.fill_(growth(sigma, self.kind))

    @contextmanager
    def installed(self, unet: nn.Module) -> Iterator[None]:
        """The bias on every cross-attention of the U-Net; without any weight nothing is installed at all."""
        if not self.acts:
            yield
            return
        with edited(unet, self.edit()):
            yield

    def edit(self) -> Edit:
        """The bias as an edit of cross-attention, also where it is zero."""
        return Edit(lambda site: site.kind == "cross", project=self._project)

    def _project(self, site: Site, qkv: QKV) -> QKV:
        return qkv.plus_bias(self.bias(qkv.q, qkv.k))

    def bias(self, q: Tensor, k: Tensor) -> Tensor:
        """(batch, 1, places, tokens) in float32 for queries and keys of (batch, heads, places or tokens, channels)."""
        first, places = (len(q) // 2 if self.guided else 0), q.shape[2]
        if places not in self._gains:
            raise ValueError(f"A site with {places} places is no level of this canvas.")
        gains = self._gains[places] = self._gains[places].to(q.device)
        self._factor = self._factor.to(q.device)
        logits = q[first:].float() @ k[first:, :, self.tokens].float().mT / math.sqrt(q.shape[-1])
        peaks = logits.amax((1, 2))  # (rows, listed tokens)
        peaks = peaks.clamp(min=0) if self.held else peaks
        bias = torch.zeros(len(q), 1, places, k.shape[2], device=q.device)
        bias[first:, 0, :, self.tokens] = self._factor * peaks[:, None] * gains
        return bias
