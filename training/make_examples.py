"""Draw the examples of Drag & place: held-out objects in drawn scenes, and two photographs that are free to use.

`python -m training.make_examples` rewrites `assets/examples/dreamfuse/`; run it with the development requirements.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from models.pixels import alpha_box, fit_within, paste, placement_matrix, resize
from training import world

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "examples" / "dreamfuse"
SIDE = 512
QUALITY = 90
THUMBNAIL = 256  # longest side in pixels
RUN = 1  # seed of a run: the same click, the same picture
# Name, title, kind of fusion, seed, row of the batch of that seed and how many rows the batch has.
DRAWN = (
    ("goat", "A goat in a green room", "place", 11, 1, 10),
    ("hourglass", "An hourglass behind a fence", "behind", 12, 2, 5),
    ("cap", "A cap on someone's head", "wear", 13, 0, 5),
    ("camel", "A colour camel in a black-and-white room", "style", 14, 3, 5),
    ("sign", "A rocket printed on a sign", "print", 15, 3, 5),
    ("beaver", "A beaver in a purple room", "place", 11, 5, 10),
)


def main() -> None:
    """Write every example and their index."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    entries = [drawn(*row) for row in DRAWN] + photographs()
    (FOLDER / "index.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def drawn(name: str, title: str, kind: str, seed: int, row: int, count: int) -> dict[str, Any]:
    """One drawn example; its placement is the true one."""
    batch = world.fusion(count, (SIDE, SIDE), seed=seed, split="held_out", device="cpu", kinds=(kind,))
    x, y, scale, angle = (round(float(value), 4) for value in batch.placement[row])
    placement = {"x": x, "y": y, "scale": scale, "angle": angle}
    return entry(name, title, pixels(batch.background[row]), pixels(batch.foreground[row]), placement)


def photographs() -> list[dict[str, Any]]:
    """Drawn objects in photographs: CC0 by Rachel Michetti, and in the public domain by NASA and ESA."""
    from skimage import data

    photos: Any = data  # skimage has no types
    cake = world.fusion(10, (SIDE, SIDE), seed=11, split="held_out", device="cpu", kinds=("place",)).foreground[2]
    rocket = world.fusion(5, (SIDE, SIDE), seed=15, split="held_out", device="cpu", kinds=("print",)).foreground[3]
    sky = resize(np.asarray(photos.hubble_deep_field()), (558, 640))
    on_table = {"x": 0.83, "y": 0.66, "scale": 0.22, "angle": 0.0}
    in_space = {"x": 0.42, "y": 0.46, "scale": 0.36, "angle": -8.0}
    return [
        entry("table", "A slice of cake beside a coffee (photograph)", photos.coffee(), pixels(cake), on_table),
        entry("space", "A rocket in the deep field (photograph)", sky, pixels(rocket), in_space),
    ]


def entry(
    name: str, title: str, background: np.ndarray, foreground: np.ndarray, placement: dict[str, float]
) -> dict[str, Any]:
    """Write the two pictures of an example and return its line of the index."""
    files = {"background": f"{name}-scene.webp", "foreground": f"{name}-object.webp"}
    Image.fromarray(background).save(FOLDER / files["background"], quality=QUALITY, method=6)
    Image.fromarray(foreground).save(FOLDER / files["foreground"], quality=QUALITY, method=6)
    small = f"{name}-thumbnail.webp"
    save_thumbnail(thumbnail(background, foreground, placement), FOLDER / small)
    return {"title": title, "thumbnail": small, "files": files, "fields": {**placement, "seed": RUN}}


def thumbnail(background: np.ndarray, foreground: np.ndarray, placement: dict[str, float]) -> np.ndarray:
    """The raw paste of an example, small."""
    scene = resize(background, fit_within((background.shape[0], background.shape[1]), THUMBNAIL))
    box = alpha_box(foreground[..., 3]) or (0, 0, 1, 1)
    x, y, scale, angle = (placement[name] for name in ("x", "y", "scale", "angle"))
    matrix = placement_matrix(box, (scene.shape[0], scene.shape[1]), x, y, scale, angle=angle)
    return paste(scene, foreground, matrix)[0]


def save_thumbnail(picture: np.ndarray, file: Path) -> None:
    """What stands on an example's button."""
    Image.fromarray(picture).save(file, quality=80, method=6)


def pixels(picture: Tensor) -> np.ndarray:
    """A float CxHxW picture in 0..1 as uint8 HxWxC."""
    array: np.ndarray = (picture.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
    return array


if __name__ == "__main__":
    main()
