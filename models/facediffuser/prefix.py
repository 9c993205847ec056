"""The end of the scene stage, kept: no picture of a person has been looked at until then.

So new faces, or another second bound, go on from here and get what the whole run would give them, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# What diffusers' schedulers change while they run, of PNDM and of DPM++; DDIM has no memory.
MEMORY = (
    ("ets", "counter", "cur_sample", "cur_model_output"),
    ("model_outputs", "lower_order_nums", "_step_index", "_begin_index"),
)


@dataclass(frozen=True, eq=False)
class Prefix:
    """A run after iteration `step`: its latents (n, C, h, w) and its scheduler's memory, copied to the CPU."""

    step: int
    latents: Tensor
    memory: dict[str, Any]

    @property
    def nbytes(self) -> int:
        """For the cache's budget."""
        kept = [
            value for memory in self.memory.values() for value in (memory if isinstance(memory, list) else [memory])
        ]
        return self.latents.nbytes + sum(value.nbytes for value in kept if isinstance(value, Tensor))

    def restored(self, scheduler: Any, device: str | torch.device = "cpu") -> Tensor:
        """The latents on `device`; `scheduler`, fresh and of the same kind and steps, remembers what its like did."""
        for name, value in self.memory.items():
            setattr(scheduler, name, _copied(value, device))
        return self.latents.to(device, copy=True)


def taken(scheduler: Any, step: int, latents: Tensor) -> Prefix:
    """The prefix that ends with iteration `step`, whose latents are given; to be taken before the next one."""
    names = [name for names in MEMORY for name in names if hasattr(scheduler, name)]
    memory = {name: _copied(getattr(scheduler, name), "cpu") for name in names}
    return Prefix(step, latents.to("cpu", copy=True), memory)


@dataclass(frozen=True)
class Key:
    """All that a prefix depends on, and nothing else: no picture, no second bound, no anchor.

    tdm, text_encoder, sampler_config: what tells these apart, hashable. ids, negative_ids: the clean ids of the
    caption, without markers, and of the negative prompt. seeds: one per picture of the batch. size: of the latents.
    place: device and dtypes of the run, which are worth the last bits.
    """

    tdm: Any
    text_encoder: Any
    sampler_config: Any
    ids: tuple[int, ...]
    negative_ids: tuple[int, ...]
    seeds: tuple[int, ...]
    size: tuple[int, int]
    sampler: str
    steps: int
    scene: int
    scale: float
    place: str = ""


def _copied(value: Any, device: str | torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device, copy=True)
    if isinstance(value, list):
        return [_copied(item, device) for item in value]
    return value
