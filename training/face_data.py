"""FFHQ-FastComposer on disk: captioned photographs with a segment map, and which words stand for which segments.

A folder with lists of ids, and for each id `<its first five digits>/<id>.jpg`, `.json` (the caption, and segments with
their box, COCO class and where their words end in the caption) and `.npy` (the segment of every pixel). Lines and files
that cannot be used are left out with a line in the log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from models.contract import BadRequest
from models.facediffuser.markers import MARKER
from models.pictures import decode
from training.face_views import REFERENCE, augmented, cut_out, squared

PERSON = "person"
MOST = 4  # subjects of a sample
UNTOLD = 0.1  # of the samples have neither caption nor subjects, for classifier-free guidance
KEPT = 0.9  # of the subjects are told by their picture too, each for itself
ATTEMPTS = 20  # ids in a row that are passed over; more than that is a disk that is gone

log = logging.getLogger(__name__)


class BrokenSample(ValueError):
    """Files of an id that cannot be used; the sentence says why."""


@dataclass(frozen=True)
class Segment:
    """A noun phrase and what it stands for: the number in the map, the box (left, top, right, bottom; right and bottom
    exclusive), the class, and the offset in the caption just after the words."""

    number: int
    box: tuple[int, int, int, int]
    label: str
    end: int


@dataclass(frozen=True)
class Record:
    """The description of a photograph; segments in the order of their words."""

    caption: str
    segments: tuple[Segment, ...]


def read_ids(root: Path, split: str = "train") -> list[str]:
    """The ids of `image_ids_<split>.txt`, or of `image_ids.txt` where `split` is empty; raises `ValueError` if none."""
    path = root / (f"image_ids_{split}.txt" if split else "image_ids.txt")
    found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    good = [name for name in found if name.isalnum()]  # an id is no path
    if len(good) < len(found):
        log.warning("Left out %d lines of %s that are no ids.", len(found) - len(good), path.name)
    if not good:
        raise ValueError(f"{path} holds nothing to train on.")
    return good


def place(root: Path, name: str, suffix: str) -> Path:
    """The file of an id."""
    return root / name[:5] / f"{name}{suffix}"


def read_record(path: Path) -> Record:
    """The description in a JSON file; raises `BrokenSample`.

    Boxes are (left, top, right, bottom), whatever the order of height and width that a comment in the data's own code
    gives them.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        caption, segments = str(held["caption"]), [_segment(entry) for entry in held["segments"]]
        if not all(0 < segment.end <= len(caption) for segment in segments):
            raise BrokenSample("a segment's words are not in its caption")
        return Record(caption, tuple(sorted(segments, key=lambda segment: segment.end)))
    except BrokenSample:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BrokenSample(f"its description cannot be read ({error!r:.80})") from error


def _segment(entry: Any) -> Segment:
    left, top, right, bottom = (int(value) for value in entry["bbox"])
    return Segment(int(entry["id"]), (left, top, right, bottom), str(entry["coco_label"]), int(entry["end"]))


def marked(caption: str, ends: Sequence[int]) -> str:
    """The caption with the marker after each of the words that end at `ends`."""
    for end in sorted(ends, reverse=True):
        caption = f"{caption[:end]} {MARKER}{caption[end:]}"
    return caption


def chosen(segments: Sequence[Segment], rng: np.random.Generator, untold: float, kept: float) -> list[Segment] | None:
    """Which people of a photograph are told by their picture, in the order of their words; None = it has no caption
    either. Of people that share a word only the first can be."""
    if rng.random() < untold:
        return None
    people = list({s.end: s for s in reversed(segments) if s.label == PERSON}.values())[::-1]
    people = [person for person in people if rng.random() < kept]
    if len(people) > MOST:
        people = [people[k] for k in sorted(rng.choice(len(people), MOST, replace=False))]
    return people


class FaceData(Dataset[dict[str, Any]]):
    """Samples by number: every draw follows from the seed and its number alone, so a resumed run goes on with those
    it has not seen."""

    def __init__(
        self, root: Path, ids: Sequence[str], seed: int, side: int = 512, untold: float = UNTOLD, kept: float = KEPT
    ) -> None:
        self.root, self.ids, self.seed, self.side, self.untold, self.kept = root, ids, seed, side, untold, kept

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Float32 "picture" (3, S, S) in -1..1, "references" (4, 3, 224, 224) in 0..1 and "masks" (4, S, S) of 0 and
        1, zeros beyond the number of "subjects", and the marked "caption"."""
        rng = np.random.default_rng((self.seed, number))
        row = int(rng.integers(len(self.ids)))
        for offset in range(ATTEMPTS):
            name = self.ids[(row + offset) % len(self.ids)]
            try:
                return self._sample(name, rng)
            except (BadRequest, BrokenSample) as reason:
                log.warning("Passed over %.20s: %s", name, reason)
        raise ValueError(f"No photograph near {self.ids[row]} can be read; is the data still there?")

    def _sample(self, name: str, rng: np.random.Generator) -> dict[str, Any]:
        record = read_record(place(self.root, name, ".json"))
        picture = decode(place(self.root, name, ".jpg"), "rgb", f"{name}.jpg")
        numbers = _segment_map(place(self.root, name, ".npy"), picture.shape[:2])
        people = chosen(record.segments, rng, self.untold, self.kept)
        caption = "" if people is None else marked(record.caption, [person.end for person in people])
        people = people or []
        segments = [numbers == person.number for person in people]
        references = torch.zeros(MOST, 3, REFERENCE, REFERENCE)
        for k, (person, segment) in enumerate(zip(people, segments, strict=True)):
            reference = cut_out(picture, segment, _within(person.box, picture.shape), rng)
            references[k] = _planes(augmented(reference, rng)) / 255
        masks = np.stack(segments) if segments else np.zeros((0, *picture.shape[:2]), bool)
        square, shown = squared(picture, masks, self.side, bool(rng.random() < 0.5))
        padded = torch.zeros(MOST, self.side, self.side)
        padded[: len(people)] = torch.tensor(shown.copy()).float()
        return {
            "picture": _planes(square) / 127.5 - 1,
            "references": references,
            "masks": padded,
            "subjects": len(people),
            "caption": caption,
        }

    def loader(self, numbers: Sequence[int], batch: int, workers: int) -> DataLoader[dict[str, Any]]:
        """Batches of the samples `numbers` in order, read ahead by worker processes."""
        return DataLoader(self, batch, sampler=numbers, num_workers=workers, worker_init_fn=_alone, drop_last=True)


def _segment_map(path: Path, size: tuple[int, ...]) -> np.ndarray:
    try:
        numbers: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BrokenSample(f"its segment map cannot be read ({error!r:.80})") from error
    if numbers.shape != tuple(size):
        raise BrokenSample(f"its segment map is {numbers.shape}, the picture {tuple(size)}")
    return numbers


def _within(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    left, top, right, bottom = max(0, box[0]), max(0, box[1]), min(box[2], shape[1]), min(box[3], shape[0])
    if left >= right or top >= bottom:
        raise BrokenSample(f"the box {box} of a person is empty")
    return left, top, right, bottom


def _planes(picture: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(picture)).permute(2, 0, 1).float()


def _alone(worker: int) -> None:
    cv2.setNumThreads(0)  # OpenCV's thread pool does not survive the fork
