"""PIE-Bench's format and its measures: masks, prompts, the background's PSNR, MSE and SSIM, CLIP where it is there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np

from benchmarks.measures import IDENTICAL, psnr
from models.contract import Weights
from models.loading import present

WINDOW, SIGMA = 11, 1.5  # of SSIM's Gaussian (Wang et al. 2004)
C1, C2 = 0.01**2, 0.03**2  # for pictures in 0..1
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's

Number = float | None  # None = there is nothing to measure


@dataclass(frozen=True)
class Entry:
    """One edit: where its picture is, what it shows and shall show, its kind, and the mask's (start, length) runs."""

    key: str
    path: Path
    source_prompt: str
    target_prompt: str
    kind: str
    runs: tuple[int, ...]


def plain(prompt: str) -> str:
    """A prompt without the brackets that mark what differs."""
    return " ".join(prompt.replace("[", "").replace("]", "").split())


def decode_mask(runs: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """Bool HxW, True where the picture may change: runs over the flattened rows, and a frame of one pixel.

    Raises ValueError for an odd number of numbers, or a run that leaves the picture.
    """
    if len(runs) % 2:
        raise ValueError(f"{len(runs)} numbers are no pairs of start and length.")
    flat = np.zeros(size[0] * size[1], bool)
    for start, length in zip(runs[::2], runs[1::2], strict=True):
        if start < 0 or length < 0 or start + length > flat.size:
            raise ValueError(f"A run of {length} from {start} leaves a picture of {size[0]} x {size[1]} pixels.")
        flat[start : start + length] = True
    mask = flat.reshape(size)
    mask[[0, -1]] = True
    mask[:, [0, -1]] = True
    return mask


def scores(source: np.ndarray, picture: np.ndarray, mask: np.ndarray) -> dict[str, Number]:
    """The background's numbers of uint8 pictures; None where the mask leaves no background.

    "psnr", "mse" and "ssim" over the whole frame with the edited part black in both; "psnr_background" over the
    background's pixels alone. Equal pictures have `measures.IDENTICAL` dB.
    """
    names = ("psnr", "mse", "ssim", "psnr_background")
    if mask.all():
        return dict.fromkeys(names)
    first, second = (np.where(mask[..., None], 0.0, p / 255.0) for p in (source, picture))
    mse = float(((first - second) ** 2).mean())
    return {
        "psnr": min(IDENTICAL, -10 * math.log10(mse)) if mse else IDENTICAL,
        "mse": mse,
        "ssim": ssim(first, second),
        "psnr_background": psnr(source, picture, ~mask),
    }


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Structural similarity of pictures in 0..1 (Wang et al. 2004), the mean over channels and whole windows.

    Raises ValueError for pictures smaller than a window.
    """
    if min(first.shape[:2]) < WINDOW:
        raise ValueError(f"SSIM needs {WINDOW} pixels on either side.")

    def local(values: np.ndarray) -> np.ndarray:
        edge = WINDOW // 2
        blurred: np.ndarray = cv2.GaussianBlur(values, (WINDOW, WINDOW), SIGMA)
        return blurred[edge:-edge, edge:-edge]

    mean_1, mean_2 = local(first), local(second)
    variance_1 = local(first * first) - mean_1 * mean_1
    variance_2 = local(second * second) - mean_2 * mean_2
    covariance = local(first * second) - mean_1 * mean_2
    likeness = (2 * mean_1 * mean_2 + C1) * (2 * covariance + C2)
    return float((likeness / ((mean_1**2 + mean_2**2 + C1) * (variance_1 + variance_2 + C2))).mean())


def mean(values: Sequence[Number]) -> Number:
    """The mean of what was measured, None where nothing was."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    return sum(known) / len(known) if known else None


class ClipScore:
    """100 x the cosine of a picture's and a text's CLIP embeddings, at least 0."""

    def __init__(self, source: str) -> None:
        from transformers import AutoTokenizer, CLIPModel

        self.model: Any = CLIPModel.from_pretrained(source, local_files_only=True).eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(source, local_files_only=True)

    @classmethod
    def found(cls, source: str) -> Self | None:
        """The score with weights from a folder or the hub's cache, None where they are not on this disk."""
        here = Path(source).is_dir() or present(Weights(source, "transformers.CLIPModel", dtype="float32"))
        return cls(source) if here else None

    def __call__(self, picture: np.ndarray, text: str) -> float:
        """Of a uint8 picture HxWx3, its shorter side scaled to CLIP's and the middle cut out."""
        import torch
        import torch.nn.functional as F

        config = self.model.config
        side = config.vision_config.image_size
        height, width = picture.shape[:2]
        scale = side / min(height, width)
        size = max(side, round(width * scale)), max(side, round(height * scale))
        image = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        values = (image[top : top + side, left : left + side] / 255 - MEAN) / DEVIATION
        told = self.tokenizer(
            text, truncation=True, max_length=config.text_config.max_position_embeddings, return_tensors="pt"
        )
        with torch.inference_mode():
            seen = torch.from_numpy(values).permute(2, 0, 1)[None].to(self.model.dtype)
            out = self.model(pixel_values=seen, input_ids=told.input_ids, attention_mask=told.attention_mask)
            return max(0.0, 100 * float(F.cosine_similarity(out.image_embeds, out.text_embeds)[0]))
