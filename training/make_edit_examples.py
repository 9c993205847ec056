"""Draw the examples of Prompt edit: drawn scenes with their true captions, a photograph, and edits of those words.

`python -m training.make_edit_examples` rewrites `assets/examples/dit4edit/`; run it with the development requirements.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.pixels import fit_within, resize
from training import world
from training.make_examples import QUALITY, RUN, SIDE, THUMBNAIL, pixels, save_thumbnail

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "examples" / "dit4edit"
SEED, COUNT = 71, 21  # the batch that the rows below are of: in each, one thing in a colour and place never trained
# Name, title, row of the batch, and for each target what is said instead of what.
NIGHT, SEPIA = (" street", " street, at night"), ("a picture", "a sepia photo")
WALLS = [("white wall", f"{colour} wall") for colour in ("green", "blue", "red")]
DRAWN = (
    ("rhino", "Swap: an elephant instead of a rhino", 9, [("rhino", "elephant")]),
    ("hippo", "Another colour: a red hippo", 20, [("a blue hippo", "a red hippo")]),
    ("rooster", "Add: an apple beside a rooster", 13, [("rooster", "rooster and a red apple")]),
    ("monkey", "Remove: the scissors beside a monkey", 19, [(" to the left of some yellow scissors", "")]),
    ("city", "Restyle: a city street at night, or as a sepia photo", 16, [NIGHT, SEPIA]),
    ("whale", "Another wall behind a whale, in three colours", 2, WALLS),
)
KINDS = {"city": "restyle"}  # which the words alone do not tell
CAT = ("a photo of a cat", "a photo of a fox")


def main() -> None:
    """Write every example and their index."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    batch = world.scenes(COUNT, (SIDE, SIDE), SEED, split="combos", people=0.0, counts=(1, 2, 2))
    entries = []
    for name, title, row, changes in DRAWN:
        caption = batch.captions[row]
        targets = [told(caption, old, new) for old, new in changes]
        entries.append(entry(name, title, pixels(batch.image[row]), caption, targets, KINDS.get(name)))
    entries.append(photograph())
    (FOLDER / "index.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def told(caption: str, old: str, new: str) -> str:
    """The caption of the edited picture; `old` has to stand in it once."""
    if caption.count(old) != 1:
        raise ValueError(f'"{old}" does not stand once in "{caption}"')
    return caption.replace(old, new)


def photograph() -> dict[str, Any]:
    """The cat Chelsea, CC0 by Stefan van der Walt."""
    from skimage import data

    photos: Any = data  # skimage has no types
    source, target = CAT
    return entry("cat", "A fox instead of a cat (photograph)", np.asarray(photos.chelsea()), source, [target])


def entry(
    name: str, title: str, image: np.ndarray, source: str, targets: list[str], kind: str | None = None
) -> dict[str, Any]:
    """Write the picture of an example and return its line of the index."""
    files = {"image": f"{name}-picture.webp"}
    Image.fromarray(image).save(FOLDER / files["image"], quality=QUALITY, method=6)
    small = f"{name}-thumbnail.webp"
    save_thumbnail(thumbnail(image), FOLDER / small)
    fields: dict[str, Any] = {"source_prompt": source, "target_prompt": "\n".join(targets)}
    fields |= {"kind": kind} if kind else {}
    fields["seed"] = RUN
    return {"title": title, "thumbnail": small, "files": files, "fields": fields}


def thumbnail(image: np.ndarray) -> np.ndarray:
    """The picture of an example, small."""
    return resize(image, fit_within((image.shape[0], image.shape[1]), THUMBNAIL))


if __name__ == "__main__":
    main()
