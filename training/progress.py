"""What a training at full size prints."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Log:
    """What one process prints; means since the last line."""

    values: dict[str, list[float]] = field(default_factory=dict)
    start: float = field(default_factory=time.monotonic)
    steps: int = 0
    skipped: int = 0  # steps whose gradients were not finite

    def add(self, found: dict[str, Tensor]) -> None:
        """Note the numbers of one forward pass."""
        for name, value in found.items():
            self.values.setdefault(name, []).append(float(value.detach()))

    def line(self) -> str:
        """One line; starts new means."""
        means = ", ".join(f"{name} {sum(v) / len(v):.4f}" for name, v in self.values.items())
        self.values.clear()
        return f"{means}, {(time.monotonic() - self.start) / max(1, self.steps):.2f} s a step"
