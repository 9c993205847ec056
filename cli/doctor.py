"""`doctor`: what this machine offers and whether Easel can run on it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
from collections.abc import Mapping
from typing import Any

from models import clicks, device, inventory, loading, replay, runtime

LIBRARIES = (*replay.LIBRARIES, "gradio")
HUB = "huggingface.co"


def add(verbs: Any) -> None:
    """The `doctor` verb."""
    parser = verbs.add_parser("doctor", help="what this machine offers, and whether the shipped weights are sound")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--network", action="store_true", help="also ask whether the hub answers")
    parser.set_defaults(handler=examine)


def examine(arguments: argparse.Namespace) -> int:
    """Print the findings; 3 if the shipped weights are missing or damaged, else 0."""
    faults = list(inventory.pocket_damage())
    findings = {**machine(), "pocket_weights": "as published" if not faults else " ".join(faults)}
    findings["masks"] = clicks.choose("auto")  # which model answers a click here
    if arguments.network:
        findings["hub"] = "answers" if hub_answers() else "cannot be reached from here"
    if arguments.json:
        print(json.dumps(findings))
    else:
        _print(findings)
    return 3 if faults else 0


def machine() -> dict[str, Any]:
    """Python, libraries, device, memory, cores, disk, and whether a token is set (never the token)."""
    from huggingface_hub import constants, get_token

    where = device.pick(runtime.settings.device)
    cache = os.path.expanduser(constants.HF_HUB_CACHE)
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "libraries": {name: replay.library_version(name) for name in LIBRARIES},
        "device": where,
        "memory_gigabytes": round(device.total_gigabytes(where), 1),
        "cores": device.cores(),
        "free_disk_gigabytes": round(shutil.disk_usage(_existing(cache)).free / 1e9, 1),
        "hub_cache": cache,
        "hub_token": "set" if get_token() else "not set",
    }


def hub_answers(seconds: float = 5.0) -> bool:
    """Whether the hub can be reached; the only question of `doctor` that leaves this machine."""
    import socket

    try:
        socket.create_connection((HUB, 443), seconds).close()
    except OSError:
        return False
    return True


def _existing(path: str) -> str:
    """The nearest folder above `path` that is there."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path or str(loading.ROOT)


def _print(findings: Mapping[str, Any]) -> None:
    width = max(map(len, findings))
    for name, value in findings.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else value
        print(f"{name.replace('_', ' '):<{width}}  {shown}")
