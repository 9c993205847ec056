"""Things the scenes own, drawn from formulas: a mug, a sign, and what may stand in front of an object."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

NAMES = ("mug", "sign", "fence", "board", "crate", "grass", "bush", "bricks", "bars", "rock")
SUPERSAMPLE = 4

Canvas = tuple[Tensor, Tensor]  # x and y in 0..1, each (side, side)


def draw_all(side: int) -> Tensor:
    """Every prop as (N, 4, side, side) premultiplied RGBA in 0..1, antialiased by supersampling."""
    ramp = (torch.arange(side * SUPERSAMPLE) + 0.5) / (side * SUPERSAMPLE)
    y, x = torch.meshgrid(ramp, ramp, indexing="ij")
    tiles = torch.stack([DRAW[name]((x, y)) for name in NAMES])
    return F.avg_pool2d(tiles, SUPERSAMPLE)


def paint(mask: Tensor, colour: tuple[float, float, float], shade: Tensor) -> Tensor:
    """A mask in one colour times a shade map, as premultiplied RGBA."""
    rgb = torch.tensor(colour)[:, None, None] * shade
    alpha = mask.float()
    return torch.cat([rgb.clamp(0, 1) * alpha, alpha[None]])


def over(top: Tensor, bottom: Tensor) -> Tensor:
    """Premultiplied RGBA over premultiplied RGBA."""
    return top + bottom * (1 - top[3:])


def noise(x: Tensor, y: Tensor, scale: float) -> Tensor:
    """A cheap smooth pattern in -1..1 that repeats nowhere visible."""
    a = torch.sin(x * scale * 7.1 + 3 * torch.sin(y * scale * 3.7))
    return 0.5 * (a + torch.sin(y * scale * 9.3 + 2 * torch.sin(x * scale * 5.3 + 1)))


def mug(c: Canvas) -> Tensor:
    x, y = c
    body = (x > 0.12) & (x < 0.74) & (y > 0.12) & (y < 0.92 + 0.04 * (1 - ((x - 0.43) / 0.31) ** 2))
    ring = ((x - 0.74) / 0.20) ** 2 + ((y - 0.5) / 0.26) ** 2
    handle = (ring < 1) & (ring > 0.42) & (x > 0.7)
    rim = ((x - 0.43) / 0.31) ** 2 + ((y - 0.12) / 0.07) ** 2 < 1
    round_shade = 0.98 - 0.34 * ((x - 0.36) / 0.34) ** 2
    out = over(paint(body, (1, 1, 1), round_shade), paint(handle, (0.86, 0.86, 0.86), torch.ones_like(x)))
    return over(paint(rim, (0.62, 0.60, 0.60), 0.8 + y), out)


def sign(c: Canvas) -> Tensor:
    x, y = c
    panel = (x > 0.06) & (x < 0.94) & (y > 0.06) & (y < 0.72)
    inner = (x > 0.10) & (x < 0.90) & (y > 0.10) & (y < 0.68)
    post = ((x - 0.5).abs() < 0.04) & (y > 0.6)
    flat = torch.ones_like(x)
    out = over(paint(panel, (0.36, 0.25, 0.17), flat), paint(post, (0.45, 0.32, 0.22), 1.1 - 0.4 * x))
    return over(paint(inner, (0.96, 0.95, 0.92), 1.02 - 0.1 * y), out)


def fence(c: Canvas) -> Tensor:
    x, y = c
    phase = (x * 6) % 1
    slat = ((phase - 0.5).abs() < 0.27) & (y > 0.08 + 0.10 * (phase - 0.5).abs() * 2)
    rail = ((y - 0.35).abs() < 0.055) | ((y - 0.75).abs() < 0.055)
    wood = 0.95 + 0.05 * noise(x * 3, y, 6.0)
    return over(paint(slat, (0.93, 0.91, 0.87), wood - 0.1 * (phase > 0.68)), paint(rail, (0.74, 0.71, 0.66), wood))


def board(c: Canvas) -> Tensor:
    x, y = c
    grain = 0.92 + 0.08 * torch.sin(y * 50 + 2 * torch.sin(x * 9))
    return paint((y > 0.02) & (x >= 0), (0.62, 0.44, 0.27), torch.where(y < 0.14, grain + 0.2, grain))


def crate(c: Canvas) -> Tensor:
    x, y = c
    inside = (x > 0.03) & (x < 0.97) & (y > 0.03) & (y < 0.99)
    frame = (x < 0.15) | (x > 0.85) | (y < 0.15) | (y > 0.85) | ((x - y).abs() < 0.09)
    gap = (y * 5) % 1 < 0.09
    shade = torch.where(frame, 1.08, torch.where(gap, 0.62, 0.86)) + 0.05 * noise(x, y, 5.0)
    return paint(inside, (0.78, 0.58, 0.36), shade)


def grass(c: Canvas) -> Tensor:
    x, y = c
    out = torch.zeros(4, *x.shape)
    for layer, colour in enumerate(((0.16, 0.42, 0.16), (0.24, 0.56, 0.20), (0.36, 0.68, 0.26))):
        count = 17 + 4 * layer
        cell = torch.floor((x + 0.013 * layer) * count)
        bend = torch.sin(cell * 2.7 + layer) * 0.35
        height = 0.05 + 0.16 * layer + 0.3 * torch.sin(cell * 1.9 + layer) ** 2
        centre = 0.5 + bend * (1 - y) ** 2
        blade = ((((x + 0.013 * layer) * count) % 1 - centre).abs() < 0.5 * ((y - height) / (1 - height)).clamp(0)) & (
            y > height
        )
        out = over(paint(blade, colour, 0.75 + 0.35 * (1 - y)), out)
    return out


def bush(c: Canvas) -> Tensor:
    x, y = c
    radius = 0.40 + 0.05 * torch.sin(11 * torch.atan2(y - 0.6, x - 0.5))
    solid = (((x - 0.5) / 1.12) ** 2 + ((y - 0.58) / 1.05) ** 2).sqrt() < radius
    leaves = 0.92 + 0.16 * noise(x, y, 6.0) - 0.35 * (y - 0.5)
    return paint(solid, (0.22, 0.50, 0.22), leaves)


def bricks(c: Canvas) -> Tensor:
    x, y = c
    row = torch.floor(y * 6)
    mortar = ((y * 6) % 1 < 0.12) | ((x * 5 + 0.5 * (row % 2)) % 1 < 0.07)
    tone = 0.95 + 0.1 * torch.sin(row * 5.1 + torch.floor(x * 5 + 0.5 * (row % 2)) * 2.3)
    red = paint(y > 0.02, (0.68, 0.32, 0.24), tone)
    return over(paint(mortar & (y > 0.02), (0.78, 0.74, 0.70), torch.ones_like(x)), red)


def bars(c: Canvas) -> Tensor:
    x, y = c
    phase = (x * 5) % 1
    pole = (phase - 0.5).abs() < 0.11
    rail = (y < 0.08) | (y > 0.93)
    shine = 1.25 - 2.2 * (phase - 0.46).abs()
    return over(paint(pole, (0.36, 0.38, 0.42), shine), paint(rail, (0.33, 0.35, 0.38), torch.ones_like(x)))


def rock(c: Canvas) -> Tensor:
    x, y = c
    angle = torch.atan2(y - 0.75, x - 0.5)
    radius = 0.46 + 0.035 * torch.sin(3 * angle + 1) + 0.02 * torch.sin(7 * angle)
    solid = (((x - 0.5) / 1.0) ** 2 + ((y - 0.75) / 1.45) ** 2).sqrt() < radius
    return paint(solid & (y < 0.97), (0.58, 0.56, 0.54), 1.1 - 0.5 * y + 0.10 * noise(x, y, 2.5) + 0.2 * (0.5 - x))


DRAW: dict[str, Callable[[Canvas], Tensor]] = {
    "mug": mug, "sign": sign, "fence": fence, "board": board, "crate": crate, "grass": grass, "bush": bush,
    "bricks": bricks, "bars": bars, "rock": rock,
}  # fmt: skip
