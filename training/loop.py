"""The one training loop: AdamW, averaged weights, a time budget, resumable; it yields and the recipe decides."""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from training import world
from training.config import Config
from training.muon import Muon, is_inner


@dataclass(frozen=True)
class Moment:
    """What a loss may know of the run: the step, the fraction done (0..1), a generator seeded by both."""

    step: int
    done: float
    generator: torch.Generator


@dataclass(frozen=True)
class Tick:
    """One step taken: `loss` smoothed over about 50 steps, `minutes` since the model's first step of all runs."""

    step: int
    minutes: float
    loss: float
    rate: float  # steps per second of this call so far
    snapshot: bool  # time to export
    last: bool


Loss = Callable[[Moment], Tensor]


def pick_device(name: str = "") -> torch.device:
    """The named device, or CUDA, MPS or the CPU, whichever is there first."""
    if name:
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def seeded(seed: int, step: int) -> torch.Generator:
    """A CPU generator for one step: a resumed run draws what an uninterrupted one would have drawn."""
    return torch.Generator().manual_seed((seed << 32) + step)


def optimizers(model: nn.Module, config: Config) -> list[torch.optim.Optimizer]:
    """AdamW for what is trained, or with `muon` for all but the matrices inside the network."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    chosen = [config.muon and is_inner(name, p, config.convolutions) for name, p in named]
    inner = [p for (_, p), within in zip(named, chosen, strict=True) if within]
    outer = [p for (_, p), within in zip(named, chosen, strict=True) if not within]
    # Gains, biases and tables stay out of the decay.
    decayed, plain = [p for p in outer if p.ndim > 1], [p for p in outer if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))]
    if inner:
        made.append(Muon(inner, config.learning_rate, weight_decay=config.weight_decay))
    return made


class Run:
    """A model in training with its optimiser and averaged weights, on the configured device.

    With `resume`, the state in `runs/<name>/state.pt` is taken up where it is; without one the model's weights
    are taken as they come (a warm start) and `minutes` and `steps` say what was spent on them before.
    """

    def __init__(self, config: Config, model: nn.Module, minutes: float = 0.0, steps: int = 0) -> None:
        torch.set_num_threads(config.threads)
        self.world = world.digest()  # now: the sources on disk may change before the run is over
        self.config, self.device = config, pick_device(config.device)
        self.model = model.to(self.device).train()
        self.weights = [p for p in model.parameters() if p.requires_grad]
        self.average = [p.detach().clone() for p in self.weights]
        self.optimizers = optimizers(model, config)
        self.step, self.minutes = steps, minutes
        self.updates = 0  # steps that the average has seen
        self.curve: list[tuple[float, float]] = []  # minutes, smoothed loss
        self.state_path = Path(config.runs) / config.name / "state.pt"
        if config.resume and self.state_path.exists():
            self._load()

    def ticks(self, loss: Loss) -> Iterator[Tick]:
        """Train until the clock or the step count says stop; yields after every step, `last` on the last one."""
        config, first, before = self.config, self.step, self.minutes
        start = exported = time.monotonic()
        smoothed, done = 0.0, 0.0
        for taken in itertools.count(1):
            value = self._update(loss, done, taken)
            smoothed += (value - smoothed) * max(0.02, 1 / taken)
            now = time.monotonic()
            self.step, self.minutes = first + taken, before + (now - start) / 60
            done = taken / config.steps if config.steps else (now - start) / (60 * config.minutes)
            last = done >= 1
            due = last or now - exported > 60 * config.snapshot_minutes
            if due:
                exported = now
            if taken % 20 == 0 or last:
                self.curve.append((self.minutes, smoothed))
            if due:
                self.save()
            yield Tick(self.step, self.minutes, smoothed, taken / (now - start), due, last)
            if last:
                return

    def _update(self, loss: Loss, done: float, taken: int) -> float:
        """One optimiser step at fraction `done` of the run; returns the loss."""
        config = self.config
        factor = min(1.0, taken / max(1, config.warmup))
        if config.schedule == "cosine":
            factor *= 0.02 + 0.49 * (1 + math.cos(math.pi * min(1.0, done)))
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = config.learning_rate * factor
        moment = Moment(self.step, min(1.0, done), seeded(config.seed, self.step))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            value = loss(moment)
        for weight in self.weights:
            weight.grad = None
        value.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.weights, config.clip)
        if torch.isfinite(norm):  # a broken batch is skipped, not learned
            for optimizer in self.optimizers:
                optimizer.step()
        self.updates += 1
        decay = min(config.ema, self.updates / (10 + self.updates))  # young averages forget faster
        torch._foreach_lerp_(self.average, [p.detach() for p in self.weights], 1 - decay)
        return float(value.detach())

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The model in evaluation mode with the averaged weights in place of the trained ones."""
        kept = [p.detach().clone() for p in self.weights]
        self._fill(self.average)
        self.model.eval()
        try:
            with torch.no_grad():
                yield self.model
        finally:
            self._fill(kept)
            self.model.train()

    @torch.no_grad()
    def _fill(self, values: list[Tensor]) -> None:
        for weight, value in zip(self.weights, values, strict=True):
            weight.copy_(value)

    def save(self) -> None:
        """Write everything that a resumed run needs, in one rename."""
        self.state_path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "numbers": {"step": self.step, "minutes": self.minutes, "updates": self.updates},
            "curve": self.curve,
        }
        partial = self.state_path.with_suffix(".part")
        torch.save(state, partial)
        os.replace(partial, self.state_path)

    def _load(self) -> None:
        state = torch.load(self.state_path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.step, self.minutes, self.updates = (state["numbers"][k] for k in ("step", "minutes", "updates"))
        self.curve = [tuple(point) for point in state["curve"]]
