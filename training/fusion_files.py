"""The published fusion data set on disk: samples listed in JSON beside picture files, read as the network sees them.

A sample's record holds `sorted_keys`, three keys for foreground, background and fused picture ("000", "001", "002");
`img_info` and `caption_info` by these keys; and `img_mask_info` with the object's mask in the foreground ("000") and
at its place in the background ("000_mask_scale"). Paths are relative to the data root. `height` and `width` are not
read: they can disagree with the files. What cannot be used is left out with one line in the log, and counted.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.contract import BadRequest
from models.dreamfuse.buckets import BUCKETS, Size
from models.dreamfuse.placement import Affine, from_masks
from models.pictures import FORMATS, decode
from models.pixels import flatten, resize

FARTHEST = 0.3  # a sample whose height over width is this far from every bucket's is dropped
SAME_FRAME = 0.01  # relative difference in aspect up to which two files show the same frame
SOLID = 128  # of a mask's 0..255: what counts as object for its box
ORIENTATION, SIDEWAYS = 0x0112, 5  # EXIF: orientations from 5 on exchange width and height

log = logging.getLogger(__name__)


class BrokenSample(ValueError):
    """A sample that cannot be used; the sentence says why."""


@dataclass(frozen=True)
class Entry:
    """One sample: files that exist inside the data root, and the caption of the fused picture."""

    name: str
    foreground: str
    background: str
    fused: str
    mask: str
    placed: str
    caption: str


@dataclass(frozen=True, eq=False)
class Fusion:
    """Network inputs and answer at bucket size, uint8 HxWx3 (the foreground whitened), and the placement."""

    foreground: np.ndarray
    background: np.ndarray
    fused: np.ndarray
    affine: Affine


class FusionFiles:
    """All usable samples by bucket (width, height); `broken` says what was left out and why, `dropped` counts
    those of an aspect that no bucket has.

    `meta` is a JSON file or a folder of them, each a list or a dict of samples; by default the JSON files in `root`.
    Raises `ValueError` for a JSON file that cannot be read and when no sample is left.
    """

    def __init__(self, root: Path, meta: Path | None = None, resolutions: tuple[int, ...] = (512,)) -> None:
        self.root = root.resolve(strict=True)
        self.resolutions = resolutions
        self.buckets: dict[Size, list[Entry]] = {}
        self.broken: dict[str, str] = {}
        self.dropped = 0
        for name, record in records(meta or root):
            try:
                self._add(parsed(name, record, self.root))
            except BrokenSample as reason:
                self.leave_out(name, str(reason))
        log.info("%s: %s", self.root, self.summary())
        if not self.buckets:
            raise ValueError(f"There is nothing to train on in {self.root}: {self.summary()}.")

    def _add(self, entry: Entry) -> None:
        buckets = nearest_buckets(*upright_size(entry.background), self.resolutions)
        for bucket in buckets:
            self.buckets.setdefault(bucket, []).append(entry)
        self.dropped += not buckets

    def leave_out(self, name: str, reason: str) -> None:
        """Count a broken sample and say so, once."""
        if name not in self.broken:
            self.broken[name] = reason
            log.warning("Left out %.100r: %s", name, reason)

    def summary(self) -> str:
        """Counts in words."""
        found = sum(map(len, self.buckets.values()))
        return f"{found} samples in {len(self.buckets)} buckets, {len(self.broken)} broken, {self.dropped} too long"


def records(meta: Path) -> Iterator[tuple[str, Any]]:
    """Name and record of every sample of a JSON file, or of the JSON files in a folder."""
    for file in sorted(meta.glob("*.json")) if meta.is_dir() else [meta]:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{file} is not readable JSON ({error!s:.100}).") from error
        if not isinstance(content, dict | list):
            raise ValueError(f"{file} is neither a list nor a dict of samples.")
        items = content.items() if isinstance(content, dict) else enumerate(content)
        yield from ((f"{file.name}:{key}", record) for key, record in items)


def parsed(name: str, record: Any, root: Path) -> Entry:
    """The files of one record; raises `BrokenSample` for what is missing or lies outside `root` (resolved)."""
    try:
        foreground, background, fused = record["sorted_keys"]
        pictures, masks = record["img_info"], record["img_mask_info"]
        paths = [pictures[key] for key in (foreground, background, fused)]
        paths += [masks[foreground], masks[f"{foreground}_mask_scale"]]
        caption = record.get("caption_info", {}).get(fused, "")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BrokenSample(f"its record is not complete ({error!r:.80})") from error
    if not isinstance(caption, str):
        raise BrokenSample("its caption is not text")
    inside = [_inside(root, path) for path in paths]
    return Entry(name, inside[0], inside[1], inside[2], inside[3], inside[4], caption)


def _inside(root: Path, path: Any) -> str:
    if not isinstance(path, str):
        raise BrokenSample(f"{path!r:.80} is not a path")
    try:
        found = (root / path).resolve()
        if not found.is_relative_to(root):  # also through a link or as an absolute path
            raise BrokenSample(f"{path!r:.80} leads out of the data root")
        if not found.is_file():
            raise BrokenSample(f"there is no file {path!r:.80}")
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, names that no system takes
        raise error if isinstance(error, BrokenSample) else BrokenSample(f"{path!r:.80} is not a path") from error
    return str(found)


def nearest_buckets(width: int, height: int, resolutions: tuple[int, ...]) -> tuple[Size, ...]:
    """Per resolution the bucket (width, height) that is nearest in height over width; none at `FARTHEST` or more."""

    def distance(bucket: Size) -> float:
        return abs(bucket[1] / bucket[0] - height / width)

    nearest = (min(BUCKETS[resolution], key=distance) for resolution in resolutions)
    return tuple(bucket for bucket in nearest if distance(bucket) < FARTHEST)


def upright_size(path: str) -> Size:
    """Width and height as a person sees the picture, from the file's header alone."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            width, height = picture.size
            # Without this question Pillow decodes a whole PNG to look for EXIF behind its pixels.
            turned = "exif" in picture.info and picture.getexif().get(ORIENTATION, 1) >= SIDEWAYS
    except Exception as error:  # headers hold hostile bytes too
        raise BrokenSample(f"“{Path(path).name}” is not a picture that can be read") from error
    return (height, width) if turned else (width, height)


