"""In which order runs are made, so that models are loaded least. Plain.

Runs that need the same components stand together. Between two groups the components that the next one needs and the
last one had not are loaded; the sum over all groups is made as small as it can be: exactly for few groups, by the
nearest next one for many.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise

from models.contract import Weights

EXACT = 10  # groups; their orders are searched through all
Cost = tuple[float, int]  # gigabytes, then components
Needs = frozenset[Weights]


def cost(before: Needs, after: Needs) -> Cost:
    """What is loaded when a run that needs `after` follows one that needed `before`."""
    loaded = after - before
    return sum(w.gigabytes for w in loaded), len(loaded)


def total(order: Sequence[Needs]) -> Cost:
    """What is loaded in runs one after the other, beginning with nothing."""
    steps = [cost(*pair) for pair in pairwise((frozenset[Weights](), *order))]
    return sum(step[0] for step in steps), sum(step[1] for step in steps)


def ordered(needs: Sequence[Needs]) -> list[int]:
    """The places of the runs in the order in which they are made; equal needs keep their order."""
    groups: dict[Hashable, list[int]] = {}
    for place, one in enumerate(needs):
        groups.setdefault(one, []).append(place)
    sets = [needs[places[0]] for places in groups.values()]
    found = _best(sets) if len(sets) <= EXACT else _nearest(sets)
    places = list(groups.values())
    return [place for group in found for place in places[group]]


def _best(sets: Sequence[Needs]) -> list[int]:
    """The cheapest path through all groups (Held and Karp 1962)."""
    none: Needs = frozenset()
    paths = {(1 << k, k): (cost(none, one), [k]) for k, one in enumerate(sets)}
    for _ in range(len(sets) - 1):
        longer: dict[tuple[int, int], tuple[Cost, list[int]]] = {}
        for (seen, last), (spent, path) in paths.items():
            for k in range(len(sets)):
                if seen >> k & 1:
                    continue
                more = cost(sets[last], sets[k])
                key, now = (seen | 1 << k, k), (round(spent[0] + more[0], 9), spent[1] + more[1])
                if key not in longer or (now, [*path, k]) < longer[key]:
                    longer[key] = (now, [*path, k])
        paths = longer
    return min(paths.values())[1] if paths else []


def _nearest(sets: Sequence[Needs]) -> list[int]:
    left, path = list(range(len(sets))), list[int]()
    while left:
        before: Needs = sets[path[-1]] if path else frozenset()
        path.append(min(left, key=lambda k: cost(before, sets[k])))
        left.remove(path[-1])
    return path
