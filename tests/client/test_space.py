"""The app as a Space starts it: no network, no GPU, no token, a source tree that it may not write to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from demos.tool_words import DOES
from tests.client.test_start import free_port
from tests.painter import cutout, scene

pytestmark = [pytest.mark.client, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("app.py", "cli", "demos", "models", "assets/pocket", "assets/examples", "assets/sprites")
EXAMPLES = ROOT / "assets" / "examples"
PATIENCE = 240  # seconds for the page to stand on a machine that has much else to do

# Python runs this before anything else. As root a tree without write permission could still be written to.
CUT = """
import os, sys

TREE, LOG = os.environ["CUT_TREE"], os.open(os.environ["CUT_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
HERE = ("127.", "::1", "localhost", "0.0.0.0", "::")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate")


def inside(path):
    return isinstance(path, (str, bytes)) and os.path.abspath(os.fsdecode(path)).startswith(TREE)


def told(text):
    os.write(LOG, f"{text}\\n".encode())


def look(event, args):
    if event == "open" and isinstance(args[2], int) and args[2] & WRITES and inside(args[0]):
        if "__pycache__" not in os.fsdecode(args[0]):
            told(f"writes {args[0]}")
        raise PermissionError(13, "Permission denied", args[0])
    if event in CHANGES and any(inside(one) for one in args):
        if "__pycache__" not in str(args):
            told(f"{event} {args}")
        raise PermissionError(13, "Permission denied", str(args[0]))
    if event in ("socket.connect", "socket.getaddrinfo"):
        host = args[0] if event == "socket.getaddrinfo" else args[1][0] if isinstance(args[1], tuple) else None
        host = host.decode() if isinstance(host, bytes) else host
        if host and not str(host).startswith(HERE):
            told(f"asks {host}")
            raise OSError(101, "Network is unreachable")


sys.addaudithook(look)
"""


@dataclass(frozen=True)
class Space:
    """A running Space: its client, its source, and where what it tried against the rules stands."""

    url: str
    client: Client
    tree: Path
    log: Path
    inputs: Path

    def picture(self, name: str) -> Any:
        return handle_file(str(self.inputs / f"{name}.png"))


def snapshot(tree: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file and folder."""
    found = {str(path.relative_to(tree)): path.stat() for path in (tree, *tree.rglob("*"))}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


def copied(folder: Path) -> Path:
    """The files that a Space needs, without write permission."""
    tree = folder / "app"
    for name in NEEDED:
        source, target = ROOT / name, tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    for path in (*tree.rglob("*"), tree):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return tree


def environment(folder: Path, tree: Path, port: int) -> dict[str, str]:
    """What a Space sets, on a machine with nothing else; the user's own folder is empty."""
    for name in ("cut", "home", "temporary"):
        (folder / name).mkdir()
    (folder / "cut" / "sitecustomize.py").write_text(CUT)
    space = {"SYSTEM": "spaces", "SPACE_ID": "somebody/easel", "SPACE_HOST": "somebody-easel.hf.space"}
    space |= {"SPACE_AUTHOR_NAME": "somebody", "SPACE_REPO_NAME": "easel", "SPACES_ZERO_GPU": "false"}
    space |= {"GRADIO_SERVER_PORT": str(port), "GRADIO_SSR_MODE": "True", "CPU_CORES": "2", "MEMORY": "16Gi"}
    own = {"HOME": str(folder / "home"), "GRADIO_TEMP_DIR": str(folder / "temporary"), "PATH": os.environ["PATH"]}
    cut = {"PYTHONPATH": str(folder / "cut"), "CUT_TREE": str(tree), "CUT_LOG": str(folder / "log")}
    return {**space, **own, **cut, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"}


def answering(port: int, server: subprocess.Popen[bytes], said: Path) -> None:
    """Wait until the page answers."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/", timeout=30).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(f"no page; the app ended with {server.poll()}: {said.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    folder, port = tmp_path_factory.mktemp("space"), free_port()
    tree, inputs = copied(folder), folder / "inputs"
    inputs.mkdir()
    hole = np.zeros((48, 64), np.uint8)
    hole[16:40, 16:40] = 255
    for name, picture in (("scene", scene()), ("object", cutout()), ("mask", hole)):
        Image.fromarray(picture).save(inputs / f"{name}.png")
    told = environment(folder, tree, port)
    with (folder / "said").open("wb") as said:
        server = subprocess.Popen([sys.executable, "app.py"], cwd=tree, env=told, stdout=said, stderr=said)
        try:
            answering(port, server, folder / "said")
            url = f"http://127.0.0.1:{port}/"
            client = Client(url, verbose=False, download_files=str(folder / "down"))
            yield Space(url, client, tree, folder / "log", inputs)
        finally:
            server.kill()  # ending in good order is another test's
            server.wait(60)


def sizes(files: Any) -> list[tuple[int, int]]:
    """Width and height of pictures that came back, each with something on it."""
    found = []
    for one in files if isinstance(files, list) else [files]:
        with Image.open(one["image"] if isinstance(one, dict) else one) as picture:
            assert np.asarray(picture).std() > 0
            found.append(picture.size)
    return found


def test_every_endpoint_answers_and_nothing_is_written_or_asked_for(space: Space) -> None:
    before, client = snapshot(space.tree), space.client
    health = client.predict(api_name="/health")
    assert (health["status"], health["masks"]) == ("ok", "pocket")
    assert sorted(health["methods"]) == ["collage", "edit", "face", "fuse", "inpaint"]
    pocket = {one["verb"]: one["state"] for one in client.predict(api_name="/models") if one["preset"] == "pocket"}
    assert pocket == dict.fromkeys([*health["methods"], "segment"], "ready")

    quick: dict[str, Any] = {"seed": 1, "steps": 1}
    picture, cutting = space.picture("scene"), space.picture("object")
    fused = client.predict(background=picture, foreground=cutting, **quick, api_name="/fuse")
    assert sizes(fused[0]) == [(64, 48)]
    assert (fused[1]["request"]["preset"], fused[2]) == ("pocket", [1])
    told = {"mask": space.picture("mask"), "prompt": "a ball", "comparisons": "off"}
    filled = client.predict(image=picture, **told, **quick, api_name="/inpaint")
    assert sizes(filled[0]) == [(64, 48)]
    told = {"source_prompt": "a cat", "target_prompt": "a dog"}
    edited = client.predict(image=picture, **told, **{**quick, "steps": 2}, api_name="/edit")
    assert len(sizes(edited[0])) == 1
    collage = handle_file(str(EXAMPLES / "collage" / "meadow.collage.zip"))
    assert len(sizes(client.predict(collage=collage, **quick, api_name="/collage")[0])) == 1
    person = [handle_file(str(EXAMPLES / "facediffuser" / "mina.webp"))]
    face = client.predict(references=person, prompt="a woman<|image|> in the snow", **quick, api_name="/face")
    assert len(sizes(face[0])) == 1
    mask, score, cut = client.predict(picture, points=[[30, 20]], labels=[1], cutout=True, api_name="/segment")
    with Image.open(mask) as found, Image.open(cut) as lifted:
        assert (found.size, lifted.mode) == ((64, 48), "RGBA")
    assert 0 <= score <= 1
    asked = {"scene": [picture], "object": cutting, "scale": 0.4, "methods": "fuse, paste"}
    sheet, cells, _, report = client.predict(**asked, axes=["seed=1", "steps=1"], api_name="/compare")
    assert [cell["reason"] for cell in report["cells"]] == ["", ""]
    assert len(sizes(sheet)) == 1
    assert len(sizes(cells)) == 2

    tools = {tool["name"]: tool["description"] for tool in httpx.get(f"{space.url}gradio_api/mcp/schema").json()}
    verbs = [*health["methods"], "segment", "compare", "models", "health"]
    assert sorted(tools) == sorted(f"easel_{verb}" for verb in verbs)
    assert tools["easel_fuse"].startswith(DOES["dreamfuse"])

    assert snapshot(space.tree) == before
    assert space.log.read_text() == ""
