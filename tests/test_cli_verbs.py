"""The verbs around a run: serving's port, the inventory of weights, `doctor`, and replay in a fresh process."""

from __future__ import annotations

import gc
import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from cli import serve
from cli.main import main
from models import inventory, loading
from tests.painter import Painter
from tests.test_cli import failed, inputs, painter

__all__ = ["inputs", "painter"]  # fixtures


def test_taken_port_is_code_2_and_names_another(painter: Painter, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said = failed(capsys, ["--port", str(port)])
    assert code == 2
    assert f"Port {port} is taken" in said
    assert "--port" in said


@pytest.mark.parametrize("argv", [[], ["--port", "7999"]])
def test_a_port_in_the_environment_that_is_none_is_code_2(
    painter: Painter, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    monkeypatch.setenv("GRADIO_SERVER_PORT", "abc")
    code, said = failed(capsys, argv)
    assert code == 2
    assert "GRADIO_SERVER_PORT is “abc”" in said


def test_foreign_host_is_code_2(painter: Painter, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = failed(capsys, ["serve", "--host", "no such host"])
    assert code == 2
    assert "--host 127.0.0.1" in said


def test_models_list_says_what_each_preset_needs(
    painter: Painter, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "present", lambda weights: weights.local)
    assert main(["models", "list", "--json"]) == 0
    by_name = {(entry["method"], entry["preset"]): entry for entry in json.loads(capsys.readouterr().out)}
    assert by_name["dreamfuse", "pocket"]["state"] == "ready"
    assert by_name["dreamfuse", "full"]["state"] == "gated"
    assert by_name["dreamfuse", "full"]["needs_gigabytes"] > 30
    assert (by_name["masks", "pocket"]["state"], by_name["masks", "full"]["state"]) == ("ready", "missing")
    assert by_name["masks", "full"]["sources"] == ["facebook/sam2.1-hiera-tiny"]
    assert main(["models", "list"]) == 0
    assert "gated" in capsys.readouterr().out


def test_download_asks_first_and_without_a_network_is_code_3(
    painter: Painter, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(loading, "present", lambda weights: weights.local)
    (tmp_path / "no").write_text("n\n")
    with (tmp_path / "no").open() as answer:
        monkeypatch.setattr("sys.stdin", answer)
        assert main(["models", "download", "dreamfuse"]) == 2
    said = capsys.readouterr().err
    assert "GB" in said
    assert "licence" in said
    assert main(["models", "download", "fuse", "--yes"]) == 3
    assert "cannot be reached" in capsys.readouterr().err
    code, said = failed(capsys, ["models", "download", "nothing"])
    assert (code, "dreamfuse" in said) == (2, True)


class Hub(BaseHTTPRequestHandler):
    """A hub that knows every repository and refuses all of them, as the real one does without a licence."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("X-Error-Code", "GatedRepo")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_refusal_of_the_hub_is_code_3_and_names_the_three_steps(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        endpoint = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HUB_OFFLINE": "0"}
        done = in_fresh_process("models", "download", "fuse", "--yes", HF_HOME=str(tmp_path), **endpoint)
        hub.shutdown()
    said = done.stderr.splitlines()[-1]
    assert done.returncode == 3
    assert all(part in said for part in ("https://huggingface.co/black-forest-labs/FLUX.1-dev", "HF_TOKEN", "models"))
    assert "Traceback" not in done.stderr


def snapshot(root: Path, name: str, parents: dict[str, str]) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(name.encode() * 100)
    files = {"model.safetensors": loading.sha256(folder / "model.safetensors")}
    (folder / "MANIFEST.json").write_text(json.dumps({"files": files, "parents": parents}))
    return folder


def test_verify_finds_changed_files_and_changed_parents(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(loading, "ROOT", tmp_path)
    monkeypatch.setattr(loading, "POCKET", tmp_path / "assets" / "pocket")
    monkeypatch.setattr(loading, "present", lambda weights: weights.local)
    snapshot(loading.POCKET, "vae", {"world": "code"})
    child = snapshot(loading.POCKET, "net", {"vae": inventory.snapshot_digest("vae")})
    assert main(["models", "verify"]) == 0
    retrained = json.loads((child / "MANIFEST.json").read_text()) | {"parents": {"vae": "0" * 64}}
    (child / "MANIFEST.json").write_text(json.dumps(retrained))
    assert main(["models", "verify", "net"]) == 3
    assert "trained on another assets/pocket/vae" in capsys.readouterr().err
    (loading.POCKET / "vae" / "model.safetensors").write_bytes(b"?")
    assert main(["models", "verify", "vae"]) == 3
    assert "sha256" in capsys.readouterr().err


def test_verify_names_the_shipped_folders_that_are_absent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(loading, "ROOT", tmp_path)
    monkeypatch.setattr(loading, "POCKET", tmp_path / "assets" / "pocket")
    assert main(["models", "verify"]) == 3
    assert "assets/pocket/flux is not there" in capsys.readouterr().err


def test_doctor_reports_the_machine_and_never_the_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(inventory, "pocket_damage", lambda name="": iter(()))
    assert main(["doctor", "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["hub_token"] == "set"
    assert found["libraries"]["torch"] != "absent"
    assert "hf_secret" not in said.out + said.err


def in_fresh_process(*argv: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The command line with the painter in the catalogue, in a process of its own; `more` is its environment."""
    command = [sys.executable, "-m", "tests.painter", *argv]
    return subprocess.run(
        command, cwd=loading.ROOT, capture_output=True, text=True, env={**os.environ, **more}, timeout=120
    )


def blank(path: Path) -> None:
    """The same file with the same text and black pixels."""
    with Image.open(path) as image:
        text = PngImagePlugin.PngInfo()
        for name, value in image.text.items():
            text.add_itxt(name, value) if isinstance(value, PngImagePlugin.iTXt) else text.add_text(name, value)
        Image.new("RGB", image.size).save(path, pnginfo=text)


@pytest.mark.slow
def test_replay_in_a_fresh_process_makes_the_same_pixels_again(inputs: list[str], tmp_path: Path) -> None:
    done = in_fresh_process(*inputs, "--seed", "3", "--num-images", "2", "--quiet")
    assert done.returncode == 0, done.stderr
    second = tmp_path / "o-2.png"
    made = np.asarray(Image.open(second))
    blank(second)
    again = in_fresh_process("replay", str(second), "--out", str(tmp_path / "again.png"), "--quiet")
    assert (again.returncode, again.stderr) == (0, "")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "again.png")), made)
    assert made.any()


def test_replay_of_a_picture_without_a_recipe_is_code_2(
    painter: Painter, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "plain.png")
    code, said = failed(capsys, ["replay", str(tmp_path / "plain.png")])
    assert (code, "no recipe" in said) == (2, True)


def test_replay_says_which_version_changed(
    painter: Painter,
    inputs: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from models import replay

    assert main([*inputs, "--quiet"]) == 0
    monkeypatch.setattr(replay, "library_versions", lambda: {"torch": "99.0"})
    assert main(["replay", str(tmp_path / "o.png"), "--quiet"]) == 0
    assert "and is 99.0 now" in capsys.readouterr().err


def test_garbage_is_looked_for_again_however_a_start_ends() -> None:
    def start(error: bool) -> None:
        with serve.uncollected():
            assert not gc.isenabled()
            if error:
                raise OSError("the port went to somebody else")

    start(False)
    assert gc.isenabled()
    with pytest.raises(OSError, match="somebody else"):
        start(True)
    assert gc.isenabled()
    gc.unfreeze()
