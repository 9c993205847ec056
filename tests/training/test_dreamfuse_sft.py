"""Fine-tuning at toy size through the same files, folders and loading as at full size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from models import latents
from models.dreamfuse.adapter import Adapter, adapted
from models.dreamfuse.text import Prompt
from models.dreamfuse.transformer import Conditions, conditioned
from tests.methods.dreamfuse_tiny import t5, t5_tokenizer
from tests.tiny import flux, output
from tests.training.fusion_samples import write_files
from training import dreamfuse_sft
from training.dreamfuse_sft import SftConfig, main
from training.fuser import Fuser, call
from training.fusion_draws import FusionDraws
from training.fusion_files import FusionFiles


def vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=8,
        norm_num_groups=4,
        scaling_factor=0.5,
        shift_factor=0.1,
    ).eval()


def clip() -> CLIPTextModel:
    """Of a dozen words, so that its tokenizer loads at once."""
    config = CLIPTextConfig(
        vocab_size=12,
        hidden_size=10,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=0,
        eos_token_id=1,
    )
    return CLIPTextModel(config).eval()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base`, a tiny FLUX in diffusers' layout, and `data`, three samples."""
    folder = tmp_path_factory.mktemp("sft")
    words = t5_tokenizer()
    words.model_max_length = 77
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = {"transformer": flux(in_channels=32), "vae": vae(), "text_encoder": clip(), "text_encoder_2": t5()}
        parts["scheduler"] = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
        for name, part in (parts | {"tokenizer": words, "tokenizer_2": words}).items():
            part.save_pretrained(folder / "base" / name)
    write_files(folder / "data")
    return folder


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The app's folder for embeddings, and no accelerate settings of an earlier run."""
    monkeypatch.setenv("EASEL_CACHE", str(tmp_path_factory.mktemp("cache")))
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def run(root: Path, out: Path, **changes: Any) -> Adapter:
    fixed = {"base": str(root / "base"), "data": str(root / "data"), "out": str(out), "resolutions": "128"}
    quick = {"steps": 3, "rank": 2, "optimizer": "adamw", "learning_rate": 1e-2, "workers": 0, "log_every": 1}
    return main(SftConfig(**(fixed | quick | {"prompt_ratio": 0.5} | changes)))


def same(first: Adapter, second: Adapter) -> bool:
    """Whether two adapters hold the same numbers, bit for bit."""
    assert first.lora.keys() == second.lora.keys()
    return torch.equal(first.tags, second.tags) and all(torch.equal(v, second.lora[k]) for k, v in first.lora.items())


def test_three_steps_give_an_adapter_that_loads_and_changes_the_output(root: Path, tmp_path: Path, capsys: Any) -> None:
    trained = run(root, tmp_path / "run")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    assert [line.split(":")[0] for line in lines] == ["step 1", "step 2", "step 3"]
    assert all(math.isfinite(float(line.split("loss ")[1].split(",")[0])) for line in lines)
    written = Adapter.from_pretrained(tmp_path / "run" / "adapter")
    assert same(written, trained)
    assert (written.rank, written.alpha, len(written.lora)) == (2, 2, 2 * (2 * 4 + 3 * 3))
    model = FluxTransformer2DModel.from_pretrained(root / "base" / "transformer")
    written.check(model)
    noise = torch.randn(2, 16, 32, generator=torch.Generator().manual_seed(0))
    before = output(model, hidden_states=noise)
    with adapted(model, written) as tags:
        assert (output(model, hidden_states=noise) - before).abs().max() > 1e-4
        assert tags.abs().max() > 1e-3
    assert torch.equal(output(model, hidden_states=noise), before)
    assert not same(run(root, tmp_path / "other", seed=1), trained)


