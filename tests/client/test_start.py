"""`python app.py`: the address is printed and the page answers before a model library is imported."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVE = """
import sys
from cli import serve
from cli.main import main
serve.warm_up = lambda opened: print("torch" in sys.modules, flush=True)
sys.exit(main(sys.argv[1:]))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.client
def test_page_is_up_before_torch_and_sigterm_ends_it(tmp_path: Path) -> None:
    port, kept = free_port(), tmp_path / "new" / "kept"
    command = [sys.executable, "-c", SERVE, "--port", str(port), "--output-dir", str(kept), "--local-files-only"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline() == f"Easel is at http://127.0.0.1:{port}/\n"
            assert server.stdout.readline() == "False\n"
            page = httpx.get(f"http://127.0.0.1:{port}/", timeout=30)
            assert page.status_code == 200
            assert "Easel" in page.text
            assert kept.is_dir()
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


@pytest.mark.client
def test_importing_app_launches_nothing() -> None:
    code = "import app, sys; sys.exit('gradio' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0
