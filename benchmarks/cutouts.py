"""A folder of somebody's own cut-outs in place of the world's held-out objects, for as long as cases are drawn.

The world's sources and art are parents of the trained models and stay as they are, so its folder and its memos
are exchanged from outside, here and nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from models.contract import BadRequest
from training.world import assets, splits

SUFFIXES = (".png", ".webp")
MARGIN = 2  # pixels of a tile left free on each side
NATURAL_WIDTH = 0.8  # a middling size among the world's objects
MEMOS = (
    assets.sprite_rows,
    assets.nouns,
    assets.load_sprites,
    assets.load_extents,
    splits.held_out,
    splits.sprites_of,
)


@contextlib.contextmanager
def in_place_of_held_out(folder: Path | None) -> Iterator[None]:
    """Draw objects from `folder` (RGBA files, file name = caption) while the context lasts; None changes nothing.

    Raises `BadRequest` if the folder holds no PNG or WebP file or one of them is fully transparent.
    """
    if folder is None:
        yield
        return
    shipped = assets.FOLDER
    with tempfile.TemporaryDirectory() as name:
        _write(folder, shipped, Path(name))
        try:
            _use(Path(name))
            yield
        finally:
            _use(shipped)


def _use(folder: Path) -> None:
    for module in (assets, splits):
        module.FOLDER = folder  # type: ignore[attr-defined]
    for memo in MEMOS:
        memo.cache_clear()


def _write(folder: Path, shipped: Path, into: Path) -> None:
    """A folder in the format of `assets/sprites` whose only objects are the cut-outs, all of them held out."""
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES)
    if not files:
        raise BadRequest(f"There is no PNG or WebP file in {folder}; give a folder of cut-outs.")
    side, columns = assets.TILE, assets.COLUMNS
    sheet = Image.new("RGBA", (columns * side, -(-len(files) // columns) * side))
    rows = []
    for i, file in enumerate(files):
        sheet.paste(_tile(file, side), (i % columns * side, i // columns * side))
        noun = file.stem.replace("_", " ")
        rows.append({"noun": noun, "family": noun, "kind": "toy", "width": NATURAL_WIDTH, "colour": None})
    for file in shipped.iterdir():
        if file.name not in ("objects.webp", "names.json", "held_out.json"):
            shutil.copy(file, into)
    sheet.save(into / "objects.webp", lossless=True, exact=True)
    (into / "names.json").write_text(json.dumps(rows))
    held_out = json.loads((shipped / "held_out.json").read_text())
    (into / "held_out.json").write_text(json.dumps({**held_out, "families": [row["noun"] for row in rows]}))


def _tile(file: Path, side: int) -> Image.Image:
    """One cut-out, cropped to its alpha and centred in a square tile."""
    with Image.open(file) as opened:
        picture = opened.convert("RGBA")
    box = picture.getchannel("A").point(lambda alpha: 255 if alpha > 8 else 0).getbbox()
    if box is None:
        raise BadRequest(f"{file.name} is fully transparent; give a cut-out with something in it.")
    cut = picture.crop(box)
    scale = (side - 2 * MARGIN) / max(cut.size)
    cut = cut.resize((max(1, round(cut.width * scale)), max(1, round(cut.height * scale))), Image.Resampling.LANCZOS)
    tile = Image.new("RGBA", (side, side))
    tile.paste(cut, ((side - cut.width) // 2, (side - cut.height) // 2))
    return tile
