"""Both models at toy size through the same files, folders and loading as at full size, on drawn people."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers import AutoencoderKL, DDPMScheduler
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextModel

from models.facediffuser.post_fuse import ABSENT
from models.facediffuser.presets import PRESETS
from tests import tiny
from training import clip, face_full, world
from training.export import save_all
from training.face_full import FaceConfig, main
from training.face_parts import Frozen, SceneModel, read_caption, trained
from training.loop import seeded

WIDTH, SIDE = 64, 64
State = dict[str, Tensor]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No accelerate settings of an earlier run."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base`, a tiny Stable Diffusion, `clip` with three layers that see, and `data`, two drawn couples."""
    folder = tmp_path_factory.mktemp("face")
    towers = clip.ClipConfig(assets=str(folder), width=WIDTH, text_layers=1, vision_layers=3, pictures=64)
    save_all(*clip.build(towers))(folder / "clip")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = AutoencoderKL(
            block_out_channels=(8,) * 4,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            norm_num_groups=4,
        )
    base = folder / "base"
    vae.save_pretrained(base / "vae")
    tiny.unet(cross_attention_dim=WIDTH).save_pretrained(base / "unet")
    CLIPTextModel.from_pretrained(folder / "clip").save_pretrained(base / "text_encoder")
    (base / "tokenizer").mkdir()
    for file in folder.glob("clip/*token*"):
        (base / "tokenizer" / file.name).write_bytes(file.read_bytes())
    write_data(folder / "data")
    return folder


