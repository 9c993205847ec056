"""Pictures of people as the image encoder sees them: whole, squared with black bars, shrunk in two steps. Plain.

As released: no crop, no face detection, no background removal, and never CLIP's own centre crop or bicubic filter.
`crop_to_face` is ours and off unless asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image

from models.contract import BadRequest
from models.loading import ROOT

RESOLUTION = 512  # of the uint8 square in between: the released demo's, 256 in its test script
ENCODER_SIDE = 224
CASCADE = ROOT / "assets" / "faces" / "haarcascade_frontalface_alt2.xml"
SMALL = 128  # a picture with a shorter side than this says little about a face
# A head and shoulders around the box of a face, in widths of that box: to each side, above and below its centre.
BESIDE, ABOVE, BELOW = 1.0, 1.0, 1.3

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom are exclusive


def over_black(picture: np.ndarray) -> np.ndarray:
    """A uint8 RGBA picture as RGB, where nothing is as black as the bars around it."""
    opaque = picture[..., 3:].astype(np.uint16)
    return ((picture[..., :3] * opaque + 127) // 255).astype(np.uint8)


def opened(files: Any, read: Callable[[Any], np.ndarray]) -> tuple[np.ndarray, ...]:
    """The RGB pictures of a list of files, each read as RGBA by `read`; raises `BadRequest`."""
    if not isinstance(files, list | tuple):
        raise BadRequest("“References” must be a list of pictures, one for each person.")
    return tuple(over_black(read(file)) for file in files)


def padded(picture: np.ndarray) -> np.ndarray:
    """A uint8 HxWx3 picture between black bars, square but for one pixel where the sides differ by an odd number."""
    height, width = picture.shape[:2]
    bar = abs(height - width) // 2
    bars = ((bar, bar), (0, 0)) if width > height else ((0, 0), (bar, bar))
    return np.pad(picture, (*bars, (0, 0)))


def square(picture: np.ndarray, resolution: int = RESOLUTION) -> np.ndarray:
    """The uint8 RxRx3 square of a uint8 HxWx3 picture: what the page shows and the encoder starts from.

    The antialiased bilinear filter, rounded; a pixel that is missing to a square is stretched over.
    """
    return np.asarray(Image.fromarray(padded(picture)).resize((resolution, resolution), Image.Resampling.BILINEAR))


def encoder_input(pictures: Sequence[np.ndarray], resolution: int = RESOLUTION, side: int = ENCODER_SIDE) -> np.ndarray:
    """float32 (K, 3, side, side) in 0..1, RGB, in the order of the pictures; the encoder normalises.

    side: the encoder's. The second step of shrinking is not rounded, and left out where it changes no size.
    """
    return np.stack([_resized(square(picture, resolution), side) for picture in pictures])


def _resized(small: np.ndarray, side: int) -> np.ndarray:
    floats = np.ascontiguousarray(small.transpose(2, 0, 1), dtype=np.float32) / 255
    if small.shape[0] == side:
        return floats
    channels = [Image.fromarray(c).resize((side, side), Image.Resampling.BILINEAR) for c in floats]
    return np.stack([np.asarray(channel) for channel in channels])


def too_small(picture: np.ndarray) -> bool:
    """Whether to warn that the person will hardly be recognised."""
    height, width = picture.shape[:2]
    return bool(min(height, width) < SMALL)


def find_faces(picture: np.ndarray) -> tuple[Box, ...] | None:
    """Upright faces in a uint8 HxWx3 picture by OpenCV's cascade, the largest first.

    None where this OpenCV has no cascades, which from its version 5 on only its contrib package has.
    """
    detector = _detector()
    if detector is None:
        return None
    grey = cv2.equalizeHist(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
    side = max(16, min(grey.shape) // 10)
    found = detector.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(side, side))
    boxes = [(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h in found]
    return tuple(sorted(boxes, key=lambda box: box[0] - box[2]))


def crop_to_face(picture: np.ndarray) -> np.ndarray | None:
    """Head and shoulders around the largest face of a uint8 HxWx3 picture; None where no face is found."""
    found = find_faces(picture)
    if not found:
        return None
    left, top, right, bottom = head_and_shoulders(found[0], (picture.shape[0], picture.shape[1]))
    return np.ascontiguousarray(picture[top:bottom, left:right])


def head_and_shoulders(face: Box, size: tuple[int, int]) -> Box:
    """The part of a picture of (height, width) `size` around a face that a portrait would show."""
    width = face[2] - face[0]
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    left, right = round(x - BESIDE * width), round(x + BESIDE * width)
    top, bottom = round(y - ABOVE * width), round(y + BELOW * width)
    return max(left, 0), max(top, 0), min(right, size[1]), min(bottom, size[0])


def _detector() -> Any:
    """OpenCV's cascade for frontal faces, or None: OpenCV 5 has the class in its contrib package only."""
    if not hasattr(cv2, "CascadeClassifier") or not CASCADE.is_file():
        return None
    made = cv2.CascadeClassifier(str(CASCADE))
    return None if made.empty() else made