@pytest.mark.parametrize("changes", [{}, {"accumulate": 2}, {"optimizer": "prodigy", "learning_rate": 0.0}], ids=str)
def test_a_resumed_run_is_the_run_that_never_stopped(root: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    if changes.get("optimizer") == "prodigy":
        pytest.importorskip("prodigyopt")
    whole = run(root, tmp_path / "whole", steps=2, **changes)
    half = run(root, tmp_path / "parts", steps=1, **changes)
    resumed = run(root, tmp_path / "parts", steps=2, resume=True, **changes)
    assert same(resumed, whole)
    assert not same(half, whole)
    assert sorted(p.name for p in (tmp_path / "parts").glob("check*")) == ["checkpoint-000001", "checkpoint-000002"]
    assert same(Adapter.from_pretrained(tmp_path / "parts" / "checkpoint-000001"), half)


def test_only_the_newest_checkpoints_are_kept_and_the_base_is_in_none(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path, steps=3, save_every=1, keep=2)
    assert sorted(p.name for p in tmp_path.glob("*")) == ["adapter", "checkpoint-000002", "checkpoint-000003"]
    found = {p.name for p in (tmp_path / "checkpoint-000003").iterdir()}
    assert found == {"adapter_config.json", "adapter_model.safetensors", "optimizer.bin", "random_states_0.pkl"}


@pytest.fixture
def batch(root: Path) -> dict[str, Tensor]:
    """The call of the fifth draw of two samples, with an empty prompt of ones."""
    draws = FusionDraws(FusionFiles(root / "data", resolutions=(128,)), 2, 0, 0.0)
    model = AutoencoderKL.from_pretrained(root / "base" / "vae")
    prompts = {"": Prompt(torch.ones(1, 7, 12), torch.ones(1, 10))}
    return call(draws[5], model, prompts, 1.0, draws.noise(5), torch.device("cpu"))


def test_the_call_is_that_of_the_paper(root: Path, batch: dict[str, Tensor]) -> None:
    draws = FusionDraws(FusionFiles(root / "data", resolutions=(128,)), 2, 0, 0.0)
    model, pictures = AutoencoderKL.from_pretrained(root / "base" / "vae"), draws[5]
    seen = batch["seen"].chunk(2, dim=1)
    for tokens, picture in zip((*seen, batch["fused"]), ("foreground", "background", "fused"), strict=True):
        pixels = torch.from_numpy(getattr(pictures, picture)).permute(0, 3, 1, 2) / 127.5 - 1
        with torch.no_grad():
            expected = (model.encode(pixels).latent_dist.mode() - 0.1) * 0.5
        torch.testing.assert_close(latents.unpack(tokens, 14, 18), expected)
    assert batch["guidance"].tolist() == [1.0, 1.0]
    assert batch["txt_ids"].abs().max() == 0


def test_timesteps_are_whole_and_even(root: Path) -> None:
    draws = FusionDraws(FusionFiles(root / "data", resolutions=(128,)), 24, 0, 0.0)
    model = AutoencoderKL.from_pretrained(root / "base" / "vae")
    prompts = {"": Prompt(torch.ones(1, 7, 12), torch.ones(1, 10))}
    found = 1000 * call(draws[0], model, prompts, 1.0, draws.noise(0), torch.device("cpu"))["sigmas"].double()
    torch.testing.assert_close(found, found.round(), atol=1e-3, rtol=0)
    assert 1 <= found.min() < 150
    assert 850 < found.max() <= 1000
    assert float(found.mean()) == pytest.approx(500, abs=177)  # three standard errors


def test_only_lora_and_tags_are_trained(batch: dict[str, Tensor]) -> None:
    fuser = Fuser(flux(in_channels=32).requires_grad_(True), rank=2)
    with conditioned(fuser.flux):
        fuser(**batch).backward()
    learned = {name for name, value in fuser.named_parameters() if value.grad is not None}
    assert learned == {n for n, _ in fuser.named_parameters() if n == "tags" or ".lora_" in n}
    assert len(learned) == 1 + 2 * (2 * 4 + 3 * 3)
    assert all(row.abs().max() > 0 for row in fuser.tags.grad)  # each of the three tags is seen


def test_before_the_first_step_the_loss_is_that_of_the_base(batch: dict[str, Tensor]) -> None:
    base = flux(in_channels=32)
    sigmas = batch["sigmas"][:, None, None]
    noisy = (1 - sigmas) * batch["fused"] + sigmas * batch["noise"]
    rest = {k: v for k, v in batch.items() if k not in ("fused", "noise", "sigmas", "seen")}
    with torch.no_grad(), conditioned(base) as model:
        velocity = model(noisy, timestep=batch["sigmas"], conditions=Conditions(batch["seen"]), **rest).sample
    expected = (velocity - (batch["noise"] - batch["fused"])).square().mean()
    fuser = Fuser(flux(in_channels=32), rank=2)
    with conditioned(fuser.flux):
        torch.testing.assert_close(fuser(**batch).detach(), expected)


def test_a_step_without_finite_gradients_is_skipped(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    calls = []

    def poisoned(*arguments: Any) -> dict[str, Tensor]:
        calls.append(0)
        made = call(*arguments)
        return made | {"noise": made["noise"] * math.nan} if len(calls) == 2 else made

    monkeypatch.setattr(dreamfuse_sft, "call", poisoned)
    trained = run(root, tmp_path)
    assert "step 3" in (out := capsys.readouterr().out)
    assert "1 steps skipped" in out
    assert all(value.isfinite().all() for value in (*trained.lora.values(), trained.tags))
    assert trained.tags.abs().max() > 0


def test_training_goes_on_from_an_adapter_of_any_rank(root: Path, tmp_path: Path) -> None:
    first = run(root, tmp_path / "first", rank=3)
    still = run(root, tmp_path / "still", steps=1, start=str(tmp_path / "first" / "adapter"), learning_rate=1e-12)
    assert still.rank == 3
    assert all(torch.allclose(v, first.lora[k], atol=1e-6) for k, v in still.lora.items())
    assert torch.allclose(still.tags, first.tags, atol=1e-6)


def test_bf16_keeps_what_is_trained_in_float32(root: Path, tmp_path: Path, capsys: Any) -> None:
    trained = run(root, tmp_path, precision="bf16", steps=2)
    assert {value.dtype for value in (*trained.lora.values(), trained.tags)} == {torch.float32}
    assert "nan" not in capsys.readouterr().out
    AcceleratorState._reset_state(reset_partial_state=True)
    exact = run(root, tmp_path / "exact", precision="no", steps=2)
    assert 0 < (trained.tags - exact.tags).abs().mean() < 0.2 * exact.tags.abs().mean()
