"""The download that goes on beside the page: begun once, told as progress, stopped at once. Plain.

It is a process of its own (`download_process`): the hub's client cannot be stopped within one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Literal

from models import inventory, loading
from models.contract import BadRequest

PATIENCE = 5.0  # seconds that a stopped download has to remove what is not whole


@dataclass(frozen=True)
class Progress:
    """Where a download is, in bytes; `total` is 0 until the hub has said what there is. `note` is what it does now,
    and `said` how it ended."""

    method: str
    preset: str
    state: Literal["running", "done", "failed", "stopped"] = "running"
    done: int = 0
    total: int = 0
    note: str = "Asking the hub"
    said: str = ""
    gated: bool = False


_lock = threading.Lock()
_progress: Progress | None = None
_process: subprocess.Popen[str] | None = None


def current() -> Progress | None:
    """The download that goes on, or the last one; None before the first."""
    return _progress


def start(method: str, preset: str, token: str = "") -> None:
    """Begin a download in the background. `token` is for this download alone: it goes to it through a pipe.

    Raises `BadRequest` while one is going on, and for names that do not exist.
    """
    global _progress, _process
    inventory.find(method, preset)
    with _lock:
        if _progress is not None and _progress.state == "running":
            going = f"{_progress.method} ({_progress.preset})"
            raise BadRequest(f"{going} is being downloaded already; please wait for it, or stop it.")
        command = [sys.executable, "-m", "models.download_process", method, preset]
        environment = {**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        _process = subprocess.Popen(
            command, cwd=loading.ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        _progress = Progress(method, preset)
        threading.Thread(target=_follow, args=(_process, token), daemon=True).start()


def stop() -> None:
    """End the download that goes on; whole files stay, and the next one goes on from them."""
    global _progress
    with _lock:
        if _progress is None or _progress.state != "running" or _process is None:
            return
        _progress = dataclasses.replace(_progress, state="stopped", said="Stopped; files that are whole are kept.")
        process = _process
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()


def _follow(process: subprocess.Popen[str], token: str) -> None:
    """Keep what the process says, until it ends."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError, ValueError):  # it ended, or was stopped, before it read
        process.stdin.write(token.replace("\n", "") + "\n")
        process.stdin.flush()
    for line in process.stdout:
        with contextlib.suppress(ValueError):
            _heard(json.loads(line))
    _ended(process.wait())


def _heard(told: dict[str, object]) -> None:
    global _progress
    known = {name: value for name, value in told.items() if name in ("done", "total", "note", "said", "gated")}
    with _lock:
        if _progress is not None and _progress.state == "running":
            changes = {**known, "note": ""} if "said" in known else known
            _progress = dataclasses.replace(_progress, **changes)  # type: ignore[arg-type]


def _ended(code: int) -> None:
    global _progress
    with _lock:
        if _progress is not None and _progress.state == "running":
            said = _progress.said or "The download ended early; the log of the server says why."
            _progress = dataclasses.replace(_progress, state="failed" if code else "done", said=said, note="")
