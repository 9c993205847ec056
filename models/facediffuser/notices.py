"""What may disappoint, in sentences, and the pictures that the image encoder is shown. Plain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.facediffuser.references import SMALL, Box, find_faces, head_and_shoulders, too_small

WELL = 2  # people that the published models tell apart well


@dataclass(frozen=True, eq=False)
class Shown:
    """The pictures for the encoder, cropped where that was asked for and possible, and what to warn of."""

    pictures: tuple[np.ndarray, ...]
    warnings: tuple[str, ...]


def shown(pictures: Sequence[np.ndarray], crop: bool, drawn: bool = False) -> Shown:
    """Look for faces in uint8 HxWx3 pictures; a picture without one is shown whole, and said so.

    drawn: the weights know drawings, so that a missing face is worth a word only where one was to be cropped to.
    """
    made, warnings = [], []
    for number, picture in enumerate(pictures, 1):
        faces = find_faces(picture)
        warnings += _of_size(picture, number)
        if crop or not drawn:
            warnings += _of_faces(faces, number, crop)
        if crop and faces:
            left, top, right, bottom = head_and_shoulders(faces[0], (picture.shape[0], picture.shape[1]))
            picture = np.ascontiguousarray(picture[top:bottom, left:right])
        made.append(picture)
    if len(pictures) > WELL:
        warnings.append(f"With {len(pictures)} people some may blend; {WELL} are told apart best.")
    return Shown(tuple(made), tuple(dict.fromkeys(warnings)))


def cut(dropped: str) -> list[str]:
    """A sentence about the end of a prompt that was not read."""
    return [f"The prompt is too long; “{dropped}” was not read."] if dropped else []


def _of_size(picture: np.ndarray, number: int) -> list[str]:
    if not too_small(picture):
        return []
    height, width = picture.shape[:2]
    return [f"Reference {number} is {width}x{height} pixels; under {SMALL} it says little about a face."]


def _of_faces(faces: tuple[Box, ...] | None, number: int, crop: bool) -> list[str]:
    if faces is None:
        return ["This OpenCV has no face detector, so the pictures were used whole."] if crop else []
    if not faces:
        return [f"No face was found in reference {number}; it was used whole."]
    if len(faces) > 1:
        taken = "the largest was taken" if crop else "one person a picture works best"
        return [f"{len(faces)} faces were found in reference {number}; {taken}."]
    return []
