"""What the page is told before a run: the preset's own tokenizer, read without the libraries that the models need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from models import loading
from models.contract import BadRequest
from models.facediffuser import describing
from models.facediffuser.describing import MERGES, SETTINGS, VOCABULARY, WHOLE, Reader, described
from models.facediffuser.markers import read
from models.facediffuser.stages import counts, iterations
from tests.methods.dreamfuse_tiny import clip_tokenizer
from tests.methods.face_tiny import request

POCKET = loading.POCKET / "clip"
PROMPTS = (
    "a man <|image|> and a woman <|image|> are reading a book together",
    "A Man  <|image|>\n in the rain; a GIRL <|image|>!",
    "the player's <|image|> shirt, a man<|image|>and a police officer <|image|>",
    "ein Mädchen <|image|> und 女 <|image|> 2 34",
    "a man <|image|> <|endoftext|> " + "very " * 90,
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Path]]:
    """CLIP's tokenizer and its files in the layout of Stable Diffusion 1.5, which has no `tokenizer.json`."""
    made, home = clip_tokenizer(), tmp_path_factory.mktemp("tokenizer")
    for path in map(Path, made.backend_tokenizer.model.save(str(home))):
        assert path.name in (VOCABULARY, MERGES)
    start = {"__type": "AddedToken", "content": "<|startoftext|>", "normalized": True}
    settings = {"bos_token": start, "eos_token": {"content": "<|endoftext|>"}, "pad_token": "<|endoftext|>"}
    (home / SETTINGS).write_text(json.dumps({**settings, "model_max_length": 77}))
    return made, {name: home / name for name in (VOCABULARY, MERGES, SETTINGS)}


@pytest.mark.parametrize("prompt", PROMPTS)
def test_published_files_are_read_as_the_library_reads_them(published: Any, prompt: str) -> None:
    made, files = published
    reader = Reader(files)
    assert reader.model_max_length == 77
    assert read(reader, prompt, 77) == read(made, prompt, 77)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_shipped_tokenizer_is_read_as_the_library_reads_it(prompt: str) -> None:
    made = AutoTokenizer.from_pretrained(POCKET, local_files_only=True)
    reader = Reader({name: POCKET / name for name in (WHOLE, SETTINGS)})
    assert reader.model_max_length == made.model_max_length == 64
    assert read(reader, prompt, 64) == read(made, prompt, 64)


@pytest.mark.parametrize("sampler", ["released", "paper", "fast"])
@pytest.mark.parametrize("variant", ["both", "scene", "subject"])
def test_stages_and_cost_are_those_of_a_run(sampler: Any, variant: str) -> None:
    asked = request(preset="pocket", sampler=sampler, variant=variant, steps=0, scene_until=0.3)
    told, total = described(asked), iterations(sampler, 20)
    stages = counts(asked.bounds(20), total)
    assert (told["stages"], told["evaluations"]) == (stages.readout(), stages.evaluations)
    ends = {"both": [6, 12], "scene": [total - 1, total - 1], "subject": [-1, -1]}
    assert told["bounds"] == ends[variant]
    assert (told["slots"], told["nouns"], told["used"], told["length"]) == ([2, 5], ["man", "woman"], 11, 64)
    assert (told["dropped"], told["exact"]) == ("", True)


def test_what_does_not_fit_is_told() -> None:
    told = described(request(preset="pocket", prompt=PROMPTS[0] + " in the rain" * 40))
    assert told["used"] > told["length"] == 64
    assert told["dropped"].endswith("in the rain")


def test_a_tokenizer_that_is_not_here_is_told_by_the_shipped_one(published: Any, monkeypatch: Any) -> None:
    asked = request(preset="full")
    monkeypatch.setattr(
        describing, "_path", lambda weights, name: _found(weights, POCKET if weights.local else None, name)
    )
    told = described(asked)
    assert (told["exact"], told["length"]) == (False, 64)
    home = published[1][SETTINGS].parent
    monkeypatch.setattr(describing, "_path", lambda weights, name: _found(weights, home, name))
    told = described(asked)
    assert (told["exact"], told["length"]) == (True, 77)


def _found(_: Any, home: Path | None, name: str) -> Path | None:
    return home / name if home is not None and (home / name).is_file() else None


def test_a_marker_out_of_place_is_a_sentence() -> None:
    with pytest.raises(BadRequest, match="follow the same word"):
        described(request(preset="pocket", prompt="a man <|image|> <|image|> in the rain"))


def test_no_model_library_is_imported_for_it() -> None:
    code = """
import sys
import numpy as np
from models import runtime
from models.facediffuser.spec import FaceRequest
people = (np.zeros((9, 9, 3), np.uint8),)
told = runtime.describe("facediffuser", FaceRequest(references=people, prompt="a man <|image|>"))
assert told["slots"] == [2], told
assert not {"torch", "transformers", "diffusers"} & set(sys.modules), sorted(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=loading.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
