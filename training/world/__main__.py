"""Draw a contact sheet of the world: ``python -m training.world --sheet out.png``."""

from __future__ import annotations

import argparse
import textwrap

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from . import EDIT_KINDS, FUSION_KINDS, crops, edits, faces, fusion, holes, paste, scenes

CELL, CAPTION, COLUMNS = 128, 38, 8
Row = list[tuple[Tensor, str]]


def on_white(rgba: Tensor) -> Tensor:
    """An RGBA picture (4, H, W) over white."""
    return rgba[:3] * rgba[3:] + 1 - rgba[3:]


def scene_cells(count: int, seed: int) -> Row:
    """Captioned scenes."""
    batch = scenes(count, (CELL, CELL), seed)
    return list(zip(batch.image, batch.captions, strict=True))


def fusion_cells(count: int, seed: int) -> Row:
    """Foreground, raw paste, truth, visible mask."""
    batch = fusion(count, (CELL, CELL), seed)
    pasted, out = paste(batch), []
    for i, kind in enumerate(batch.kinds.tolist()):
        out += [
            (on_white(batch.foreground[i]), f"{FUSION_KINDS[kind]}: foreground"),
            (pasted[i], "raw paste"),
            (batch.fused[i], batch.captions[i] or "truth"),
            (batch.mask[i].expand(3, -1, -1), "visible"),
        ]
    return out


def edit_cells(count: int, seed: int) -> Row:
    """Before and after."""
    batch, out = edits(count, (CELL, CELL), seed), []
    for i, kind in enumerate(batch.kinds.tolist()):
        out += [
            (batch.source.image[i], f"{EDIT_KINDS[kind]}: {batch.source.captions[i]}"),
            (batch.target.image[i], batch.target.captions[i]),
        ]
    return out


def face_cells(count: int, seed: int) -> Row:
    """References, then the scene with the same people."""
    batch, out = faces(count, (CELL, CELL), seed, pairs=0.5, reference_side=CELL), []
    for i in range(count):
        shown = batch.references[i, : int(batch.subjects[i])]
        out += [(shown[k], f"reference {k + 1}") for k in range(len(shown))] + [(batch.image[i], batch.prompts[i])]
    return out


def hole_cells(count: int, seed: int) -> Row:
    """Pictures with their hole darkened."""
    batch = holes(count, (CELL, CELL), seed)
    return list(zip(batch.image * (1 - 0.8 * batch.mask), batch.texts, strict=True))


def crop_cells(count: int, seed: int) -> Row:
    """What the judge sees."""
    batch = crops(count, CELL, seed)
    return list(zip(batch.crops, batch.texts, strict=True))


def lay_out(rows: list[Row]) -> Image.Image:
    """All cells in lines of ``COLUMNS``, captions below the pictures."""
    lines = [row[i : i + COLUMNS] for row in rows for i in range(0, len(row), COLUMNS)]
    sheet = Image.new("RGB", (COLUMNS * (CELL + 4), len(lines) * (CELL + CAPTION)), "white")
    pen = ImageDraw.Draw(sheet)
    for y, line in enumerate(lines):
        for x, (picture, text) in enumerate(line):
            pixels = (picture.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().cpu().numpy()
            corner = (x * (CELL + 4), y * (CELL + CAPTION))
            sheet.paste(Image.fromarray(np.ascontiguousarray(pixels)), corner)
            words = "\n".join(textwrap.wrap(text, 26)[:3])
            pen.text((corner[0], corner[1] + CELL), words, fill=(0, 0, 0), font_size=9, spacing=1)
    return sheet


def main() -> None:
    """Draw the sheet that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sheet", required=True, help="where to write the PNG")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lines", type=int, default=2, help="lines of eight cells per kind of sample")
    parser.add_argument("--colours", type=int, default=0, help="palette size, for a small file (0: full colour)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cells = args.lines * COLUMNS
    rows = [
        scene_cells(cells, args.seed),
        fusion_cells(cells // 4, args.seed),
        edit_cells(cells // 2, args.seed),
        face_cells(cells // 3, args.seed)[:cells],
        hole_cells(cells, args.seed),
        crop_cells(cells, args.seed),
    ]
    sheet = lay_out(rows)
    if args.colours:
        sheet = sheet.quantize(palette=sheet.quantize(args.colours), dither=Image.Dither.FLOYDSTEINBERG)
    sheet.save(args.sheet, optimize=True)


if __name__ == "__main__":
    main()
