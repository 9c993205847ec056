"""Where and with what something was measured."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models import device, loading, replay
from models.contract import Preset

ROOT = loading.ROOT
RESULTS = Path(__file__).with_name("results")


def cpu_model() -> str:
    """The processor's own name, e.g. "AMD EPYC"."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.M) if info.exists() else None
    return (found.group(1) if found else platform.processor() or platform.machine()).strip()


def commit() -> str:
    """The commit of the code that ran, with "+" if tracked code differs from it; empty outside a checkout."""
    head = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "*.py", "assets")
    return head + ("+" if head and changed else "")


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def versions() -> dict[str, str]:
    """Versions of the libraries that decide speed and pixels; read from metadata, nothing is imported."""
    return {**replay.library_versions(), "gradio": replay.library_version("gradio")}


def describe(threads: int) -> dict[str, Any]:
    """The machine and the software, as it goes into a results file; `threads` are torch's."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": cpu_model(),
        "cores": device.cores(),
        "threads": threads,
        "load_before": None if load is None else round(load, 2),  # runnable processes, last minute: 0 = idle
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
        "commit": commit(),
    }


def name() -> str:
    """A short file name for this machine, e.g. "amd-epyc-2"."""
    words = re.sub(r"\((r|tm)\)|processor|cpu|@.*$", " ", cpu_model().lower())
    return "-".join([*re.findall(r"[a-z0-9]+", words)[:4], str(device.cores())])


def weight_digests(preset: Preset) -> dict[str, str]:
    """sha256 of every shipped weight file of a preset, hub components as source@revision; paths as keys."""
    found: dict[str, str] = {}
    for weights in preset.components.values():
        if not weights.local:
            found[f"{weights.source}/{weights.subfolder}".rstrip("/")] = weights.revision or "unpinned"
            continue
        for file in sorted(loading.folder(weights).glob("*.safetensors")):
            found[str(file.relative_to(ROOT))] = loading.sha256(file)
    return found


def changed_weights(recorded: Mapping[str, str], preset: Preset) -> list[str]:
    """The weight files whose sha256 differs from what a results file recorded, or that one of both lacks."""
    now = weight_digests(preset)
    return sorted(path for path in recorded.keys() | now.keys() if recorded.get(path) != now.get(path))
