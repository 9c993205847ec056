"""Fields that hold several pictures, and pictures of people, which are read, used and stored nowhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cli import flags
from models import replay
from models.contract import BadRequest
from models.facediffuser.references import opened, over_black
from models.facediffuser.spec import SPEC, FaceRequest
from models.recipe import picture_sha256, read_png, write_png

RNG = np.random.default_rng(7)
ONE, TWO = (RNG.integers(0, 256, size, np.uint8) for size in ((20, 30, 3), (40, 16, 3)))
PROMPT = "a man <|image|> and a woman <|image|> in a garden"


def request(**changes: Any) -> FaceRequest:
    return FaceRequest(**{"references": (ONE, TWO), "prompt": PROMPT, "seed": 3, **changes})


def test_pictures_of_different_sizes_are_copied_and_locked() -> None:
    mine = ONE.copy()
    held = request(references=[mine, TWO]).references
    mine[:] = 0
    assert np.array_equal(held[0], ONE)
    assert np.array_equal(held[1], TWO)
    with pytest.raises(ValueError, match="read-only"):
        held[0][0, 0] = 1


def test_every_picture_and_their_order_count_for_the_digest() -> None:
    other = ONE.copy()
    other[0, 0, 0] ^= 1
    digests = [request(references=pair).digest() for pair in ((ONE, TWO), (TWO, ONE), (other, TWO))]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ((), "Please give a picture"),
        ((ONE, TWO[..., 0]), "“References, 2” must be 8-bit HxWx3"),
        ((ONE, TWO / 255), "float64"),
        ((ONE, TWO[:4]), "16x4 pixels"),
        (ONE, "marks 2 people, but there is 1 picture"),
    ],
)
def test_what_is_no_picture_is_named_by_its_place(wrong: Any, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        request(references=wrong)


def test_a_recipe_has_hashes_of_private_pictures_and_its_file_not_a_pixel(tmp_path: Path) -> None:
    asked = request()
    told, inputs = replay.record(
        "facediffuser", asked, SPEC.presets["pocket"], {}, device="cpu", threads=1, seconds=1.0
    )
    assert inputs == {}
    write_png(tmp_path / "out.png", TWO, told, inputs)
    back, held = read_png(tmp_path / "out.png")
    assert held == {}
    assert [entry["sha256"] for entry in back.request["references"]] == [picture_sha256(ONE), picture_sha256(TWO)]
    with pytest.raises(BadRequest, match=r"Please add the picture “references.0” \(30x20"):
        replay.to_request(back, {}, FaceRequest)
    with pytest.raises(BadRequest, match="“references.1” is not the picture that was used"):
        replay.to_request(back, {"references.0": ONE, "references.1": TWO + 1}, FaceRequest)
    again = replay.to_request(back, {"references.0": ONE, "references.1": TWO}, FaceRequest)
    assert again.digest() == asked.replace(preset="pocket").digest()


def test_the_command_line_takes_several_files_over_black(tmp_path: Path) -> None:
    clear = RNG.integers(0, 256, (12, 10, 4), np.uint8)
    Image.fromarray(ONE).save(tmp_path / "one.png")
    Image.fromarray(clear).save(tmp_path / "two.png")
    parser = argparse.ArgumentParser()
    flags.add(parser, SPEC)
    given = ["--references", str(tmp_path / "one.png"), str(tmp_path / "two.png"), "--prompt", PROMPT]
    found = flags.request(parser.parse_args(given), SPEC)
    assert isinstance(found, FaceRequest)
    assert np.array_equal(found.references[0], ONE)
    black = Image.new("RGBA", (10, 12), "black")
    black.alpha_composite(Image.fromarray(clear))
    assert np.abs(np.asarray(black.convert("RGB")).astype(int) - found.references[1]).max() <= 1


def test_something_else_than_a_list_of_files_is_one_sentence() -> None:
    with pytest.raises(BadRequest, match="must be a list of pictures"):
        opened("a.png", lambda file: np.zeros((8, 8, 4), np.uint8))


def test_what_is_clear_is_black_and_what_is_opaque_is_kept() -> None:
    picture = RNG.integers(0, 256, (8, 8, 4), np.uint8)
    picture[:4, :, 3], picture[4:, :, 3] = 0, 255
    assert not over_black(picture)[:4].any()
    assert np.array_equal(over_black(picture)[4:], picture[4:, :, :3])
