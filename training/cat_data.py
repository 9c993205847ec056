"""The published training data on disk: objects of OpenImages V6 with their masks, and captioned pictures without.

A list file holds one Python dict literal per line. An object's has `image`, `mask_image`, `label`, `box` (left, top,
width and height as fractions of the picture), `image_id` and `box_id`; a captioned picture's has `image` and
`caption`. Paths are relative to the data root. Lines are parsed as literals and never run. What cannot be used is
left out with a line in the log.
"""

from __future__ import annotations

import ast
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from models.cat.preprocess import clip_picture, patch_mask, resized, vae_picture
from models.contract import BadRequest
from models.pictures import decode

FACTOR = 8  # pixels of a cell of the latents
BOX = 0.5  # of the objects are hidden by their box, the others by their dilated outline
DILATION = np.ones((5, 5), np.uint8)  # at the mask's own resolution
ATTEMPTS = 20  # lines in a row that are passed over; more than that is a disk that is gone

log = logging.getLogger(__name__)
Box = tuple[float, float, float, float]


class BrokenLine(ValueError):
    """A line that cannot be used; the sentence says why."""


@dataclass(frozen=True)
class Entry:
    """One line: a picture with an object's mask and box, or with neither; `caption` is a file that may be there."""

    image: Path
    text: str
    mask: Path | None = None
    box: Box | None = None
    caption: Path | None = None


@dataclass(frozen=True)
class Sizes:
    """Pixels on a side of the working square and of CLIP's, and of a patch of CLIP's."""

    picture: int = 512
    clip: int = 224
    patch: int = 14


