"""Every recipe runs, resumes and writes a snapshot whose manifest can be trusted; all at tiny size."""

import dataclasses
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file, save_file

from models.dreamfuse.adapter import CONFIG, FILE, Adapter
from training import clip, dreamfuse, judge, pixart, sd_unet, t5_flux, vae, world
from training.export import MANIFEST, faults, read_manifest

RECIPES = {
    "vae": (vae.main, vae.VaeConfig(fit=16, held_out=2, batch=2)),
    "clip": (clip.main, clip.ClipConfig(width=64, text_layers=1, vision_layers=1, pictures=32, held_out=4, batch=4)),
    "flux": (
        t5_flux.main,
        t5_flux.FluxConfig(
            heads=1, double=1, single=1, text_layers=1, captions=200, held_out=8, batch=2, sample_steps=2
        ),
    ),
    "dreamfuse": (
        dreamfuse.main,
        dreamfuse.FuseConfig(held_out=8, batch=2, window=2, windows=0.5, window_batch=3, sample_steps=2),
    ),
    "sd_unet": (sd_unet.main, sd_unet.UNetConfig(width=16, held_out=8, batch=2, sample_steps=2)),
    "pixart": (pixart.main, pixart.PixArtConfig(heads=1, layers=1, held_out=8, batch=2, sample_steps=2)),
    "judge": (judge.main, judge.JudgeConfig(held_out=8, batch=4)),
}
FOLDERS = ("vae", "clip", "t5", "flux", "dreamfuse", "sd_unet", "pixart", "judge")


def run(name: str, root: Path, **changes) -> None:
    main, config = RECIPES[name]
    places = {"assets": str(root / "assets"), "runs": str(root / "runs"), "size": 64, "device": "cpu"}
    main(dataclasses.replace(config, steps=3, **(places | changes)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pocket")
    for name in RECIPES:
        run(name, root)
    return root


@pytest.mark.parametrize("folder", FOLDERS)
def test_snapshot_is_whole_and_its_parents_are_those_it_was_trained_on(trained: Path, folder: str) -> None:
    manifest = read_manifest(trained / "assets" / folder)
    assert faults(trained / "assets" / folder, world.digest()) == []
    assert manifest.steps == 3
    assert all(math.isfinite(value) for value in manifest.metrics.values())


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_of_a_snapshot_is_listed_and_finite(trained: Path, folder: str) -> None:
    place = trained / "assets" / folder
    on_disk = {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()} - {MANIFEST}
    assert on_disk == set(read_manifest(place).files)
    for weights in place.rglob("*.safetensors"):
        assert all(tensor.isfinite().all() for tensor in load_file(weights).values())


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_run_goes_on_where_it_stopped(trained: Path, name: str) -> None:
    run(name, trained, resume=True)
    assert read_manifest(trained / "assets" / name).steps == 6
    state = torch.load(trained / "runs" / name / "state.pt", weights_only=True)
    assert state["numbers"]["step"] == state["numbers"]["updates"] == 6


def test_without_a_run_the_snapshot_is_the_start(trained: Path, tmp_path: Path) -> None:
    before = read_manifest(trained / "assets" / "judge").steps
    run("judge", tmp_path, assets=str(trained / "assets"), resume=True, learning_rate=0.0)
    weights = "diffusion_pytorch_model.safetensors"
    manifest = read_manifest(trained / "assets" / "judge")
    assert manifest.steps == before + 3
    assert faults(trained / "assets" / "judge", world.digest()) == []
    assert (trained / "assets" / "judge" / weights).stat().st_size > 0


def test_lora_is_written_in_the_published_layout_and_fits_the_base(trained: Path, tmp_path: Path) -> None:
    for parent in ("vae", "clip", "t5", "flux"):
        shutil.copytree(trained / "assets" / parent, tmp_path / "assets" / parent)
    run("dreamfuse", tmp_path, lora=True, rank=4)
    folder = tmp_path / "assets" / "dreamfuse"
    assert {p.name for p in folder.iterdir()} == {CONFIG, FILE, "empty_prompt.safetensors", MANIFEST}
    written = Adapter.from_pretrained(folder)
    written.check(FluxTransformer2DModel.from_pretrained(tmp_path / "assets" / "flux"))
    assert written.rank == 4
    assert any(value.abs().max() > 0 for key, value in written.lora.items() if "lora_B" in key)  # zero at the start


def test_a_changed_file_is_noticed(trained: Path) -> None:
    place = trained / "assets" / "judge"
    weights = place / "diffusion_pytorch_model.safetensors"
    tensors, kept = load_file(weights), weights.read_bytes()
    next(iter(tensors.values())).view(-1)[0] += 1
    save_file(tensors, weights)
    assert faults(place, world.digest()) == [f"{weights.name}: changed"]
    weights.write_bytes(kept)


def test_a_model_whose_parents_changed_is_refused(trained: Path) -> None:
    place = trained / "assets" / "dreamfuse"
    assert "parent world: changed since dreamfuse was trained on it" in faults(place, "another world")
    manifest = trained / "assets" / "t5" / MANIFEST
    kept = manifest.read_text()
    facts = json.loads(kept)
    facts["files"]["config.json"] = "0" * 64
    manifest.write_text(json.dumps(facts))
    assert faults(place, world.digest()) == ["parent t5: changed since dreamfuse was trained on it"]
    manifest.write_text(kept)
