"""Styles of a whole picture: functions of (N, 3, H, W) in 0..1."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def luma(rgb: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 1, H, W)."""
    return (rgb * rgb.new_tensor((0.299, 0.587, 0.114))[:, None, None]).sum(1, keepdim=True)


def tinted(rgb: Tensor, colour: tuple[float, float, float]) -> Tensor:
    return rgb * rgb.new_tensor(colour)[:, None, None]


def night(rgb: Tensor) -> Tensor:
    calm = rgb + (luma(rgb) - rgb) * 0.35
    return tinted(calm, (0.30, 0.37, 0.62))


def sunset(rgb: Tensor) -> Tensor:
    return tinted(rgb, (1.04, 0.72, 0.52)) + rgb.new_tensor((0.08, 0.02, 0.03))[:, None, None]


def foggy(rgb: Tensor) -> Tensor:
    depth = torch.linspace(0.78, 0.42, rgb.shape[2], device=rgb.device)[:, None]
    return rgb + (0.80 - rgb) * depth


def sepia(rgb: Tensor) -> Tensor:
    return luma(rgb) * rgb.new_tensor((1.02, 0.84, 0.62))[:, None, None] + 0.03


def mono(rgb: Tensor) -> Tensor:
    return ((luma(rgb) - 0.5) * 1.15 + 0.5).expand_as(rgb)


def sketch(rgb: Tensor) -> Tensor:
    """Pencil on paper: dark where the brightness changes, faintly hatched by it."""
    grey = luma(rgb)
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    dx = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]).abs()
    dy = (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]).abs()
    ink = ((dx + dy) * 2.6).clamp(0, 0.85)
    paper = 0.80 + 0.18 * grey
    return (paper * (1 - ink)).expand_as(rgb)


def poster(rgb: Tensor) -> Tensor:
    """Few flat colours, strongly saturated; the steps are soft so that they do not flicker."""
    vivid = (luma(rgb) + (rgb - luma(rgb)) * 1.5).clamp(0, 1) * 3
    step = vivid.floor()
    return (step + ((vivid - step - 0.5) * 6 + 0.5).clamp(0, 1)) / 3


STYLE: dict[str, Callable[[Tensor], Tensor]] = {
    "night": night, "sunset": sunset, "foggy": foggy, "sepia": sepia, "mono": mono, "sketch": sketch, "poster": poster,
}  # fmt: skip


def apply(pictures: Tensor, names: list[str]) -> Tensor:
    """Give every picture of a batch its style; (B, 3, H, W) in 0..1, changed in place and returned."""
    for name, style in STYLE.items():
        chosen = [i for i, n in enumerate(names) if n == name]
        if chosen:
            index = torch.tensor(chosen).to(pictures.device)
            pictures[index] = style(pictures[index])
    return pictures.clamp_(0, 1)