def write_data(data: Path) -> None:
    """Couples in FFHQ-FastComposer's layout; their words end where the markers stood."""
    batch = world.faces(2, (72, 96), 4, pairs=1.0, reference_side=64)
    data.mkdir()
    names = [f"0000{row}12345" for row in range(2)]
    for row, name in enumerate(names):
        folder = data / name[:5]
        folder.mkdir()
        picture = (batch.image[row] * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(picture).save(folder / f"{name}.jpg")
        numbers = np.zeros((72, 96), np.int32)
        pieces = batch.prompts[row].split(" <|image|>")
        segments, end = [], 0
        for k in range(2):
            numbers[batch.masks[row, k].numpy() > 0.5] = k + 1
            left, top, right, bottom = (int(v) for v in batch.boxes[row, k].tolist())
            end += len(pieces[k])
            box = [left, top, right, bottom]
            segments.append({"id": k + 1, "bbox": box, "coco_label": "person", "end": end})
        np.save(folder / f"{name}.npy", numbers)
        (folder / f"{name}.json").write_text(json.dumps({"caption": "".join(pieces), "segments": segments}))
    (data / "image_ids_train.txt").write_text("\n".join(names))


def config(root: Path, out: Path, model: str, **changes: Any) -> FaceConfig:
    places = {"base": str(root / "base"), "clip": str(root / "clip"), "data": str(root / "data"), "out": str(out)}
    quick = {"steps": 2, "batch": 2, "workers": 0, "log_every": 1, "side": SIDE, "precision": "no", "untold": 0.0}
    return FaceConfig(**(places | quick | {"model": model} | changes))


def weights(folder: Path) -> State:
    return load_file(next(folder.glob("*.safetensors")))


def moved(before: State, after: State) -> set[str]:
    assert before.keys() == after.keys()
    return {key for key, value in before.items() if not torch.equal(value, after[key])}


@pytest.fixture(scope="module")
def out(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after both models."""
    folder = tmp_path_factory.mktemp("out")
    for model in face_full.MODELS:
        AcceleratorState._reset_state(reset_partial_state=True)
        main(config(root, folder, model))
    return folder


def test_each_model_moves_what_the_paper_trains(root: Path, out: Path) -> None:
    unet = weights(root / "base" / "unet")
    assert len(moved(unet, weights(out / "sdm_unet"))) > 0.9 * len(unet)
    assert len(moved(unet, weights(out / "tdm_unet"))) > 0.9 * len(unet)
    assert not moved(weights(root / "base" / "text_encoder"), weights(out / "text_encoder"))
    seen = weights(out / "image_encoder")
    before = weights(root / "clip")
    changed = moved({key: before[key].float() for key in seen}, seen)
    assert changed
    assert {key.split("layers.")[1].split(".")[0] for key in changed} == {"1", "2"}


def test_the_folder_is_what_the_app_loads(out: Path) -> None:
    folder = PRESETS["full"].components["sdm"].source
    asked = {w.subfolder for w in PRESETS["full"].components.values() if w.source == folder}
    assert asked | {"sdm", "tdm"} == {path.name for path in out.iterdir()}


def test_a_resumed_run_is_the_run_that_never_stopped(root: Path, tmp_path: Path) -> None:
    for part, steps, resume in (("whole", 2, False), ("parts", 1, False), ("parts", 2, True)):
        AcceleratorState._reset_state(reset_partial_state=True)
        main(config(root, tmp_path / part, "sdm", steps=steps, resume=resume))
    for name in ("sdm_unet", "postfuse", "image_encoder"):
        assert not moved(weights(tmp_path / "whole" / name), weights(tmp_path / "parts" / name))


def test_the_scene_models_loss_is_that_of_diffusers_own_noise(root: Path) -> None:
    frozen = Frozen(str(root / "base"), torch.device("cpu"))
    unet = tiny.unet(cross_attention_dim=WIDTH)
    rows = frozen.rows(batch_of(root, kept=0.0))
    assert (rows["slots"] == ABSENT).all()
    with torch.no_grad():
        loss = SceneModel(unet, frozen)(rows, seeded(0, 0))["loss"]
        generator = seeded(0, 0)
        noise = torch.randn(rows["x"].shape, generator=generator)
        times = torch.randint(1000, (len(noise),), generator=generator)
        path = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
        predicted = unet(path.add_noise(rows["x"], noise, times), times, rows["text"]).sample
    assert float(loss) == pytest.approx(float((predicted - noise).square().mean()), rel=1e-5)


def batch_of(root: Path, **changes: Any) -> dict[str, Any]:
    told = {"untold": 0.0, "kept": 1.0} | changes
    data = face_full.FaceData(root / "data", face_full.read_ids(root / "data"), 0, SIDE, **told)
    return next(iter(data.loader([0, 1], 2, 0)))


@pytest.mark.parametrize("kept", [1.0, 0.0])
def test_everything_that_is_trained_has_a_gradient_also_without_subjects(root: Path, kept: float) -> None:
    # Several processes wait for all of them.
    frozen = Frozen(str(root / "base"), torch.device("cpu"))
    module = face_full.build(config(root, root, "sdm", localisation=1e3), frozen)
    found = module(frozen.rows(batch_of(root, kept=kept)), seeded(0, 0))
    assert found["loss"].item() == pytest.approx(found["noise"].item() + found["located"].item(), rel=1e-6)
    assert (abs(found["located"].item()) > 1e-3) is bool(kept)
    found["loss"].backward()
    seen = [weight.grad for name, weight in module.eyes.named_parameters() if weight.requires_grad]
    assert all(weight.grad is not None for weight in trained(module))
    assert any(bool(grad.any()) for grad in seen if grad is not None) is bool(kept)


def test_captions_too_long_for_their_markers_are_words_alone(root: Path) -> None:
    frozen = Frozen(str(root / "base"), torch.device("cpu"))
    ids, slots = read_caption(frozen.tokenizer, "a man <|image|> and a woman <|image|> on a beach")
    words = [frozen.tokenizer.decode(ids[slot]).strip() for slot in slots[:2]]
    assert (words, slots[2:]) == (["man", "woman"], (ABSENT, ABSENT))
    long = "a red wall and " * 40 + "a man <|image|>"
    ids, slots = read_caption(frozen.tokenizer, long)
    assert slots == (ABSENT,) * 4
    assert len(ids) == frozen.tokenizer.model_max_length
    assert frozen.tokenizer.decode(ids[1:4]) == "a red wall"
    assert read_caption(frozen.tokenizer, "")[1] == (ABSENT,) * 4


def test_the_published_settings_are_the_defaults(root: Path) -> None:
    given = FaceConfig()
    assert (given.batch, given.steps, given.learning_rate, given.clip_norm, given.seed) == (8, 150_000, 1e-5, 1.0, 42)
    assert (given.masked, given.localisation, given.untold, given.kept) == (0.5, 1e-3, 0.1, 0.9)
    assert given.precision == "bf16"
    with pytest.raises(ValueError, match="choose one of sdm, tdm"):
        main(config(root, root, "both"))


def test_the_log_has_both_losses(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(config(root, tmp_path, "sdm", steps=1, accumulate=2))
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("step 1")]
    found = {part.split()[-2]: float(part.split()[-1]) for part in line.split(": ")[1].split(", ")[:3]}
    assert set(found) == {"loss", "noise", "located"}
    assert all(math.isfinite(value) for value in found.values())
