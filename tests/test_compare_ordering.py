"""Models are swapped least: compared with every order there is."""

from __future__ import annotations

import random
from itertools import permutations

import pytest

from models.compare.ordering import EXACT, ordered, total
from models.contract import Weights

PARTS = [Weights(f"part {k}", "a.B", gigabytes=size) for k, size in enumerate((0.0, 0.1, 0.5, 1.0, 2.0, 4.0))]


def loaded(order: list[frozenset[Weights]]) -> tuple[float, int]:
    """What a machine with room for one run at a time loads, simulated."""
    resident: set[Weights] = set()
    gigabytes, count = 0.0, 0
    for needs in order:
        for part in needs - resident:
            gigabytes, count = gigabytes + part.gigabytes, count + 1
        resident = set(needs)
    return round(gigabytes, 6), count


@pytest.mark.parametrize("seed", range(12))
def test_the_order_costs_as_little_as_the_best_of_all(seed: int) -> None:
    lot = random.Random(seed)
    kinds = [frozenset(lot.sample(PARTS, lot.randint(1, 4))) for _ in range(4)]
    needs = [lot.choice(kinds) for _ in range(6)]
    best = min(loaded([needs[k] for k in order]) for order in permutations(range(6)))
    found = ordered(needs)
    assert sorted(found) == list(range(6))
    assert loaded([needs[k] for k in found]) == best
    assert total([needs[k] for k in found]) == pytest.approx(best)


def test_equal_needs_stand_together_in_their_order() -> None:
    a, b = frozenset(PARTS[:2]), frozenset(PARTS[2:4])
    found = ordered([a, b, a, b, a])
    assert found in ([0, 2, 4, 1, 3], [1, 3, 0, 2, 4])
    assert ordered([]) == []


def test_many_groups_are_still_each_in_one_piece() -> None:
    lot = random.Random(3)
    kinds = [frozenset([Weights(f"own {k}", "a.B", gigabytes=1.0), *lot.sample(PARTS, 2)]) for k in range(EXACT + 4)]
    needs = kinds * 2
    found = ordered(needs)
    assert sorted(found) == list(range(len(needs)))
    changes = sum(needs[a] != needs[b] for a, b in zip(found, found[1:], strict=False))
    assert changes == len(kinds) - 1
    assert loaded([needs[k] for k in found]) < loaded(needs)
