"""The subject model's pocket recipe at toy size: what it reads, what it moves, what it writes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from models.autoencoder import PatchAutoencoder
from models.facediffuser import losses
from models.facediffuser.image_encoder import embed
from models.facediffuser.post_fuse import ABSENT, PostFuse
from training import clip, sdm, world
from training.export import Manifest, digest, export, faults, read_manifest, save_all, write_half
from training.loop import seeded
from training.sd_unet import shape
from training.sdm import SubjectConfig
from training.subjects import Subjects, SubjectView, Weighed

WEIGHTS = "diffusion_pytorch_model.safetensors"
WIDTH = 64


def config(root: Path, **changes: Any) -> SubjectConfig:
    places = {"assets": str(root / "assets"), "runs": str(root / "runs"), "size": 64, "device": "cpu"}
    quick = {"steps": 2, "batch": 4, "held_out": 4, "warmup": 1, "sample_steps": 2, "width": 16}
    return SubjectConfig(**(places | quick | changes))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Assets with random toy parents, the scene model among them."""
    root = tmp_path_factory.mktemp("sdm")
    vae = PatchAutoencoder(block_out_channels=(8,) * 4, layers_per_block=1)
    towers = clip.build(clip.ClipConfig(assets=str(root), width=WIDTH, text_layers=1, vision_layers=1, pictures=64))
    torch.manual_seed(0)
    channels = int(vae.config.latent_channels)
    unet = UNet2DConditionModel(sample_size=8, in_channels=channels, out_channels=channels, **shape(16, WIDTH))
    writers: dict[str, Callable[[Path], object]] = {"vae": write_half(vae), "clip": save_all(*towers)}
    writers["sd_unet"] = write_half(unet)
    for name, write in writers.items():
        manifest = Manifest(name, "", 0, 0.0, 0, 64, "cpu", {"world": world.digest()}, {})
        export(str(root / "assets"), manifest, {"": write})
    return root


@pytest.fixture(scope="module")
def view(root: Path) -> SubjectView:
    return SubjectView(root / "assets", torch.device("cpu"), "v_prediction")


@pytest.fixture(scope="module")
def trained(root: Path) -> Path:
    sdm.main(config(root))
    return root / "assets"


def model_of(view: SubjectView, root: Path) -> Subjects:
    return sdm.build(config(root), view.vae.config.latent_channels, view.width).requires_grad_(True)


# ---- what it reads


def test_rows_hold_the_captions_slots_and_pictures_of_the_people(view: SubjectView, root: Path) -> None:
    rows = view.people(6, 64, seeded(0, 3), untold=0.0, kept=1.0)
    batch = world.faces(6, (64, 64), seeded(0, 3), "train", reference_side=64)
    assert torch.equal((rows["slots"] != ABSENT).sum(1), batch.subjects)
    ids = view.tokenizer(list(batch.captions), padding="max_length", max_length=view.length).input_ids
    with torch.no_grad():
        torch.testing.assert_close(rows["text"], view.encoder(torch.tensor(ids)).last_hidden_state)
    for row, prompt in enumerate(batch.prompts):
        nouns = [part.split()[-1] for part in prompt.split("<|image|>")[:-1]]
        for k, noun in enumerate(nouns):
            assert view.tokenizer.decode(ids[row][int(rows["slots"][row, k])]).strip() == noun
    eyes = CLIPVisionModelWithProjection.from_pretrained(root / "assets" / "clip", dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(rows["vectors"], embed(eyes.eval(), batch.references))
    assert rows["masks"].shape == (6, 2, 8, 8)
    torch.testing.assert_close(rows["masks"].mean((2, 3)), batch.masks.mean((2, 3)), atol=0.02, rtol=0.1)


def test_untold_rows_have_neither_caption_nor_subjects(view: SubjectView) -> None:
    rows = view.people(5, 64, seeded(0, 1), untold=1.0)
    assert (rows["slots"] == ABSENT).all()
    assert torch.equal(rows["text"], view.words([""])["text"].expand(5, -1, -1))
    words = view.people(5, 64, seeded(0, 1), untold=0.0, kept=0.0)
    assert (words["slots"] == ABSENT).all()
    assert not torch.equal(words["text"], rows["text"])


# ---- the loss


def test_the_loss_is_noise_and_localisation_with_one_coin_for_the_batch(view: SubjectView, root: Path) -> None:
    model = model_of(view, root).eval()
    rows = view.people(4, 64, seeded(0, 2), untold=0.0, kept=1.0)

    def loss(masked: float, localisation: float) -> float:
        with torch.no_grad():
            return float(view.subject_loss(model, rows, seeded(0, 0), Weighed(masked, localisation)))

    whole, people = loss(0.0, 0.0), loss(1.0, 0.0)
    assert people < whole  # over all places, most of them zero
    nobody = rows | {"masks": torch.zeros_like(rows["masks"])}
    with torch.no_grad():
        assert float(view.subject_loss(model, nobody, seeded(0, 0), Weighed(1.0, 0.0))) == 0
        with losses.watched(model.unet, rows["slots"]) as maps:
            view.subject_loss(model, rows, seeded(0, 0), Weighed(0.0, 0.0))
        located = float(losses.localisation_loss(maps, rows["masks"], rows["slots"] != ABSENT))
    assert len(maps) == len(losses.middle(model.unet)) == 4
    assert loss(0.0, 10.0) == pytest.approx(whole + 10 * located, rel=1e-4)
    tosses = [view.subject_loss(model, rows, seeded(1, k), Weighed(0.5, 0.0)).item() > (whole + people) / 2
              for k in range(24)]  # fmt: skip
    assert 4 < sum(tosses) < 20


def test_pictures_reach_the_prediction_only_through_their_slots(view: SubjectView, root: Path) -> None:
    model = model_of(view, root)
    rows = view.people(4, 64, seeded(0, 2), untold=0.0, kept=1.0)
    vectors = rows["vectors"].clone().requires_grad_(True)
    for asked, reached in ((rows, True), (sdm.without(rows), False)):
        loss = view.subject_loss(model, asked | {"vectors": vectors}, seeded(0, 0), Weighed(0.0, 1e-3))
        (gradient,) = torch.autograd.grad(loss, vectors, allow_unused=True, materialize_grads=True)
        there = asked["slots"] != ABSENT
        assert bool(gradient.abs().max() > 0) is reached
        assert not gradient[~there].any()


# ---- what it writes


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / WEIGHTS)


