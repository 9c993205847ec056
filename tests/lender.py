"""A stand-in for the `spaces` package, after its documentation: it lends a GPU that does not exist.

The decorator comes with and without arguments, takes any keyword, books a duration that may be computed from the task's
arguments, and runs a generator in a forked process: arguments and values are pickled, of an exception only the class's
name comes back, and a generator that is closed is stopped at its next value.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

STAND_IN = '''
import json, multiprocessing, os, pickle, sys

if "torch" in sys.modules:
    raise RuntimeError("the spaces package has to be imported before torch")
FORK = multiprocessing.get_context("fork")


class Refused(Exception):
    """As gr.Error has them."""

    def __init__(self, title, message):
        super().__init__(title)
        self.title, self.message = title, message


def GPU(task=None, *, duration=60, size="large", **kwargs):
    if task is None:
        return lambda function: GPU(function, duration=duration, size=size)

    def call(*args, **kwargs):
        seconds = duration(*args, **kwargs) if callable(duration) else duration
        with open(os.environ["LENDER_LOG"], "a") as log:
            log.write(json.dumps({"seconds": seconds, "size": size, "asked_by": os.getpid()}) + chr(10))
        if os.environ.get("LENDER_SAYS"):
            raise Refused("ZeroGPU quota exceeded", os.environ["LENDER_SAYS"])
        here, there = FORK.Pipe()
        stop = FORK.Event()
        worker = FORK.Process(target=work, args=(task, pickle.dumps((args, kwargs)), there, stop), daemon=True)
        worker.start()
        there.close()
        try:
            while (item := pickle.loads(here.recv_bytes()))[0] == "value":
                yield item[1]
            if item[0] == "error":
                raise Refused("ZeroGPU worker error", item[1])
        finally:
            stop.set()
            try:
                while here.recv_bytes():
                    pass
            except EOFError:
                pass
            worker.join()

    return call


def work(task, given, out, stop):
    args, kwargs = pickle.loads(given)
    events = task(*args, **kwargs)
    try:
        for event in events:
            if stop.is_set():
                events.close()
                break
            out.send_bytes(pickle.dumps(("value", event)))
        out.send_bytes(pickle.dumps(("end", None)))
    except Exception as error:
        out.send_bytes(pickle.dumps(("error", type(error).__name__)))
'''


def installed(folder: Path) -> dict[str, str]:
    """Write the stand-in into `folder`; returns the environment of a process that is to find it and borrow from it."""
    folder.mkdir()
    (folder / "spaces.py").write_text(STAND_IN)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", ""))))
    return {"PYTHONPATH": path, "SPACES_ZERO_GPU": "true", "LENDER_LOG": str(folder / "booked.jsonl")}


def booked(environment: dict[str, str]) -> list[dict[str, object]]:
    """What was asked of the stand-in: seconds, size, and by which process."""
    log = Path(environment["LENDER_LOG"])
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