def read(entry: Entry, bucket: Size) -> Fusion:
    """Decode, whiten and stretch one sample to a bucket (width, height); raises `BrokenSample`.

    The placement comes from the two masks' boxes at bucket size. An empty mask, which the authors take for the
    identity, is a fault here: it would teach that a place means nothing.
    """
    try:
        paths = (entry.foreground, entry.background, entry.fused)
        foreground, background, fused = (decode(path, "rgb", Path(path).name) for path in paths)
        mask, placed = (decode(path, "mask", Path(path).name) for path in (entry.mask, entry.placed))
    except BadRequest as reason:
        raise BrokenSample(str(reason)) from reason
    for name, part, whole in (
        ("the mask", mask, foreground),
        ("the placed mask", placed, background),
        ("the fused picture", fused, background),
    ):
        if abs(_aspect(part) / _aspect(whole) - 1) > SAME_FRAME:
            raise BrokenSample(f"{name} has {part.shape[:2]} rows and columns, its picture {whole.shape[:2]}")
    size = (bucket[1], bucket[0])
    own, there = resize(mask, size), resize(placed, size)
    if own.max() < SOLID or there.max() < SOLID:
        raise BrokenSample("a mask is empty, or its object vanishes at this size")
    white = flatten(np.dstack([foreground, resize(mask, foreground.shape[:2])]))
    placement = from_masks(there, own, SOLID)
    return Fusion(resize(white, size), resize(background, size), resize(fused, size), placement)


def _aspect(picture: np.ndarray) -> float:
    height, width = picture.shape[:2]
    return float(height / width)
