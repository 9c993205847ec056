"""Draw the examples of Layer collage: places and things that the models were trained on, as collages to open.

`python -m training.make_collage_examples` rewrites `assets/examples/collage/`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from models.collage import files
from models.collage.composing import compose
from models.collage.layers import Collage
from models.pixels import fit_within, resize
from training.make_examples import SIDE, THUMBNAIL, save_thumbnail
from training.scene_layers import collage
from training.world.assets import sprite_rows
from training.world.layout import stand
from training.world.plan import Scene, Thing
from training.world.splits import sprites_of

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "examples" / "collage"
# Of each thing: noun, colour (None = its own), centre from the left, lower edge from the top, width, mirrored or not.
Spot = tuple[str, str | None, float, float, float, bool]
MEADOW: tuple[Spot, ...] = (("giraffe", None, 0.24, 0.72, 0.34, False), ("elephant", "blue", 0.68, 0.93, 0.56, True))
TABLE: tuple[Spot, ...] = (
    ("teapot", "blue", 0.27, 0.66, 0.36, False),
    ("potted plant", None, 0.71, 0.64, 0.30, False),
    ("croissant", None, 0.52, 0.84, 0.28, False),
    ("teacup", None, 0.80, 0.93, 0.24, True),
)
ROOM: tuple[Spot, ...] = (
    ("mirror", None, 0.80, 0.60, 0.24, False),
    ("chair", "red", 0.22, 0.80, 0.34, False),
    ("teddy bear", None, 0.54, 0.76, 0.28, False),
    ("drum", None, 0.82, 0.88, 0.24, False),
    ("basketball", None, 0.42, 0.94, 0.16, False),
)
SCENES = {
    "meadow": Scene("meadow", "green", "blue", horizon=0.5, offsets=(0.3, 0.6, 0.2, 0.8)),
    "table": Scene("table", "brown", "yellow", "planks", "plain", 0.5, offsets=(0.1, 0.5, 0.7, 0.2)),
    "room": Scene("room", "grey", "blue", "plain", "stripes", 0.55, offsets=(0.4, 0.1, 0.9, 0.3)),
}
EXAMPLES = (
    ("meadow", "A blue elephant and a giraffe (3 layers)", MEADOW),
    ("table", "A breakfast table (5 layers)", TABLE),
    ("room", "A children's room (6 layers)", ROOM),
)


def main() -> None:
    """Write every example and their index."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    entries = [entry(name, title, drawn(SCENES[name], spots)) for name, title, spots in EXAMPLES]
    (FOLDER / "index.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def drawn(scene: Scene, spots: tuple[Spot, ...]) -> Collage:
    """The collage of a place and things that stand in it, on a canvas of `SIDE` pixels."""
    things = [
        stand(Thing(sprite(noun), colour=colour, flip=flip), x, base, width, (SIDE, SIDE))
        for noun, colour, x, base, width, flip in spots
    ]
    return collage(scene, things, (SIDE, SIDE), seed=0).replace(settings={"seed": 1})


def sprite(noun: str) -> int:
    """The first object of this name that training draws."""
    return next(number for number in sprites_of("train") if sprite_rows()[number]["noun"] == noun)


def entry(name: str, title: str, made: Collage) -> dict[str, Any]:
    """Write a collage and its flat picture, and return its line of the index."""
    held = {"collage": f"{name}{files.SUFFIX}"}
    (FOLDER / held["collage"]).write_bytes(files.encode(made))
    small = f"{name}-thumbnail.webp"
    save_thumbnail(thumbnail(made), FOLDER / small)
    return {"title": title, "thumbnail": small, "files": held, "fields": {}}


def thumbnail(made: Collage) -> np.ndarray:
    """The layers over each other, small."""
    flat = compose(made).flat
    return resize(flat, fit_within((flat.shape[0], flat.shape[1]), THUMBNAIL))


if __name__ == "__main__":
    main()
