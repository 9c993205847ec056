"""Which samples a run sees, and in which order: every draw follows from the seed and its number alone.

So a resumed run goes on with the draws it had not seen, and the captions that a run will need are known before it
starts, when the text encoders can still be asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from models.dreamfuse.buckets import Size
from models.dreamfuse.placement import TOKEN, affine_ids, grid_ids
from training.fusion_files import BrokenSample, Fusion, FusionFiles, read
from training.loop import seeded

ATTEMPTS = 20  # broken samples in a row that are passed over; more than that is a disk that is gone


@dataclass(frozen=True)
class Draw:
    """Rows of one bucket, drawn with replacement, and whether each is seen with its caption."""

    bucket: Size
    rows: tuple[int, ...]
    told: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures uint8 (B, H, W, 3), position ids float32 (B, 3S, 3) of noisy, foreground and background tokens,
    captions ("" for most), and name and reason of the samples that had to be passed over."""

    foreground: np.ndarray
    background: np.ndarray
    fused: np.ndarray
    ids: Tensor
    captions: tuple[str, ...]
    faults: tuple[tuple[str, str], ...]


class FusionDraws(Dataset[Batch]):
    """Batches of `count` samples by number. A bucket is drawn by how many samples it has, since one batch can have
    one size only; a caption is shown with probability `prompt_ratio`."""

    def __init__(self, files: FusionFiles, count: int, seed: int, prompt_ratio: float) -> None:
        self.files, self.count, self.seed, self.prompt_ratio = files, count, seed, prompt_ratio
        self.sizes = sorted(files.buckets)
        self.weights = torch.tensor([float(len(files.buckets[size])) for size in self.sizes])

    def plan(self, number: int) -> Draw:
        """What draw `number` will read."""
        generator = seeded(self.seed, 2 * number)
        bucket = self.sizes[int(torch.multinomial(self.weights, 1, generator=generator))]
        rows = torch.randint(len(self.files.buckets[bucket]), (self.count,), generator=generator)
        told = torch.rand(self.count, generator=generator) < self.prompt_ratio
        return Draw(bucket, tuple(rows.tolist()), tuple(told.tolist()))

    def noise(self, number: int) -> torch.Generator:
        """What the noise and the timesteps of draw `number` are drawn with."""
        return seeded(self.seed, 2 * number + 1)

    def captions(self, numbers: Iterable[int]) -> set[str]:
        """Every caption that these draws show, and the empty one."""
        found = {""}
        for draw in map(self.plan, numbers):
            entries = self.files.buckets[draw.bucket]
            found |= {entries[row].caption for row, told in zip(draw.rows, draw.told, strict=True) if told}
        return found

    def __getitem__(self, number: int) -> Batch:
        draw, faults = self.plan(number), list[tuple[str, str]]()
        entries = self.files.buckets[draw.bucket]
        taken = [self._readable(draw.bucket, row, faults) for row in draw.rows]
        rows, columns = draw.bucket[1] // TOKEN, draw.bucket[0] // TOKEN
        plain = grid_ids(rows, columns)
        ids = [torch.cat([plain, affine_ids(fusion.affine, rows, columns), plain]) for _, fusion in taken]
        # A stand-in for a broken sample has no encoded caption of its own, nor should it have another's.
        captions = [
            entries[row].caption if told and row == wanted else ""
            for (row, _), wanted, told in zip(taken, draw.rows, draw.told, strict=True)
        ]
        return Batch(
            foreground=np.stack([fusion.foreground for _, fusion in taken]),
            background=np.stack([fusion.background for _, fusion in taken]),
            fused=np.stack([fusion.fused for _, fusion in taken]),
            ids=torch.stack(ids),
            captions=tuple(captions),
            faults=tuple(faults),
        )

    def _readable(self, bucket: Size, row: int, faults: list[tuple[str, str]]) -> tuple[int, Fusion]:
        """The sample at `row`, or the next one that can be read."""
        entries = self.files.buckets[bucket]
        for offset in range(min(ATTEMPTS, len(entries))):
            index = (row + offset) % len(entries)
            try:
                return index, read(entries[index], bucket)
            except BrokenSample as reason:
                faults.append((entries[index].name, str(reason)))
        name, why = faults[-1]
        raise ValueError(f"No sample of bucket {bucket} near {name} can be read ({why}); is the data still there?")

    def loader(self, numbers: Sequence[int], workers: int) -> DataLoader[Batch]:
        """The batches of `numbers` in order, read ahead by worker processes."""
        return DataLoader(self, batch_size=None, sampler=numbers, num_workers=workers, worker_init_fn=_alone)


def _alone(worker: int) -> None:
    cv2.setNumThreads(0)  # OpenCV's thread pool does not survive the fork
