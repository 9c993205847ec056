"""What test_zerogpu runs in a process of its own, with the lending stand-in on its path."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from models import catalog, runtime, zerogpu
from models.cache import ModelCache
from models.compare.cases import Case
from models.contract import BadRequest, Bundle, Event, OutOfMemory, Preset, Request, Result, Spec, Step, Weights
from models.dreamfuse.spec import DreamFuseRequest
from tests.painter import cutout, scene

WEIGHTS = {"net": Weights("assets/none", "torch.nn.Linear")}


class Method:
    """Counts its steps in a file, since what it does is done in another process."""

    log = Path(os.environ["LENDER_LOG"]).with_name("steps.txt")

    def load(self, components: Any, preset: Preset, device: str) -> Any:
        return components["net"]

    def run(self, net: Any, request: Request) -> Iterator[Event]:
        if request.prompt == "memory":
            raise OutOfMemory("It does not fit; choose less.")
        if request.prompt == "broken":
            raise ZeroDivisionError("by nothing")
        for done in range(1, request.steps + 1):
            with self.log.open("a") as log:
                log.write(f"{os.getpid()}\n")
            yield Step(done, request.steps)
            threading.Event().wait(0.02)
        yield Result((np.zeros((8, 8, 3), np.uint8),), facts={"drawn_by": os.getpid()})

    def steps(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


def installed() -> Method:
    import torch

    method = Method()
    full = Preset("full", {"net": Weights("somebody/net", "torch.nn.Linear")}, steps=3, label="")
    presets = {"pocket": Preset("pocket", WEIGHTS, steps=3, label=""), "full": full}
    catalog.SPECS["count"] = Spec("count", "Count", "count", "", "", Request, presets, frozenset(), lambda: method)
    runtime.cache = ModelCache(lambda _: torch.nn.Linear(2, 2))
    return method


def said(error: type[Exception], request: Request) -> str:
    try:
        list(runtime.run("count", request))
    except error as found:
        return str(found)
    return "nothing"


def real() -> Any:
    """A real pocket run on a borrowed GPU, and the same without one."""
    request = DreamFuseRequest(background=scene(), foreground=cutout(), seed=3, steps=2, preset="pocket")
    *steps, there = runtime.run("dreamfuse", request)
    zerogpu.lent = None
    *_, here = runtime.run("dreamfuse", request)
    same = np.array_equal(there.images[0], here.images[0]) and there.extras.keys() == here.extras.keys()
    notes = [step.note for step in steps]
    return {"same": same, "facts": there.facts.keys() == here.facts.keys(), "waited": "Waiting for a GPU" in notes}


def ways() -> Any:
    """A method of ours: where it ran, how errors and a stop arrive, and a fork while a lock is held."""
    method = installed()
    *_, result = runtime.run("count", Request(steps=3))
    found: dict[str, Any] = {"drawn_by": result.facts["drawn_by"], "me": os.getpid()}
    found["memory"] = said(OutOfMemory, Request(prompt="memory"))
    found["broken"] = said(RuntimeError, Request(prompt="broken"))
    before, others = method.steps(), set(threading.enumerate())
    events = runtime.run("count", Request(steps=200))
    while next(events).done < 3:
        pass
    events.close()
    for thread in set(threading.enumerate()) - others:
        thread.join(60)
    found["after_stop"] = method.steps() - before
    with runtime.lock.hold(threading.Event(), lambda _: None):
        *_, result = runtime.run("count", Request(steps=1))
    found["with_a_lock"] = result.facts["steps"]
    found["full"] = said(Exception, Request(preset="full"))
    os.environ["LENDER_SAYS"] = "You have exceeded your quota."
    found["refused"] = said(BadRequest, Request())
    return found


def compared() -> Any:
    """Two cells and a baseline."""
    from models.compare import grid, plan
    from models.compare.running import compare
    from models.contract import Placed

    case = Case("one", Bundle(scene=scene(), placed=Placed(cutout(), scale=0.4)))
    planned = plan.make(grid.build([case], "fuse, paste", ["seed=1-2", "steps=1"], False, None), 60)
    folder = Path(os.environ["LENDER_LOG"]).with_name("sheet")
    cells = [update.outcome for update in compare(planned, folder) if update.outcome is not None]
    return {"reasons": [cell.reason for cell in cells], "keys": [cell.key for cell in cells]}


if __name__ == "__main__":
    parts: dict[str, Callable[[], Any]] = {"real": real, "ways": ways, "compared": compared}
    zerogpu.prepare()
    print(json.dumps(parts[sys.argv[1]]()))
