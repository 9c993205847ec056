"""Checkpoints of a training at full size: accelerate's state to go on with, of an adapter's in its published layout."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from models.dreamfuse.adapter import Adapter, finish

PREFIX = "checkpoint-"


class Checkpoints:
    """The newest `keep` checkpoints of a run in `folder`, by optimizer step."""

    def __init__(self, accelerator: Accelerator, folder: Path, keep: int) -> None:
        self.accelerator, self.folder, self.keep = accelerator, folder, keep

    def steps(self) -> list[int]:
        """Steps of the whole checkpoints, in order."""
        return sorted(int(path.name.removeprefix(PREFIX)) for path in self.folder.glob(f"{PREFIX}[0-9]*"))

    def newest(self) -> int:
        """The step to go on from; 0 if there is none."""
        return max(self.steps(), default=0)

    def save(self, step: int) -> None:
        """Write a checkpoint, under its name only when it is whole, and drop the oldest. Every process calls this."""
        part = self.folder / "unfinished"
        self.accelerator.save_state(str(part))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            shutil.rmtree(self._path(step), ignore_errors=True)
            part.rename(self._path(step))
            for old in self.steps()[: -self.keep]:
                shutil.rmtree(self._path(old))
        self.accelerator.wait_for_everyone()

    def load(self, step: int) -> None:
        """Take up the models and the optimizer of a step. Every process calls this."""
        self.accelerator.load_state(str(self._path(step)))

    def _path(self, step: int) -> Path:
        return self.folder / f"{PREFIX}{step:06d}"


class AdapterCheckpoints(Checkpoints):
    """The same for DreamFuse's adapter. The frozen base is in none of them."""

    def __init__(self, accelerator: Accelerator, folder: Path, keep: int, base: str) -> None:
        super().__init__(accelerator, folder, keep)
        self.base = base
        accelerator.register_save_state_pre_hook(self._write)
        accelerator.register_load_state_pre_hook(self._read)

    def _write(self, models: list[Any], weights: list[Any], folder: str) -> None:
        """In place of all weights, 24 GB of them the base's, the adapter."""
        fuser = self.accelerator.unwrap_model(models[0])
        if self.accelerator.is_main_process:
            finish(fuser.flux, fuser.tags).save(Path(folder), base=self.base)
        weights.clear()

    def _read(self, models: list[Any], folder: str) -> None:
        self.accelerator.unwrap_model(models.pop()).load(Adapter.from_pretrained(folder))
