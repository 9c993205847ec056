"""A fusion data set of a few drawn samples on disk, in the published layout, and its records to spoil."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 288, 224  # twice the bucket (144, 112): halving is exact
OWN, PLACED = (96, 60, 176, 140), (40, 120, 80, 180)  # boxes of the object: in its picture, in the scene
CAPTIONS = ("red teapot on the table", "gold car", "")


def picture(seed: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def box_mask(box: tuple[int, ...], width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 255
    return mask


def write_sample(root: Path, name: str, caption: str = "", size: tuple[int, int] = (WIDTH, HEIGHT)) -> dict[str, Any]:
    """Write the files of one sample of random pixels; returns its record. The mask has a soft half at its right."""
    own = box_mask(OWN, *size)
    own[:, OWN[2] - 10 : OWN[2]] //= 2  # 127: whitened by half, and outside the box at 128
    seed = sum(name.encode())
    files = {"000": picture(seed, *size), "001": picture(seed + 1, *size), "002": picture(seed + 2, *size)}
    files |= {"000_mask": own, "000_mask_scale": box_mask(PLACED, *size)}
    for part, pixels in files.items():
        Image.fromarray(pixels).save(root / f"{name}_{part}.png")
    return {
        "sorted_keys": ["000", "001", "002"],
        "img_info": {part: f"{name}_{part}.png" for part in ("000", "001", "002")},
        "caption_info": {"000": "object", "001": "scene", "002": caption},
        "img_mask_info": {"000": f"{name}_000_mask.png", "000_mask_scale": f"{name}_000_mask_scale.png"},
        "height": 4000,
        "width": 1000,
    }


def write_files(root: Path, count: int = 3) -> list[dict[str, Any]]:
    """A data set of `count` samples in `root`; returns the records."""
    root.mkdir(parents=True, exist_ok=True)
    records = [write_sample(root, f"s{i}", CAPTIONS[i % len(CAPTIONS)]) for i in range(count)]
    (root / "data.json").write_text(json.dumps(records))
    return records
