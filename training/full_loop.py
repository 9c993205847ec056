"""The steps of a training at full size, on any number of processes, with checkpoints to go on from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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


def resumed(pace: Pace, checkpoints: Checkpoints) -> int:
    """The step to go on from, 0 where nothing is there or `resume` does not ask for it."""
    return checkpoints.newest() if pace.resume else 0


def passes(pace: Pace, accelerator: Accelerator, first: int) -> list[int]:
    """The numbers of this process's forward passes after step `first`; no other process has them."""
    count, own = accelerator.num_processes, accelerator.process_index
    return [p * count + own for p in range(first * pace.accumulate, pace.steps * pace.accumulate)]


def batches(pace: Pace, accelerator: Accelerator, data: Data, first: int) -> Iterator[tuple[int, Any]]:
    """Each forward pass's number with its batch, of samples that no other pass has."""
    numbers = passes(pace, accelerator, first)
    samples = [p * pace.batch + k for p in numbers for k in range(pace.batch)]
    yield from zip(numbers, data.loader(samples, pace.batch, pace.workers), strict=True)


def train(
    pace: Pace,
    accelerator: Accelerator,
    model: Any,
    optimizer: Any,
    batches: Iterable[tuple[int, Any]],
    checkpoints: Checkpoints,
    first: int,
    found: Callable[[Any, int], dict[str, Tensor]],
    saving: Callable[[], None] | None = None,
    told: Callable[[Log], str] | None = None,
) -> None:
    """Take the optimizer's steps, from the checkpoint of step `first` on unless that is 0.

    model, optimizer: as `accelerator` prepared them. batches: by the numbers of their passes. found: the losses of a
    batch and its number; "loss" is followed, all are printed. saving: called before each checkpoint. told: what a
    line of the log says besides.
    """
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if first:
        checkpoints.load(first)
    log = Log()
    for number, batch in batches:
        with accelerator.accumulate(model):
            losses = found(batch, number)
            accelerator.backward(losses["loss"])
            log.add(losses)
            if not accelerator.sync_gradients:
                continue
            norm = accelerator.clip_grad_norm_(weights, pace.clip_norm or float("inf"))
            if torch.isfinite(norm):
                optimizer.step()
            else:  # on every device alike: gradients have been averaged
                log.skipped += 1
            optimizer.zero_grad()
        log.steps += 1
        step = first + log.steps
        if step % pace.log_every == 0:
            more = f", {told(log)}" if told is not None else ""
            accelerator.print(f"step {step}: {log.line()}{more}", flush=True)
        if step % pace.save_every == 0 or step == pace.steps:
            if saving is not None:
                saving()
            checkpoints.save(step)
