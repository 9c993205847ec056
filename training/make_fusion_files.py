"""Fusions of the drawn world in the published data set's layout, to try the full-size recipe without its data.

python -m training.make_fusion_files --count 64 --out runs/files
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.pixels import alpha_box, flatten, paste, placement_matrix
from training import world
from training.config import Flags, read
from training.loop import seeded
from training.make_examples import pixels

CHUNK = 16  # fusions drawn at once
SIZES = ((3, 3), (4, 3), (3, 4))  # height and width, in thirds of a side


@dataclass(frozen=True)
class FilesConfig(Flags):
    """Draws fusions into a folder: pictures, masks and data.json."""

    out: str = "runs/files"
    count: int = 64
    side: int = 192  # pixels of a square picture; others are longer by a third; a multiple of 24
    seed: int = 0


def main(config: FilesConfig) -> None:
    """Write `count` samples whose objects lie wholly in the picture: a cut object's boxes would not tell its scale."""
    root, generator = Path(config.out), seeded(config.seed, 0)
    (root / "pictures").mkdir(parents=True, exist_ok=True)
    records: list[dict[str, Any]] = []
    for high, wide in itertools.cycle(SIZES):
        if len(records) >= config.count:
            break
        size = (config.side * high // 3, config.side * wide // 3)
        batch = world.fusion(min(CHUNK, config.count), size, generator)
        whole = (batch.box[:, :2] >= 0).all(1) & (batch.box[:, 2] <= size[1]) & (batch.box[:, 3] <= size[0])
        for row in whole.nonzero().flatten().tolist()[: config.count - len(records)]:
            records.append(write(root, f"{len(records):05d}", batch, row))
    (root / "data.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    print(f"{len(records)} samples in {root}")


def write(root: Path, name: str, batch: world.FusionBatch, row: int) -> dict[str, Any]:
    """Write the pictures and masks of one fusion; returns its record."""
    cut, background, fused = (pixels(x[row]) for x in (batch.foreground, batch.background, batch.fused))
    box, (height, width) = alpha_box(cut[..., 3]), background.shape[:2]
    assert box is not None  # the world draws no empty objects
    x, y, scale, _ = batch.placement[row].tolist()
    pasted, placed = paste(background, cut, placement_matrix(box, (height, width), x, y, scale))

    def file(part: str, picture: np.ndarray) -> str:
        path = f"pictures/{name}_{part}.png"
        Image.fromarray(picture).save(root / path)
        return path

    return {
        "sorted_keys": ["000", "001", "002"],
        "img_info": {"000": file("000", flatten(cut)), "001": file("001", background), "002": file("002", fused)},
        "caption_info": {"000": "", "001": "", "002": batch.captions[row]},
        "img_mask_info": {
            "000": file("000_mask", cut[..., 3]),
            "000_mask_scale": file("000_mask_scale", placed),
            "000_paste": file("000_paste", pasted),
        },
        "height": height,
        "width": width,
    }


if __name__ == "__main__":
    main(read(FilesConfig, "training.make_fusion_files"))
