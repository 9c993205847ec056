"""Draw the examples of Mask inpaint: things in drawn scenes to be replaced, and a photograph that is free to use.

`python -m training.make_inpaint_examples` rewrites `assets/examples/cat/`; run it with the development requirements.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.pixels import fit_within, resize, to_bytes
from training import world
from training.make_examples import QUALITY, RUN, SIDE, THUMBNAIL, pixels, save_thumbnail

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "examples" / "cat"
SEED, COUNT = 41, 20  # the batch of held-out scenes that the rows below are of
# Name, title, row of the batch and the words for what comes in the thing's place.
DRAWN = (
    ("backpack", "A blue teapot in a backpack's place", 2, "blue teapot"),
    ("locomotive", "A red car on the road", 16, "red car"),
    ("bulb", "A purple vase in the light bulb's place", 18, "purple vase"),
    ("trumpet", "A yellow duck on the lawn", 12, "yellow duck"),
    ("camera", "A pumpkin on the floor", 15, "pumpkin"),
    ("bottle", "A green cactus by the wall", 10, "green cactus"),
)
TINT = (99, 102, 241)  # of the mask on a thumbnail
TABLE = (430, 40, 580, 190)  # left, top, right, bottom of an empty spot on the photograph's table


def main() -> None:
    """Write every example and their index."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    batch = world.holes(COUNT, (SIDE, SIDE), seed=SEED, split="held_out", device="cpu", people=0.0)
    entries = [
        entry(name, title, pixels(batch.image[row]), pixels(batch.mask[row])[..., 0], prompt)
        for name, title, row, prompt in DRAWN
    ]
    entries.append(photograph())
    (FOLDER / "index.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def photograph() -> dict[str, Any]:
    """A coffee, CC0 by Rachel Michetti, with room for an apple beside it."""
    from skimage import data

    photos: Any = data  # skimage has no types
    coffee = np.asarray(photos.coffee())
    mask = np.zeros(coffee.shape[:2], np.uint8)
    left, top, right, bottom = TABLE
    mask[top:bottom, left:right] = 255
    return entry("table", "A red apple beside a coffee (photograph)", coffee, mask, "red apple")


def entry(name: str, title: str, image: np.ndarray, mask: np.ndarray, prompt: str) -> dict[str, Any]:
    """Write the picture and the mask of an example and return its line of the index."""
    files = {"image": f"{name}-picture.webp", "mask": f"{name}-mask.png"}
    Image.fromarray(image).save(FOLDER / files["image"], quality=QUALITY, method=6)
    hard = np.where(mask >= 128, np.uint8(255), np.uint8(0))
    Image.fromarray(hard).save(FOLDER / files["mask"], optimize=True)
    small = f"{name}-thumbnail.webp"
    save_thumbnail(thumbnail(image, hard), FOLDER / small)
    return {"title": title, "thumbnail": small, "files": files, "fields": {"prompt": prompt, "seed": RUN}}


def thumbnail(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture of an example with its mask in colour, small."""
    size = fit_within((image.shape[0], image.shape[1]), THUMBNAIL)
    weight = resize(mask, size)[..., None] / np.float32(255) * 0.75
    return to_bytes(resize(image, size) * (1 - weight) + np.array(TINT, np.float32) * weight)


if __name__ == "__main__":
    main()
