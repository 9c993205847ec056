"""Saliency-adaptive noise fusion against published numbers, hashes of masks, and a plain computation in float64."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from torch import Tensor

from models.facediffuser.saliency import Fused, fuse, saliency, smoothed, subjects

# scale: area, log-sum-exps, saliencies at row 24 and column 40, box of the mask, sums of rows, sha1, sum of the noise
GOLDEN = {
    1.0: (1209, (8.357842978, 8.371897618), (0.056355816, 0.294767089), (5, 40, 20, 62)),
    5.0: (1086, (8.522403386, 8.644931306), (0.281779079, 1.473835445), (6, 39, 22, 60)),
    7.5: (999, (8.628708713, 8.875258972), (0.422668619, 2.210753168), (7, 39, 23, 59)),
}
ROWS = {1.0: (0, 33, 36, 37, 42, 9, 0), 5.0: (0, 23, 34, 36, 39, 0, 0), 7.5: (0, 19, 31, 35, 37, 0, 0)}
HASHES = {1.0: "1ac7c8639782", 5.0: "40d039e357bf", 7.5: "c363e8e0ccc1"}
SUMS = {1.0: 4832.446944, 5.0: 4333.873411, 7.5: 3990.315009}


def responses(height: int = 64, width: int = 64, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """The published field: a wave over the whole picture, and a subject right of its middle; (1, 4, h, w) each."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    scene = [0.1 * np.sin(0.05 * (c + 1) * x + 0.5) * np.cos(0.15 * y) for c in range(4)]
    bump = np.exp(-((x - 40) ** 2 + (y - 24) ** 2) / 200)
    subject = [0.3 * (-1) ** c * bump + 0.02 * np.cos(0.3 * x + 0.1 * y + c) for c in range(4)]
    made = [torch.from_numpy(np.stack(r))[None].to(dtype) for r in (scene, subject)]
    return made[0], made[1]


def fused(response_t: Tensor, response_s: Tensor, scale: float = 5.0) -> Fused:
    """With an unconditional noise of 0 and a caption's noise of 1, as the published sums have it."""
    return fuse(response_t, response_s, scale * response_t, 1 + scale * response_s, scale)


def area(response_t: Tensor, response_s: Tensor, scale: float = 5.0) -> int:
    return int(fused(response_t, response_s, scale).mask.sum())


def slow_smooth(field: np.ndarray) -> np.ndarray:
    """The box and the stretching, cell by cell in float64."""
    height, width = field.shape
    padded = np.pad(field, 1)
    pooled = np.array([[padded[i : i + 4, j : j + 4].sum() / 16 for j in range(width - 1)] for i in range(height - 1)])
    stretched = np.zeros_like(field)
    for i in range(height):
        for j in range(width):
            v = max((i + 0.5) * (height - 1) / height - 0.5, 0.0)
            u = max((j + 0.5) * (width - 1) / width - 0.5, 0.0)
            low, left = int(v), int(u)
            below, right = min(low + 1, height - 2), min(left + 1, width - 2)
            top = pooled[low, left] * (1 - u + left) + pooled[low, right] * (u - left)
            bottom = pooled[below, left] * (1 - u + left) + pooled[below, right] * (u - left)
            stretched[i, j] = top * (1 - v + low) + bottom * (v - low)
    return stretched


