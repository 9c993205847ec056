"""CAT-Diffusion's pocket recipes at toy size: each stage moves what it should and leaves the rest bit for bit."""

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

from models.autoencoder import PatchAutoencoder
from models.cat.semantic_inpainter import SemanticInpainter
from models.cat.unet import CATUNet2DConditionModel
from training import cat_unet, clip, semantic_inpainter, world
from training.cat_unet import CatConfig
from training.export import Manifest, digest, export, faults, read_manifest, save_all, write_half
from training.hole_filling import HoleView, Withheld
from training.holes import Eyes
from training.loop import seeded
from training.semantic_inpainter import InpainterConfig

WEIGHTS = "diffusion_pytorch_model.safetensors"
State = dict[str, Tensor]


def places(root: Path, **changes: Any) -> dict[str, Any]:
    fixed = {"assets": str(root / "assets"), "runs": str(root / "runs"), "size": 64, "device": "cpu"}
    return fixed | {"steps": 2, "batch": 4, "held_out": 4, "warmup": 1} | changes


def distil(root: Path, **changes: Any) -> None:
    semantic_inpainter.main(InpainterConfig(layers=1, **places(root, **changes)))


def train(root: Path, stage: str, **changes: Any) -> None:
    cat_unet.main(CatConfig(stage=stage, width=16, sample_steps=2, **places(root, **changes)))


def weights(root: Path, name: str) -> State:
    return load_file(root / "assets" / name / WEIGHTS)


