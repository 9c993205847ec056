"""Described holes as CAT-Diffusion sees them: masked views, CLIP's features and words, how near features come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoTokenizer, CLIPTextModel, CLIPVisionModel

from training import world
from training.clip import MEAN, STD
from training.pool import Sample

CLIP_HOLE = 127.0  # of 255


def resized(pixels: Tensor, height: int, width: int) -> Tensor:
    """Pictures (N, C, H, W) in 0..255, whole numbers, at another size by Pillow's antialiased bicubic filter, which
    goes across first and then down, and rounds each time."""
    for size in ((pixels.shape[2], width), (height, width)):
        if pixels.shape[2:] != size:
            small = F.interpolate(pixels, size, mode="bicubic", antialias=True)
            pixels = (small + 0.501).floor().clamp(0, 255)  # halves go up, also those a float falls short of
    return pixels


def vae_pictures(pictures: Tensor, masks: Tensor, hole: float = -1.0) -> Tensor:
    """Pictures (N, 3, H, W) in 0..255, blended into `hole` by masks (N, 1, H, W) in 0..255; in -1..1."""
    share = masks / 255
    return (pictures / 127.5 - 1) * (1 - share) + hole * share


def clip_pictures(pictures: Tensor, masks: Tensor, side: int) -> Tensor:
    """(N, 3, side, side) in 0..255, whole numbers, blended into gray by the masks; truncated as published."""
    small, share = resized(pictures, side, side), resized(masks, side, side) / 255
    return (small * (1 - share) + CLIP_HOLE * share + 1e-3).floor()


def patch_masks(masks: Tensor, side: int, patch: int) -> Tensor:
    """(N, 1, g, g) of 0 and 1: patches of the picture at `side` in which any pixel is at least half masked."""
    return (F.max_pool2d(resized(masks, side, side), patch) >= 128).float()


def latent_masks(masks: Tensor, factor: int = 8, least: float = 128) -> Tensor:
    """(N, 1, H/factor, W/factor) of 0 and 1: cells masked to at least `least` of 255. The authors sample with one
    half and train with anything above zero (1); the pocket recipes train as they sample."""
    height, width = (side // factor for side in masks.shape[2:])
    return (resized(masks, height, width) >= least).float()


class Eyes:
    """The two frozen towers of a CLIP: patch features without the last layer norm, pooled ones, words."""

    def __init__(self, source: Path | str, device: torch.device, download: bool = False) -> None:
        """`source`: a folder or a hub id, which is looked for on this machine unless `download`."""
        where: dict[str, Any] = {"local_files_only": not download}
        vision = CLIPVisionModel.from_pretrained(source, dtype=torch.float32, **where)
        text = CLIPTextModel.from_pretrained(source, dtype=torch.float32, **where)
        self.vision = vision.to(device).eval().requires_grad_(False)
        self.text = text.to(device).eval().requires_grad_(False)
        self.tokenizer = AutoTokenizer.from_pretrained(source, **where)
        self.device = device
        self.side, self.patch = int(vision.config.image_size), int(vision.config.patch_size)
        self.grid = self.side // self.patch

    @torch.no_grad()
    def features(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (N, 3, side, side) in 0..255 -> patches (N, grid * grid, D) and the pooled vector (N, 1, D)."""
        pixels = (pictures.to(self.device) / 255 - MEAN.to(self.device)) / STD.to(self.device)
        seen = self.vision(pixel_values=pixels)
        return seen.last_hidden_state[:, 1:], seen.pooler_output[:, None]

    @torch.no_grad()
    def words(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Hidden states (N, L, W) of texts padded to the tokenizer's length, and the pooled vectors (N, 1, W)."""
        ids = self.tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt").input_ids
        told = self.text(ids.to(self.device))
        return told.last_hidden_state, told.pooler_output[:, None]

    def rows(self, batch: world.HoleBatch, masked: bool = True) -> Sample:
        """What the semantic inpainter should answer, "truth" and "truth_pooled" of the whole pictures, the "holes"
        (N, 1, grid, grid) and the words "text" and "word"; with `masked`, what it is asked: "patches" and "pooled"
        of the masked pictures."""
        pictures, masks = (batch.image * 255).round(), batch.mask * 255
        rows = {"holes": patch_masks(masks, self.side, self.patch).to(self.device)}
        rows["text"], rows["word"] = self.words(batch.texts)
        rows["truth"], rows["truth_pooled"] = self.features(resized(pictures, self.side, self.side))
        if masked:
            rows["patches"], rows["pooled"] = self.features(clip_pictures(pictures, masks, self.side))
        return rows


def nearness(found: Tensor, truth: Tensor, holes: Tensor) -> Tensor:
    """Mean cosine (N,) of features (N, g * g, D) over the tokens that are set in holes (N, 1, g, g)."""
    weights = holes.flatten(1)
    return (F.cosine_similarity(found, truth, dim=-1) * weights).sum(1) / weights.sum(1).clamp_min(1)


def gap_closed(found: Tensor, rows: Sample, centre: Tensor | None = None) -> dict[str, float]:
    """Mean cosine to the truth over masked tokens of what was `found` (N, g * g, D) and of the masked picture's own
    features, and the share of the second one's distance to 1 that the first one closes. `centre` (D,), the mean
    feature of training pictures, is taken off all of them first: it is most of every plain cosine."""
    shift = 0.0 if centre is None else centre
    truth, holes = rows["truth"] - shift, rows["holes"]
    near = float(nearness(found - shift, truth, holes).mean())
    base = float(nearness(rows["patches"] - shift, truth, holes).mean())
    return {"cosine": near, "cosine_masked": base, "gap_closed": (near - base) / (1 - base)}
