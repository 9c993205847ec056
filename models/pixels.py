"""Picture arithmetic in numpy and OpenCV: sizes, placement, compositing, and keeping the pixels that are kept.

Pictures are uint8 RGB HxWx3 or RGBA HxWx4 with straight alpha, masks uint8 HxW; sizes are (height, width).
Coordinates are continuous: pixel i covers [i, i + 1), so a box's edges map onto edges.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from models.regions import drop_small, feather_inward, fill_holes, grow

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom are exclusive
Size = tuple[int, int]  # height, width


def alpha_box(alpha: np.ndarray, threshold: int = 128) -> Box | None:
    """The tight box of the pixels >= `threshold`, of those >= 1 if none reaches it, None if all are 0.

    One faint speck left by a matting model would blow up a box taken at 1.
    """
    for level in (threshold, 1):
        solid = alpha >= level
        if solid.any():
            rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
            return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    return None


def flatten(rgba: np.ndarray, colour: int | tuple[int, int, int] = 255) -> np.ndarray:
    """RGBA over a plain colour (white: "whiten"), rounded: rgb * a + colour * (1 - a)."""
    alpha = rgba[..., 3:].astype(np.int32)
    mixed = rgba[..., :3] * alpha + np.asarray(colour, np.int32) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def to_bytes(picture: np.ndarray) -> np.ndarray:
    """Float values in 0..255 as uint8, rounded and clipped."""
    rounded: np.ndarray = np.clip(np.rint(picture), 0, 255)
    return rounded.astype(np.uint8)


# --- sizes ------------------------------------------------------------------------------------------------


def fit_within(size: Size, limit: int) -> Size:
    """The size shrunk so that its longer side is at most `limit`; never enlarged, never below 1."""
    height, width = size
    factor = min(1.0, limit / max(size))
    return max(1, round(height * factor)), max(1, round(width * factor))


def resize(image: np.ndarray, size: Size) -> np.ndarray:
    """Area-average each axis that shrinks, then bicubic for each that grows; dtype and channels are kept.

    RGBA is resized premultiplied, so colours hidden under alpha 0 do not bleed out.
    """
    if image.shape[:2] == size:
        return image.copy()
    if image.ndim == 3 and image.shape[2] == 4:
        return _straight(_in_range(_resized(_premultiplied(image), size)))
    return _resized(image, size)


def _resized(image: np.ndarray, size: Size) -> np.ndarray:
    (height, width), (rows, columns) = image.shape[:2], size
    out: np.ndarray = image
    smaller = min(height, rows), min(width, columns)
    if smaller != (height, width):
        out = cv2.resize(out, smaller[::-1], interpolation=cv2.INTER_AREA)
    if smaller != size:
        out = cv2.resize(out, size[::-1], interpolation=cv2.INTER_CUBIC)
    return out


def _premultiplied(rgba: np.ndarray) -> np.ndarray:
    floats = rgba.astype(np.float32) / 255
    floats[..., :3] *= floats[..., 3:]
    return floats


def _straight(premultiplied: np.ndarray) -> np.ndarray:
    alpha = premultiplied[..., 3:]
    colour = premultiplied[..., :3] / np.maximum(alpha, 1e-6)
    return to_bytes(255 * np.concatenate([np.where(alpha > 0, colour, 0), alpha], axis=2))


# --- placement --------------------------------------------------------------------------------------------


def placement_matrix(
    box: Box, background_size: Size, x: float, y: float, scale: float, angle: float = 0.0, flip: bool = False
) -> np.ndarray:
    """The 2x3 float64 map from foreground to background coordinates that puts an object's alpha box in place.

    x, y = the box's centre as fractions of the background's width and height; scale = the box's unrotated
    width over the background's width; angle in degrees clockwise on screen; flip mirrors left-right first.
    """
    left, top, right, bottom = box
    height, width = background_size
    factor = scale * width / (right - left)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    linear = factor * np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if flip else 1.0, 1.0])
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    return np.column_stack([linear, np.array([x * width, y * height]) - linear @ centre])


def warp(foreground: np.ndarray, size: Size, matrix: np.ndarray) -> np.ndarray:
    """RGBA foreground drawn on a transparent canvas of `size` through a 2x3 matrix; antialiased, straight alpha."""
    return _straight(_warp(foreground, size, matrix))


def paste(background: np.ndarray, foreground: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The raw paste, baseline of every fusion: RGB with the placed object over it, and its soft mask."""
    layer = _warp(foreground, background.shape[:2], matrix)
    alpha = layer[..., 3:]
    mixed = 255 * layer[..., :3] + background * (1 - alpha)
    return to_bytes(mixed), to_bytes(255 * alpha[..., 0])


