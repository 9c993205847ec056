"""At which size a picture is edited. Plain.

Sides are multiples of 32: the autoencoder takes 8, patches 2, and merging within 2 x 2 tokens 2 more.
"""

from __future__ import annotations

from models.contract import BadRequest
from models.pixels import Size
from models.sizes import near_square

MULTIPLE = 32
SIZES = ("auto", "128", "256", "512", "1024", "1024x2048", "nearest trained bucket")
BUCKET, WIDE = SIZES[-1], SIZES[-2]  # twice as many tokens as PixArt was trained on: the paper's largest


def working_size(picture: Size, resolution: str, preset_size: int) -> Size:
    """(height, width) near the picture's own shape, with about as many pixels as the resolution's square has.

    Raises nothing: shapes beyond 4 : 1 are brought to it. "1024x2048" lies along the picture's longer side.
    """
    height, width = picture
    if resolution == BUCKET and preset_size >= 256:
        return _bucket(picture, preset_size)
    if resolution == WIDE:
        return (1024, 2048) if width >= height else (2048, 1024)
    side = int(resolution) if resolution.isdecimal() else preset_size
    return near_square(picture, side, MULTIPLE, longest=4.0)


def refuse_off_grid(width: int, height: int) -> None:
    """Raise `BadRequest` for a working size in pixels that cannot be; 0 and 0 are none."""
    for name, length in (("width", width), ("height", height)):
        if length % MULTIPLE:
            lower = length // MULTIPLE * MULTIPLE
            fix = f"{lower} or {lower + MULTIPLE}" if lower else MULTIPLE
            raise BadRequest(f"The {name} of {length} is no multiple of {MULTIPLE}; please use {fix}.")
    if bool(width) != bool(height):
        raise BadRequest("Please give both a width and a height, or 0 for both.")


def _bucket(picture: Size, preset_size: int) -> Size:
    """The bucket of PixArt's own table whose shape is nearest."""
    from diffusers.pipelines.pixart_alpha.pipeline_pixart_alpha import (
        ASPECT_RATIO_256_BIN,
        ASPECT_RATIO_512_BIN,
        ASPECT_RATIO_1024_BIN,
    )

    table = {256: ASPECT_RATIO_256_BIN, 512: ASPECT_RATIO_512_BIN}.get(preset_size, ASPECT_RATIO_1024_BIN)
    nearest = min(table, key=lambda ratio: abs(float(ratio) - picture[0] / picture[1]))
    height, width = table[nearest]
    return int(height), int(width)
