"""Cut an object out of a picture with nothing but OpenCV: GrabCut (Rother et al. 2004) with soft edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from models.contract import BadRequest
from models.pixels import Box, alpha_box, fit_within, resize, to_bytes
from models.regions import drop_small, grow, invert, shrink

Point = tuple[float, float]  # x, y in pixels of the picture
WORKING_SIDE = 320  # half the time of 448 and as good on sprites over photographs; edges are refined at full size
ROUNDS = 5
BORDER = 0.04  # of each side: taken for background where nobody drew a box


class Masker(Protocol):
    """From clicks to masks: the picture is embedded once, each click only asks for a mask."""

    def embed(self, image: np.ndarray) -> Any:
        """What can be known of a uint8 HxWx3 picture before any click."""
        ...

    def mask(
        self, embedding: Any, points: Sequence[Point] = (), labels: Sequence[int] = (), box: Box | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Candidate masks, uint8 NxHxW, with scores in 0..1, best first; label 1 includes a point, 0 excludes."""
        ...


@dataclass(frozen=True, eq=False)
class Embedding:
    """A picture and the smaller copy that GrabCut works on."""

    image: np.ndarray
    small: np.ndarray

    @property
    def factor(self) -> np.ndarray:
        """Working pixels per picture pixel along x and y."""
        (height, width), (rows, columns) = self.image.shape[:2], self.small.shape[:2]
        return np.array([columns / width, rows / height])


