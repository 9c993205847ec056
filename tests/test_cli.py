"""The command line: flags from the request, files and JSON out, one sentence and a code for every error."""

from __future__ import annotations

import json
import re
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.main import main
from models import loading, runtime
from models.cache import ModelCache
from models.recipe import read_png
from tests.painter import Painter, cutout, install, scene
from tests.test_pictures import BAD, CLEAR

FLAGS = ["--x", ".25", "--scale", ".4", "--angle", "-30", "--flip", "--seed", "9", "--steps", "2", "--quiet"]


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Painter]:
    settings = runtime.settings
    yield install(monkeypatch)
    runtime.settings = settings


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    """`fuse` with a background and a foreground on disk, and an output name."""
    Image.fromarray(scene()).save(tmp_path / "b.png")
    Image.fromarray(cutout()).save(tmp_path / "f.png")
    return f"fuse --background {tmp_path}/b.png --foreground {tmp_path}/f.png --out {tmp_path}/o.png".split()


def failed(capsys: pytest.CaptureFixture[str], argv: list[str]) -> tuple[int, str]:
    """Exit code and the one sentence on standard error; nothing on standard output."""
    code = main(argv)
    said = capsys.readouterr()
    assert said.out == ""
    sentences = [line for line in said.err.splitlines() if line]
    assert len(sentences) == 1, sentences
    return code, sentences[0]


def test_flags_reach_the_request_and_pictures_the_method(painter: Painter, inputs: list[str]) -> None:
    assert main([*inputs, *FLAGS]) == 0
    (seen,) = painter.seen
    assert (seen.x, seen.y, seen.scale, seen.angle, seen.flip) == (0.25, 0.5, 0.4, -30.0, True)
    assert (seen.seed, seen.steps, seen.preset) == (9, 2, "pocket")
    assert np.array_equal(seen.background, scene())
    assert np.array_equal(seen.foreground, cutout())


def test_json_is_one_line_with_files_seeds_seconds_and_recipe(
    painter: Painter, inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*inputs, "--seed", "5", "--num-images", "3", "--json"]) == 0
    said = capsys.readouterr()
    line = json.loads(said.out)
    assert said.out.count("\n") == 1
    assert line["files"] == [f"{tmp_path}/o-{k}.png" for k in (1, 2, 3)]
    assert line["seeds"] == [5, 6, 7]
    assert line["seconds"] >= 0
    assert line["recipe"]["request"]["steps"] == 4
    assert "step 4/4" in said.err
    recipe, pictures = read_png(line["files"][2])
    assert recipe.seed == 7
    assert np.array_equal(pictures["background"], scene())


