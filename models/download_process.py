"""`python -m models.download_process METHOD PRESET`: one download as a process, which says in JSON lines how far it is.

The first line of standard input is a token, or empty; its end ends the process, and with it the files that are not
whole. So a download is stopped by closing a pipe, and none outlives the server that began it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models import fetching, inventory, loading
from models.contract import GatedWeights, MissingWeights, Preset

PAUSE = 0.5  # seconds between two lines
STOPPED = 5


def main(arguments: Sequence[str]) -> int:
    """Fetch, convert, check; returns the exit code. Lines: `total`, `done` (bytes), `note`, and at last `said`."""
    token = sys.stdin.readline().strip() or None
    preset = inventory.find(*arguments)
    # Files that are not whole lie beside the others there.
    blobs = [loading.repository(part.source) / "blobs" for part in fetching.to_fetch(preset)]
    before = unfinished(blobs)
    threading.Thread(target=_end_with_parent, args=(blobs, before), daemon=True).start()
    try:
        _run(preset, token, list(dict.fromkeys(blobs)))
    except MissingWeights as error:
        say(failed=True, gated=isinstance(error, GatedWeights), said=str(error))
        return 3
    except Exception as error:
        say(failed=True, said=f"The download failed ({type(error).__name__}); the log of the server says more.")
        raise
    return 0


def _run(preset: Preset, token: str | None, blobs: Sequence[Path]) -> None:
    total = fetching.size(preset, token)
    fetching.check_room(preset, total)
    say(total=total)
    threading.Thread(target=_report, args=(blobs, weigh(blobs), total), daemon=True).start()
    fetching.fetch(preset, token, lambda text: say(note=text))
    say(note="Checking the files")
    if faults := list(inventory.full_damage(preset)):
        raise MissingWeights(" ".join(faults))
    say(done=total, said="Downloaded and checked.")


def say(**told: Any) -> None:
    """One line, whole."""
    os.write(1, (json.dumps(told) + "\n").encode())


def weigh(blobs: Sequence[Path]) -> int:
    """Bytes on the disk; of a file with holes only what is there."""
    stats = [path.stat() for each in blobs for path in each.glob("*") if path.is_file()]
    return sum(min(one.st_size, getattr(one, "st_blocks", one.st_size) * 512) for one in stats)


def unfinished(blobs: Sequence[Path]) -> set[Path]:
    """Files that are not whole; a later download begins them anew, under other names."""
    return {path for each in blobs for path in each.glob("*.incomplete")}


def _report(blobs: Sequence[Path], before: int, total: int) -> None:
    while True:
        time.sleep(PAUSE)
        say(done=max(0, min(total, weigh(blobs) - before)))


def _end_with_parent(blobs: Sequence[Path], before: set[Path]) -> None:
    sys.stdin.read()
    for path in unfinished(blobs) - before:
        path.unlink(missing_ok=True)
    os._exit(STOPPED)


if __name__ == "__main__":
    os.chdir(loading.ROOT)
    sys.exit(main(sys.argv[1:]))
