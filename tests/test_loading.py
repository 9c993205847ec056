"""Weights on disk: damaged, missing and gated files are one clear sentence each."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel
from transformers import CLIPTextConfig, CLIPTextModel

from models import fetching, inventory, loading
from models.contract import GatedWeights, MissingWeights, Preset, Weights
from tests import tiny

NET = Weights("assets/pocket/net", "diffusers.FluxTransformer2DModel")


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny FLUX saved as a shipped component, with its MANIFEST."""
    monkeypatch.setattr(loading, "ROOT", tmp_path)
    folder = tmp_path / NET.source
    tiny.flux().save_pretrained(folder)
    files = {p.name: loading.sha256(p) for p in folder.iterdir()}
    (folder / "MANIFEST.json").write_text(json.dumps({"files": files}))
    return folder


def test_component_loads_as_it_was_saved(shipped: Path) -> None:
    net = loading.load_component(NET)
    assert isinstance(net, FluxTransformer2DModel)
    assert not net.training
    saved = FluxTransformer2DModel.from_pretrained(shipped).state_dict()
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, saved[name], rtol=0, atol=0)


def test_dtype_is_the_one_asked_for(shipped: Path) -> None:
    net = loading.load_component(Weights(NET.source, NET.class_name, dtype="bfloat16"))
    assert {p.dtype for p in net.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("harm", ["flip a byte", "truncate", "delete"])
def test_damaged_file_is_named(shipped: Path, harm: str) -> None:
    file = next(shipped.glob("*.safetensors"))
    data = bytearray(file.read_bytes())
    if harm == "flip a byte":
        data[-1] ^= 1
    file.write_bytes(data[:-100] if harm == "truncate" else data)
    if harm == "delete":
        file.unlink()
    with pytest.raises(MissingWeights, match=file.name):
        loading.load_component(NET)


@pytest.mark.parametrize("library", ["diffusers", "transformers"])
def test_a_fetched_file_that_is_cut_short_is_told_as_that(tmp_path: Path, library: str) -> None:
    text = CLIPTextModel(CLIPTextConfig(vocab_size=20, hidden_size=8, intermediate_size=8, num_attention_heads=1))
    net, name = (tiny.flux(), NET.class_name) if library == "diffusers" else (text, "transformers.CLIPTextModel")
    net.save_pretrained(tmp_path)
    file = next(tmp_path.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(MissingWeights, match="could not be read .* verify"):
        loading.load_component(Weights(str(tmp_path), name))


def test_missing_folder_and_absent_hub_weights_name_the_fix(shipped: Path) -> None:
    with pytest.raises(MissingWeights, match="fetch the repository again"):
        loading.load_component(Weights("assets/pocket/none", NET.class_name))
    with pytest.raises(MissingWeights, match="models download"):
        loading.load_component(Weights("nobody/nothing", NET.class_name, gigabytes=23.8))


def test_gated_weights_say_licence_token_retry() -> None:
    error = loading._explained(Weights("a/b", NET.class_name), OSError("403 Client Error: gated repo"))
    assert isinstance(error, GatedWeights)
    assert all(word in str(error) for word in ("accept its licence", "HF_TOKEN", "models download"))


def test_present_asks_the_disk_only(shipped: Path) -> None:
    assert loading.present(NET)
    assert not loading.present(Weights("assets/pocket/none", NET.class_name))
    assert not loading.present(Weights("nobody/nothing", NET.class_name))


def test_a_download_that_broke_off_is_not_present(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's client fetches settings and the list of shards first; a run must not take that for weights."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--someone--model" / "snapshots" / ("c" * 40) / "net"
    snapshot.mkdir(parents=True)
    net = Weights("someone/model", NET.class_name, "net")
    tokenizer = Weights("someone/model", "transformers.AutoTokenizer", "net", dtype="")
    shards = [f"model-{k}-of-2.safetensors" for k in (1, 2)]
    index = {"weight_map": {"a": shards[0], "b": shards[1]}}
    for name, text in (("config.json", "{}"), ("model.safetensors.index.json", json.dumps(index)), (shards[0], "")):
        (snapshot / name).write_text(text)
        assert not loading.present(net), name
    assert loading.present(tokenizer)
    (snapshot / shards[1]).write_text("")
    assert loading.present(net)
    assert not loading.present(Weights("someone/model", NET.class_name, "other"))


def test_weights_of_ones_own_are_made_not_fetched(tmp_path: Path) -> None:
    own = Weights(str(tmp_path / "cat"), "diffusers.FluxTransformer2DModel", "unet", made_by="models convert-cat FILE")
    hub = Weights("someone/model", "diffusers.FluxTransformer2DModel")
    preset = Preset("full", {"tokenizer": hub, "unet": own}, steps=1, label="")
    for attempt in (lambda: loading.load_component(own), lambda: fetching.fetch(preset)):
        with pytest.raises(MissingWeights, match=r"cat/unet is not there; .*models convert-cat FILE"):
            attempt()
    tiny.flux().save_pretrained(tmp_path / "cat" / "unet")
    whole = dataclasses.replace(preset, components={"unet": own})
    assert loading.present(own)
    assert isinstance(loading.load_component(own), FluxTransformer2DModel)
    assert (fetching.to_fetch(whole), list(inventory.full_damage(whole))) == ([], [])
    file = next((tmp_path / "cat" / "unet").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1])
    (fault,) = inventory.full_damage(whole)
    assert "cut short" in fault


def test_what_was_imported_once_waits_for_no_load() -> None:
    calls: list[str] = []

    def importing() -> str:
        calls.append(threading.current_thread().name)
        return "library"

    def elsewhere() -> threading.Thread:
        thread = threading.Thread(target=loading.first_alone, args=(importing,), name="click")
        thread.start()
        thread.join(0.5)
        return thread

    with loading.alone:  # as a model that loads holds it
        first = elsewhere()
        assert not calls
    first.join()
    assert calls == ["click"]
    with loading.alone:
        elsewhere()
        assert calls == ["click", "click"]
    assert loading.first_alone(importing) == "library"
