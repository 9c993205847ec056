"""The published files through the command line: folders that the full preset loads, or one sentence."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from cli.main import main
from models import catalog, costs, fetching, loading
from models.contract import MissingWeights, Weights
from models.facediffuser import presets, published
from models.facediffuser.layout import Kind
from tests.hub import serving, turn_to
from tests.methods import face_published
from tests.methods.face_published import CLASSES, TINY

PARTS = {"tdm": "unet", "sdm": "unet", "text_encoder": "text_encoder", "image_encoder": "image_encoder"}
PARTS |= {"postfuse": "postfuse"}
AUTHORS: dict[Kind, str] = {"subject": "SDM/pytorch_model.bin", "scene": "TDM/pytorch_model.bin"}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Kind, Path]:
    """Both files at toy size, and the folder of the full preset beside them."""
    monkeypatch.setattr(published, "convert", partial(published.convert, sizes=TINY))
    monkeypatch.setenv("EASEL_FACE", str(tmp_path / "here"))
    paths: dict[Kind, Path] = {"subject": tmp_path / "sdm.bin", "scene": tmp_path / "tdm.bin"}
    for seed, (kind, path) in enumerate(paths.items(), 7):
        torch.save(face_published.checkpoint(face_published.tiny_networks(kind, seed)), path)
    return paths


def components() -> dict[str, Weights]:
    """Of the user's own, as the preset that reads the environment now has them."""
    return {name: weights for name, weights in presets._full().components.items() if weights.own}


def test_two_files_become_what_the_full_preset_loads(
    tmp_path: Path, files: dict[Kind, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for weights in components().values():
        with pytest.raises(MissingWeights, match=r"not there; `python app.py models convert-face SUBJECT SCENE`"):
            loading.load_component(weights)
    assert main(["models", "convert-face", str(files["subject"]), str(files["scene"])]) == 0
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.err.splitlines()] == ["Reading"] * 2 + ["Writing"] * 5
    assert f"{tmp_path / 'here'} holds Face-diffuser's weights" in said.out
    assert "`python app.py face --preset full` uses them" in said.out
    assert "models download face` fetches the rest (1.9 GB)" in said.out
    assert "EASEL_FACE" not in said.out
    assert components().keys() == PARTS.keys()
    for name, weights in components().items():
        assert loading.present(weights)
        thing = loading.load_component(weights)
        assert isinstance(thing, CLASSES[PARTS[name]])
        assert {p.dtype for p in thing.parameters()} == {torch.float32 if name == "postfuse" else torch.float16}
    subject, scene = (loading.load_component(components()[name]) for name in ("sdm", "tdm"))
    weight = "conv_in.weight"
    assert not torch.equal(subject.state_dict()[weight], scene.state_dict()[weight])


def test_the_subjects_file_alone_leaves_the_scene_to_the_base(
    tmp_path: Path, files: dict[Kind, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["models", "convert-face", str(files["subject"]), "--out", str(tmp_path / "there")]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "`python app.py face --preset full --scene-model base` uses them" in said
    assert f"Set EASEL_FACE={tmp_path / 'there'}" in said
    assert main(command) == 2  # taken
    assert "already holds weights" in capsys.readouterr().err


def test_what_the_preset_can_do_without_does_not_stop_a_download(
    tmp_path: Path, files: dict[Kind, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = {"tokenizer/*", "unet/*", "vae/*"}
    assert {part.only for part in fetching.to_fetch(presets._full())} == {*base, *AUTHORS.values()}
    published.convert(files["subject"], None, tmp_path / "here")
    assert {part.only for part in fetching.to_fetch(presets._full())} == base


def test_download_fetches_the_authors_files_and_converts_them(
    tmp_path: Path, files: dict[Kind, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = catalog.SPECS["facediffuser"]
    monkeypatch.setitem(catalog.SPECS, spec.key, dataclasses.replace(spec, presets={"full": presets._full()}))
    base = {f"{part}/{name}": b"{}" for part in ("unet", "vae") for name in ("config.json", "tokenizer.json")}
    base |= {f"{part}/model.safetensors": save({"weight": torch.zeros(2)}) for part in ("unet", "vae")}
    repos = {presets.SUBJECT.source: {path: files[kind].read_bytes() for kind, path in AUTHORS.items()}}
    with serving(repos | {presets.BASE: {"tokenizer/vocab.json": b"{}", **base}}) as hub:
        turn_to(hub, monkeypatch, tmp_path)
        found = costs.of("facediffuser", "full")
        assert (found.needs_gigabytes, found.own, found.state) == (10.26, False, "missing")
        assert main(["models", "download", "face", "--yes"]) == 0
    said = capsys.readouterr()
    assert "10.3 GB to fetch, licence: research and non-commercial use" in said.err
    assert "face (full) is ready." in said.out
    assert costs.of("facediffuser", "full").state == "ready"
    subject = loading.load_component(components()["sdm"]).state_dict()["conv_in.weight"]
    named = {path.relative_to(tmp_path / "here").parts[0] for path in (tmp_path / "here").glob("*/*")}
    assert named == {"sdm_unet", "tdm_unet", "text_encoder", "image_encoder", "postfuse"}
    published_one = torch.load(files["subject"], weights_only=True)["unet.conv_in.weight"]
    torch.testing.assert_close(subject, published_one.half(), rtol=0, atol=0)
    assert main(["models", "download", "face"]) == 0
    assert "already here" in capsys.readouterr().out


def spoilt(files: dict[Kind, Path], how: str) -> list[str]:
    """The command's files after something was done to them."""
    if how == "swapped":
        return [str(files["scene"]), str(files["subject"])]
    if how == "absent":
        return [str(files["subject"]), str(files["scene"].with_name("none.bin"))]
    state = torch.load(files["subject"], weights_only=True)
    key = "postfuse_module.mlp1.fc1.weight"
    value = state.pop(key)
    if how == "renamed":
        state["postfuse_module.mlp1.fc1.wait"] = value
    elif how == "extra":
        state |= {key: value, "ip_adapter.weight": value}
    torch.save(state, files["subject"])
    return [str(files["subject"]), str(files["scene"])]


@pytest.mark.parametrize(
    ("how", "code", "sentence"),
    [
        ("missing", 3, "post-fuse module does not fit in 1 keys: mlp1.fc1.weight is missing."),
        (
            "renamed",
            3,
            "post-fuse module does not fit in 2 keys: mlp1.fc1.wait is unknown; mlp1.fc1.weight is missing.",
        ),
        ("extra", 3, "1 unknown keys: ip_adapter.weight."),
        ("swapped", 3, "it is the scene model's (TDM); please give the subject model's (SDM)."),
        ("absent", 2, "There is no file"),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, files: dict[Kind, Path], capsys: Any, how: str, code: int, sentence: str
) -> None:
    assert main(["models", "convert-face", *spoilt(files, how)]) == code
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "here").exists()
