"""Downloads beside the page, by the hub's own client from a hub on this machine: progress, stop, refusals, checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from models import costs, downloads, fetching, inventory, loading, replay
from models.contract import BadRequest, MissingWeights
from tests.hub import SECRET, Hub, serving, turn_to

TINY = "facebook/sam2.1-hiera-tiny"
TENSORS = save({"weight": np.arange(6 << 20, dtype=np.float32)})  # 25 MB
WRITTEN = 10 << 20  # bytes of it before the gate
REPOS = {
    TINY: {"config.json": b"{}", "model.safetensors": TENSORS, "sam2.pt": b"x" * 100, "more/readme.md": b"no"},
    "stable-diffusion-v1-5/stable-diffusion-inpainting": {
        "unet/config.json": b"{}",
        "unet/diffusion_pytorch_model.safetensors": save({"w": np.zeros(3)}),
        "vae/config.json": b"{}",
        "vae/diffusion_pytorch_model.safetensors": save({"w": np.zeros(4)}),
        "text_encoder/config.json": b"{}",
        "text_encoder/model.safetensors": save({"w": np.zeros(5)}),
        "tokenizer/vocab.json": b"{}",
        "safety_checker/model.safetensors": b"nobody asks for this",
    },
    "black-forest-labs/FLUX.1-dev": {"vae/config.json": b"{}"},
    "LL3RD/DreamFuse": {"adapter_config.json": b"{}"},
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(downloads, "_progress", None)
    with serving(REPOS) as made:
        made.gated.add("black-forest-labs/FLUX.1-dev")
        turn_to(made, monkeypatch, tmp_path)
        yield made
        downloads.stop()


def until(true: Callable[[downloads.Progress], bool]) -> downloads.Progress:
    """The progress as soon as this holds for it."""
    for _ in range(1200):
        now = downloads.current()
        if now is not None and true(now):
            return now
        time.sleep(0.05)
    raise AssertionError(f"still {downloads.current()}")


def state(method: str, preset: str) -> str:
    return costs.of(method, preset).state


def blobs(home: Path) -> list[str]:
    return [path.name for path in (home / "hub").glob("models--*/blobs/*")]


def test_a_download_is_told_in_bytes_stopped_at_once_and_gone_on_with(hub: Hub, tmp_path: Path) -> None:
    hub.gate.clear()
    downloads.start("masks", "full")
    with pytest.raises(BadRequest, match=r"masks \(full\) is being downloaded already"):
        downloads.start("masks", "full-small")
    now = until(lambda now: now.done >= WRITTEN)
    assert now.total == len(TENSORS) + 2, "what the component needs, by the hub's own list"
    assert now.done == WRITTEN + 2
    assert state("masks", "full") == "missing"
    downloads.stop()
    assert until(lambda now: now.state == "stopped").said.startswith("Stopped")
    assert state("masks", "full") == "missing"
    assert not [name for name in blobs(tmp_path) if name.endswith(".incomplete")]
    hub.gate.set()
    downloads.start("masks", "full")
    now = until(lambda now: now.state != "running")
    assert (now.state, now.said, now.done) == ("done", "Downloaded and checked.", now.total)
    assert state("masks", "full") == "ready"
    assert hub.tokens == set()


def test_what_was_fetched_folder_by_folder_is_checked_and_named_in_recipes(hub: Hub, tmp_path: Path) -> None:
    downloads.start("cat", "base")
    assert until(lambda now: now.state != "running").state == "done"
    assert not any("safety_checker" in line for line in hub.asked)
    preset = inventory.find("cat", "base")
    assert (fetching.to_fetch(preset), list(inventory.full_damage(preset))) == ([], [])
    told = replay.identify(preset.components["unet"])
    assert (told["revision"], len(told["sha256"])) == ("c" * 40, 64)
    found = loading.found(preset.components["unet"])
    assert found is not None
    file = (found / "diffusion_pytorch_model.safetensors").resolve()
    harmed = bytearray(file.read_bytes())
    harmed[-1] ^= 1
    file.write_bytes(harmed)
    (fault,) = inventory.full_damage(preset)
    assert "stable-diffusion-inpainting/unet: diffusion_pytorch_model.safetensors is damaged (its sha256" in fault
    file.write_bytes(harmed[:-1])
    (fault,) = inventory.full_damage(preset)
    assert "is cut short" in fault


def test_a_gated_repository_wants_a_token_which_goes_nowhere_else(hub: Hub, tmp_path: Path) -> None:
    downloads.start("dreamfuse", "full")
    now = until(lambda now: now.state != "running")
    assert (now.state, now.gated) == ("failed", True)
    assert "accept its licence at https://huggingface.co/black-forest-labs/FLUX.1-dev" in now.said
    downloads.start("dreamfuse", "full", SECRET)
    until(lambda now: now.state != "running")
    assert hub.tokens == {SECRET}
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert kept == []


def test_a_hub_that_is_away_and_a_disk_that_is_small_are_one_sentence(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    downloads.start("masks", "full")
    now = until(lambda now: now.state != "running")
    assert (now.state, now.said) == ("failed", f"{TINY} cannot be fetched: the hub cannot be reached from here.")
    preset = inventory.find("masks", "full")
    monkeypatch.setattr(fetching, "free_bytes", lambda: (10**9, tmp_path))
    fetching.check_room(preset, 10**9)
    with pytest.raises(MissingWeights, match=r"too small: 1.1 GB are needed and 1.0 GB are free in .*HF_HOME"):
        fetching.check_room(preset, 11 * 10**8)