def test_both_folders_are_whole_and_know_each_other(trained: Path) -> None:
    for name in ("sdm_unet", "postfuse"):
        assert faults(trained / name, world.digest()) == []
        assert read_manifest(trained / name).steps == 2
        assert all(value.isfinite().all() for value in weights(trained / name).values())
    manifest = read_manifest(trained / "sdm_unet")
    assert set(manifest.parents) == {"world", "vae", "clip", "postfuse"}
    assert manifest.parents["postfuse"] == digest(trained / "postfuse")
    assert set(manifest.metrics) == {"mse", "mse_caption", "mse_swapped"}
    assert all(math.isfinite(value) for value in manifest.metrics.values())
    assert DDIMScheduler.from_pretrained(trained / "sdm_unet" / "scheduler").config.prediction_type == "v_prediction"
    assert PostFuse.from_pretrained(trained / "postfuse").config["width"] == WIDTH


def test_it_starts_from_the_scene_model_and_moves_both(trained: Path, root: Path, view: SubjectView) -> None:
    base, after = weights(trained / "sd_unet"), weights(trained / "sdm_unet")
    assert base.keys() == after.keys()
    moved = [float((after[key].float() - value.float()).abs().max()) for key, value in base.items()]
    assert 0 < max(moved) < 0.01  # two steps of Adam away, which a fresh network would not be
    torch.manual_seed(0)
    fresh = sdm.build(config(root), view.vae.config.latent_channels, view.width)
    assert any(not torch.equal(value.half(), weights(trained / "postfuse")[key])
               for key, value in fresh.postfuse.state_dict().items())  # fmt: skip


def test_it_goes_on_where_it_stopped(trained: Path, root: Path) -> None:
    sdm.main(config(root, resume=True))
    assert [read_manifest(trained / name).steps for name in ("sdm_unet", "postfuse")] == [4, 4]
    assert [faults(trained / name, world.digest()) for name in ("sdm_unet", "postfuse")] == [[], []]
    state = torch.load(root / "runs" / "sdm_unet" / "state.pt", weights_only=True)
    assert (state["numbers"]["step"], state["numbers"]["updates"]) == (4, 4)
    assert (root / "runs" / "sdm_unet" / "samples.png").exists()


def test_without_a_run_the_snapshots_are_the_start(trained: Path, root: Path, view: SubjectView) -> None:
    model = sdm.build(config(root, resume=True), view.vae.config.latent_channels, view.width)
    for name, part in (("sdm_unet", model.unet), ("postfuse", model.postfuse)):
        kept = weights(trained / name)
        assert all(torch.equal(value, kept[key].float()) for key, value in part.state_dict().items())


def test_without_a_base_it_starts_fresh(view: SubjectView, tmp_path: Path) -> None:
    model = sdm.build(config(tmp_path, base=""), view.vae.config.latent_channels, view.width)
    assert model.unet.config.block_out_channels == (16, 32, 48)
    with pytest.raises(OSError, match="sd_unet"):
        sdm.build(config(tmp_path), view.vae.config.latent_channels, view.width)
