"""At which size a picture is worked on. Plain."""

from __future__ import annotations

import math

from models.pixels import Size


def near_square(shape: Size, side: float, multiple: int, longest: float = 3.0) -> Size:
    """(height, width) as multiples, of about side x side pixels and of the given shape, which is brought to
    `longest` : 1 where it is beyond."""
    root = math.sqrt(min(max(shape[0] / shape[1], 1 / longest), longest))
    height, width = (max(multiple, round(length / multiple) * multiple) for length in (side * root, side / root))
    return height, width
