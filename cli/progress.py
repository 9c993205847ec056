"""Progress on standard error: one living line on a terminal, few plain lines in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TextIO

from models.contract import Step

LOG_SECONDS = 5.0  # between two lines in a log


class Progress:
    """Shows `Step`s; as a context manager it leaves the cursor on a fresh line."""

    def __init__(self, stream: TextIO, quiet: bool = False) -> None:
        self._stream, self._quiet = stream, quiet
        self._living = stream.isatty()
        self._note, self._due, self._dirty = "", 0.0, False

    def show(self, step: Step) -> None:
        """One event; in a log a new note or every few seconds."""
        text = line(step)
        if self._quiet or text == self._note:
            return
        if self._living:
            self._stream.write(f"\r\x1b[K{text}")
            self._dirty = True
        elif not step.done or step.done == step.total or time.monotonic() >= self._due:
            self._stream.write(text + "\n")
            self._due = time.monotonic() + LOG_SECONDS
        self._note = text
        self._stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._dirty:
            self._stream.write("\n")


def line(step: Step) -> str:
    """What a person reads about a step."""
    parts = [f"step {step.done}/{step.total}"] if step.done else []
    return ", ".join([*parts, *([step.note] if step.note else [])]) or "Preparing"
