"""Words above a picture, on the sheets that results come with. Plain."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK, PAPER = (38, 38, 48), (250, 250, 252)


def line(text: str, width: int, height: int, letters: int) -> np.ndarray:
    """One line of text as uint8 (height, width, 3), its `letters` so many pixels tall; what is longer is cut off."""
    image = Image.new("RGB", (width, height), PAPER)
    ImageDraw.Draw(image).text((2, (height - letters) // 3), text, INK, ImageFont.load_default(letters))
    return np.asarray(image)
