"""Empty places, drawn for a whole batch: walls, floors, skies and what belongs to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from . import textures
from .plan import Scene, Size
from .words import COLOURS

SKY = {
    "blue": (0.50, 0.74, 0.95), "grey": (0.68, 0.72, 0.76), "pink": (0.95, 0.72, 0.76),
    "orange": (0.97, 0.75, 0.50), "white": (0.91, 0.93, 0.95),
}  # fmt: skip
MEADOW = {"green": (0.45, 0.68, 0.30), "yellow": (0.85, 0.76, 0.38), "brown": (0.60, 0.47, 0.30)}
GROUND = {
    "beach": (0.93, 0.83, 0.62), "road": (0.45, 0.64, 0.32), "snow": (0.93, 0.95, 0.98),
    "desert": (0.90, 0.68, 0.40), "city": (0.56, 0.56, 0.58), "lake": (0.26, 0.54, 0.72),
}  # fmt: skip
GROUND_TEXTURE = {
    "meadow": "grass", "beach": "sand", "road": "grass", "snow": "snow", "desert": "sand", "city": "asphalt",
    "lake": "waves",
}  # fmt: skip


@dataclass(frozen=True)
class View:
    """Per-picture values and coordinates of a batch; all (B, 1, 1) or broadcastable to (B, H, W)."""

    x: Tensor  # 0..1 across
    y: Tensor  # 0..1 down
    horizon: Tensor
    down: Tensor  # 0 at the horizon, 1 at the lower edge
    u: Tensor  # ground texture coordinates
    v: Tensor
    phase: Tensor  # (B, 4)
    aspect: float  # width / height

    def pick(self, index: Tensor) -> View:
        """The same for some pictures of the batch."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        rows: dict[str, Any] = {k: v[index] for k, v in values.items() if isinstance(v, Tensor) and v.shape[0] > 1}
        return replace(self, **rows)

    def above(self, height: Tensor) -> Tensor:
        """Soft mask (B, 1, H, W) of what lies above a height map, one pixel wide at 128 px."""
        return ((height - self.y) * 128).add(0.5).clamp(0, 1)[:, None]


def soften(colour: tuple[float, float, float]) -> tuple[float, float, float]:
    """A paint for walls: the word's colour, a little nearer to white."""
    r, g, b = (0.14 + 0.80 * c for c in colour)
    return (r, g, b)


def back_colour(scene: Scene) -> tuple[float, float, float]:
    return SKY[scene.back] if scene.kind in GROUND_TEXTURE else soften(COLOURS[scene.back])


def ground_colour(scene: Scene) -> tuple[float, float, float]:
    if scene.kind == "meadow":
        return MEADOW[scene.ground]
    return GROUND.get(scene.kind) or soften(COLOURS[scene.ground])


def make_view(scenes: list[Scene], size: Size, device: torch.device) -> View:
    """Coordinates for a batch of scenes."""
    height, width = size
    x = ((torch.arange(width, device=device) + 0.5) / width)[None, None, :]
    y = ((torch.arange(height, device=device) + 0.5) / height)[None, :, None]
    values = torch.tensor([[s.horizon, *s.offsets] for s in scenes]).to(device)
    horizon, phase = values[:, :1, None], values[:, 1:]
    down = ((y - horizon) / (1 - horizon)).clamp(0, 1)
    near = 1 / (0.32 + 0.68 * down)
    u = (x - 0.5) * (width / height) * near * 0.9 + phase[:, 2, None, None]
    v = (1.5 * near + phase[:, 3, None, None]).expand_as(u)
    return View(x, y, horizon, down, u, v, phase, width / height)


def draw(scenes: list[Scene], size: Size, device: torch.device) -> Tensor:
    """Lit but unstyled backgrounds (B, 3, H, W) in 0..1."""
    view = make_view(scenes, size, device)
    bank = textures.load_bank(str(device), 128 if max(size) <= 160 else 256)
    back, ground = draw_back(scenes, view, bank, size), draw_ground(scenes, view, bank)
    soft = torch.tensor([8.0 if s.kind == "studio" else 128.0 for s in scenes]).to(device)[:, None, None]
    mix = ((view.y - view.horizon) * soft).add(0.5).clamp(0, 1)[:, None]
    rgb = back + (ground - back) * mix
    for kind, decorate in DECORATE.items():
        chosen = [i for i, s in enumerate(scenes) if s.kind == kind]
        if chosen:
            index = torch.tensor(chosen).to(device)
            rgb[index] = decorate(rgb[index], view.pick(index))
    return (rgb * illuminate(scenes, view)).clamp(0, 1)


