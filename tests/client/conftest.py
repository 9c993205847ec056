"""One page with the painting fake, served on a free port for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from models import loading
from tests.painter import Painter, cutout, install, scene


@dataclass(frozen=True)
class Served:
    """The page's address, a client of it, the method behind it, and two pictures on disk."""

    url: str
    client: Client
    painter: Painter
    background: str
    foreground: str

    @property
    def pictures(self) -> dict[str, str]:
        """The two pictures by their argument's name."""
        return {"background": self.background, "foreground": self.foreground}

    def fuse(self, *pictures: Any, **more: Any) -> Any:
        """`/fuse` through gradio_client, with the two pictures unless others are given."""
        chosen = pictures or (handle_file(self.background), handle_file(self.foreground))
        return self.client.predict(*chosen, api_name="/fuse", **more)

    def upload(self, path: str) -> str:
        """Post a file as curl would; returns the path it got."""
        with Path(path).open("rb") as file:
            answer = httpx.post(f"{self.url}gradio_api/upload", files={"files": file})
        return str(answer.json()[0])

    def post(self, body: bytes | dict[str, Any]) -> tuple[str, str]:
        """Name and data of the last event after posting to `/fuse` by named arguments, as curl would."""
        sent = {"content": body} if isinstance(body, bytes) else {"json": body}
        headers = {"Content-Type": "application/json"}
        started = httpx.post(f"{self.url}gradio_api/call/v2/fuse", headers=headers, **sent)
        answer = httpx.get(f"{self.url}gradio_api/call/fuse/{started.json()['event_id']}", timeout=60)
        name, data = answer.text.strip().split("\n\n")[-1].split("\n")
        return name.removeprefix("event: "), data.removeprefix("data: ")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("client")
    Image.fromarray(scene()).save(folder / "b.png")
    Image.fromarray(cutout()).save(folder / "f.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "cache"))
        patch.setattr(loading, "present", lambda weights: weights.local)
        painter = install(patch)
        from demos import page

        demo = page.build()
        options = {**page.launch_options(), "mcp_server": True}
        _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **options)
        client = Client(url, verbose=False, download_files=str(folder / "down"))
        yield Served(url, client, painter, str(folder / "b.png"), str(folder / "f.png"))
        demo.close(verbose=False)
