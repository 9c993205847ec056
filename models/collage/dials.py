"""How strongly a layer is held: its dials, the authors' rule for setting them, and settings they published. Plain.

The paper has weights for attention and a noise level per layer; the web app adds the strength of edges (Canny).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from models.contract import BadRequest, Placed
from models.pixels import alpha_box

MOST = 2.0  # of the attention weights: published ones stay below 1, and more than this leaves one word only
POSITIVE, NEGATIVE = 0.6, 0.9  # attention weights of a layer that is fully held: what `auto` gives the smallest one


@dataclass(frozen=True)
class Dials:
    """One layer's settings.

    positive, negative: how much its words gain where it is seen and lose elsewhere, in units of their largest logit
        (w+ and w- of section 2.2 of the method), 0 to 2.
    noise: the noise level, 0 to 1, down to which its place is held to the collage; 0 = kept, 1 = made anew.
    canny: the strength of its edges where the models have a ControlNet, 0 to 1.

    Raises `BadRequest` for other values.
    """

    positive: float = 0.2
    negative: float = 0.5
    noise: float = 0.8
    canny: float = 0.0

    def __post_init__(self) -> None:
        for name, high in (("positive", MOST), ("negative", MOST), ("noise", 1.0), ("canny", 1.0)):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= high):
                raise BadRequest(f"A layer's “{name}” must lie between 0 and {high:g}; it was {str(value)[:40]}.")

    @classmethod
    def plain(cls, stay: float, look: float, freedom: float) -> Dials:
        """From three dials with plain names, each 0 to 1: stay in place, keep the look, freedom to change."""
        return cls(POSITIVE * stay, NEGATIVE * stay, freedom, look)


NEW = Dials(0.0, 1.0, 0.8, 0.0)  # a new layer in the authors' web app
PRESETS: Mapping[str, Dials] = {  # two in the middle of what the authors' examples use, and one at the end of each way
    "backdrop": Dials(0.2, 0.25, 0.85, 0.25),
    "object": Dials(0.5, 0.5, 0.5, 0.5),
    "keep": Dials(0.5, 0.5, 0.2, 0.8),
    "reinvent": Dials(0.2, 0.5, 0.9, 0.0),
}
TOY_BOX: Mapping[str, Dials] = {  # the authors' notebook: strength 0.8, blur 20, guidance 7.5, negative "collage"
    "background": Dials(0.0, 0.5, 0.8),
    "american football": Dials(0.5, 0.5, 0.2),
    "teddy bear": Dials(0.2, 0.5, 0.8),
    "wood train": Dials(0.2, 0.5, 0.5),
}


def auto(extent: float, topmost: bool = False) -> Dials:
    """The authors' rule: small layers are held more than large ones, and the top one keeps most of its look.

    extent: the layer's longer side as a fraction of the canvas, see `extent`; clipped to 0..1.
    """
    small = 1 - min(max(extent, 0.0), 1.0)
    return Dials(0.2 + 0.4 * small, 0.9 - 0.5 * (1 - small), 0.4 if topmost else 0.7 - 0.2 * small, 0.3 + 0.6 * small)


def extent(placed: Placed, size: tuple[int, int]) -> float:
    """The larger of the unrotated width and height of a placed object, each as a fraction of the canvas's own."""
    box = alpha_box(placed.image[..., 3])
    if box is None:
        return 0.0
    left, top, right, bottom = box
    height, width = size
    return max(placed.scale, placed.scale * (bottom - top) / (right - left) * width / height)
