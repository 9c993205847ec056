"""Masks that are thin, faint or grown too far, words that do not fit, and guidance where it must change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.cat import conditions, method
from models.cat.conditions import Parts
from models.cat.guidance import Guided
from models.cat.preprocess import latent_mask, with_thin_parts
from models.cat.spec import PRESETS
from models.contract import BadRequest, Result
from tests.methods import cat_parts as tiny


@pytest.fixture(scope="module")
def parts() -> Any:
    torch.set_num_threads(1)
    with tiny.parts() as made:
        yield made


def strap() -> np.ndarray:
    """A square of 32 pixels and, away from it, a strap of three."""
    mask = np.zeros((64, 96), np.uint8)
    mask[16:48, 16:48] = 255
    mask[10:54, 74:77] = 255
    return mask


def test_cells_of_a_strap_are_drawn_and_those_at_a_rim_are_left() -> None:
    mask = strap()
    mask[16:48, 48:51] = 255  # the square's rim covers a part of the next cells
    cells = latent_mask(mask)
    assert cells[:, 9].sum() == 0
    drawn = with_thin_parts(cells, mask)
    assert drawn.dtype == np.float32
    assert drawn.shape == (8, 12)
    assert drawn[:, 9].tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
    drawn[:, 9] = 0
    assert np.array_equal(drawn, cells)


def test_only_the_papers_square_has_exactly_the_papers_cells(parts: Parts) -> None:
    request = tiny.request(image=tiny.request().image[:, :64], mask=strap()[:, 32:], region="whole")
    mask = request.mask
    ours, theirs = (method._framed(parts, request.replace(region=r))[1].latent_mask for r in ("whole", "squash"))
    assert np.array_equal(theirs, latent_mask(mask))
    assert np.array_equal(ours, with_thin_parts(theirs, mask))
    assert ours.sum() == theirs.sum() + 6


def test_a_mask_that_grows_over_everything_is_refused(parts: Parts) -> None:
    with pytest.raises(BadRequest, match="grow it less"):
        next(iter(method.run(parts, tiny.request(grow=90))))
    assert method._framed(parts, tiny.request(grow=20))


@pytest.mark.parametrize("value", [1, 127])
def test_a_faint_mask_is_told_from_an_empty_one(value: int) -> None:
    with pytest.raises(BadRequest, match=f"nowhere brighter than {value} of 255"):
        tiny.request(mask=np.where(strap() > 0, value, 0).astype(np.uint8))


def test_what_is_not_read_of_the_negative_prompt_is_said_too(parts: Parts) -> None:
    words = " ".join(f"tree{k}" for k in range(80))
    *_, last = method.run(parts, tiny.request(negative_prompt=words, comparisons="off", steps=1))
    assert isinstance(last, Result)
    assert last.facts["dropped_words"]
    assert words.endswith(last.facts["dropped_words"])


def predicted(parts: Parts, scale: float, prompt: str, negative: str, visual: bool) -> Tensor:
    """One prediction of the U-Net's for noise that is always the same."""
    request = tiny.request(guidance_scale=scale, region="squash")
    seen = method._framed(parts, request)[1]
    words, other = (conditions.read_words(parts, text) for text in (prompt, negative))
    semantics = conditions.imagine(parts, seen, words, prompt) if visual else None
    guided = Guided(parts, request, conditions.surroundings(parts, seen), words, other, semantics)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with guided.installed() as network:
        return network(noise, torch.tensor(500))


def test_guidance_of_one_is_the_conditional_half_and_equal_halves_need_none(parts: Parts) -> None:
    conditional, unconditional = (predicted(parts, 1, p, "", v) for p, v in (("a red car", True), ("", False)))
    both = predicted(parts, 6, "a red car", "", True)
    torch.testing.assert_close(both, unconditional + 6 * (conditional - unconditional), atol=2e-5, rtol=0)
    assert (both - conditional).abs().max() > 1e-3
    same = predicted(parts, 6, "a red car", "a red car", False)
    torch.testing.assert_close(same, predicted(parts, 1, "a red car", "", False), atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_semantic_inpainter_keeps_its_precision_beside_half_towers() -> None:
    assert PRESETS["full"].components["semantic_inpainter"].dtype == "float32"
    made = tiny.components()
    for name in ("text_encoder", "clip_vision"):
        made[name].to(torch.bfloat16)
    with tiny.parts(made=made) as half, tiny.parts() as whole:
        found = []
        for some in (half, whole):
            seen = method._framed(some, tiny.request())[1]
            found.append(conditions.imagine(some, seen, conditions.read_words(some, "a red car"), "a red car"))
    assert found[0].predicted.dtype == found[0].prompt.dtype == torch.float32
    torch.testing.assert_close(found[0].prompt, found[1].prompt, atol=0.05, rtol=0.05)