def slow_mask(response_t: np.ndarray, response_s: np.ndarray, scale: float) -> np.ndarray:
    """(h, w) by the definition: softmax over places, larger one wins, ties to the scene."""
    maps = [slow_smooth(np.abs(scale * r).mean(axis=0)) for r in (response_t, response_s)]
    odds = [np.exp(m) / np.exp(m).sum() for m in maps]
    return odds[1] > odds[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", GOLDEN)
def test_the_published_field_gives_the_published_mask(scale: float, dtype: torch.dtype) -> None:
    found = fused(*responses(dtype=dtype), scale)
    total, masses, at_subject, (top, bottom, left, right) = GOLDEN[scale]
    mask = found.mask[0].numpy()
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert mask.sum() == total
    assert hashlib.sha1(np.packbits(mask.ravel()).tobytes()).hexdigest()[:12] == HASHES[scale]
    assert tuple(mask.sum(axis=1)[[0, 8, 16, 24, 32, 40, 63]]) == ROWS[scale]
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (top, bottom, left, right)
    maps = (found.saliency_t, found.saliency_s)
    assert [float(m.logsumexp((1, 2))) for m in maps] == pytest.approx(masses, abs=2e-6)
    assert [float(m[0, 24, 40]) for m in maps] == pytest.approx(at_subject, abs=1e-6)
    assert float(found.noise.double().sum()) == pytest.approx(SUMS[scale], abs=2e-3)
    assert maps[0].dtype == torch.float32
    assert found.noise.dtype == dtype


def test_more_published_numbers_of_the_field() -> None:
    found = fused(*responses())
    assert float(found.noise.double().abs().sum()) == pytest.approx(7233.029789, abs=2e-3)
    peaks = [float(m.flatten(1).softmax(1).max()) for m in (found.saliency_t, found.saliency_s)]
    assert peaks == pytest.approx([3.08947e-4, 7.68480e-4], abs=1e-8)
    assert [bool(found.mask[0, y, x]) for y, x in ((24, 40), (0, 0), (63, 63), (50, 10))] == [True, False, False, False]


def test_latents_that_are_not_square() -> None:
    response_t, response_s = responses(64, 96)
    found = fused(response_t, response_s)
    assert int(found.mask.sum()) == 1319
    assert found.noise.shape == (1, 4, 64, 96)
    tall = fused(response_t.mT.contiguous(), response_s.mT.contiguous())
    assert torch.equal(tall.mask.mT, found.mask)


@pytest.mark.parametrize("shape", [(4, 9, 13), (1, 16, 16), (4, 2, 2), (16, 5, 31)])
def test_it_agrees_with_the_definition(shape: tuple[int, ...]) -> None:
    draw = np.random.default_rng(3)
    response_t, response_s = draw.normal(0, 0.1, shape), draw.normal(0, 0.4, shape)
    found = fused(torch.from_numpy(response_t)[None], torch.from_numpy(response_s)[None], 4.0)
    assert np.array_equal(found.mask[0].numpy(), slow_mask(response_t, response_s, 4.0))
    slow = slow_smooth(np.abs(4.0 * response_s).mean(axis=0))
    assert np.allclose(found.saliency_s[0].numpy(), slow, atol=1e-6)


def test_smoothing_weakens_the_border() -> None:  # A
    ones = smoothed(torch.ones(1, 64, 64, dtype=torch.float64))[0]
    assert ones[[0, 0, 63, 63], [0, 63, 0, 63]].tolist() == [0.5625] * 4
    assert float(ones[0, 1]) == pytest.approx(0.745605, abs=1e-6)
    assert ones[0, 2:62].tolist() == [0.75] * 60
    assert float(ones[1, 1]) == pytest.approx(0.988316, abs=1e-6)
    assert ones[1, 2:62].numpy() == pytest.approx(0.994141, abs=1e-6)
    assert ones[2:62, 2:62].numpy() == pytest.approx(1.0, abs=1e-12)
    assert float(ones.sum()) == pytest.approx(4030.761856, abs=1e-5)


@pytest.mark.parametrize(
    ("at", "support", "profile", "total"),
    [
        (32, (30, 34), (0.032715, 0.0625, 0.0625, 0.0625, 0.033691), 1.031494),
        (0, (0, 2), (0.0625, 0.0625, 0.002441), 0.259861),
        (63, (61, 63), (0.002441, 0.0625, 0.0625), 0.259861),
    ],
)
def test_smoothing_spreads_a_point(at: int, support: tuple[int, int], profile: tuple[float, ...], total: float) -> None:
    point = torch.zeros(1, 64, 64, dtype=torch.float64)  # B
    point[0, at, at] = 1
    spread = smoothed(point)[0]
    for axis in (0, 1):
        touched = spread.sum(dim=1 - axis).nonzero().flatten()
        assert (int(touched[0]), int(touched[-1])) == support
    assert float(spread.max()) == 0.0625
    assert spread[support[0] : support[1] + 1, at].numpy() == pytest.approx(profile, abs=1e-6)
    assert float(spread.sum()) == pytest.approx(total, abs=1e-6)


def test_four_cells_by_hand() -> None:  # C
    maps = torch.tensor([[0.0, 1, 2, 3], [3, 1, 1, 1]])
    assert maps.logsumexp(1).tolist() == pytest.approx([3.440190, 3.340753], abs=1e-6)
    odds = maps.softmax(1)
    assert odds[0].tolist() == pytest.approx([0.032059, 0.087144, 0.236883, 0.643914], abs=1e-6)
    mask = subjects(maps[:1].reshape(1, 2, 2), maps[1:].reshape(1, 2, 2))
    assert torch.equal(mask.flatten(), odds[1] > odds[0])
    assert mask.flatten().tolist() == [True, True, False, False]


def test_equal_shapes_go_to_the_scene() -> None:  # D
    response_t, _ = responses()
    assert area(response_t, response_t) == 0
    steps = torch.arange(16.0).reshape(1, 4, 4)
    assert not subjects(steps, steps + 10).any()
    assert not subjects(steps, steps).any()


def test_a_flat_map_still_wins_places() -> None:  # E
    response_t, response_s = responses()
    assert area(response_t, torch.zeros_like(response_s)) == 2054
    assert area(torch.zeros_like(response_t), response_s) == 999


@pytest.mark.parametrize(("strength", "cells"), [(0.1, 2137), (0.5, 1708), (2, 856), (10, 237)])
def test_a_stronger_response_takes_less(strength: float, cells: int) -> None:
    response_t, response_s = responses(dtype=torch.float64)
    assert area(response_t, strength * response_s) == cells


def test_sign_does_not_count_and_swapped_models_swap_the_mask() -> None:  # F
    response_t, response_s = responses()
    assert torch.equal(fused(response_t, -response_s).mask, fused(response_t, response_s).mask)
    both = fused(torch.cat([response_t, response_s]), torch.cat([response_s, response_t]))
    assert both.mask.sum((1, 2)).tolist() == [1086, 3010]
    assert torch.equal(both.mask[0], ~both.mask[1])
    assert torch.equal(both.mask[:1], fused(response_t, response_s).mask)
    assert torch.equal(both.mask[1:], fused(response_s, response_t).mask)


def test_both_models_always_own_something() -> None:  # G
    draw = torch.Generator().manual_seed(0)
    for trial in range(50):
        size = (3, 4, 5 + trial % 7, 5 + trial % 4)  # on 3x3 the box sees everything everywhere
        found = fused(torch.randn(size, generator=draw), 3 * torch.randn(size, generator=draw), 1 + trial / 10)
        share = found.mask.float().mean((1, 2))
        assert bool(((share > 0) & (share < 1)).all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_each_place_is_exactly_one_models(dtype: torch.dtype) -> None:  # H
    draw = torch.Generator().manual_seed(1)
    response_t, response_s, guided_t, guided_s = (torch.randn(3, 4, 8, 12, generator=draw).to(dtype) for _ in range(4))
    found = fuse(response_t, response_s, guided_t, guided_s, 5.0)
    for channel in range(4):
        assert torch.equal(found.noise[:, channel][found.mask], guided_s[:, channel][found.mask])
        assert torch.equal(found.noise[:, channel][~found.mask], guided_t[:, channel][~found.mask])
    in_full = fuse(response_t.float(), response_s.float(), guided_t, guided_s, 5.0)
    assert torch.equal(found.mask, in_full.mask)  # the map is made in float32 whatever comes in


def test_samples_do_not_see_each_other() -> None:  # S
    draw = torch.Generator().manual_seed(2)
    given = [torch.randn(3, 4, 64, 96, generator=draw) for _ in range(4)]
    together = fuse(*given, 5.0)
    for k in range(3):
        alone = fuse(*(tensor[k : k + 1] for tensor in given), 5.0)
        for whole, part in zip(together, alone, strict=True):
            assert torch.equal(whole[k : k + 1], part)


def test_the_scale_is_inside_the_saliency() -> None:
    _, response_s = responses()
    assert torch.allclose(saliency(response_s, 7.5), 7.5 * saliency(response_s, 1.0))
    assert saliency(response_s, 5.0).shape == (1, 64, 64)
