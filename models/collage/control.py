"""A ControlNet that every layer heeds as much as it is asked to (section 4.3), without a change to any network.

A residual of the ControlNet is multiplied by the layers' strengths at its own size; diffusers' `conditioning_scale` is
one number for the whole picture. The ControlNet's own attention stays as it is.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]


class EdgeControl:
    """What a ControlNet adds to the U-Net in every step.

    controlnet: a `ControlNetModel`. edges: (1, 3, H, W) in 0..1, what it is shown, in pixels of the canvas. strength:
    (1, 1, H, W) in 0..1, see `edges.strength_map`. Both are moved to the ControlNet's device and kind of numbers.
    """

    def __init__(self, controlnet: Any, edges: Tensor, strength: Tensor) -> None:
        if edges.shape[-2:] != strength.shape[-2:]:
            raise ValueError(f"Edges of {tuple(edges.shape)} and strengths of {tuple(strength.shape)} differ in size.")
        self.controlnet = controlnet
        self.acts = bool((strength != 0).any())
        self._edges = edges.to(controlnet.device, controlnet.dtype)
        self._strength = strength.to(controlnet.device).float()
        self._maps: dict[Size, Tensor] = {}

    def __call__(self, latents: Tensor, timestep: Tensor, text: Tensor) -> dict[str, Any]:
        """Arguments for the U-Net's call: residuals for its levels on the way down and for its middle.

        latents: (B, C, h, w) as the U-Net gets them, scaled; text: (B, T, D). Rows with and without the prompt are
        treated alike. Empty where no layer has any strength; the ControlNet is not run then.
        """
        if not self.acts:
            return {}
        down, mid = self.controlnet(
            latents,
            timestep,
            encoder_hidden_states=text,
            controlnet_cond=self._edges.expand(len(latents), -1, -1, -1),
            conditioning_scale=1.0,
            return_dict=False,
        )
        return {
            "down_block_additional_residuals": tuple(self._weighted(residual) for residual in down),
            "mid_block_additional_residual": self._weighted(mid),
        }

    def _weighted(self, residual: Tensor) -> Tensor:
        return residual * self.map(tuple(residual.shape[-2:])).to(residual.dtype)  # type: ignore[arg-type]

    def map(self, size: Size) -> Tensor:
        """The strengths (1, 1, *size) at a residual's size, by bilinear samples as the authors take them."""
        if size not in self._maps:
            self._maps[size] = F.interpolate(self._strength, size=size, mode="bilinear", align_corners=False)
        return self._maps[size]
