"""Build ``assets/sprites`` from two npm packages; needed only to change the art, never to use it.

    npm install @lobehub/fluent-emoji-3d@1.1.0 @dicebear/personas@9 @dicebear/avataaars@9
    node training/make_people.mjs node_modules > parts.json
    python -m training.make_sprites node_modules parts.json

Writes ``objects.webp`` (RGBA tiles of 160 px in the order of ``names.json``), ``people.webp`` (base
colour of every part) and ``people_tint.webp`` (how much of the part's own colour is added).
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import resvg_py
from PIL import Image

from training.hold_out import FOLDER, SPRITE_LIST

TILE, MARGIN, COLUMNS = 160, 2, 16
WIDTHS = {"s": 0.6, "m": 0.8, "l": 1.05, "x": 1.35}


def fit_tile(picture: Image.Image) -> Image.Image:
    """Crop to the alpha and centre in a tile, longest side ``TILE - 2 MARGIN``."""
    box = picture.getchannel("A").point(lambda a: 255 if a > 8 else 0).getbbox()
    cut = picture.crop(box)
    scale = (TILE - 2 * MARGIN) / max(cut.size)
    size = (max(1, round(cut.width * scale)), max(1, round(cut.height * scale)))
    tile = Image.new("RGBA", (TILE, TILE))
    tile.paste(cut.resize(size, Image.Resampling.LANCZOS), ((TILE - size[0]) // 2, (TILE - size[1]) // 2))
    return tile


def read_list() -> list[dict[str, Any]]:
    """One row per sprite, in the order of the sheet."""
    rows = []
    for line in SPRITE_LIST.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        head, items = line.split(":")
        kind, family = head.split()
        for item in items.split(","):
            noun, code, size, *colour = item.split()
            row: dict[str, Any] = {"noun": noun.replace("_", " "), "family": family, "kind": kind, "code": code}
            rows.append(row | {"width": WIDTHS[size], "colour": colour[0] if colour else None})
    return rows


def sheet(tiles: list[Image.Image], mode: str) -> Image.Image:
    """Tiles in lines of ``COLUMNS``."""
    out = Image.new(mode, (COLUMNS * TILE, -(-len(tiles) // COLUMNS) * TILE))
    for i, tile in enumerate(tiles):
        out.paste(tile, (i % COLUMNS * TILE, i // COLUMNS * TILE))
    return out


def make_objects(modules: Path) -> None:
    """The sheet of objects and their names, from a ``node_modules`` folder that holds the emoji."""
    art = modules / "@lobehub" / "fluent-emoji-3d" / "assets"
    rows, tiles = read_list(), []
    for row in rows:
        files = [art / f"{row['code']}{tail}.webp" for tail in ("", "-fe0f")]
        tiles.append(fit_tile(Image.open(next(f for f in files if f.exists())).convert("RGBA")))
    sheet(tiles, "RGBA").save(FOLDER / "objects.webp", quality=88, alpha_quality=95, method=6)
    lines = ",\n".join(json.dumps(row) for row in rows)
    (FOLDER / "names.json").write_text(f"[\n{lines}\n]\n")


def rasterise(svg: str) -> np.ndarray:
    """SVG text -> (160, 160, 4) float in 0..1, straight alpha."""
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=TILE, height=TILE))
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), np.float64) / 255


def split_tint(part: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Base RGBA and the tint mask, so that premultiplied colour = base + mask * tint."""
    black, white = rasterise(part["black"]), rasterise(part["white"])
    tint = (white[..., :3] * white[..., 3:] - black[..., :3] * black[..., 3:]).mean(-1)
    return black, tint.clip(0, 1)


def make_people(parts: list[dict[str, str]]) -> None:
    """The sheets of people's parts and of where each takes its colour, and their names."""
    bases, tints = [], []
    for part in parts:
        base, tint = split_tint(part)
        bases.append(Image.fromarray((base * 255).round().astype(np.uint8)))
        tints.append(Image.fromarray((tint * 255).round().astype(np.uint8)))
    sheet(bases, "RGBA").save(FOLDER / "people.webp", lossless=True, method=6)
    sheet(tints, "L").convert("RGB").save(FOLDER / "people_tint.webp", lossless=True, method=6)
    names = [{key: part[key] for key in ("set", "slot", "name")} for part in parts]
    lines = ",\n".join(json.dumps(name) for name in names)
    (FOLDER / "parts.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    make_objects(Path(sys.argv[1]))
    make_people(json.loads(Path(sys.argv[2]).read_text()))
