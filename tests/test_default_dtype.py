"""Models are built in their dtype while another thread goes on computing in float32."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel
from transformers import CLIPTextConfig, CLIPTextModel

from models import loading
from models.contract import Weights
from models.default_dtype import confined
from tests import tiny

TEXT = CLIPTextConfig(vocab_size=20, hidden_size=8, intermediate_size=8, num_attention_heads=1, num_hidden_layers=2)
CLASSES = {FluxTransformer2DModel: "diffusers.FluxTransformer2DModel", CLIPTextModel: "transformers.CLIPTextModel"}


def elsewhere() -> tuple[Any, ...]:
    """What another thread gets that asks right now."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.extend((torch.get_default_dtype(), torch.zeros(1).dtype)))
    thread.start()
    thread.join()
    return tuple(found)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_other_threads_keep_their_dtype_while_a_model_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: Any, dtype: str
) -> None:
    model = tiny.flux() if kind is FluxTransformer2DModel else CLIPTextModel(TEXT)
    model.save_pretrained(tmp_path)
    stock, built, seen = torch.nn.Linear.__init__, set(), set()

    def begin(self: Any, *arguments: Any, **named: Any) -> None:
        stock(self, *arguments, **named)
        built.add(self.weight.dtype)
        seen.add(elsewhere())

    monkeypatch.setattr(torch.nn.Linear, "__init__", begin)
    loaded = loading.load_component(Weights(str(tmp_path), CLASSES[kind], dtype=dtype))
    assert seen == {(torch.float32, torch.float32)}
    assert built == {getattr(torch, dtype)}  # not float32 first and cast afterwards: that would need twice the memory
    for name, tensor in loaded.state_dict().items():
        torch.testing.assert_close(tensor, model.state_dict()[name].to(tensor.dtype), rtol=0, atol=0)
    assert torch.get_default_dtype() == torch.zeros(1).dtype == torch.float32


def test_what_a_library_sets_and_restores_is_felt_in_its_own_thread_only() -> None:
    with confined():
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        assert torch.get_default_dtype() == torch.nn.Linear(2, 2).weight.dtype == torch.full((1,), 0.5).dtype
        assert torch.ones(1, dtype=torch.float64).dtype == torch.float64
        assert torch.arange(3).dtype == torch.full((1,), 2).dtype == torch.int64
        assert elsewhere() == (torch.float32, torch.float32)
        torch.set_default_dtype(before)
        assert torch.zeros(1).dtype == torch.float32
    with pytest.raises(ZeroDivisionError), confined():
        torch.set_default_dtype(torch.bfloat16)
        raise ZeroDivisionError
    assert torch.zeros(1).dtype == torch.get_default_dtype() == torch.float32