def draw_back(scenes: list[Scene], view: View, bank: Tensor, size: Size) -> Tensor:
    """Walls and skies, (B, 3, H, W)."""
    device = view.y.device
    rows = [(*back_colour(s), 1.0 if s.kind in GROUND_TEXTURE else 0.0) for s in scenes]
    values = torch.tensor(rows).to(device)
    names = ["clouds" if s.kind in GROUND_TEXTURE else s.back_texture for s in scenes]
    index = torch.tensor([textures.NAMES.index(n) for n in names]).to(device)
    side = min(size)
    u = view.x * (size[1] / side) * 0.8 + view.phase[:, 0, None, None]
    v = view.y * (size[0] / side) * 0.8 + view.phase[:, 1, None, None]
    shape = (len(scenes), *size)
    grey = textures.sample(bank, index, u.expand(shape), v.expand(shape))
    rgb, sky = values[:, :3, None, None], values[:, 3:, None, None]
    wall = rgb * (1 + 0.22 * grey)
    haze = (view.y / view.horizon).clamp(0, 1)[:, None].square() * 0.35
    air = rgb + (1 - rgb) * (haze + 0.55 * grey.clamp(min=0) * (1 - haze)).clamp(0, 1)
    return wall + (air - wall) * sky


def draw_ground(scenes: list[Scene], view: View, bank: Tensor) -> Tensor:
    """Floors and land, (B, 3, H, W)."""
    device = view.y.device
    rgb = torch.tensor([ground_colour(s) for s in scenes]).to(device)[:, :, None, None]
    names = [GROUND_TEXTURE.get(s.kind, s.ground_texture) for s in scenes]
    index = torch.tensor([textures.NAMES.index(n) for n in names]).to(device)
    grey = textures.sample(bank, index, view.u, view.v)
    contrast = 0.30 * (0.25 + 0.75 * view.down[:, None])  # far texture is finer than a pixel
    return rgb * (1 + contrast * grey) * (0.86 + 0.16 * view.down[:, None])


def illuminate(scenes: list[Scene], view: View) -> Tensor:
    """What the light does to a whole place: tint, and brighter towards the side it comes from."""
    rows = [(*s.light.tint, s.light.side * s.light.strength) for s in scenes]
    values = torch.tensor(rows).to(view.y.device)[..., None, None]
    slope = (view.x - 0.5)[:, None] * values[:, 3:] * 0.30
    return values[:, :3] * (1 + slope)


def wavy(view: View, base: float, gain: float, speed: float) -> Tensor:
    """A line of hills: heights (B, 1, W) above the horizon, fractions of the picture."""
    t = view.x * view.aspect * speed + 6.28 * view.phase[:, 0, None, None]
    return view.horizon - base - gain * (torch.sin(t) + 0.5 * torch.sin(2.3 * t + 1.7))


def paint(rgb: Tensor, mask: Tensor, colour: tuple[float, float, float] | Tensor) -> Tensor:
    """Blend a colour in where the mask is."""
    fill = colour if isinstance(colour, Tensor) else rgb.new_tensor(colour)[:, None, None]
    return rgb + (fill - rgb) * mask


def hills(rgb: Tensor, view: View, colour: tuple[float, float, float], base: float, gain: float) -> Tensor:
    ground = view.above(view.horizon.expand(-1, 1, 1))
    return paint(rgb, ground * (1 - view.above(wavy(view, base, gain, 5.0))), colour)


def decorate_table(rgb: Tensor, view: View) -> Tensor:
    edge = 1 - view.above(torch.full_like(view.horizon, 0.955))
    return rgb * (1 - 0.28 * edge)