def same(first: State, second: State) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Assets with random toy parents."""
    root = tmp_path_factory.mktemp("cat")
    vae = PatchAutoencoder(block_out_channels=(8,) * 4, layers_per_block=1)
    towers = clip.build(clip.ClipConfig(assets=str(root), width=64, text_layers=1, vision_layers=1, pictures=64))
    writers: dict[str, Callable[[Path], object]] = {"vae": write_half(vae), "clip": save_all(*towers)}
    for name, write in writers.items():
        manifest = Manifest(name, "", 0, 0.0, 0, 64, "cpu", {"world": world.digest()}, {})
        export(str(root / "assets"), manifest, {"": write})
    return root


def view_of(root: Path, prediction: str, hole: float) -> HoleView:
    vae = PatchAutoencoder.from_pretrained(root / "assets" / "vae")
    return HoleView(Eyes(root / "assets" / "clip", torch.device("cpu")), vae, prediction, hole)


@pytest.fixture(scope="module")
def states(root: Path) -> dict[str, tuple[State, State]]:
    """The U-Net's and the inpainter's weights after each stage, in order."""
    distil(root)
    kept = {"1a": ({}, weights(root, "semantic_inpainter"))}
    for stage in ("1b", "2a", "2b"):
        train(root, stage)
        for name in ("cat_unet", "semantic_inpainter"):
            assert faults(root / "assets" / name, world.digest()) == []
        kept[stage] = weights(root, "cat_unet"), weights(root, "semantic_inpainter")
    return kept


def test_each_stage_moves_what_it_trains_and_nothing_else(states: dict[str, tuple[State, State]]) -> None:
    assert same(states["1b"][1], states["1a"][1])
    assert same(states["2a"][0], states["1b"][0])
    assert not same(states["2a"][1], states["1b"][1])
    assert not same(states["2b"][0], states["2a"][0])
    assert not same(states["2b"][1], states["2a"][1])


def test_snapshots_load_and_say_what_they_stand_on(root: Path, states: dict[str, tuple[State, State]]) -> None:
    unet, inpainter = (read_manifest(root / "assets" / name) for name in ("cat_unet", "semantic_inpainter"))
    assert set(unet.parents) == {"world", "vae", "clip", "semantic_inpainter"}
    assert unet.parents["semantic_inpainter"] == digest(root / "assets" / "semantic_inpainter")
    assert (unet.steps, inpainter.steps) == (6, 6)  # 1b, 2a, 2b and 1a, 2a, 2b
    assert all(math.isfinite(v) for m in (unet, inpainter) for v in m.metrics.values())
    model = CATUNet2DConditionModel.from_pretrained(root / "assets" / "cat_unet")
    imagined = SemanticInpainter.from_pretrained(root / "assets" / "semantic_inpainter")
    assert model.config.in_channels == 17
    assert model.config.ref_adapter_dim == imagined.config["hidden_size"] == 64
    assert imagined.config["grid"] == 4
    scheduler = DDIMScheduler.from_pretrained(root / "assets" / "cat_unet" / "scheduler")
    assert scheduler.config.prediction_type == "v_prediction"


@pytest.mark.parametrize("stage", ["1a", "2b"])
def test_a_stage_goes_on_where_it_stopped(root: Path, states: dict[str, tuple[State, State]], stage: str) -> None:
    name = "semantic_inpainter" if stage == "1a" else "cat_unet"
    before = read_manifest(root / "assets" / name).steps
    run = root / "runs" / (name if stage == "1a" else f"{name}/{stage}") / "state.pt"
    was = torch.load(run, weights_only=True)["numbers"]
    distil(root, resume=True) if stage == "1a" else train(root, stage, resume=True)
    now = torch.load(run, weights_only=True)["numbers"]
    assert (now["step"], now["updates"]) == (was["step"] + 2, was["updates"] + 2)
    assert read_manifest(root / "assets" / name).steps == (4 if stage == "1a" else before + 2)


def test_the_second_stage_does_not_begin_without_the_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose one of 1b, 2a, 2b"):
        cat_unet.build(CatConfig(stage="2", assets=str(tmp_path)), 8, 64, 64)
    with pytest.raises(OSError, match="cat_unet"):
        cat_unet.build(CatConfig(stage="2a", width=16, size=64, assets=str(tmp_path)), 8, 64, 64)


def test_a_stock_unet_can_be_the_start(tmp_path: Path) -> None:
    config = CatConfig(width=16, size=64, assets=str(tmp_path))
    shape = {"sample_size": 8, "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
    blocks = {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D")}
    blocks["up_block_types"] = ("UpBlock2D", "CrossAttnUpBlock2D")
    stock = UNet2DConditionModel(in_channels=8, out_channels=8, cross_attention_dim=64, **shape, **blocks).eval()
    stock.save_pretrained(tmp_path / "sd_unet")
    grown = cat_unet.fresh(CatConfig(base="sd_unet", assets=str(tmp_path)), 8, 64, 32).eval()
    noisy, around = torch.randn(2, 8, 8, 8), torch.randn(2, 9, 8, 8)
    text = torch.randn(2, 5, 64)
    with torch.no_grad():
        expected = stock(noisy, 400, text).sample
        torch.testing.assert_close(grown(torch.cat([noisy, around], 1), 400, text).sample, expected)
    assert config.base == ""
    assert len(grown.adapters()) == 4


def test_what_is_withheld_does_not_reach_the_unet(root: Path) -> None:
    view = view_of(root, "v_prediction", 4.0)
    rows = view.rows(world.holes(3, (64, 64), 5), masked=True)
    unet = cat_unet.fresh(CatConfig(width=16, size=64, assets=str(root / "none")), 8, 64, 64)

    def loss(withheld: Withheld, **changes: Tensor) -> Tensor:
        asked = rows | {name: value for name, value in changes.items() if name != "prompt"}
        return view.loss(unet, asked, changes.get("prompt", prompt), withheld, seeded(0, 0))

    prompt = torch.randn(3, 4, 64, requires_grad=True)
    nothing, words, everything = Withheld(1.0, False, 0.0), Withheld(0.0, False, 1.0), Withheld(0.0, False, 0.0)
    text, more = rows["text"].flip(2), 2 * prompt  # attention does not see the order of tokens, but of channels
    assert torch.equal(loss(nothing), loss(nothing, prompt=more, text=text))
    assert torch.equal(loss(words), loss(words, prompt=more))
    assert not torch.equal(loss(words), loss(words, text=text))
    assert not torch.equal(loss(everything), loss(everything, prompt=more))
    for withheld, reached in ((nothing, False), (words, False), (everything, True)):
        (gradient,) = torch.autograd.grad(loss(withheld), prompt)
        assert bool(gradient.abs().max() > 0) is reached


def test_places_in_the_hole_weigh_more(root: Path) -> None:
    rows = view_of(root, "epsilon", 1.0).rows(world.holes(2, (64, 64), 6), masked=False)
    unet = cat_unet.fresh(CatConfig(width=16, size=64, assets=str(root / "none")), 8, 64, 64)
    prompt, told = torch.zeros(2, 4, 64), Withheld(0.0, False, 0.0)
    with torch.no_grad():
        found = {h: view_of(root, "epsilon", h) for h in (0.0, 1.0, 4.0)}
        losses = {h: float(v.loss(unet, rows, prompt, told, seeded(0, 0))) for h, v in found.items()}
    share = float(rows["around"][:, :1].mean())
    inside = (losses[1.0] - (1 - share) * losses[0.0]) / share  # the mean is of what lies outside and inside
    expected = ((1 - share) * losses[0.0] + 4 * share * inside) / (1 + 3 * share)
    assert losses[4.0] == pytest.approx(expected, rel=1e-4)
