"""Learned looks come back from files, the authors' among them; anything else is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.collage.learned import PLACEHOLDER, load, save
from models.contract import BadRequest

ROW = torch.arange(8.0) / 7


def test_a_row_comes_back_with_its_facts(tmp_path: Path) -> None:
    facts = {"base": "sd", "text": "red “box”", "steps": 100, "rate": 1e-4}
    save(tmp_path / "a.safetensors", ROW, facts)
    row, found = load(tmp_path / "a.safetensors", 8)
    assert (torch.equal(row, ROW), found) == (True, facts)
    assert list(load_file(tmp_path / "a.safetensors")) == [PLACEHOLDER]


@pytest.mark.parametrize("shape", [(8,), (1, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_authors_files_are_read(tmp_path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.save({"<krk>": ROW.reshape(shape).to(dtype)}, tmp_path / "lora_weight_e799_s800.ti.pt")
    row, facts = load(tmp_path / "lora_weight_e799_s800.ti.pt", 8)
    torch.testing.assert_close(row, ROW, atol=1e-3, rtol=0)
    assert (row.dtype, facts) == (torch.float32, {})


class Hostile:
    def __reduce__(self) -> Any:
        return print, ("run",)


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        ({"<krk>": Hostile()}, "more than plain tensors"),
        ({}, "exactly one"),
        ({"a": ROW, "b": ROW}, "exactly one"),
        ({"a": 3}, "exactly one"),
        (ROW, "exactly one"),
        ({"a": torch.zeros(5)}, "another base model"),
        ({"a": ROW / 0}, "not finite"),
    ],
)
def test_files_of_anything_else_are_refused(
    tmp_path: Path, held: Any, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(held, tmp_path / "a.pt")
    with pytest.raises(BadRequest, match=sentence):
        load(tmp_path / "a.pt", 8)
    assert capsys.readouterr().out == ""


def test_damaged_and_absent_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no file"):
        load(tmp_path / "a.pt", 8)
    torch.save({"a": ROW}, tmp_path / "a.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:200])
    save_file({"a": ROW}, tmp_path / "a.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:50])
    for name in ("cut.pt", "cut.safetensors"):
        with pytest.raises(BadRequest, match=f"{name} is damaged"):
            load(tmp_path / name, 8)
    (tmp_path / "big.pt").write_bytes(bytes(10_000_001))
    with pytest.raises(BadRequest, match="too large"):
        load(tmp_path / "big.pt", 8)
