"""Merging against its definition in plain loops, and inside PixArt against attention on the merged tokens."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.attention import sites
from models.dit4edit import merging as merging_module
from models.dit4edit.controller import Controller
from models.dit4edit.merging import Matchings, Merging, kept, match
from models.dit4edit.mutual import PRESETS
from models.dit4edit.rows import Rows, paired, pinned
from tests import tiny
from tests.methods.dit4edit_tiny import Seen, batch

GRID = (6, 8)
SOURCE, SWAPPED = "a lion on grass", "a tig|er on grass"


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("ratio", "stride", "size", "left"),
    [
        (0.8, 2, (32, 32), 256),
        (0.8, 4, (32, 32), 205),
        (0.8, 2, (64, 64), 1024),
        (0.8, 4, (64, 64), 820),
        (0.8, 2, (64, 128), 2048),
        (0.8, 4, (64, 128), 1639),
        (0.2, 2, (32, 32), 820),
        (0.5, 2, (64, 64), 2048),
        (0.0, 2, (64, 64), 4096),
        (1.0, 2, (5, 7), 12),
        (0.29, 2, (10, 10), 71),
    ],
)
def test_how_many_tokens_are_left(ratio: float, stride: int, size: tuple[int, int], left: int) -> None:
    assert kept(ratio, stride, *size) == left


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("grid", [GRID, (5, 7)])
def test_a_matching_is_what_its_definition_says(ratio: float, stride: int, grid: tuple[int, int]) -> None:
    """Destinations are what no token was merged from in a cell; the rest follows in loops over tokens."""
    hidden, merging = draw(3, math.prod(grid), 12), Merging(ratio, stride)
    found = match(hidden, merging, grid)
    destinations = set(merging_module._destinations(grid, merging, 0, 0).tolist())
    cells = {(token // grid[1] // stride, token % grid[1] // stride) for token in destinations}
    assert len(cells) == len(destinations) == math.ceil(grid[0] / stride) * math.ceil(grid[1] / stride)
    unit = (hidden / hidden.norm(dim=-1, keepdim=True)).double()
    best = {}
    for token in set(range(math.prod(grid))) - destinations:
        scores = {d: float(sum(unit[row, token] @ unit[row, d] for row in range(3))) / 3 for d in sorted(destinations)}
        best[token] = max(scores.items(), key=lambda pair: pair[1])
    amount = math.prod(grid) - kept(ratio, stride, *grid)
    merged = dict(sorted(((t, d) for t, (d, _) in best.items()), key=lambda pair: -best[pair[0]][1])[:amount])
    assert dict(zip(found.sources.tolist(), found.anchors[found.into].tolist(), strict=True)) == merged
    assert found.anchors.tolist() == [token for token in range(math.prod(grid)) if token not in merged]
    mean = found.merge(hidden)
    for slot, anchor in enumerate(found.anchors.tolist()):
        members = [anchor, *(token for token, d in merged.items() if d == anchor)]
        torch.testing.assert_close(mean[:, slot], hidden[:, members].mean(1), atol=1e-6, rtol=0)
        assert found.slots[members].tolist() == [slot] * len(members)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_constants_and_the_mean_are_kept_and_merging_twice_is_merging_once(dtype: torch.dtype) -> None:
    hidden = draw(2, math.prod(GRID), 5)
    found = match(hidden, Merging(0.7), GRID)
    constant = torch.tensor([0.1, -1 / 3, 7.3, 1e-4, 1e3]).expand(2, math.prod(GRID), 5).to(dtype)
    assert torch.equal(found.restore(found.merge(constant)), constant)
    spread = found.restore(found.merge(hidden))
    torch.testing.assert_close(spread.mean(1), hidden.mean(1), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.restore(found.merge(spread)), spread, atol=1e-6, rtol=0)
    single = torch.bincount(found.slots)[found.slots] == 1
    assert single.any()
    assert torch.equal(spread[:, single], hidden[:, single])


def test_destinations_are_drawn_by_seed_step_and_group() -> None:
    places = [merging_module._destinations(GRID, Merging(0.5, seed=seed), *rest) for seed, *rest in SEEDS]
    assert torch.equal(places[0], places[1])
    assert all(not torch.equal(places[0], other) for other in places[2:])


SEEDS = [(3, 1, 2), (3, 1, 2), (4, 1, 2), (3, 0, 2), (3, 1, 3), (3, 2, 1)]


def test_tokens_of_different_labels_stay_apart() -> None:
    labels = np.zeros(GRID, np.uint8)
    labels[1:4, 3:7] = 1
    flat = labels.reshape(-1)
    hidden = torch.zeros(1, math.prod(GRID), 4) + draw(1, 1, 4)  # all alike: only the labels hold them apart
    found = match(hidden, Merging(0.9, labels=labels), GRID)
    assert (flat[found.sources.numpy()] == flat[found.anchors[found.into].numpy()]).all()
    alone = np.arange(math.prod(GRID)).reshape(GRID)
    assert len(match(hidden, Merging(0.9, labels=alone), GRID).sources) == 0


def test_a_group_of_layers_shares_a_matching_and_what_was_left_is_told() -> None:
    cache = Matchings(Merging(0.8, group=2), GRID)
    asked = [cache.of(step, layer, draw(2, 48, 4, seed=layer)) for step in (0, 1) for layer in range(4)]
    assert [one is two for one, two in zip(asked, asked[1:], strict=False)] == [True, False] * 3 + [True]
    assert cache.left == [12] * 4
    assert cache.effective_ratio == 0.75
    with pytest.raises(ValueError, match="6 x 8"):
        cache.of(2, 0, draw(2, 40, 4))


@pytest.mark.parametrize("wrong", [{"ratio": -0.1}, {"ratio": 1.1}, {"stride": 1}, {"group": 0}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Merging needs"):
        Merging(**wrong)


# ---- inside PixArt


def run(rows: Rows, merging: Merging, preset: str = "none", **options: Any) -> tuple[Seen, Controller]:
    model = tiny.pixart(num_layers=4).double()
    seen = Seen(model)
    rules = PRESETS[preset](10, 4, start=0.3, from_layer=0)
    guide = Controller(rows, 4, GRID, 10, rules=rules, merging=merging, **options)
    with torch.no_grad(), guide.installed(model):
        guide.begin(0)
        model(**batch(model, rows, [SOURCE, SWAPPED], (12, 16)))
    return seen, guide


@pytest.mark.parametrize("rows", [pinned(), paired()], ids=["pinned", "paired"])
def test_merged_tokens_attend_as_a_shorter_sequence_with_queries_and_keys_of_the_source(rows: Rows) -> None:
    """Two groups of two layers, each matched by what its first layer is given; then plain attention, by hand."""
    merging = Merging(0.6, group=2)
    seen, guide = run(rows, merging, "rigid")
    taken = [row.source if row.role != "source" else number for number, row in enumerate(rows)]
    own = [site.name for site in sites(seen.model) if site.kind == "self"]
    matched_by = [seen.calls[own[layer]][0] for layer in (0, 0, 2, 2)]
    for layer, name in enumerate(own):
        found = match(matched_by[layer], merging, GRID, 0, layer // 2)
        members = torch.nn.functional.one_hot(found.slots).double()
        hidden, _, mask, out = seen.calls[name]
        shorter = (members / members.sum(0)).T @ hidden
        seen.calls[name] = shorter, shorter, mask, out
        q, k, v = seen.qkv(name)
        expected = seen.result(name, seen.maps(name, q[taken], k[taken]), v)[:, found.slots]
        torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-5)
    assert guide.matchings is not None
    assert guide.matchings.made == 2
    assert guide.effective_ratio == 1 - kept(0.6, 2, *GRID) / 48


def test_all_rows_get_one_matching() -> None:
    """Also rows that alone would be matched in another way."""
    seen, _ = run(pinned(), Merging(0.5, group=4))
    first = seen.calls["transformer_blocks.0.attn1"][0]
    alone = [match(first[row : row + 1], Merging(0.5, group=4), GRID) for row in range(3)]
    assert not torch.equal(alone[0].slots, alone[2].slots)
    out = seen.calls["transformer_blocks.0.attn1"][3]
    shared = match(first, Merging(0.5, group=4), GRID)
    for row in range(3):
        for slot in shared.slots.unique():
            members = out[row, shared.slots == slot]
            assert torch.equal(members, members[:1].expand_as(members))


def test_ratio_0_matches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging_module, "match", None)  # a call would fail
    seen, guide = run(pinned(), Merging(0.0))
    plain, _ = run(pinned(), Merging(0.0, seed=5))
    assert all(torch.equal(seen.calls[name][3], plain.calls[name][3]) for name in seen.calls)
    assert guide.matchings is None


@pytest.mark.parametrize("cross", [False, True])
def test_word_maps_are_of_every_patch_also_where_queries_are_merged(cross: bool) -> None:
    merging = Merging(0.5, cross=cross)
    seen, guide = run(pinned(), merging, watch=[[[1]], [[1, 2]]], watched=range(4))
    found = [torch.zeros(48, dtype=torch.float64), torch.zeros(48, dtype=torch.float64)]
    matching = match(seen.calls["transformer_blocks.0.attn1"][0], merging, GRID)
    members = torch.nn.functional.one_hot(matching.slots).double()
    for name in (site.name for site in sites(seen.model) if site.kind == "cross"):
        hidden, *rest = seen.calls[name]
        if cross:
            seen.calls[name] = ((members / members.sum(0)).T @ hidden, *rest)
        q, k, _ = seen.qkv(name)
        maps = seen.maps(name, q, k).mean(1)
        maps = maps[:, matching.slots] if cross else maps
        found[0] += maps[0, :, 1]
        found[1] += maps[2, :, 1:3].sum(-1)
    for maps, expected in zip(guide.word_maps(), found, strict=True):
        assert maps.shape == (1, *GRID)
        assert maps.dtype == torch.float32
        torch.testing.assert_close(maps.flatten().double(), expected / expected.max(), atol=1e-5, rtol=0)


def test_merged_half_precision_stays_close() -> None:
    hidden = draw(2, math.prod(GRID), 16)
    found = match(hidden, Merging(0.7), GRID)
    half = found.merge(hidden.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), found.merge(hidden), atol=1e-2, rtol=1e-2)
