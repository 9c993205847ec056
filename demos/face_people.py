"""Pictures of people as a visitor brings them: files in this server's memory, in no folder and no history.

A visitor's `People` are changed in place, so that two pictures that arrive at once do not lose one another.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from demos.widgets import data_uri
from models import pictures
from models.contract import BadRequest
from models.facediffuser import references
from models.facediffuser.markers import MOST
from models.recipe import picture_sha256

MOST_BYTES = 32 * 2**20  # of a file: a phone's largest photograph several times over
MOST_KEPT = 4 * MOST  # pictures of a visitor; the oldest goes first
SMALL = 64  # pixels of a thumbnail beside the prompt
NO_DETECTOR = "This OpenCV has no face detector"


@dataclass(frozen=True)
class Person:
    """A file as it came, the sha256 of its pixels, and the square that the encoder sees as two JPEG addresses."""

    data: bytes
    name: str
    sha256: str
    square: str
    small: str
    said: str  # what was found in it, "" if nothing is worth saying


People = dict[str, Person]  # by the ids of the cards


def file_of(address: object, name: str) -> bytes:
    """The bytes of a file that a browser sent as a data address; raises `BadRequest`."""
    too_large = f"“{name}” is larger than {MOST_BYTES // 2**20} MB; please make it smaller."
    if not isinstance(address, str) or not address.startswith("data:"):
        raise BadRequest(f"“{name}” did not arrive; please choose it again.")
    _, _, encoded = address.partition(",")
    if len(encoded) > 4 * (MOST_BYTES // 3 + 1):
        raise BadRequest(too_large)
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(f"“{name}” arrived damaged; please choose it again.") from None


def person(data: bytes, name: str, resolution: int = references.RESOLUTION, crop: bool = False) -> Person:
    """A person out of a file; raises `BadRequest` for one that is no picture."""
    picture = _decoded(data, name)
    seen, said = _found(picture, crop)
    square = references.encoder_input([seen], resolution)[0].transpose(1, 2, 0)
    shown = np.rint(255 * square).astype(np.uint8)
    small = references.square(shown, SMALL)
    return Person(data, name, picture_sha256(picture), data_uri(shown), data_uri(small), said)


def kept(people: People, added: Person) -> str:
    """Keep a person in place; returns the new id."""
    id = uuid.uuid4().hex[:8]
    people[id] = added
    while len(people) > MOST_KEPT:
        del people[next(iter(people))]
    return id


def references_of(people: People, ids: Sequence[str]) -> tuple[np.ndarray, ...]:
    """The pictures of these cards in their order, uint8 HxWx3; raises `BadRequest` if one is no longer kept."""
    if any(id not in people for id in ids):
        raise BadRequest("A picture is no longer in memory, as the page was left for long; please add it again.")
    return tuple(_decoded(people[id].data, people[id].name) for id in ids)


def has_detector() -> bool:
    """Whether faces can be looked for on this machine."""
    return hasattr(cv2, "CascadeClassifier") and references.CASCADE.is_file()


def _decoded(data: bytes, name: str) -> np.ndarray:
    """As endpoints and the command line read it, so that a recipe's hashes are the same."""
    return references.opened([data], lambda file: pictures.decode(file, "rgba", name))[0]


def _found(picture: np.ndarray, crop: bool) -> tuple[np.ndarray, str]:
    """The part of a picture that is used, and what to say of it."""
    faces = references.find_faces(picture)
    said = []
    if references.too_small(picture):
        said.append(f"Under {references.SMALL} pixels: hardly to be recognised.")
    if faces is None:
        said += [f"{NO_DETECTOR}: used whole."] * crop
        return picture, " ".join(said)
    if not faces:
        said.append("No face was found: used whole." if crop else "No face was found.")
    elif len(faces) > 1:
        said.append(f"{len(faces)} faces: {'the largest is used' if crop else 'one a picture is best'}.")
    elif crop:
        said.append("Cropped to the face.")
    if crop and faces:
        left, top, right, bottom = references.head_and_shoulders(faces[0], (picture.shape[0], picture.shape[1]))
        picture = np.ascontiguousarray(picture[top:bottom, left:right])
    return picture, " ".join(said)
