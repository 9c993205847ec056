"""A hub of this machine's own, with repositories in memory, that the hub's real client downloads from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

COMMIT = "c" * 40
CHUNK = 1 << 20
HELD = 12 * CHUNK  # where the gate stands in a file: the client writes 10 MB at a time
SECRET = "hf_of_mine"


class Hub:
    """Repositories by name, each with its files. While `gate` is cleared, large files stop on their way; `gated` are
    repositories that ask for the `SECRET`."""

    def __init__(self, repos: dict[str, dict[str, bytes]]) -> None:
        self.repos, self.gated = repos, set[str]()
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[str] = []
        self.tokens: set[str] = set()
        self.address = ""


@contextlib.contextmanager
def serving(repos: dict[str, dict[str, bytes]]) -> Iterator[Hub]:
    """The hub while it answers."""
    hub = Hub(repos)

    class Answer(_Answer):
        of = hub

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        hub.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield hub
        hub.gate.set()
        server.shutdown()


def turn_to(hub: Hub, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Let this process, and those that begin now, ask this hub, with an empty cache in `home`."""
    for name, value in {"HF_ENDPOINT": hub.address, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    here = {"HF_HUB_CACHE": str(home / "hub"), "HF_TOKEN_PATH": str(home / "token"), "HF_HUB_OFFLINE": False}
    here |= {"ENDPOINT": hub.address, "HUGGINGFACE_CO_URL_TEMPLATE": template}
    for name, known in here.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", known)


class _Answer(BaseHTTPRequestHandler):
    of: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.of.asked.append(f"{self.command} {path}")
        if token := self.headers.get("Authorization", "").removeprefix("Bearer "):
            self.of.tokens.add(token)
        repo = next((name for name in self.of.repos if f"/{name}/" in path + "/"), None)
        if repo is None:
            self._json(404, {}, "RepoNotFound")
        elif repo in self.of.gated and token != SECRET:
            self._json(401 if not token else 403, {}, "GatedRepo")
        elif "/resolve/" in path:
            self._file(self.of.repos[repo].get(path.split(f"/resolve/{COMMIT}/")[1]))
        elif "/tree/" in path:
            self._json(200, [_listed(name, data) for name, data in self.of.repos[repo].items()])
        else:
            self._json(200, {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": [], "tags": []})

    def _json(self, code: int, told: object, error: str = "") -> None:
        body = json.dumps(told).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _file(self, data: bytes | None) -> None:
        if data is None:
            self._json(404, {}, "EntryNotFound")
            return
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        with contextlib.suppress(OSError):  # who asked has gone
            for at in range(0, len(data), CHUNK):
                self.wfile.write(data[at : at + CHUNK])
                self.wfile.flush()
                if at >= HELD:
                    self.of.gate.wait(60)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def _listed(name: str, data: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
    if name.endswith((".safetensors", ".bin")):
        sha = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"oid": sha, "sha256": sha, "size": len(data), "pointerSize": 134}
    return entry