def _warp(foreground: np.ndarray, size: Size, matrix: np.ndarray) -> np.ndarray:
    """Float32 premultiplied RGBA in 0..1 on a canvas of `size`."""
    canvas = np.zeros((*size, 4), np.float32)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:, :2])) < 1e-9:
        return canvas
    height, width = foreground.shape[:2]
    corners = matrix @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    low = np.clip(np.floor(corners.min(axis=1)) - 2, 0, size[::-1]).astype(int)
    high = np.clip(np.ceil(corners.max(axis=1)) + 2, 0, size[::-1]).astype(int)
    if (high > low).all():
        moved = matrix - np.column_stack([np.zeros((2, 2)), low])
        region = (int(high[1] - low[1]), int(high[0] - low[0]))
        canvas[low[1] : high[1], low[0] : high[0]] = _sample(_premultiplied(foreground), region, moved)
    return canvas


def _sample(source: np.ndarray, size: Size, matrix: np.ndarray) -> np.ndarray:
    """Premultiplied floats through the matrix: each pixel is the mean over its own area of the source."""
    shrink = 1 / float(np.linalg.svd(matrix[:, :2], compute_uv=False).min())  # source pixels per pixel
    # Whole blocks first (cheap), then up to 4x4 samples a pixel: the blocks' own blur stays under a quarter.
    block = max(1, math.floor(shrink / 4))
    fine = max(1, math.ceil(shrink / block - 1e-6))
    if block > 1:
        height, width = source.shape[:2]
        source = np.pad(source, ((0, -height % block), (0, -width % block), (0, 0)))
        source = resize_blocks(source, block)
    full = np.vstack([matrix, [0, 0, 1]]) @ np.diag([block, block, 1.0])
    full = np.diag([fine, fine, 1.0]) @ full
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV's coordinates count pixel centres
    sampled = cv2.warpAffine(
        source,
        (np.linalg.inv(half) @ full @ half)[:2],
        (size[1] * fine, size[0] * fine),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return _in_range(resize_blocks(sampled, fine))


def _in_range(premultiplied: np.ndarray) -> np.ndarray:
    """Undo bicubic overshoot: alpha back into 0..1 with its colour along, so edges keep their colour."""
    alpha = premultiplied[..., 3:]
    solid = np.clip(alpha, 0, 1)
    colour = premultiplied[..., :3] * (solid / np.maximum(alpha, 1e-6))
    return np.concatenate([np.clip(colour, 0, solid), solid], axis=2)


def resize_blocks(image: np.ndarray, factor: int) -> np.ndarray:
    """The mean of each `factor` x `factor` block; both sides must be multiples of it."""
    height, width = image.shape[:2]
    out: np.ndarray = cv2.resize(image, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    return out


def poisson(background: np.ndarray, foreground: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    """Gradient-domain paste (Perez et al. 2003, `cv2.seamlessClone`) and True; or the raw paste and False.

    OpenCV solves for pixels inside the picture only, so the picture gets a rim for objects that touch its
    border; an object smaller than 3x3 pixels or outside the picture has nothing to solve for.
    """
    pasted, mask = paste(background, foreground, matrix)
    box = alpha_box(mask)
    if box is None or mask.max() < 128 or min(box[2] - box[0], box[3] - box[1]) < 3:
        return pasted, False
    rim = 2
    layer = warp(foreground, background.shape[:2], matrix)[..., :3]
    source, target = (cv2.copyMakeBorder(p, rim, rim, rim, rim, cv2.BORDER_REPLICATE) for p in (layer, background))
    solid = np.pad(np.where(mask >= 128, np.uint8(255), np.uint8(0)), rim)
    left, top, right, bottom = (edge + rim for edge in box)
    centre = (left + (right - left) // 2, top + (bottom - top) // 2)
    try:
        cloned = cv2.seamlessClone(source, target, solid, centre, cv2.NORMAL_CLONE)
    except cv2.error:
        return pasted, False
    return np.ascontiguousarray(cloned[rim:-rim, rim:-rim]), True


# --- keeping what is kept ---------------------------------------------------------------------------------


def context_box(mask_box: Box, picture_size: Size, padding: int, multiple: int = 8) -> Box:
    """The crop to work on: the mask's box with `padding` pixels around it and sides that are multiples.

    It is moved, not cut, at the picture's border; a side whose multiple does not fit is the picture's own.
    """
    sides = []
    for low, high, length in zip(mask_box[:2], mask_box[2:], picture_size[::-1], strict=True):
        wanted = min(high - low + 2 * padding, length)
        side = min(-(-wanted // multiple) * multiple, length)
        start = (low + high - side) // 2
        start = min(max(start, 0), length - side)
        sides.append((start, start + side))
    (left, right), (top, bottom) = sides
    return left, top, right, bottom


def stitch(original: np.ndarray, patch: np.ndarray, box: Box, mask: np.ndarray, feather: float = 0) -> np.ndarray:
    """Put a worked-on crop of any size back into the original, and only where the mask allows it."""
    left, top, right, bottom = box
    whole = original.copy()
    whole[top:bottom, left:right] = resize(patch, (bottom - top, right - left))
    only = np.zeros_like(mask)
    only[top:bottom, left:right] = mask[top:bottom, left:right]
    return paste_back(original, whole, only, feather)


def paste_back(original: np.ndarray, result: np.ndarray, mask: np.ndarray, feather: float = 0) -> np.ndarray:
    """The result inside the mask and the original's own pixels, exactly, wherever the mask is 0.

    The seam is blended over `feather` pixels inside the mask only. A result of another size is resized.
    """
    weights = feather_inward(mask, feather)[..., None]
    result = resize(result, original.shape[:2])
    return to_bytes(original + weights * (result.astype(np.float32) - original))


def changed_pixels(original: np.ndarray, result: np.ndarray, mask: np.ndarray) -> int:
    """How many kept pixels (mask == 0) differ in any channel."""
    return int(np.count_nonzero((original != result).any(axis=2) & (mask == 0)))


def changed_region(
    before: np.ndarray, after: np.ndarray, threshold: float = 16.0, smoothing: float = 0.01, margin: float = 0.0
) -> np.ndarray:
    """Hard mask of what changed between two pictures of one size, blind to fine noise and to isolated specks.

    The signed difference is smoothed (sigma = `smoothing` times the shorter side), so reconstruction noise
    cancels; a region counts if it passes `threshold` grey levels, and reaches out to half of that (hysteresis).
    Smoothing moves a strong edge outward by up to two sigma. Pieces under one sigma squared are dropped,
    holes are filled, `margin` pixels are added around.
    """
    sigma = max(1.0, smoothing * min(before.shape[:2]))
    difference = after.astype(np.float32) - before
    smooth = np.abs(cv2.GaussianBlur(difference, (0, 0), sigma)).max(axis=2)
    # A decoder's tint shifts everything a little: what most of the picture shows is not a change.
    smooth = np.maximum(smooth - np.median(smooth), 0)
    _, labels = cv2.connectedComponents((smooth > threshold / 2).astype(np.uint8), connectivity=8)
    strong = np.isin(labels, np.unique(labels[smooth > threshold])) & (labels > 0)
    region = drop_small(np.where(strong, np.uint8(255), np.uint8(0)), sigma * sigma)
    return grow(fill_holes(region), margin)


def keep_detail(original: np.ndarray, decoded_original: np.ndarray, decoded_result: np.ndarray) -> np.ndarray:
    """Carry the change, not the picture: original + up(decoded_result - decoded_original).

    The decoded pictures (0..255, uint8 or float) are what the autoencoder makes of the original and of the
    result, both at the model's size; the original and the output have full resolution.
    """
    return to_bytes(original + _change(decoded_original, decoded_result, original.shape[:2]))


def keep_object_detail(
    original: np.ndarray,
    decoded_original: np.ndarray,
    decoded_result: np.ndarray,
    pasted: np.ndarray,
    decoded_pasted: np.ndarray,
    mask: np.ndarray,
) -> np.ndarray:
    """`keep_detail` outside a soft object mask; inside it pasted + up(decoded_result - decoded_pasted).

    `pasted` is the raw paste at full resolution, whose object carries its own detail, and `decoded_pasted`
    what the autoencoder makes of it at the model's size; `mask` is the object's alpha at full resolution.
    """
    size = original.shape[:2]
    outside = original + _change(decoded_original, decoded_result, size)
    inside = pasted + _change(decoded_pasted, decoded_result, size)
    weights = mask[..., None].astype(np.float32) / 255
    return to_bytes(outside + weights * (inside - outside))


def _change(before: np.ndarray, after: np.ndarray, size: Size) -> np.ndarray:
    return resize(after.astype(np.float32) - before.astype(np.float32), size)
