"""From plans to pictures: place, shade, shadow, occlude and style whole batches.

Colours are premultiplied by alpha wherever they are resampled or stacked; straight alpha appears only in what is
handed out. Pictures are drawn in chunks that fit a CPU's cache.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from . import light, people, places, styles
from .assets import ANGLE_STEP, load_extents, load_sprites, prop_index
from .plan import Occluder, Plan, Size, Thing
from .words import COLOURS, METALS

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Drawn:
    """Pictures of a batch of plans, float32 in 0..1.

    ``image`` and ``plate`` (B, 3, H, W), the plate without the things that are not ``in_plate``; ``alpha``
    (B, L, H, W) what is visible of each thing, 0 beyond a plan's things; ``front`` (B, H, W) the occluder's alpha;
    ``boxes`` (B, L, 4) tight boxes in pixels, right and bottom exclusive, unclipped, 0 where absent.
    """

    image: Tensor
    plate: Tensor
    alpha: Tensor
    front: Tensor
    boxes: Tensor


def relative_box(thing: Thing) -> Box:
    """Tight box of a thing in half tiles from its tile's centre, after flip and rotation."""
    if thing.look is not None:
        left, top, right, bottom = people.extent(thing.look)
        return (-right, top, -left, bottom) if thing.flip else (left, top, right, bottom)
    reach = load_extents()[thing.sprite]

    def toward(degrees: int) -> float:
        turned = degrees - thing.angle
        turned = 180 - turned if thing.flip else turned
        return reach[turned % 360 // ANGLE_STEP]

    return (-toward(180), -toward(270), toward(0), toward(90))


def thing_box(thing: Thing, size: Size) -> Box:
    """Tight box of a thing in a picture, pixels, unclipped."""
    left, top, right, bottom = relative_box(thing)
    wide = thing.width * size[1]
    tall = wide * (bottom - top) / (right - left)
    x, y = thing.x * size[1], thing.y * size[0]
    return (x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2)


def tile_matrix(thing: Thing, size: Size) -> tuple[list[float], float]:
    """The affine map from pixels to tile coordinates (-1..1), row by row, and pixels per half tile."""
    left, top, right, bottom = relative_box(thing)
    scale = thing.width * size[1] / (right - left)
    cx = thing.x * size[1] - scale * (left + right) / 2
    cy = thing.y * size[0] - scale * (top + bottom) / 2
    turn = math.radians(thing.angle)
    cos, sin = math.cos(turn) / scale, math.sin(turn) / scale
    mirror = -1.0 if thing.flip else 1.0
    first = [mirror * cos, mirror * sin, -mirror * (cos * cx + sin * cy)]
    return [*first, -sin, cos, sin * cx - cos * cy], scale


def occluder_matrix(front: Occluder, size: Size) -> list[float]:
    """As ``tile_matrix`` for an occluder, which stretches freely."""
    sx, sy = 2 / (front.width * size[1]), 2 / (front.height * size[0])
    return [sx, 0.0, -sx * front.x * size[1], 0.0, sy, -sy * front.y * size[0]]


def sample_tiles(tiles: Tensor, matrix: Tensor, size: Size) -> Tensor:
    """Draw (M, C, side, side) tiles through pixel -> tile maps (M, 2, 3): (M, C, H, W)."""
    x = torch.arange(size[1], device=matrix.device) + 0.5
    y = torch.arange(size[0], device=matrix.device)[:, None] + 0.5
    grid = torch.empty(len(tiles), *size, 2, device=matrix.device)
    for axis in (0, 1):  # much faster on a CPU than affine_grid's matrix product
        a, b, c = (matrix[:, axis, k, None, None] for k in range(3))
        torch.add(a * x + c, b * y, out=grid[..., axis])
    return F.grid_sample(tiles, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def mip_level(scale: float) -> int:
    """The mipmap whose texels are nearest to a pixel, for tiles of ``scale`` pixels per half tile."""
    return max(0, min(2, round(math.log2(80 / max(scale, 1e-3)) + 0.1)))


def fetch_tiles(things: list[Thing], level: int, device: torch.device) -> Tensor:
    """Premultiplied RGBA tiles (M, 4, side, side) of things at one mip level, recoloured where asked."""
    sprites = load_sprites(str(device))
    index = torch.tensor([max(t.sprite, 0) for t in things]).to(device)
    tiles = sprites.levels[level][index].float() / 255
    who = [i for i, t in enumerate(things) if t.look is not None]
    if who:
        drawn = people.draw([t.look for t in things if t.look is not None], level > 0, device)
        tiles[torch.tensor(who).to(device)] = drawn if level < 2 else F.avg_pool2d(drawn, 2)
    painted = [i for i, t in enumerate(things) if t.colour is not None and t.look is None]
    if painted:
        chosen = torch.tensor(painted).to(device)
        tiles[chosen] = recolour(tiles[chosen], [things[i].colour or "" for i in painted])
    return tiles


def recolour(tiles: Tensor, names: list[str]) -> Tensor:
    """Give premultiplied tiles a colour word, keeping light and dark: shadows stay dark, highlights go to white."""
    alpha = tiles[:, 3:].clamp(min=1e-3)
    straight = (tiles[:, :3] / alpha).clamp(0, 1)
    grey = styles.luma(straight)
    weight = tiles[:, 3:].sum((2, 3), keepdim=True).clamp(min=1)
    mean = (grey * tiles[:, 3:]).sum((2, 3), keepdim=True) / weight
    colour = tiles.new_tensor([COLOURS[n] for n in names])[:, :, None, None]
    metal = tiles.new_tensor([float(n in METALS) for n in names])[:, None, None, None]
    relief = (grey - mean) * (1 + 0.9 * metal)
    dark = colour * (1 + 1.5 * relief.clamp(max=0)).clamp(min=0.12)
    painted = dark + (1 - colour) * (relief.clamp(min=0) * (0.8 + 0.8 * metal)).clamp(0, 0.85)
    kept = painted + (straight - grey) * 0.10
    return torch.cat([kept.clamp(0, 1) * tiles[:, 3:], tiles[:, 3:]], 1)


def draw_unlit(things: list[Thing], size: Size, device: torch.device) -> Tensor:
    """Things as they are before any light, each on its own canvas: premultiplied (M, 4, H, W)."""
    placed = [tile_matrix(t, size) for t in things]
    levels = [mip_level(scale) for _, scale in placed]
    matrix = torch.tensor([m for m, _ in placed]).view(-1, 2, 3).to(device)
    out = torch.empty(len(things), 4, *size, device=device)
    for level in sorted(set(levels)):
        chosen = [i for i, v in enumerate(levels) if v == level]
        index = torch.tensor(chosen).to(device)
        tiles = fetch_tiles([things[i] for i in chosen], level, device)
        out[index] = sample_tiles(tiles, matrix[index], size)
    return out


def chunks(plans: list[Plan], size: Size, device: torch.device) -> list[list[Plan]]:
    """Split a batch so that one chunk's canvases stay in cache (CPU) or in reasonable memory (GPU)."""
    pixels = 8 * 128 * 128 if device.type == "cpu" else 64 * 256 * 256
    step = max(1, pixels // (size[0] * size[1]))
    return [plans[i : i + step] for i in range(0, len(plans), step)]


@torch.no_grad()
def draw(plans: list[Plan], size: Size, device: torch.device | str = "cpu") -> Drawn:
    """Draw every plan; see ``Drawn``."""
    where = torch.device(device)
    slots = max(1, max(len(p.things) for p in plans))
    parts = [draw_chunk(part, size, slots, where) for part in chunks(plans, size, where)]
    return Drawn(*(torch.cat([getattr(p, name) for p in parts]) for name in Drawn.__dataclass_fields__))


def draw_chunk(plans: list[Plan], size: Size, slots: int, device: torch.device) -> Drawn:
    """One chunk: things back to front on the image and on the plate, then the occluder, then the style."""
    image = places.draw([p.scene for p in plans], size, device)
    plate = image.clone()
    alpha = torch.zeros(len(plans), slots, *size, device=device)
    boxes = torch.zeros(len(plans), slots, 4)
    for slot in range(slots):
        who = [i for i, p in enumerate(plans) if len(p.things) > slot]
        if not who:
            break
        boxes[who, slot] = torch.tensor([thing_box(plans[i].things[slot], size) for i in who])
        layer = Layer([plans[i] for i in who], slot, boxes[who, slot], size, device)
        index = torch.tensor(who).to(device)
        image[index], solid = layer.put(image[index])
        alpha[index] *= 1 - solid[:, None]
        alpha[index, slot] = solid
        kept = [i for i in who if plans[i].things[slot].in_plate]
        if kept:
            rows = torch.tensor([who.index(i) for i in kept]).to(device)
            targets = torch.tensor(kept).to(device)
            plate[targets] = layer.put(plate[targets], rows)[0]
    front = put_occluders(plans, [image, plate], size, device)
    alpha = alpha * (1 - front[:, None])
    names = [p.scene.style for p in plans]
    return Drawn(styles.apply(image, names), styles.apply(plate, names), alpha, front, boxes.to(device))


class Layer:
    """The things of one depth slot over a chunk, drawn once and put on any canvas."""

    def __init__(self, plans: list[Plan], slot: int, boxes: Tensor, size: Size, device: torch.device) -> None:
        self.things = [p.things[slot] for p in plans]
        self.size, self.boxes = size, boxes.to(device)
        self.lights = light.light_values([p.scene.light for p in plans], device)
        self.pixels = draw_unlit(self.things, size, device)
        bounce = torch.tensor([places.ground_colour(p.scene) for p in plans]).to(device)
        left, top, right, bottom = (self.boxes[:, i, None, None] for i in range(4))
        self.x = torch.arange(size[1], device=device)[None, None, :] + 0.5
        self.y = torch.arange(size[0], device=device)[None, :, None] + 0.5
        across = (2 * self.x - left - right) / (right - left)
        up = (top + bottom - 2 * self.y) / (bottom - top)
        self.rgb = light.shade(self.pixels[:, :3], self.pixels[:, 3:], across, up, self.lights, bounce)
        self.shadow = self.draw_shadow(device)
        self.printed = torch.tensor([float(t.printed) for t in self.things]).to(device)[:, None, None, None]

    def draw_shadow(self, device: torch.device) -> Tensor:
        """How much light each pixel loses to the things' shadows, (M, 1, H, W) in 0..1."""
        kinds = [t.shadow for t in self.things]
        out = torch.zeros(len(kinds), 1, *self.size, device=device)
        chosen = [i for i, kind in enumerate(kinds) if kind != "none"]
        if not chosen:
            return out
        index = torch.tensor(chosen).to(device)
        things = [self.things[i] for i in chosen]
        wall = torch.tensor([kinds[i] == "wall" for i in chosen]).to(device)
        boxes, lights = self.boxes[index], self.lights[index]
        matrix = torch.tensor([tile_matrix(t, self.size)[0] for t in things]).view(-1, 2, 3).to(device)
        outline = fetch_tiles([replace(t, colour=None) for t in things], 2, device)[:, 3:]
        soft = F.avg_pool2d(F.pad(outline, (1, 1, 1, 1)), 3, 1)
        cast = sample_tiles(soft, light.cast_matrix(matrix, boxes, lights, wall), self.size)[:, 0]
        dark = cast * 0.42 * lights[:, 2, None, None]
        touch = light.contact(self.x, self.y, boxes, lights) * (~wall)[:, None, None]
        out[index, 0] = 1 - (1 - dark) * (1 - touch)
        return out

    def put(self, canvas: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Put the things (or some rows of them) on canvases (M, 3, H, W); returns those and alpha (M, H, W)."""
        rgb, alpha, shadow, printed = self.rgb, self.pixels[:, 3:], self.shadow, self.printed
        if rows is not None:
            rgb, alpha, shadow, printed = rgb[rows], alpha[rows], shadow[rows], printed[rows]
        solid = canvas * (1 - shadow) * (1 - alpha) + rgb
        if not any(t.printed for t in self.things):
            return solid, alpha[:, 0]
        unlit = self.pixels[:, :3] if rows is None else self.pixels[rows, :3]
        ink = canvas * (1 - 0.92 * alpha) + 0.92 * unlit * (0.25 + 0.82 * canvas.mean(1, keepdim=True))
        return solid + (ink - solid) * printed, alpha[:, 0]


def put_occluders(plans: list[Plan], canvases: list[Tensor], size: Size, device: torch.device) -> Tensor:
    """Draw the occluders over every canvas in place; returns their alpha (B, H, W)."""
    alpha = torch.zeros(len(plans), *size, device=device)
    chosen = [(i, p.scene, p.scene.occluder) for i, p in enumerate(plans) if p.scene.occluder is not None]
    if not chosen:
        return alpha
    index = torch.tensor([i for i, _, _ in chosen]).to(device)
    fronts = [front for _, _, front in chosen if front is not None]
    matrix = torch.tensor([occluder_matrix(f, size) for f in fronts]).view(-1, 2, 3).to(device)
    things = [Thing(sprite=prop_index(f.kind), colour=f.colour) for f in fronts]
    layer = sample_tiles(fetch_tiles(things, 1, device), matrix, size)
    tint = torch.tensor([s.light.tint for _, s, _ in chosen]).to(device)[:, :, None, None]
    for canvas in canvases:
        canvas[index] = canvas[index] * (1 - layer[:, 3:]) + layer[:, :3] * tint
    alpha[index] = layer[:, 3]
    return alpha
