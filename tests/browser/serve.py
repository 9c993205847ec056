"""Serve the page with the fake method on a free port and say which: `python tests/browser/serve.py STEPS [HISTORY]`."""

from __future__ import annotations

import logging
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def main() -> None:
    from gradio import networking

    from demos import page
    from models import runtime
    from tests import editor, fakes, filler, flood

    logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s", stream=sys.stderr)
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    fakes.install(steps)
    filler.install(steps)
    editor.install(steps)
    flood.install()
    networking.url_ok = lambda url: True  # a machine that is busy takes longer to answer than the three seconds given
    if len(sys.argv) > 2:
        runtime.configure(history_dir=sys.argv[2])
    app = page.build()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    _, address, _ = app.launch(prevent_thread_lock=True, quiet=True, server_port=port, **page.launch_options())
    print(address, flush=True)
    sys.stdin.read()  # until the tests close the pipe


if __name__ == "__main__":
    main()
