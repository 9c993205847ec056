"""`serve`: the page first, the model libraries after it."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cli import machine
from models import catalog, clicks, loading, runtime, zerogpu
from models.contract import MEMORY_MODES, BadRequest, MissingWeights

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"
FIRST_PORT, PORTS = 7860, 100
EXAMPLES, KINDS = "EASEL_EXAMPLES", ("stored", "run")  # variable with the default of --examples
UNVISITED, DRAWN = 30.0, 1.0  # seconds without a visitor; seconds that a page needs to be drawn after it has loaded


def add(verbs: Any) -> None:
    """The `serve` verb."""
    parser = verbs.add_parser("serve", help="the page and the HTTP endpoints (the default)", allow_abbrev=False)
    parser.add_argument("--host", default=default_host(), help="[%(default)s]")
    parser.add_argument("--port", type=int, default=None, help="[the first free one from 7860]")
    parser.add_argument("--share", action="store_true", help="a public address through Gradio's relay, for a week")
    parser.add_argument("--preset", default="auto", metavar="NAME", help="pocket, full or auto [auto]")
    parser.add_argument("--memory", default="auto", choices=MEMORY_MODES, help="of the full weights [auto]")
    parser.add_argument("--output-dir", type=Path, metavar="DIR", help="keep every picture here [none are kept]")
    parser.add_argument(
        "--history",
        action="store_true",
        default=os.environ.get("EASEL_HISTORY", "0") not in ("", "0"),
        help="a page where each visitor finds and deletes their own pictures, kept below --output-dir or Easel's cache",
    )
    told = "a click on one shows what was made before, or runs [stored where others can reach the page, else run]"
    parser.add_argument("--examples", default=os.environ.get(EXAMPLES) or None, choices=KINDS, help=told)
    machine.add(parser)
    parser.set_defaults(handler=serve)


def default_host() -> str:
    """What Gradio's variable says, else this machine alone; a Space's page is asked for from outside its container."""
    return os.environ.get("GRADIO_SERVER_NAME") or (EVERYWHERE if zerogpu.on_space() else LOOPBACK)


def serve(arguments: argparse.Namespace) -> int:
    """Launch the page, print its address, warm up the first method, and wait for Ctrl-C or SIGTERM."""
    host, port = arguments.host, choose_port(arguments.host, arguments.port)
    configure(arguments)
    zerogpu.prepare()
    zerogpu.preload(os.environ.get(zerogpu.PRELOAD, ""))
    opened = threading.Event()
    where = {"server_name": host, "server_port": port, "share": arguments.share, "mcp_server": True}
    with uncollected():
        from demos import page

        demo = page.build(opened.set)
        with contextlib.redirect_stdout(sys.stderr):  # the MCP server announces itself even when quiet
            _, url, shared = demo.launch(prevent_thread_lock=True, quiet=True, **where, **page.launch_options())
    print(f"Easel is at {url}" + (f" and at {shared}" if shared else ""), flush=True)
    threading.Thread(target=warm_up, args=(opened,), daemon=True).start()
    with contextlib.suppress(ValueError):  # not the main thread: no signals to listen to
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    demo.block_thread()
    return 0


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Nothing that a start makes is garbage, and a sixth of it went into looking; nor is it looked at later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def configure(arguments: argparse.Namespace) -> None:
    """Settings of the process, before Gradio and the hub's client read their environment."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    machine.configure(arguments)
    if arguments.output_dir:
        runtime.configure(output_dir=made(arguments.output_dir))
    if arguments.history:
        runtime.configure(history_dir=made(arguments.output_dir or loading.cache_folder("history")))
    runtime.configure(preset=arguments.preset, memory=arguments.memory, stored_examples=stored_examples(arguments))


def stored_examples(arguments: argparse.Namespace) -> bool:
    """Whether clicks on examples show what was made before: as told, else where others can reach the page, since a run
    of each of their clicks would keep everybody waiting. Raises `BadRequest`."""
    if arguments.examples:
        if arguments.examples not in KINDS:  # argparse looks at flags alone
            raise BadRequest(f"{EXAMPLES} is “{arguments.examples[:40]}”; please set it to {' or '.join(KINDS)}.")
        return bool(arguments.examples == "stored")
    return zerogpu.on_space() or arguments.share or arguments.host not in (LOOPBACK, "localhost", "::1")


def made(folder: Path) -> str:
    """A folder that is there from now on; raises `BadRequest`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(f"The folder {folder} cannot be made ({error.strerror}).") from None
    return str(folder)


def choose_port(host: str, wanted: int | None) -> int:
    """`wanted` if it is free, without a wish the first free one; raises `BadRequest` with another to try."""
    told = os.environ.get("GRADIO_SERVER_PORT")  # Gradio reads it too, whatever port it is given
    if told is not None and not told.strip().isdecimal():
        raise BadRequest(f"GRADIO_SERVER_PORT is “{told[:40]}”, which is no port; please unset it or set a number.")
    named = wanted if wanted is not None else told
    if named is None:
        return _free(host, FIRST_PORT)
    port = int(named)
    if not 0 < port < 65536:
        raise BadRequest(f"There is no port {port}; choose one from 1024 to 65535.")
    if not _is_free(host, port):
        raise BadRequest(f"Port {port} is taken or may not be used; try --port {_free(host, max(port + 1, 1024))}.")
    return port


def _free(host: str, start: int) -> int:
    for port in range(start, min(start + PORTS, 65536)):
        if _is_free(host, port):
            return port
    raise BadRequest(f"No port from {start} is free on {host}; please name one with --port.")


def _is_free(host: str, port: int) -> bool:
    """Whether a server could listen there; raises `BadRequest` for a host that is not this machine's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise BadRequest(f"“{host}” is not an address of this machine; try --host {LOOPBACK}.") from None
    with socket.socket(family, kind, protocol) as probe:
        if os.name == "posix":  # on Windows this option would take a port that is in use
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError:
            return False
    return True


def warm_up(opened: threading.Event) -> None:
    """Load the first tab's default weights and the masks', so that the first click need not wait.

    It begins when the first page has been drawn, since it would take the cores from that, or after a while for
    those who come through the endpoints.
    """
    opened.wait(UNVISITED)
    time.sleep(DRAWN)
    try:
        runtime.warm_up(next(iter(catalog.SPECS)))
        clicks.warm_up()
    except (MissingWeights, BadRequest) as error:
        print(error, file=sys.stderr)
