"""The painting fake with a memory: what was asked of it and how many steps it has done; `full` stays real."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from models import catalog
from models.contract import Event, Preset, Request, Spec, Step
from models.dreamfuse.spec import SPEC
from tests import fakes

POCKET = Preset("pocket", {}, steps=4, label="Pocket - painted")


class Painter:
    """A method that hands everything to `fakes` and keeps count."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.steps = 0

    def load(self, components: Any, preset: Preset, device: str) -> None:
        fakes.load(components, preset, device)

    def run(self, parts: None, request: Any) -> Iterator[Event]:
        self.seen.append(request)
        for event in fakes.run(parts, request):
            self.steps += isinstance(event, Step)
            yield event


def spec(painter: Painter) -> Spec:
    """DreamFuse's entry of the catalogue with the painter behind its pocket preset."""
    presets = {**SPEC.presets, "pocket": POCKET}
    return dataclasses.replace(SPEC, presets=presets, method=lambda: painter, needs=None)


def install(monkeypatch: pytest.MonkeyPatch, pause: float = 0.0) -> Painter:
    """Put a painter into the catalogue in DreamFuse's place; `pause` is seconds per step."""
    painter = Painter()
    monkeypatch.setattr(fakes, "PAUSE", pause)
    monkeypatch.setitem(catalog.SPECS, SPEC.key, spec(painter))
    return painter


def scene(height: int = 48, width: int = 64) -> np.ndarray:
    """A background of noise, uint8 RGB."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def cutout(side: int = 16) -> np.ndarray:
    """A green disc on nothing, uint8 RGBA."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    disc = np.zeros((side, side, 4), np.uint8)
    disc[x**2 + y**2 < (side / 2) ** 2] = (30, 160, 60, 255)
    return disc


if __name__ == "__main__":  # `python -m tests.painter fuse ...`: the command line, painted, in a fresh process
    from cli.main import main

    catalog.SPECS[SPEC.key] = spec(Painter())
    fakes.PAUSE = 0.0
    sys.exit(main(sys.argv[1:]))
