"""From latents to the picture a person gets: decoding, and ours: detail of what is held, pixels that are kept."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from models import pixels
from models.collage.conditions import Parts, decode_picture
from models.collage.planning import Course
from models.collage.spec import CollageRequest
from models.finishing import Finished, keeps_detail


def finish(parts: Parts, request: CollageRequest, course: Course, round_trip: np.ndarray, found: Tensor) -> Finished:
    """Latents (1, C, h, w) as a picture of the canvas's size.

    round_trip: uint8, what the autoencoder makes of the run's start at working size; detail that it lost comes back
    as far as a place was held, so that nothing of a layer shines through where it was made anew.
    """
    decoded = decode_picture(parts, found)
    size = course.base.shape[:2]
    picture = pixels.resize(decoded, size)
    if keeps_detail(parts.preset, request.keep_detail):
        picture = with_detail(course, round_trip, decoded)
    if course.edit is None:
        return Finished(picture, 0, 0)
    if request.lock:
        picture = course.edit.finish(picture)
    kept = int(np.count_nonzero(course.edit.lock == 0))
    return Finished(picture, kept, pixels.changed_pixels(course.edit.previous, picture, course.edit.lock))


def with_detail(course: Course, round_trip: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """up(decoded) + (1 - level) (base - up(round trip)): held places are exact, free ones are the result alone."""
    size = course.base.shape[:2]
    lost = course.base.astype(np.float32) - pixels.resize(round_trip.astype(np.float32), size)
    held = 1 - course.levels[..., None]
    return pixels.to_bytes(pixels.resize(decoded.astype(np.float32), size) + held * lost)