def test_recipe_can_be_stripped(painter: Painter, inputs: list[str], tmp_path: Path) -> None:
    assert main([*inputs, "--strip-recipe"]) == 0
    with Image.open(tmp_path / "o.png") as image:
        assert image.info == {}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--x", "nan"], "finite"),
        (["--x", "7"], "between -1 and 2"),
        (["--x", "-0.9"], "outside the scene"),
        (["--scale", "0"], "between 0.01 and 3"),
        (["--scale", "1e9"], "between 0.01 and 3"),
        (["--scale", "inf"], "finite"),
        (["--seed", "1.5"], "whole number"),
        (["--steps", "many"], "must be a number"),
        (["--variant", "best"], "positional-affine"),
        (["--preset", "large"], "pocket, full"),
        (["--memory", "4bit"], "memory mode"),
        (["--prompt", "x" * 10_000], "10000 characters"),
        (["--background", "gone.png"], "no file gone.png"),
        (["--background", "pyproject.toml"], "not a picture"),
        (["--colour", "red"], "--colour"),
        (["--out", "o.jpg"], ".png"),
        (["--out", "/dev/null/o.png"], "cannot be made"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(
    painter: Painter, inputs: list[str], capsys: pytest.CaptureFixture[str], more: list[str], says: str
) -> None:
    code, said = failed(capsys, [*inputs, "--quiet", *more])
    assert code == 2
    assert says in said
    assert painter.seen == []


@pytest.mark.parametrize("case", [*BAD, "nothing in it"])
def test_a_bad_file_is_one_sentence_and_code_2(
    painter: Painter, inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    flag, (data, says) = ("--background", BAD[case]) if case in BAD else ("--foreground", (CLEAR, "transparent"))
    (tmp_path / "upload").write_bytes(data)
    code, said = failed(capsys, [*inputs, "--quiet", flag, str(tmp_path / "upload")])
    assert code == 2
    assert re.search(says, said)
    assert painter.seen == []


def test_an_altered_weight_file_is_code_3_and_named(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "ROOT", tmp_path)
    monkeypatch.setattr(runtime, "cache", ModelCache(loading.load_component))  # others may have loaded the real ones
    for folder in ("clip", "t5", "dreamfuse", "vae", "flux"):
        (tmp_path / "assets" / "pocket" / folder).mkdir(parents=True)
        (tmp_path / "assets" / "pocket" / folder / "model.safetensors").write_bytes(b"short")
        manifest = {"files": {"model.safetensors": "0" * 64}}
        (tmp_path / "assets" / "pocket" / folder / "MANIFEST.json").write_text(json.dumps(manifest))
    code, said = failed(capsys, [*inputs, "--quiet"])
    assert code == 3
    assert "model.safetensors is damaged (its sha256 differs)" in said


def test_missing_flag_and_unknown_verb_are_code_2(painter: Painter, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = failed(capsys, ["fuse"])
    assert (code, "--background" in said) == (2, True)
    code, said = failed(capsys, ["paint"])
    assert (code, "fuse" in said) == (2, True)


def test_gated_weights_are_code_3_with_the_licence_page(
    painter: Painter, inputs: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "present", lambda weights: weights.local)
    assert main([*inputs, "--preset", "full", "--memory", "offload", "--quiet"]) == 3
    assert "https://huggingface.co/black-forest-labs/FLUX.1-dev" in capsys.readouterr().err.splitlines()[-1]


def test_out_of_memory_is_code_4(
    painter: Painter, inputs: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(painter, "load", full)
    code, said = failed(capsys, [*inputs, "--quiet"])
    assert code == 4
    assert "preset" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_run_within_a_step_and_is_code_5(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    slow = install(monkeypatch, pause=0.02)
    timer = threading.Thread(target=lambda: (wait_for(slow), signal.raise_signal(number)))
    timer.start()
    code, said = failed(capsys, [*inputs, "--steps", "200", "--quiet"])
    timer.join()
    assert (code, said) == (5, "Stopped.")
    assert 2 <= slow.steps < 20
    assert not (tmp_path / "o.png").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def wait_for(painter: Painter) -> None:
    while painter.steps < 2:
        threading.Event().wait(0.005)


def test_unexpected_error_is_a_sentence_and_code_1(
    painter: Painter, inputs: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painter, "load", lambda *_: 1 / 0)
    code, said = failed(capsys, [*inputs, "--quiet"])
    assert code == 1
    assert "ZeroDivisionError" in said


def test_full_disk_leaves_no_half_file(
    painter: Painter, inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        code, said = failed(capsys, [*inputs, "--quiet"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 2
    assert "o.png" in said
    assert sorted(tmp_path.iterdir()) == before


def test_output_folder_is_made(painter: Painter, inputs: list[str], tmp_path: Path) -> None:
    assert main([*inputs[:-1], str(tmp_path / "new" / "deep" / "o.png")]) == 0
    assert (tmp_path / "new" / "deep" / "o.png").exists()


def test_help_lists_every_verb(painter: Painter, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(verb in said for verb in ("serve", "fuse", "replay", "models", "doctor"))
    assert main(["fuse", "--help"]) == 0
    assert "--guidance-scale" in capsys.readouterr().out