def decorate_shelf(rgb: Tensor, view: View) -> Tensor:
    front = 1 - view.above(view.horizon + 0.085)
    below = 1 - view.above(view.horizon + 0.155)
    board = rgb * (1 - 0.22 * front)
    far = ((view.y - view.horizon - 0.155) / 0.3).clamp(0, 1)[:, None]
    wall = rgb[:, :, :1].mean(3, keepdim=True)  # the wall's own colour, taken at the upper edge
    return paint(board, below, wall * (0.62 + 0.25 * far))


def decorate_meadow(rgb: Tensor, view: View) -> Tensor:
    return hills(rgb, view, (0.36, 0.56, 0.34), 0.03, 0.022)


def decorate_beach(rgb: Tensor, view: View) -> Tensor:
    shore = view.horizon + 0.13 + 0.012 * torch.sin(9 * view.x + 6.28 * view.phase[:, 0, None, None])
    sea = view.above(shore) * (1 - view.above(view.horizon.expand(-1, 1, 1)))
    foam = view.above(shore + 0.016) * (1 - view.above(shore))
    water = 0.06 * torch.sin(view.y * 260 + 3 * torch.sin(view.x * 13))[:, None]
    rgb = paint(rgb, sea, rgb.new_tensor((0.16, 0.52, 0.70))[:, None, None] * (1 + water))
    return paint(rgb, foam, (0.96, 0.98, 0.98))


def decorate_road(rgb: Tensor, view: View) -> Tensor:
    reach = 0.06 + 0.62 * view.down
    across = (view.x - 0.5 - 0.1 * (view.phase[:, 0, None, None] - 0.5)) / reach
    ground = 1 - view.above(view.horizon.expand(-1, 1, 1))
    lane = ((1 - across.abs()) * 40 * (0.1 + view.down)).clamp(0, 1)[:, None] * ground
    edge = ((0.045 - (across.abs() - 0.92).abs()) * 60).clamp(0, 1)[:, None]
    dash = ((0.04 - across.abs()) * 60).clamp(0, 1) * ((view.v * 5) % 1 < 0.5)
    grain = rgb.mean(1, keepdim=True) - rgb.mean((1, 2, 3), keepdim=True)
    rgb = paint(rgb, lane, 0.40 + 0.25 * grain.expand_as(rgb))
    return paint(rgb, lane * (edge + dash[:, None]).clamp(0, 1), (0.93, 0.92, 0.86))


def decorate_snow(rgb: Tensor, view: View) -> Tensor:
    return hills(rgb, view, (0.80, 0.86, 0.93), 0.05, 0.03)


def decorate_desert(rgb: Tensor, view: View) -> Tensor:
    return hills(rgb, view, (0.82, 0.58, 0.34), 0.04, 0.035)


def decorate_city(rgb: Tensor, view: View) -> Tensor:
    column = view.x * view.aspect * 7 + 10 * view.phase[:, 0, None, None]
    house = column.floor()
    height = 0.10 + 0.26 * torch.sin(house * 12.9).square()
    wall = 1 - view.above(view.horizon * (1 - 1.6 * height))
    wall = wall * view.above(view.horizon.expand(-1, 1, 1))
    tone = 0.40 + 0.22 * torch.sin(house * 4.7).square()[:, None]
    window = ((column % 1 * 4 % 1 - 0.5).abs() < 0.24) & ((view.y * 26 % 1 - 0.5).abs() < 0.24)
    colour = torch.cat([tone * 1.02, tone * 0.98, tone * 1.06], 1)
    rgb = paint(rgb, wall, colour)
    return paint(rgb, wall * window[:, None] * 0.75, (0.88, 0.84, 0.62))


def decorate_lake(rgb: Tensor, view: View) -> Tensor:
    return hills(rgb, view, (0.30, 0.48, 0.34), 0.02, 0.02)


DECORATE: dict[str, Callable[[Tensor, View], Tensor]] = {
    "table": decorate_table, "shelf": decorate_shelf, "meadow": decorate_meadow, "beach": decorate_beach,
    "road": decorate_road, "snow": decorate_snow, "desert": decorate_desert, "city": decorate_city,
    "lake": decorate_lake,
}  # fmt: skip
