"""A window cuts the same square out of every picture of a sample, about its object."""

from __future__ import annotations

import torch

from training.windows import window

WHOLE, SIDE = 16, 6


def made(box: tuple[int, int, int, int]) -> dict[str, torch.Tensor]:
    """One row whose tokens say where they are: picture, row, column."""
    left, top, right, bottom = box
    near = torch.zeros(1, WHOLE, WHOLE)
    near[:, top:bottom, left:right] = 1
    down, across = torch.meshgrid(torch.arange(WHOLE), torch.arange(WHOLE), indexing="ij")
    picture = [torch.stack([torch.full_like(down, k), down, across], 2).flatten(0, 1) for k in range(3)]
    rows = {"fused": picture[0], "seen": torch.cat(picture[1:]), "ids": torch.cat(picture)}
    return {name: value[None] for name, value in rows.items()} | {
        "near": near.flatten(1),
        "text": torch.randn(1, 4, 8),
    }


def test_every_picture_gives_the_same_square() -> None:
    rows = made((3, 8, 6, 12))
    seen = window(rows, SIDE, torch.Generator().manual_seed(0))
    parts = [seen["fused"][0], *seen["seen"][0].chunk(2)]
    for number, part in enumerate(parts):
        assert (part[:, 0] == number).all()
        assert torch.equal(part[:, 1:], parts[0][:, 1:])
    assert torch.equal(seen["ids"][0], torch.cat(parts))
    grid = parts[0][:, 1:].view(SIDE, SIDE, 2)
    assert torch.equal(grid[1:] - grid[:-1], torch.tensor([1, 0]).expand(SIDE - 1, SIDE, 2))
    assert torch.equal(grid[:, 1:] - grid[:, :-1], torch.tensor([0, 1]).expand(SIDE, SIDE - 1, 2))
    marks = rows["near"].view(WHOLE, WHOLE)
    assert torch.equal(seen["near"][0], torch.stack([marks[y, x] for y, x in parts[0][:, 1:].tolist()]))
    assert torch.equal(seen["text"], rows["text"])


def test_the_window_shakes_about_the_object_and_stays_inside() -> None:
    corners = set()
    for seed in range(64):
        seen = window(made((13, 0, 16, 2)), SIDE, torch.Generator().manual_seed(seed))["fused"][0]
        corners.add(tuple(seen[0, 1:].tolist()))
        assert seen[:, 1:].min() >= 0
        assert seen[:, 1:].max() < WHOLE
        assert {(0, 14), (1, 14)} <= {tuple(place) for place in seen[:, 1:].tolist()}  # the object's middle
    assert {top for top, _ in corners} == {0}
    assert {left for _, left in corners} == {10}
    middle = {
        tuple(window(made((7, 6, 10, 9)), SIDE, torch.Generator().manual_seed(seed))["fused"][0, 0, 1:].tolist())
        for seed in range(64)
    }
    assert len(middle) > 4
