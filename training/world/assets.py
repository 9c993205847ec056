"""The committed art as tensors: object sprites with mipmaps and outlines, parts of people."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from . import props

FOLDER = Path(__file__).parents[2] / "assets" / "sprites"
TILE, COLUMNS = 160, 16
LEVELS = 4  # 160, 80, 40 and 20 px
ANGLE_STEP = 2  # degrees; rotations are multiples of it, so the tight boxes below are exact


@lru_cache(maxsize=1)
def sprite_rows() -> tuple[dict[str, Any], ...]:
    """Noun, family, kind, code point, natural width and natural colour of every sprite."""
    return tuple(json.loads((FOLDER / "names.json").read_text()))


@lru_cache(maxsize=1)
def identity_rows() -> tuple[dict[str, str], ...]:
    """The parts and colours of every identity."""
    return tuple(json.loads((FOLDER / "people.json").read_text()))


def identity_count() -> int:
    return len(identity_rows())


@lru_cache(maxsize=1)
def nouns() -> tuple[str, ...]:
    """The object classes in label order; two sprites may share one."""
    return tuple(dict.fromkeys(row["noun"] for row in sprite_rows()))


def prop_index(name: str) -> int:
    """Sprite index of a drawn prop or occluder; they follow the objects in the bank."""
    return len(sprite_rows()) + props.NAMES.index(name)


def cut_sheet(name: str, count: int) -> Tensor:
    """A sheet as (count, channels, 160, 160) uint8."""
    sheet = torch.from_numpy(np.array(Image.open(FOLDER / name)))
    rows, columns, channels = sheet.shape[0] // TILE, sheet.shape[1] // TILE, sheet.shape[2]
    tiles = sheet.view(rows, TILE, columns, TILE, channels).permute(0, 2, 4, 1, 3)
    return tiles.reshape(-1, channels, TILE, TILE)[:count].contiguous()


def premultiply(tiles: Tensor) -> Tensor:
    """Straight uint8 RGBA -> premultiplied float RGBA in 0..1."""
    x = tiles.float() / 255
    return torch.cat([x[:, :3] * x[:, 3:], x[:, 3:]], 1)


def pyramid(premultiplied: Tensor) -> list[Tensor]:
    """Mipmaps of premultiplied tiles, each (N, 4, side, side)."""
    levels = [premultiplied]
    for _ in range(LEVELS - 1):
        levels.append(F.avg_pool2d(levels[-1], 2))
    return levels


def tight_extents(alpha: Tensor) -> Tensor:
    """(N, 160, 160) alpha -> (N, 360 / ANGLE_STEP) reach of the opaque pixels in every direction.

    Entry k is the largest x cos t + y sin t for t = k ANGLE_STEP degrees, in half tiles from the tile's centre,
    so the box of the sprite turned by any multiple of ANGLE_STEP is known without drawing it.
    """
    t = torch.arange(0, 360, ANGLE_STEP) * (math.pi / 180)
    cos, sin = t.cos()[:, None], t.sin()[:, None]
    ramp = torch.arange(TILE)
    out = []
    for solid in alpha > 0.04:
        rows = torch.nonzero(solid.any(1))[:, 0]
        first, last = (solid * (TILE - ramp)).argmax(1)[rows], (solid * (ramp + 1)).argmax(1)[rows] + 1
        x = torch.cat([first, last, first, last]) * 2.0 / TILE - 1
        y = torch.cat([rows, rows, rows + 1, rows + 1]) * 2.0 / TILE - 1
        out.append((x * cos + y * sin).amax(1))
    return torch.stack(out)


@dataclass(frozen=True)
class Sprites:
    """Objects, then props: mipmaps (N, 4, side, side) uint8, premultiplied."""

    levels: tuple[Tensor, ...]


@dataclass(frozen=True)
class Parts:
    """Parts of people: base (N, 4, side, side) premultiplied and tint (N, 1, side, side), two sizes each."""

    base: tuple[Tensor, Tensor]
    tint: tuple[Tensor, Tensor]
    index: dict[tuple[str, str, str], int]
    boxes: tuple[tuple[float, float, float, float], ...]  # tight box of each part in half tiles from the centre


@lru_cache(maxsize=4)
def load_sprites(device: str) -> Sprites:
    """The sprite bank on a device."""
    tiles = torch.cat([premultiply(cut_sheet("objects.webp", len(sprite_rows()))), props.draw_all(TILE)])
    levels = tuple((level * 255).round().byte().to(device) for level in pyramid(tiles))
    return Sprites(levels)


@lru_cache(maxsize=1)
def load_extents() -> list[list[float]]:
    """Outline reach of every sprite, plain numbers because plans are made of them; see ``tight_extents``."""
    tiles = cut_sheet("objects.webp", len(sprite_rows()))[:, 3].float() / 255
    reach: list[list[float]] = tight_extents(torch.cat([tiles, props.draw_all(TILE)[:, 3]])).tolist()
    return reach


@lru_cache(maxsize=4)
def load_parts(device: str) -> Parts:
    """The parts of people on a device."""
    rows = json.loads((FOLDER / "parts.json").read_text())
    base = premultiply(cut_sheet("people.webp", len(rows)))
    tint = cut_sheet("people_tint.webp", len(rows))[:, :1].float() / 255
    reach = tight_extents(base[:, 3])
    quarter = 90 // ANGLE_STEP
    boxes = tuple((-r[2 * quarter].item(), -r[3 * quarter].item(), r[0].item(), r[quarter].item()) for r in reach)
    index = {(row["set"], row["slot"], row["name"]): i for i, row in enumerate(rows)}
    halves = (F.avg_pool2d(base, 2), F.avg_pool2d(tint, 2))
    return Parts((base.to(device), halves[0].to(device)), (tint.to(device), halves[1].to(device)), index, boxes)


def digest_files(paths: list[Path]) -> str:
    """sha256 over names and contents, in the order given; text counts the same under either line ending."""
    total = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        if path.suffix in (".py", ".json"):
            content = content.replace(b"\r\n", b"\n")
        total.update(path.name.encode() + b"\0" + content)
    return total.hexdigest()
