"""Draw the examples of Face reference: portraits of drawn people whom no model saw, and scenes to put them into.

`python -m training.make_face_examples` rewrites `assets/examples/facediffuser/`.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.pixels import resize
from training.make_examples import QUALITY, pixels, save_thumbnail
from training.world import compose
from training.world.layout import place_person
from training.world.plan import Look, Plan, Scene

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "examples" / "facediffuser"
SIDE, THUMBNAIL = 320, 160  # pixels on a side of a portrait, large and small
PEOPLE = {  # name -> held-out identity, clothes, their colour, expression, and the colour behind
    "iris": (Look(236, "rounded", "yellow", "smiling"), "white"),
    "otto": (Look(477, "squared", "grey", "smiling"), "blue"),
    "amir": (Look(504, "hoodie", "white", "smiling"), "yellow"),
    "mina": (Look(432, "sweater", "purple", "smiling"), "pink"),
    "finn": (Look(239, "checkered", "green", "happy"), "grey"),
}
WALL = "a man <|image|> and a man <|image|> on a grey floor in front of a red brick wall"
MEADOW = "a smiling woman <|image|> wearing a red shirt on a green meadow under a blue sky"
SNOW = "a woman <|image|> and a man <|image|> in the snow under a grey sky, at night"
# The second and the third differ in the order of the people alone, so they share the beginning of the scene.
EXAMPLES = (
    ("meadow", "A woman on a meadow", MEADOW, ("iris",)),
    ("wall", "Two men by a brick wall", WALL, ("otto", "amir")),
    ("swapped", "The same two, the other way round", WALL, ("amir", "otto")),
    ("snow", "A woman and a man in the snow at night", SNOW, ("mina", "finn")),
)
SEED = 1


def main() -> None:
    """Write every portrait, every example and their index."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    portraits = {name: portrait(look, behind) for name, (look, behind) in PEOPLE.items()}
    for name, picture in portraits.items():
        Image.fromarray(picture).save(FOLDER / f"{name}.webp", quality=QUALITY, method=6)
    entries = []
    for name, title, prompt, people in EXAMPLES:
        small = f"{name}-thumbnail.webp"
        save_thumbnail(thumbnail([portraits[one] for one in people]), FOLDER / small)
        entries.append(entry(title, small, prompt, people))
    (FOLDER / "index.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def portrait(look: Look, behind: str) -> np.ndarray:
    """A person alone before a plain colour, uint8 `SIDE` on a side."""
    scene = Scene("studio", behind, behind)
    person = place_person(random.Random(0), look, (SIDE, SIDE), 0.5, 1.05, scene)
    return pixels(compose.draw([Plan(scene, (person,))], (SIDE, SIDE)).image[0])


def entry(title: str, small: str, prompt: str, people: tuple[str, ...]) -> dict[str, Any]:
    """A line of the index."""
    files = {"references": [f"{name}.webp" for name in people]}
    return {"title": title, "thumbnail": small, "files": files, "fields": {"prompt": prompt, "seed": SEED}}


def thumbnail(portraits: list[np.ndarray]) -> np.ndarray:
    """The people side by side, small."""
    return np.concatenate([resize(picture, (THUMBNAIL, THUMBNAIL)) for picture in portraits], axis=1)


if __name__ == "__main__":
    main()
