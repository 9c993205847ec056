"""Masks from word maps, worked out by hand, and what a blend keeps exactly."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from models.attention import sites
from models.dit4edit.blending import LocalBlend, blend, soft, words_mask
from models.dit4edit.controller import Controller
from models.dit4edit.rows import pinned
from tests import tiny
from tests.methods.dit4edit_tiny import Seen, batch

SOURCE, SWAPPED = "a lion on grass", "a tig|er on grass"


def spot(row: int, col: int, height: float) -> Tensor:
    found = torch.full((5, 6), 0.01)
    found[row, col] = height
    return found


def test_a_mask_is_the_union_of_the_maps_peaks_grown_by_one_token() -> None:
    """Each map is measured by its own maximum: the second is a hundred times weaker, 0.01 of it is its background."""
    second = spot(3, 4, 0.5) / 100
    second[0, 5] = 0.0016  # 0.32 of the maximum
    second[4, 0] = 0.0014  # 0.28
    mask = words_mask([spot(1, 1, 2.0), second], (10, 12), softness=0)
    tokens = torch.zeros(5, 6)
    tokens[0:3, 0:3] = tokens[2:5, 3:6] = tokens[0:2, 4:6] = 1
    assert torch.equal(mask[0, 0], tokens.repeat_interleave(2, 0).repeat_interleave(2, 1))


def test_soft_edges_are_gaussian_and_flat_parts_stay_exact() -> None:
    mask = torch.zeros(1, 1, 24, 32)
    mask[..., 8:, 10:] = 1
    found = soft(mask, 1.0)
    expected = cv2.GaussianBlur(mask[0, 0].double().numpy(), (7, 7), 1.0, borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-6)
    assert (found[..., 13:, 15:] == 1).all()
    assert (found[..., :4, :] == 0).all()
    assert torch.equal(soft(mask, 0), mask)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_blend_is_exactly_one_or_the_other_where_the_mask_is_full_or_empty(dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    target, source = (torch.randn(1, 4, 3, 3, generator=draw, dtype=dtype) for _ in range(2))
    mask = torch.tensor([[0, 0.25, 1], [1, 1, 0], [0, 0.5, 0.75]])[None, None]
    found = blend(target, source, mask)
    full, empty = (mask == value for value in (1, 0))
    assert torch.equal(found[full.expand(1, 4, 3, 3)], target[full.expand(1, 4, 3, 3)])
    assert torch.equal(found[empty.expand(1, 4, 3, 3)], source[empty.expand(1, 4, 3, 3)])
    torch.testing.assert_close(found[0, :, 0, 1], 0.75 * source[0, :, 0, 1] + 0.25 * target[0, :, 0, 1])


def steps(guide: Controller, count: int) -> tuple[list[Tensor | None], list[Tensor]]:
    """The mask after each step of a run, and the maps of 'lion' and 'tiger' in each step, by hand."""
    model = tiny.pixart(num_layers=4)
    for name, weight in model.named_parameters():  # or every patch would look at every word alike
        weight.mul_(20 if "attn2.to_q" in name or "attn2.to_k" in name else 1)
    seen, masks, maps = Seen(model), [], []
    with torch.no_grad(), guide.installed(model):
        for step in range(count):
            guide.begin(step)
            model(**batch(model, pinned(), [SOURCE, SWAPPED], (16, 16), step))
            masks.append(guide.mask())
            found = [seen.maps(s.name, *seen.qkv(s.name)[:2]).mean(1) for s in sites(model) if s.kind == "cross"]
            middle = torch.stack(found[1:3]).mean(0)  # the middle layers of four
            maps.append(torch.stack([middle[0, :, 1], middle[2, :, 1:3].sum(-1)]).unflatten(1, (8, 8)))
    return masks, maps


def controller(local: LocalBlend, **options: Any) -> Controller:
    return Controller(pinned(), 4, (8, 8), 10, blend=local, **options)


@pytest.mark.parametrize("watch", [[], [[[0], [3]], [[5]]]])
def test_the_mask_of_a_run_comes_from_all_its_steps_so_far(watch: list[list[list[int]]]) -> None:
    local = LocalBlend((1,), ((1, 2),), threshold=0.9, from_step=0.2)
    guide = controller(local, watch=watch)
    masks, maps = steps(guide, 4)
    found = torch.stack([guide.maps.mean(branch)[-1] for branch in (0, 1)])  # type: ignore[index]
    torch.testing.assert_close(found, torch.stack(maps).mean(0))
    assert [len(shown) for shown in guide.word_maps()] == ([2, 1] if watch else [0, 0])
    assert masks[0] is None
    assert masks[1] is None
    for step in (2, 3):
        total = torch.stack(maps[: step + 1]).mean(0)
        assert masks[step] is not None
        torch.testing.assert_close(masks[step], words_mask(list(total), (16, 16), threshold=0.9))
        assert 0 < float(masks[step].mean()) < 1  # type: ignore[union-attr]


def test_a_painted_mask_limits_the_words_and_can_be_all_there_is() -> None:
    fixed = torch.zeros(1, 1, 16, 16)
    fixed[..., :8] = 0.5
    local = LocalBlend((1,), ((1, 2),), from_step=0.0)
    (free, *_), _ = steps(controller(local), 1)
    (both, *_), _ = steps(controller(LocalBlend((1,), ((1, 2),), from_step=0.0, fixed=fixed)), 1)
    assert free is not None
    assert both is not None
    assert torch.equal(both, free * fixed)
    (alone, *_), _ = steps(controller(LocalBlend(from_step=0.0, fixed=fixed)), 1)
    assert alone is fixed
    assert controller(local).mask() is None
    with pytest.raises(ValueError, match="words or a mask"):
        LocalBlend()