def read_list(path: Path, root: Path, captions: Path | None = None) -> list[Entry]:
    """The entries of a list file; raises `ValueError` if none can be used."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(parsed(line, root.resolve(), captions))
        except BrokenLine as reason:
            log.warning("Left out %s, line %d: %s", path.name, number, reason)
    if not found:
        raise ValueError(f"{path} holds nothing to train on.")
    return found


def parsed(line: str, root: Path, captions: Path | None = None) -> Entry:
    """The entry of one line; `captions` is the folder of the boxes' own captions. Raises `BrokenLine`."""
    try:
        record = ast.literal_eval(line.strip())
        image = _inside(root, record["image"])
        if "mask_image" not in record:
            return Entry(image, str(record["caption"]))
        left, top, width, height = (float(v) for v in record["box"])
        name = f"{record['image_id']}_{record['box_id']}.txt"
        caption = _inside(captions.resolve(), name) if captions else None
        box = (left, top, left + width, top + height)
        return Entry(image, str(record["label"]), _inside(root, record["mask_image"]), box, caption)
    except (SyntaxError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise BrokenLine(f"it is not a record ({error!r:.80})") from error


def _inside(root: Path, path: Any) -> Path:
    found = (root / str(path)).resolve()
    if not found.is_relative_to(root):  # also through a link or as an absolute path
        raise ValueError(f"{path!r:.80} leads out of the data root")
    return found


def hole(mask: np.ndarray, box: Box, use_box: bool) -> np.ndarray:
    """uint8 HxW, 255 = generate: the outline grown once by 5x5, or the box filled, both ends of it included."""
    if not use_box:
        grown: np.ndarray = cv2.dilate(np.where(mask >= 128, 255, 0).astype(np.uint8), DILATION)
        return grown
    height, width = mask.shape
    filled = np.zeros_like(mask)
    left, right = (max(0, int(v * width)) for v in (box[0], box[2]))
    top, bottom = (max(0, int(v * height)) for v in (box[1], box[3]))
    filled[top : bottom + 1, left : right + 1] = 255
    return filled


def shrunk(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 at (height, width), by Pillow's bilinear filter."""
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def offset(low: int, high: int, length: int, side: int, chance: float) -> int:
    """Where a crop of `side` begins along `length`, by `chance` in 0..1: with all of low..high in it (high
    exclusive), or inside of it if that is longer. `low` = `length` and `high` = 0 leave it free."""
    first, last = max(0, high - side), min(low, length - side)
    if high - low > side:
        first, last = low, high - side
    return first + int(chance * (last - first + 1))


def cropped(
    picture: np.ndarray, mask: np.ndarray, side: int, chances: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """A square of `side` out of a picture and its mask, whose short side becomes `side` first; it shows the hole, or
    anything if there is none. `chances` are two numbers in 0..1, down and across."""
    short = min(mask.shape)
    size = (side * mask.shape[0] // short, side * mask.shape[1] // short)
    picture, mask = shrunk(picture, size), shrunk(mask, size)
    starts = []
    for length, occupied, chance in zip(size, (mask.any(1), mask.any(0)), chances, strict=True):
        spots = np.flatnonzero(occupied)
        low, high = (int(spots[0]), int(spots[-1]) + 1) if len(spots) else (length, 0)
        starts.append(offset(low, high, length, side, chance))
    top, left = starts
    window = (slice(top, top + side), slice(left, left + side))
    return picture[window], mask[window]


class CatData(Dataset[dict[str, Any]]):
    """Samples by number: every draw follows from the seed and its number alone, so a resumed run goes on with those
    it has not seen. `captioned` pictures are drawn with probability `share`; a box's own caption takes the label's
    place with probability `told`, where there is one."""

    def __init__(
        self,
        objects: Sequence[Entry],
        captioned: Sequence[Entry],
        seed: int,
        sizes: Sizes,
        share: float = 0.2,
        told: float = 0.2,
    ) -> None:
        self.objects, self.captioned, self.seed, self.sizes = objects, captioned, seed, sizes
        self.share, self.told = share if captioned else 0.0, told

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Float32 "picture", "vae_picture" (3, S, S), "clip_picture", "clip_truth" (3, s, s) in 0..255, "latent_mask"
        (1, h, w) and "patch_mask" (1, g, g) of 0 and 1, and the "text"."""
        rng = np.random.default_rng((self.seed, number))
        entries = self.captioned if rng.random() < self.share else self.objects
        row = int(rng.integers(len(entries)))
        for offset in range(ATTEMPTS):
            entry = entries[(row + offset) % len(entries)]
            try:
                return self._sample(entry, rng)
            except (BadRequest, BrokenLine) as reason:
                log.warning("Passed over %.100s: %s", entry.image.name, reason)
        raise ValueError(f"No picture near {entry.image} can be read; is the data still there?")

    def _sample(self, entry: Entry, rng: np.random.Generator) -> dict[str, Any]:
        use_box, told, *chances = rng.random(4)
        picture = decode(entry.image, "rgb", entry.image.name)
        mask = np.zeros(picture.shape[:2], np.uint8)
        if entry.mask is not None and entry.box is not None:
            mask = hole(decode(entry.mask, "mask", entry.mask.name), entry.box, use_box < BOX)
            if not mask.any():
                raise BrokenLine("its mask is empty")
        picture, mask = cropped(picture, mask, self.sizes.picture, chances)
        small, small_mask = (resized(x, (self.sizes.clip,) * 2) for x in (picture, mask))
        cells = resized(mask, (self.sizes.picture // FACTOR,) * 2) > 0  # any: the authors sample with one half
        planes = {
            "picture": picture,
            "vae_picture": vae_picture(picture, mask),
            "clip_picture": clip_picture(small, small_mask),
            "clip_truth": small,
        }
        masks = {"latent_mask": cells, "patch_mask": patch_mask(small_mask, self.sizes.patch)}
        return {
            **{name: torch.tensor(plane).permute(2, 0, 1).float() for name, plane in planes.items()},
            **{name: torch.tensor(cells)[None].float() for name, cells in masks.items()},
            "text": _text(entry, told < self.told),
        }

    def loader(self, numbers: Sequence[int], batch: int, workers: int) -> DataLoader[dict[str, Any]]:
        """Batches of the samples `numbers` in order, read ahead by worker processes."""
        return DataLoader(self, batch, sampler=numbers, num_workers=workers, worker_init_fn=_alone, drop_last=True)


def _text(entry: Entry, told: bool) -> str:
    if told and entry.caption is not None and entry.caption.is_file():
        return entry.caption.read_text(encoding="utf-8").strip() or entry.text
    return entry.text


def _alone(worker: int) -> None:
    cv2.setNumThreads(0)  # OpenCV's thread pool does not survive the fork
