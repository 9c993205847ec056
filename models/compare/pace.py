"""How long runs take: what was measured on this machine, kept in the user's cache folder. Plain."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from models import loading, runtime

KEPT = 9  # measurements of each preset; the median of them counts
# Seconds per step of shipped presets on one core, roughly: a guess until this machine has measured its own.
SHIPPED = {"dreamfuse": 0.1, "collage": 0.1, "cat": 0.2}
Paces = Mapping[str, Sequence[float]]  # "method/preset/device" -> seconds per step


def file() -> Path:
    """Where they are kept."""
    return loading.cache_folder("compare") / "seconds.json"


def known() -> dict[str, list[float]]:
    """What was measured here; nothing where the file is not there or not ours."""
    try:
        found = json.loads(file().read_text(encoding="utf-8"))
        return {str(key): [float(value) for value in values] for key, values in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def per_step(paces: Paces, key: str, preset: str) -> float | None:
    """Seconds per step of a preset: measured on this device, or what is known of a shipped one on a CPU, or None."""
    measured = paces.get(_name(key, preset))
    if measured:
        return statistics.median(measured)
    return SHIPPED.get(key) if preset == "pocket" else None


def add(key: str, preset: str, steps: int, seconds: float) -> None:
    """Remember one run; a file that cannot be written is no reason to stop."""
    found, name = known(), _name(key, preset)
    found[name] = [*found.get(name, []), round(seconds / max(1, steps), 5)][-KEPT:]
    with contextlib.suppress(OSError):
        file().parent.mkdir(parents=True, exist_ok=True)
        part = file().with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(found, indent=1), encoding="utf-8")
        part.replace(file())


def _name(key: str, preset: str) -> str:
    return f"{key}/{preset}/{runtime.settings.device}"
