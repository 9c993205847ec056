"""What a place does to an object: shading, tint, a contact shadow and a cast shadow."""

from __future__ import annotations

import torch
from torch import Tensor

from .plan import Light

SHADOW_LEAN = 0.55  # sideways length of a cast shadow per height of the object


def light_values(lights: list[Light], device: torch.device) -> Tensor:
    """(M, 6): side, depth, strength, tint."""
    return torch.tensor([[v.side, v.depth, v.strength, *v.tint] for v in lights]).to(device)


def shade(colour: Tensor, alpha: Tensor, across: Tensor, up: Tensor, lights: Tensor, bounce: Tensor) -> Tensor:
    """Shade premultiplied colours (M, 3, H, W).

    ``across`` (M, 1, W) and ``up`` (M, H, 1) run from -1 to 1 over the object's box; ``bounce`` (M, 3) is the
    ground's colour, thrown back on the lower part.
    """
    side, strength = lights[:, 0, None, None], lights[:, 2, None, None]
    lit = 1 + strength * (0.34 * side * across.clamp(-1.3, 1.3) + 0.20 * up.clamp(-1.3, 1.3) - 0.10)
    low = (-up - 0.2).clamp(0, 1)
    dark = 1 - 0.30 * strength * low.square()
    gain = (lit * dark)[:, None] * lights[:, 3:, None, None]
    glow = (0.14 * strength * low)[:, None] * bounce[:, :, None, None] * alpha
    return colour * gain + glow


def contact(x: Tensor, y: Tensor, boxes: Tensor, lights: Tensor) -> Tensor:
    """The dark ellipse where an object touches the ground, (M, H, W) in 0..1.

    ``x`` (1, 1, W), ``y`` (1, H, 1) and ``boxes`` (M, 4) in pixels.
    """
    left, _, right, bottom = (boxes[:, i, None, None] for i in range(4))
    half = (right - left) / 2
    dx = (x - (left + right) / 2 + 0.12 * half * lights[:, 0, None, None]) / (0.95 * half + 1)
    dy = (y - bottom + 0.04 * half) / (0.20 * half + 1)
    return (1 - dx.square() - dy.square()).clamp(min=0).sqrt() * 0.62 * lights[:, 2, None, None]


def cast_matrix(matrix: Tensor, boxes: Tensor, lights: Tensor, on_wall: Tensor) -> Tensor:
    """Where each pixel of a cast shadow looks in the object's tile: (M, 2, 3) from (M, 2, 3) in pixels.

    On the ground the outline is laid down: a point at height t above the base falls at
    (x - side SHADOW_LEAN t, base - depth t). On a wall it is only shifted.
    """
    side, depth = lights[:, 0], lights[:, 1]
    base = boxes[:, 3]
    steep = torch.where(depth >= 0, depth.clamp(min=0.12), depth.clamp(max=-0.12))
    zero, one = torch.zeros_like(side), torch.ones_like(side)
    lean = side * SHADOW_LEAN / steep
    # pixel (px, py) -> object point: height t = (base - py) / steep, x = px + side lean t, y = base - t
    ground = torch.stack(
        [
            torch.stack([one, -lean, lean * base], 1),
            torch.stack([zero, 1 / steep, base - base / steep], 1),
        ],
        1,
    )
    width = boxes[:, 2] - boxes[:, 0]
    wall = torch.stack(
        [torch.stack([one, zero, 0.10 * side * width], 1), torch.stack([zero, one, -0.07 * width], 1)], 1
    )
    move = torch.where(on_wall[:, None, None], wall, ground)
    return compose_affine(matrix, move)


def compose_affine(outer: Tensor, inner: Tensor) -> Tensor:
    """outer(inner(p)) for (M, 2, 3) affine maps."""
    linear = outer[:, :, :2] @ inner
    linear[:, :, 2] += outer[:, :, 2]
    return linear
