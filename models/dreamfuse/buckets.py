"""Formats that the network works in, and how a foreground is fitted to its background's canvas. Plain."""

from __future__ import annotations

Size = tuple[int, int]  # width, height, as in the paper's lists: not the order of `pixels.Size`

_512 = (
    (256, 768),
    (320, 768),
    (320, 704),
    (384, 640),
    (448, 576),
    (512, 512),
    (576, 448),
    (640, 384),
    (704, 320),
    (768, 320),
    (768, 256),
)
_256 = ((256, 256), (192, 320), (320, 192), (224, 288), (288, 224))


def _times(sizes: tuple[Size, ...], factor: float) -> tuple[Size, ...]:
    return tuple((int(w * factor), int(h * factor)) for w, h in sizes)


BUCKETS: dict[int, tuple[Size, ...]] = {
    128: _times(_256, 0.5),  # ours, for the pocket weights, as is 256
    256: _256,
    512: _512,
    768: _times(_512, 1.5),
    1024: _times(_512, 2),
}


def choose_bucket(width: int, height: int, resolution: int) -> Size:
    """The (width, height) whose aspect ratio is nearest to the background's; the first wins a tie."""
    return min(BUCKETS[resolution], key=lambda bucket: abs(bucket[0] / bucket[1] - width / height))


def fit(foreground: Size, background: Size) -> tuple[Size, tuple[int, int, int, int]]:
    """How the foreground stands on the background's canvas: its new size and the padding around it.

    Shrunk to fit with truncated sides, never enlarged, centred; an odd pixel goes right or to the bottom.
    Sizes are (width, height), padding is (left, top, right, bottom), all in background pixels.
    """
    (width, height), (canvas_width, canvas_height) = foreground, background
    factor = min(1.0, canvas_width / width, canvas_height / height)
    if factor < 1:
        width, height = max(1, int(width * factor)), max(1, int(height * factor))
    across, down = canvas_width - width, canvas_height - height
    return (width, height), (across // 2, down // 2, (across + 1) // 2, (down + 1) // 2)
