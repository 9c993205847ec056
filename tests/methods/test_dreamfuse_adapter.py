"""The adapter in its published layout: what it covers, that it loads like PEFT loads it, that nothing is dropped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.contract import MissingWeights
from models.dreamfuse.adapter import CONFIG, FILE, Adapter, adapted, begin, finish
from models.dreamfuse.mask_tokens import MaskTokens
from models.dreamfuse.transformer import Conditions, conditioned
from tests.methods.test_dreamfuse_transformer import call, pictures
from tests.tiny import flux, output

# The published recipe in words: attention of 19 double blocks (q, k, v, out) and of 38 single blocks (q, k, v).
DOUBLE = ("to_q", "to_k", "to_v", "to_out.0")


def published_keys(double: int, single: int, width: int, rank: int) -> dict[str, tuple[int, int]]:
    layers = [f"transformer_blocks.{i}.attn.{t}" for i in range(double) for t in DOUBLE]
    layers += [f"single_transformer_blocks.{i}.attn.{t}" for i in range(single) for t in DOUBLE[:3]]
    shapes = {f"base_model.model.{n}.lora_A.weight": (rank, width) for n in layers}
    shapes |= {f"base_model.model.{n}.lora_B.weight": (width, rank) for n in layers}
    return shapes | {"base_model.model.image_tag_embeddings.weight": (3, width)}


def write(folder: Path, rank: int = 4, alpha: int = 4, **changes: Tensor | None) -> Path:
    """A synthetic adapter for the tiny FLUX; `changes` replace tensors by full key, None drops one."""
    draw = torch.Generator().manual_seed(0)
    shapes = published_keys(2, 3, 32, rank)
    tensors: dict[str, Any] = {k: 0.3 * torch.randn(s, generator=draw) for k, s in shapes.items()} | changes
    folder.mkdir(exist_ok=True)
    save_file({k: v for k, v in tensors.items() if v is not None}, folder / FILE)
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": ["to_k", "to_q", "to_v", "to_out.0"],
    }
    config |= {"init_lora_weights": "gaussian", "modules_to_save": ["image_tag_embeddings"], "bias": "none"}
    (folder / CONFIG).write_text(json.dumps(config))
    return folder


@torch.no_grad()
def fuse(model: Any, tags: Tensor) -> Tensor:
    with conditioned(model) as both:
        return both(**call(), conditions=Conditions(pictures(), tags)).sample


def test_adapter_of_the_published_recipe_fits_flux_dev() -> None:
    with torch.device("meta"):
        model = FluxTransformer2DModel(guidance_embeds=True)
    shapes = published_keys(19, 38, 3072, 16)
    tensors = {k.removeprefix("base_model.model."): torch.empty(s, device="meta") for k, s in shapes.items()}
    assert len(tensors) == 381
    assert sum(t.numel() for t in tensors.values()) == 18_686_976
    tags = tensors.pop("image_tag_embeddings.weight")
    Adapter(tensors, tags, 16, 16).check(model)
    assert len(tensors) // 2 == 190
    assert sum(p.numel() for p in model.parameters()) == 11_901_408_320
    del tensors["single_transformer_blocks.37.attn.to_v.lora_B.weight"]
    with pytest.raises(MissingWeights, match=r"37\.attn\.to_v\.lora_B\.weight is missing"):
        Adapter(tensors, tags, 16, 16).check(model)


def test_fresh_lora_covers_the_published_layers() -> None:
    model = flux()
    tags = begin(model, rank=4, alpha=4)
    made = finish(model, tags)
    shapes = {f"base_model.model.{k}": tuple(v.shape) for k, v in made.lora.items()}
    assert shapes | {"base_model.model.image_tag_embeddings.weight": (3, 32)} == published_keys(2, 3, 32, 4)
    assert {k for k, p in model.named_parameters() if p.requires_grad} == {
        k for k, _ in model.named_parameters() if ".lora_" in k
    }
    assert torch.equal(tags, torch.zeros(3, 32))


@pytest.mark.parametrize("alpha", [4, 12])
def test_adapter_loads_like_peft_loads_it(tmp_path: Path, alpha: int) -> None:
    from peft import PeftModel

    folder = write(tmp_path, alpha=alpha)
    theirs = flux()
    theirs.image_tag_embeddings = nn.Embedding(3, 32)
    wrapped = PeftModel.from_pretrained(theirs, folder)
    tags = load_file(folder / FILE)["base_model.model.image_tag_embeddings.weight"]
    loaded = wrapped.base_model.model.image_tag_embeddings.modules_to_save["default"].weight
    assert torch.equal(loaded, tags)
    expected, ours = fuse(theirs, tags), flux()
    with adapted(ours, Adapter.from_pretrained(folder)) as own_tags:
        torch.testing.assert_close(fuse(ours, own_tags), expected, atol=1e-6, rtol=0)
    assert (fuse(ours, own_tags) - expected).abs().max() > 1e-3


Q = "base_model.model.transformer_blocks.0.attn.to_q.lora_A.weight"
FAULTS = {
    "missing": ({Q: None}, "lora_A.weight is missing"),
    "extra": ({Q.replace("to_q", "add_q_proj"): torch.zeros(4, 32)}, "add_q_proj.lora_A.weight is unknown"),
    "renamed": ({Q: None, Q.replace("lora_A", "lora_down"): torch.zeros(4, 32)}, "in 2 keys"),
    "shape": ({Q: torch.zeros(8, 32)}, r"is \(8, 32\), not \(4, 32\)"),
    "no tags": ({"base_model.model.image_tag_embeddings.weight": None}, "image tags"),
    "two tags": ({"base_model.model.image_tag_embeddings.weight": torch.zeros(2, 32)}, r"not \(3, 32\)"),
    "no prefix": ({"transformer.x.lora_A.weight": torch.zeros(4, 32)}, "published layout"),
}


@pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_a_key_that_does_not_fit_is_an_error(tmp_path: Path, changes: dict, message: str) -> None:
    model = flux()
    with pytest.raises(MissingWeights, match=message):
        with adapted(model, Adapter.from_pretrained(write(tmp_path, **changes))):
            pass
    assert not any(".lora_" in name for name, _ in model.named_parameters())


def test_another_kind_of_adapter_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path)
    config = json.loads((folder / CONFIG).read_text()) | {"use_rslora": True}
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(MissingWeights, match="use_rslora"):
        Adapter.from_pretrained(folder)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_shared_model_is_stock_afterwards(tmp_path: Path, mode: Any) -> None:
    model, adapter = flux(), Adapter.from_pretrained(write(tmp_path))
    before, keys = output(model), set(model.state_dict())
    with mode():
        for _ in range(2):  # and it can be put on again
            with adapted(model, adapter):
                assert not torch.equal(output(model), before)
    with pytest.raises(ZeroDivisionError), adapted(model, adapter):
        raise ZeroDivisionError
    assert set(model.state_dict()) == keys
    assert torch.equal(output(model), before)


def test_a_second_adapter_is_refused(tmp_path: Path) -> None:
    model, adapter = flux(), Adapter.from_pretrained(write(tmp_path))
    with adapted(model, adapter):
        with pytest.raises(RuntimeError, match="already carries"), adapted(model, adapter):
            pass
        assert any(".lora_" in name for name, _ in model.named_parameters())  # the first one is still on


def test_saved_adapter_reads_back(tmp_path: Path) -> None:
    first = Adapter.from_pretrained(write(tmp_path / "a", alpha=9))
    first.save(tmp_path / "b")
    again = Adapter.from_pretrained(tmp_path / "b")
    assert (again.rank, again.alpha, set(again.targets)) == (4, 9.0, set(first.targets))
    assert again.lora.keys() == first.lora.keys()
    assert all(torch.equal(again.lora[k], v) for k, v in first.lora.items())
    assert torch.equal(again.tags, first.tags)


def test_tags_alone_belong_to_a_transformer_trained_as_a_whole(tmp_path: Path) -> None:
    Adapter({}, torch.ones(3, 32), rank=0, alpha=0, targets=()).save(tmp_path)
    model = flux()
    with adapted(model, Adapter.from_pretrained(tmp_path)) as tags:
        assert torch.equal(tags, torch.ones(3, 32))
        assert not any(".lora_" in name for name, _ in model.named_parameters())


def test_lora_keeps_its_precision_on_a_base_stored_in_fp8(tmp_path: Path) -> None:
    model = flux().to(torch.bfloat16)
    model.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16)
    adapter = Adapter.from_pretrained(write(tmp_path), torch_dtype=torch.bfloat16)
    with adapted(model, adapter):
        held = dict(model.named_parameters())["transformer_blocks.0.attn.to_q.lora_A.dreamfuse.weight"]
        assert torch.equal(held, adapter.lora["transformer_blocks.0.attn.to_q.lora_A.weight"])


def test_mask_tokenizer_comes_from_the_file_or_is_refused(tmp_path: Path) -> None:
    without = Adapter.from_pretrained(write(tmp_path))
    with pytest.raises(MissingWeights, match="no mask tokenizer"):
        without.mask_tokens()
    tokens = MaskTokens(32, channels=16, heads=2)
    extra = {f"base_model.model.{k}": v for k, v in tokens.state_dict().items()}
    loaded = Adapter.from_pretrained(write(tmp_path, **extra)).mask_tokens()
    assert all(torch.equal(v, tokens.state_dict()[k]) for k, v in loaded.state_dict().items())
