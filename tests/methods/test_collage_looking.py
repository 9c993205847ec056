"""Learned looks in a run: kept by what a layer is, taken up where they stopped, the same whoever learns beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.collage import learned, method
from models.collage.conditions import Parts
from models.collage.spec import CollageRequest
from models.contract import BadRequest, Result, Step
from tests.methods import collage_tiny as tiny

LEARNING = "Learning"


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    torch.set_num_threads(1)
    with tiny.parts() as made:
        yield made


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EASEL_CACHE", str(tmp_path))
    return tmp_path


def events(parts: Parts, request: CollageRequest) -> tuple[list[Step], Result]:
    """Learning steps and the result, in inference mode as the runtime has it."""
    with torch.inference_mode():
        *steps, last = method.run(parts, request)
    assert isinstance(last, Result)
    return [s for s in steps if isinstance(s, Step) and s.note.startswith(LEARNING)], last


def rows(folder: Path, steps: int = 4) -> dict[str, np.ndarray]:
    """Kept looks by the layers' words."""
    found = [learned.load(path, tiny.cat_parts.WORDS) for path in (folder / "looks").glob(f"*-{steps}.safetensors")]
    return {str(facts["text"]): row.numpy().copy() for row, facts in found}


def test_looks_are_learned_once_and_a_moved_layer_keeps_its_own(parts: Parts, cache: Path) -> None:
    learning, first = events(parts, tiny.request(looks=True))
    assert [step.done for step in learning] == [1, 2, 3, 4]
    assert {step.total for step in learning} == {4}
    assert set(rows(cache)) == set(rows(cache, steps=2)) == set(tiny.TEXTS)
    wall, box, ball = tiny.request().layers
    moved = (wall, box.replace(x=0.35, angle=20), ball)
    again, second = events(parts, tiny.request(looks=True, layers=moved))
    assert again == []
    looks = second.facts["looks"]
    assert {look["text"]: look["moved"] for look in looks} == {"green wall": False, "red box": True, "ball": False}
    assert [look["sha256"] for look in looks] == [look["sha256"] for look in first.facts["looks"]]
    assert "was moved" in second.facts["warning"]
    repainted = box.replace(image=np.roll(box.placed.image, 3, axis=1) // 2)
    learning, _ = events(parts, tiny.request(looks=True, layers=(wall, repainted, ball)))
    assert len(learning) == 4


def test_a_look_depends_on_its_own_layer_alone(parts: Parts, cache: Path) -> None:
    events(parts, tiny.request(looks=True))
    together = rows(cache)
    wall, box, _ = tiny.request().layers
    for path in (cache / "looks").iterdir():
        path.unlink()
    events(parts, tiny.request(looks=True, layers=(wall, box), prompt="", seed=77))
    for text in ("green wall", "red box"):
        np.testing.assert_allclose(rows(cache)[text], together[text], atol=1e-5)
        assert np.abs(together[text] - together["ball"]).max() > 1e-3


def test_what_is_stopped_goes_on_where_it_was(parts: Parts, cache: Path) -> None:
    events(parts, tiny.request(looks=True))
    whole = rows(cache)
    for path in (cache / "looks").iterdir():
        path.unlink()
    with torch.inference_mode():
        run = method.run(parts, tiny.request(looks=True))
        for _ in range(3):
            next(run)
        run.close()
    assert rows(cache) == {}
    learning, _ = events(parts, tiny.request(looks=True))
    assert [step.done for step in learning] == [1]
    for text, row in rows(cache).items():
        np.testing.assert_array_equal(row, whole[text])


@pytest.mark.parametrize(("more", "says"), [(62, "makes 78 tokens"), (70, "stands past the 75 tokens")])
def test_words_that_have_no_room_are_refused_before_anything_is_learned(
    parts: Parts, cache: Path, more: int, says: str
) -> None:
    prompt = "a red box and a ball in front of " + "old " * more + "green wall"
    with torch.inference_mode(), pytest.raises(BadRequest, match=says):
        next(method.run(parts, tiny.request(looks=True, prompt=prompt)))
    assert not (cache / "looks").exists()


def test_damaged_files_are_learned_again(parts: Parts, cache: Path) -> None:
    """A person could do nothing about them: they never chose their names."""
    events(parts, tiny.request(looks=True))
    whole = rows(cache)
    for path in (cache / "looks").iterdir():
        path.write_bytes(path.read_bytes()[:40])
    learning, _ = events(parts, tiny.request(looks=True))
    assert len(learning) == 4
    for text, row in rows(cache).items():
        np.testing.assert_array_equal(row, whole[text])
    assert not list((cache / "looks").glob("*.partial"))


def test_more_steps_go_on_from_fewer_and_fewer_are_still_there(parts: Parts, cache: Path) -> None:
    events(parts, tiny.request(looks=True, look_steps=2))
    learning, more = events(parts, tiny.request(looks=True, look_steps=6))
    assert len(learning) == 4
    assert {look["steps"] for look in more.facts["looks"]} == {6}
    learning, _ = events(parts, tiny.request(looks=True, look_steps=2))
    assert learning == []


def test_the_weights_are_as_they_were(parts: Parts) -> None:
    encoder, unet = parts.components["text_encoder"], parts.components["unet"]
    asked = [p.requires_grad for model in (encoder, unet) for p in model.parameters()]
    table: Any = encoder.get_input_embeddings()
    before = table.weight.clone()
    events(parts, tiny.request(looks=True))
    assert encoder.get_input_embeddings() is table
    assert torch.equal(table.weight, before)
    assert [p.requires_grad for model in (encoder, unet) for p in model.parameters()] == asked


def test_a_learned_token_stands_before_its_words(parts: Parts) -> None:
    _, plain = events(parts, tiny.request())
    _, looked = events(parts, tiny.request(looks=True))
    assert plain.facts["tokens"] == [[11, 12], [2, 3], [6]]
    assert looked.facts["tokens"] == [[13, 14, 15], [2, 3, 4], [7, 8]]
    assert not np.array_equal(plain.images[0], looked.images[0])