class GrabCut:
    """The `Masker` that needs no weights: colours inside against colours outside. Same input, same mask."""

    def embed(self, image: np.ndarray) -> Embedding:
        """Keep the picture and a copy of at most 320 pixels a side."""
        return Embedding(image, resize(image, fit_within(image.shape[:2], WORKING_SIDE)))

    def mask(
        self, embedding: Embedding, points: Sequence[Point] = (), labels: Sequence[int] = (), box: Box | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """One soft mask; its score is the IoU of the last two rounds' masks (how settled the cut is)."""
        include, exclude = (_dots(embedding, points, labels, wanted) for wanted in (1, 0))
        if box is None and 1 in labels:
            guess = _like_the_points(embedding, [p for p, label in zip(points, labels, strict=True) if label == 1])
        else:
            guess = _filled(embedding, box)
        guess[include] = cv2.GC_FGD
        guess[exclude] = cv2.GC_BGD
        found, score = _iterate(embedding.small, guess)
        pieces = _chosen(_tidy(found), include, exclude, only=box is None and bool(include.any()))
        return _at_full_size(embedding, pieces)[None], np.array([score])


def cut_out(
    image: np.ndarray, box: Box | None = None, points: Sequence[Point] = (), labels: Sequence[int] | None = None
) -> np.ndarray:
    """The object of a uint8 HxWx3 picture as RGBA: the one in the box, under the points, or away from the border.

    Box and points are in pixels; labels default to 1 (include). Raises `BadRequest` if no object stands out.
    """
    masker = GrabCut()
    masks, _ = masker.mask(masker.embed(image), points, labels or [1] * len(points), box)
    if not (masks[0] >= 128).any():
        raise BadRequest("No object stands out in this picture; please draw a box around it or click on it.")
    return lifted(image, masks[0])


def lifted(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What a uint8 HxW mask covers of a picture, as RGBA; half-transparent pixels lose the old background's tint."""
    return np.dstack([_without_fringe(image, mask), mask])


def softened(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A hard mask of the picture's size with edges that follow the picture's own, softly.

    What is too thin for that (a pixel, a hair) stays hard.
    """
    small = resize(image, fit_within(image.shape[:2], WORKING_SIDE))
    found = resize(mask, small.shape[:2])
    soft = _at_full_size(Embedding(image, small), found)
    return soft if (soft >= 128).any() else mask


def _dots(embedding: Embedding, points: Sequence[Point], labels: Sequence[int], wanted: int) -> np.ndarray:
    """Where the points of one label are, as small discs on the working copy."""
    discs = np.zeros(embedding.small.shape[:2], np.uint8)
    radius = max(2, round(0.012 * max(discs.shape)))
    for point, label in zip(points, labels, strict=True):
        if label == wanted:
            x, y = (int(v) for v in np.multiply(point, embedding.factor))
            cv2.circle(discs, (x, y), radius, 1, thickness=-1)
    return discs > 0


def _filled(embedding: Embedding, box: Box | None) -> np.ndarray:
    """GrabCut's first labelling from a box: sure background outside, perhaps object inside."""
    guess = np.full(embedding.small.shape[:2], cv2.GC_BGD, np.uint8)
    left, top, right, bottom = _inside(embedding, box)
    guess[top:bottom, left:right] = cv2.GC_PR_FGD
    return guess


def _inside(embedding: Embedding, box: Box | None) -> Box:
    """The box on the working copy, or the picture without its border where there is no box or one of everything."""
    height, width = embedding.small.shape[:2]
    rim = (max(1, round(BORDER * width)), max(1, round(BORDER * height)))
    if box is not None:
        low = np.floor(np.multiply(box[:2], embedding.factor)).astype(int).clip(0)
        high = np.minimum(np.ceil(np.multiply(box[2:], embedding.factor)).astype(int), (width, height))
        if (low >= high).any():
            raise BadRequest("The box lies outside the picture; please draw it around the object.")
        if (high - low < (width, height)).any():
            return int(low[0]), int(low[1]), int(high[0]), int(high[1])
    return rim[0], rim[1], width - rim[0], height - rim[1]


def _like_the_points(embedding: Embedding, points: Sequence[Point]) -> np.ndarray:
    """Probable object: near an included point in colour (CIELAB) and in place; probable background elsewhere."""
    lab = cv2.cvtColor(embedding.small, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab = cv2.GaussianBlur(lab, (0, 0), 2)
    height, width = lab.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    near = np.zeros((height, width), bool)
    for point in points:
        px, py = np.clip(np.multiply(point, embedding.factor), 0, (width - 1, height - 1)).astype(int)
        colour = np.linalg.norm(lab - lab[py, px], axis=2) / 30
        place = np.hypot(x - px, y - py) / (0.3 * max(height, width))
        near |= colour**2 + place**2 < 1
    return np.where(near, np.uint8(cv2.GC_PR_FGD), np.uint8(cv2.GC_PR_BGD))


def _iterate(image: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, float]:
    """GrabCut's rounds; the hard mask and the IoU of the last two."""
    labels, background, foreground = guess.copy(), np.zeros((1, 65)), np.zeros((1, 65))
    masks = []
    bgr = np.ascontiguousarray(image[..., ::-1])
    cv2.setRNGSeed(0)  # the colour models start from k-means, which draws from OpenCV's generator
    for rounds, mode in ((ROUNDS - 1, cv2.GC_INIT_WITH_MASK), (1, cv2.GC_EVAL)):
        if not {0, 2} & set(np.unique(labels)) or not {1, 3} & set(np.unique(labels)):
            return np.zeros(guess.shape, np.uint8), 0.0  # one side is empty: nothing to tell apart
        cv2.grabCut(bgr, labels, None, background, foreground, rounds, mode)
        masks.append((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
    union = int((masks[0] | masks[1]).sum())
    return np.where(masks[1], np.uint8(255), np.uint8(0)), float((masks[0] & masks[1]).sum() / max(1, union))


def _chosen(found: np.ndarray, include: np.ndarray, exclude: np.ndarray, only: bool) -> np.ndarray:
    """Drop small pieces with an excluded point, whatever their colour; with `only`, those without an included one.

    The largest piece stays when it is excluded from: there the click cuts a bite, as colours tell.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
    keep = np.full(count, not only)
    # An excluded disc is a hole in its piece by now, so the piece is looked for around it.
    around = np.setdiff1d(labels[grow(exclude.astype(np.uint8), 2) > 0], [0])
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])) if count > 1 else 0
    keep[around[around != largest]] = False
    keep[np.unique(labels[include])] = True
    keep[0] = False
    return np.where(keep[labels] & ~exclude, found, np.uint8(0))


def _tidy(found: np.ndarray) -> np.ndarray:
    """Without specks (under 2 % of the object) and without pinholes (under half a percent)."""
    speck = 0.02 * int((found > 0).sum())
    return invert(drop_small(invert(drop_small(found, speck)), speck / 4))


def _at_full_size(embedding: Embedding, found: np.ndarray) -> np.ndarray:
    """With soft edges that follow the full-size picture's own."""
    radius = max(2, round(0.008 * max(found.shape)))
    size = embedding.image.shape[:2]
    # Only a band along the edge may be soft: inside it texture is no transparency.
    inner, outer = (resize(m, size) > 127 for m in (shrink(found, radius), grow(found, radius)))
    band = outer & ~inner
    soft = guided(embedding.image, embedding.small, found.astype(np.float32) / 255, radius, band)
    alpha = np.where(inner, np.uint8(255), np.uint8(0))
    alpha[band] = to_bytes(255 * np.clip((soft - 0.15) / 0.7, 0, 1))
    return alpha


def guided(
    image: np.ndarray, small: np.ndarray, mask: np.ndarray, radius: int, where: np.ndarray, epsilon: float = 1e-4
) -> np.ndarray:
    """Fast guided filter (He & Sun 2015, arXiv 1505.00996): a small float mask at the size of its picture.

    In each window of `radius` pixels of the small picture the mask is a linear function of colour; the averaged
    functions are applied to the full-size picture, so the result's edges are the picture's own. Returns the values
    of the pixels `where` (HxW, bool) is true, in order: a photograph has few of them.
    """

    def mean(values: np.ndarray) -> np.ndarray:
        out: np.ndarray = cv2.blur(values, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)
        return out

    guide = small.astype(np.float32) / 255
    centre, level = mean(guide), mean(mask)
    cross = mean(guide * mask[..., None]) - centre * level[..., None]
    own = mean(guide * guide) - centre * centre + epsilon
    pairs = ((0, 1), (0, 2), (1, 2))
    shared = [mean(guide[..., j] * guide[..., k]) - centre[..., j] * centre[..., k] for j, k in pairs]
    slope = _divided(cross, own, shared)
    offset = level - (slope * centre).sum(axis=2)
    functions = _sampled(mean(np.dstack([slope, offset]).astype(np.float32)), where)
    applied: np.ndarray = (functions[:, :3] * (image[where] / np.float32(255))).sum(axis=1) + functions[:, 3]
    return applied


def _sampled(small: np.ndarray, where: np.ndarray) -> np.ndarray:
    """A small HxWxC float picture stretched over a larger one, at the pixels where that is true: (N, C)."""
    rows, columns = np.nonzero(where)
    if not len(rows):
        return np.zeros((0, small.shape[2]), np.float32)
    (height, width), (many_rows, many_columns) = small.shape[:2], where.shape
    x, y = _places(columns, width / many_columns), _places(rows, height / many_rows)
    found = cv2.remap(small, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found.reshape(-1, small.shape[2])[: len(rows)])


def _places(index: np.ndarray, factor: float) -> np.ndarray:
    """Where pixels of a line lie on one `factor` as long, in rows of 1024: OpenCV wants a picture, not a line."""
    places = ((index + 0.5) * factor - 0.5).astype(np.float32)
    return np.pad(places, (0, -len(places) % 1024)).reshape(-1, 1024)


def _divided(cross: np.ndarray, own: np.ndarray, shared: Sequence[np.ndarray]) -> np.ndarray:
    """HxWx3: each pixel's vector through the inverse of its symmetric 3x3 matrix, given as its diagonal (HxWx3) and
    its three other entries; by cofactors, a tenth of the time of a general solver."""
    a, d, f = own.astype(np.float64).transpose(2, 0, 1)  # in floats a grey picture's matrices lose all digits
    b, c, e = (values.astype(np.float64) for values in shared)
    aa, bb, cc = d * f - e * e, c * e - b * f, b * e - c * d
    dd, ee, ff = a * f - c * c, b * c - a * e, a * d - b * b
    x, y, z = (cross[..., k] for k in range(3))
    out = np.stack([aa * x + bb * y + cc * z, bb * x + dd * y + ee * z, cc * x + ee * y + ff * z], axis=2)
    divided: np.ndarray = out / (a * aa + b * bb + c * cc)[..., None]
    return divided


def _without_fringe(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Half-transparent pixels take the colour of the solid object beside them instead of the old background's."""
    clean, box = image.copy(), alpha_box(mask, 1)
    if box is None:
        return clean
    left, top, right, bottom = box
    colours, alpha = clean[top:bottom, left:right], mask[top:bottom, left:right]
    solid = (alpha >= 250).astype(np.float32)
    sigma = max(1.5, 0.006 * max(mask.shape))
    # The blur of a large picture is taken of a smaller copy: what it looks for has no detail.
    size = fit_within(alpha.shape, max(1, round(max(alpha.shape) * min(1.0, 6 / sigma))))
    few, sigma = resize(solid, size), sigma * size[0] / alpha.shape[0]
    weight = cv2.GaussianBlur(few, (0, 0), sigma)
    spread = cv2.GaussianBlur(resize(colours * solid[..., None], size), (0, 0), sigma)
    colour = resize(spread / np.maximum(weight, 1e-4)[..., None], alpha.shape)
    known = resize(weight, alpha.shape) > 1e-3
    soft = (alpha < 250) & (alpha > 0) & known
    colours[soft] = to_bytes(colour[soft])
    return clean
