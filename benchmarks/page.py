"""How soon the page stands: from the start of the server's process to a tab's label in Chromium."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.examples import example
from models import catalog
from models.collage import files
from models.collage.spec import CollageRequest, collage_of
from models.contract import PICTURES, Request, options

ROUNDS = 3  # after one that warms the disk's and Python's caches
PATIENCE = 120.0  # seconds before a start counts as failed
FACTOR, ALLOWANCE = 1.5, 2.0  # the page may take this much of `import gradio`, and these seconds more


@dataclass(frozen=True)
class Server:
    """A fresh server process and when it was started."""

    process: subprocess.Popen[bytes]
    url: str
    started: float


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(preset: str) -> Iterator[Server]:
    """`python app.py serve` on a free port, ended afterwards."""
    port = free_port()
    command = [sys.executable, "app.py", "serve", "--host", "127.0.0.1", "--port", str(port), "--preset", preset]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=machine.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield Server(process, f"http://127.0.0.1:{port}/", started)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_http(one: Server) -> float:
    """Seconds from the process's start until the page answers 200. Raises RuntimeError if it never does."""
    while time.perf_counter() - one.started < PATIENCE and one.process.poll() is None:
        try:
            with urllib.request.urlopen(one.url, timeout=PATIENCE) as answer:
                if answer.status == 200:
                    return time.perf_counter() - one.started
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.02)
    raise RuntimeError(f"The server did not answer at {one.url} (exit status {one.process.poll()}).")


def has_torch(process_id: int) -> bool | None:
    """Whether torch's library is mapped into a process, seen from outside; None where the system cannot tell."""
    maps = Path(f"/proc/{process_id}/maps")
    return "libtorch" in maps.read_text() if maps.exists() else None


def time_import_gradio() -> float:
    """Seconds from a fresh Python's start until `import gradio` is done."""
    started = time.perf_counter()
    code = "import gradio; print('done', flush=True)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=machine.ROOT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return time.perf_counter() - started


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A running Chromium (its own start is not the page's), or None where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def wait_for_label(chromium: Any, one: Server, label: str) -> float:
    """Seconds from the process's start until the tab's label is visible."""
    with chromium.new_page() as page:
        page.goto(one.url, wait_until="commit", timeout=PATIENCE * 1000)
        page.get_by_role("tab", name=label).first.wait_for(state="visible", timeout=PATIENCE * 1000)
        return time.perf_counter() - one.started


def start_once(chromium: Any, preset: str, label: str) -> dict[str, Any]:
    """One start of the server, looked at over plain HTTP and in the browser."""
    with server(preset) as one:
        found: dict[str, Any] = {"http_s": wait_for_http(one), "label_s": None}
        found["torch_before_http"] = has_torch(one.process.pid)
        if chromium is not None:
            found["label_s"] = wait_for_label(chromium, one, label)
        return {**found, "torch_before_label": has_torch(one.process.pid)}


def measure(method: str, preset: str) -> dict[str, Any]:
    """Medians over `ROUNDS` starts, each beside an `import gradio` of the same minute; every round is kept."""
    rounds = []
    with browser() as chromium:
        for _ in range(1 + ROUNDS):
            gradio = time_import_gradio()
            rounds.append({"import_gradio_s": gradio, **start_once(chromium, preset, catalog.SPECS[method].title)})
    kept = rounds[1:]
    gradio, http = (statistics.median(r[k] for r in kept) for k in ("import_gradio_s", "http_s"))
    label = statistics.median(r["label_s"] for r in kept) if kept[0]["label_s"] is not None else None
    torch = None if kept[0]["torch_before_label"] is None else any(r["torch_before_label"] for r in kept)
    allowed = FACTOR * gradio + ALLOWANCE
    return {
        "import_gradio_s": gradio,
        "http_s": http,
        "label_s": label,
        "ratio": None if label is None else label / gradio,
        "allowed_s": allowed,
        "within": None if label is None else label <= allowed,
        "torch_before_label": torch,
        "rounds": rounds,
    }


def endpoint_arguments(request: Request, folder: Path) -> dict[str, Any]:
    """What a client sends for a request: pictures as files in `folder`, the rest where it is not the default; of layers
    the saved collage, which holds every setting."""
    from gradio_client import handle_file

    if isinstance(request, CollageRequest):
        saved = folder / f"sent{files.SUFFIX}"
        saved.write_bytes(files.encode(collage_of(request)))
        return {"collage": handle_file(str(saved))}
    defaults = {f.name: f.default for f in dataclasses.fields(request)}
    sent: dict[str, Any] = {}
    for name, option in options(type(request)).items():
        value = getattr(request, name)
        if option.kind in PICTURES and value is not None:
            sent[name] = handle_file(_saved(value, folder / f"{name}.png"))
        elif option.kind == "pictures":
            sent[name] = [handle_file(_saved(one, folder / f"{name}-{k}.png")) for k, one in enumerate(value)]
        elif value != defaults[name]:
            sent[name] = value
    return sent


def _saved(picture: np.ndarray, file: Path) -> str:
    from PIL import Image

    Image.fromarray(picture).save(file)
    return str(file)


def clicks_over_http(method: str, preset: str) -> dict[str, float]:
    """Seconds of the first and the second call of a method's endpoint in a fresh server that has just answered."""
    from gradio_client import Client

    with server(preset) as one, tempfile.TemporaryDirectory() as folder:
        wait_for_http(one)
        sent = endpoint_arguments(example(method), Path(folder))
        client = Client(one.url, verbose=False, download_files=folder)
        found = {}
        for name, seed in (("first_click_s", 1), ("second_click_s", 2)):
            started = time.perf_counter()
            client.predict(**{**sent, "seed": seed}, api_name=f"/{catalog.SPECS[method].verb}")
            found[name] = time.perf_counter() - started
        return found
