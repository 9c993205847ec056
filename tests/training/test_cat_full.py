"""All stages at toy size through the same files, folders and loading as at full size, on drawn holes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers import AutoencoderKL
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from models.cat.semantic_inpainter import SemanticInpainter
from models.cat.unet import CATUNet2DConditionModel
from tests import tiny
from training import cat_full, clip, world
from training.cat_full import FullConfig, main
from training.cat_stages import FRESH, KNOWN, UNTOLD, Denoised, fresh_unet, groups
from training.export import save_all
from training.hole_filling import Cat, HoleView
from training.holes import Eyes

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
    """`base`, a tiny inpainting model, `clip`, and `data` with two drawn holes, a captioned picture and their lists."""
    folder = tmp_path_factory.mktemp("full")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = AutoencoderKL(
            block_out_channels=(8,) * 4,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            norm_num_groups=4,
        )
    vae.save_pretrained(folder / "base" / "vae")
    tiny.unet(in_channels=9, cross_attention_dim=WIDTH).save_pretrained(folder / "base" / "unet")
    towers = clip.ClipConfig(assets=str(folder), width=WIDTH, text_layers=1, vision_layers=1, pictures=64)
    save_all(*clip.build(towers))(folder / "clip")
    write_data(folder / "data")
    return folder


def write_data(data: Path) -> None:
    data.mkdir()
    batch, lines = world.holes(2, (72, 96), 4), []
    for row, text in enumerate(batch.texts):
        picture, mask = ((x[row] * 255).byte().permute(1, 2, 0).numpy() for x in (batch.image, batch.mask))
        Image.fromarray(picture).save(data / f"{row}.png")
        Image.fromarray(mask[..., 0]).save(data / f"{row}_mask.png")
        x0, y0, x1, y1 = (batch.boxes[row] / torch.tensor([96, 72, 96, 72])).tolist()
        box = [x0, y0, x1 - x0, y1 - y0]
        names = {"image": f"{row}.png", "mask_image": f"{row}_mask.png", "image_id": str(row), "box_id": "0"}
        lines.append(str({**names, "label": text, "box": box}))
    (data / "objects.txt").write_text("\n".join(lines))
    (data / "captions.txt").write_text(str({"image": "0.png", "caption": "a scene"}))


def run(root: Path, out: Path, stage: str, **changes: Any) -> None:
    data = root / "data"
    lists = {"objects": str(data / "objects.txt"), "captions": str(data / "captions.txt"), "data": str(data)}
    models = {"base": str(root / "base"), "clip": str(root / "clip"), "layers": 1, "side": SIDE}
    quick = {"steps": 2, "batch": 2, "workers": 0, "log_every": 1, "out": str(out), "stage": stage}
    main(FullConfig(**(lists | models | quick | changes)))


def weights(out: Path, name: str) -> State:
    return load_file(out / name / "diffusion_pytorch_model.safetensors")


def same(first: State, second: State) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[State, State]]]:
    """The folder after all stages, and what each of them left of the U-Net and of the inpainter."""
    out, kept = tmp_path_factory.mktemp("out"), {}
    for stage in cat_full.STAGES:
        AcceleratorState._reset_state(reset_partial_state=True)
        run(root, out, stage)
        kept[stage] = {} if stage == "1a" else weights(out, "unet"), weights(out, "semantic_inpainter")
    return out, kept


def test_each_stage_moves_what_the_paper_trains_in_it(trained: Any) -> None:
    kept = trained[1]
    assert same(kept["1b"][1], kept["1a"][1])
    assert same(kept["2a"][0], kept["1b"][0])
    assert not same(kept["2a"][1], kept["1b"][1])
    assert not same(kept["2b"][0], kept["2a"][0])
    assert not same(kept["2b"][1], kept["2a"][1])


def test_the_base_moves_ten_times_slower_than_the_adapters(root: Path, trained: Any) -> None:
    # Adam's first two steps are as long as its rate wherever gradients keep their sign.
    before = CATUNet2DConditionModel.from_base(tiny.unet(in_channels=9, cross_attention_dim=WIDTH), WIDTH, 0)
    after = trained[1]["1b"][0]
    moved = {k: float((after[k] - v).abs().max()) for k, v in before.state_dict().items()}
    assert max(v for k, v in moved.items() if ".fuser." in k) == pytest.approx(2 * FRESH, rel=0.1)
    assert max(v for k, v in moved.items() if ".fuser." not in k) == pytest.approx(2 * KNOWN, rel=0.1)


def test_the_folder_is_what_the_app_loads(trained: Any) -> None:
    out = trained[0]
    assert {p.name for p in out.iterdir()} == {
        "1a", "1b", "2a", "2b", "unet", "semantic_inpainter", "vae", "text_encoder", "clip_vision",
    }  # fmt: skip
    unet = CATUNet2DConditionModel.from_pretrained(out / "unet")
    inpainter = SemanticInpainter.from_pretrained(out / "semantic_inpainter")
    assert unet.config.ref_adapter_dim == inpainter.config["hidden_size"] == WIDTH
    assert inpainter.config["grid"] == 4


@pytest.mark.parametrize("stage", ["1a", "1b"])
def test_a_resumed_run_is_the_run_that_never_stopped(root: Path, tmp_path: Path, stage: str) -> None:
    name = "semantic_inpainter" if stage == "1a" else "unet"
    for part, steps, resume in (("whole", 2, False), ("parts", 1, False), ("parts", 2, True)):
        AcceleratorState._reset_state(reset_partial_state=True)
        run(root, tmp_path / part, stage, steps=steps, resume=resume, accumulate=2)
    assert same(weights(tmp_path / "whole", name), weights(tmp_path / "parts", name))


def test_the_learning_rate_falls_when_unseen_objects_are_no_longer_learned(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cat_full, "validate", lambda *_: 1.0)
    run(root, tmp_path, "1a", steps=6, save_every=1, unseen=str(root / "data" / "objects.txt"))
    AcceleratorState._reset_state(reset_partial_state=True)
    newest = torch.load(tmp_path / "1a" / "checkpoint-000006" / "optimizer.bin", weights_only=False)
    # The first value is the best one; two more are waited for, and the next lowers the rate.
    assert newest["param_groups"][0]["lr"] == pytest.approx(FRESH * 0.1)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    assert len(lines) == 6
    assert all(math.isfinite(float(line.split("loss ")[1].split(",")[0])) for line in lines)


def test_validation_is_the_same_each_time(root: Path, tmp_path: Path) -> None:
    from accelerate import Accelerator

    config = FullConfig(
        base=str(root / "base"), clip=str(root / "clip"), data=str(root / "data"), batch=2, layers=1, side=SIDE,
        objects=str(root / "data" / "objects.txt"),
    )  # fmt: skip
    accelerator = Accelerator(cpu=True)
    frozen = cat_full.Frozen(config.base, config.clip, torch.device("cpu"))
    data, module = cat_full.data_of(config, frozen.eyes, config.objects), cat_full.build(config, frozen)
    first, second = (cat_full.validate(accelerator, module, frozen, data, config) for _ in range(2))
    assert first == second > 0


def test_the_published_settings_are_the_defaults(root: Path) -> None:
    assert (UNTOLD.both, UNTOLD.batches, UNTOLD.prompt) == (0.1, True, 0.0)
    config = FullConfig()
    assert (config.batch, config.precision, config.clip_norm, config.masked_only) == (16, "no", 0.0, False)
    unet = fresh_unet(str(root / "base"), WIDTH, 0, False)
    view = HoleView(Eyes(root / "clip", torch.device("cpu")), AutoencoderKL.from_pretrained(root / "base" / "vae"))
    assert (view.prediction, view.hole) == ("epsilon", 1.0)
    fresh_ones, known = groups(Denoised(Cat("1b", unet, None), view))
    assert (fresh_ones["lr"], known["lr"]) == (1e-4, 1e-5)
    adapters = sum(p.numel() for a in unet.adapters() for p in a.parameters())
    assert sum(p.numel() for p in fresh_ones["params"]) == adapters
    assert sum(p.numel() for p in known["params"]) == sum(p.numel() for p in unet.parameters()) - adapters


def test_a_stage_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="choose one of 1a, 1b, 2a, 2b"):
        main(FullConfig(stage="3"))
