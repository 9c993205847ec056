"""The steps of a training at full size, on any number of processes, with checkpoints to go on from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor

from training.checkpoints import Checkpoints
from training.progress import Log


class Pace(Protocol):
    """What the loop reads off a recipe's settings."""

    @property
    def steps(self) -> int: ...  # of the optimizer
    @property
    def batch(self) -> int: ...  # samples per device and forward pass
    @property
    def accumulate(self) -> int: ...  # forward passes per step
    @property
    def clip_norm(self) -> float: ...  # of gradients; 0 = any
    @property
    def log_every(self) -> int: ...
    @property
    def save_every(self) -> int: ...
    @property
    def workers(self) -> int: ...  # processes that read ahead
    @property
    def resume(self) -> bool: ...


class Data(Protocol):
    """Samples by number."""

    def loader(self, numbers: Sequence[int], batch: int, workers: int) -> Iterable[Any]:
        """Batches of the samples of these numbers, in order."""
        ...


def train(
    pace: Pace,
    accelerator: Accelerator,
    model: Any,
    optimizer: Any,
    data: Data,
    checkpoints: Checkpoints,
    found: Callable[[Any, int], dict[str, Tensor]],
    saving: Callable[[], None] | None = None,
) -> None:
    """Take the optimizer's steps, from the newest checkpoint on where `resume` asks for it.

    model, optimizer: as `accelerator` prepared them. found: the losses of a batch and the number of its forward pass,
    which no other process has; "loss" is followed, all are printed. saving: called before each checkpoint.
    """
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    first = checkpoints.newest() if pace.resume else 0
    if first:
        checkpoints.load(first)
    count, own = accelerator.num_processes, accelerator.process_index
    passes = [p * count + own for p in range(first * pace.accumulate, pace.steps * pace.accumulate)]
    numbers = [p * pace.batch + k for p in passes for k in range(pace.batch)]
    log = Log()
    for number, batch in zip(passes, data.loader(numbers, pace.batch, pace.workers), strict=True):
        with accelerator.accumulate(model):
            losses = found(batch, number)
            accelerator.backward(losses["loss"])
            log.add(losses)
            if not accelerator.sync_gradients:
                continue
            norm = accelerator.clip_grad_norm_(weights, pace.clip_norm or float("inf"))
            if torch.isfinite(norm):  # on every device alike: gradients have been averaged
                optimizer.step()
            optimizer.zero_grad()
        log.steps += 1
        step = first + log.steps
        if step % pace.log_every == 0:
            accelerator.print(f"step {step}: {log.line()}", flush=True)
        if step % pace.save_every == 0 or step == pace.steps:
            if saving is not None:
                saving()
            checkpoints.save(step)
