"""The recipe of the masks: what is clicked, what an answer costs, and that a snapshot loads as the app loads it."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.masks import Sam2, Sam2Masker
from training import world
from training.clicks import boxes_of, corrections, points_in, shaken, spots_in
from training.dialogues import Talk, answer, begin, choose, converse, mask_loss, overlaps
from training.export import faults, read_manifest
from training.loop import seeded
from training.sam2 import MasksConfig, build, embed, kinship, main, pictures, varied

TINY = MasksConfig(
    size=64, batch=2, prompts=2, held_out=16, width=32, decoder=32, grow=1, warmup=0, device="cpu", learning_rate=1e-3
)
RNG = np.random.default_rng(4)


def blobs(count: int = 6, size: int = 24) -> torch.Tensor:
    """Bool masks (count, size, size) of a few rectangles each."""
    masks = torch.zeros(count, size, size, dtype=torch.bool)
    for mask in masks:
        for _ in range(3):
            left, top = (int(v) for v in RNG.integers(0, size - 6, 2))
            mask[top : top + int(RNG.integers(1, 6)), left : left + int(RNG.integers(1, 6))] = True
    return masks


def test_points_fall_evenly_on_the_region_and_nowhere_else() -> None:
    masks = blobs()
    counts = torch.zeros(masks.shape)
    draws = spots_in(masks, 4000, seeded(0, 0))
    counts.flatten(1).scatter_add_(1, draws, torch.ones(draws.shape))
    assert not counts[~masks].any()
    for mask, count in zip(masks, counts, strict=True):
        expected = 4000 / int(mask.sum())
        deviation = (count[mask] - expected) / math.sqrt(expected)
        assert deviation.abs().max() < 5
        assert deviation.std() < 1.5
    x, y = points_in(masks, seeded(0, 1)).long().unbind(1)
    assert masks[torch.arange(len(masks)), y, x].all()


def test_values_are_weights_and_an_empty_region_gives_a_point_all_the_same() -> None:
    weights = torch.tensor([[[1.0, 0.0], [3.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    draws = spots_in(weights, 4000, seeded(0, 0))
    assert (draws[0] == 2).float().mean() == pytest.approx(0.75, abs=0.03)
    assert set(draws[1].tolist()) == {0, 1, 2, 3}


def test_boxes_are_the_pixels_extremes() -> None:
    masks = blobs()
    for mask, box in zip(masks, boxes_of(masks).tolist(), strict=True):
        rows, columns = np.nonzero(mask.numpy())
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert boxes_of(torch.zeros(1, 8, 8)).tolist() == [[0, 0, 0, 0]]


def test_a_shaken_box_is_a_little_off_and_inside_the_picture() -> None:
    boxes = torch.tensor([[0.0, 40.0, 100.0, 60.0]]).expand(2000, 4)
    off = shaken(boxes, 100, seeded(0, 0)) - boxes
    assert off.abs().max() <= 2
    assert (off[:, 0] >= 0).all()
    assert (off[:, 2] <= 0).all()
    assert float(off[:, 1].std()) == pytest.approx(1.437, abs=0.08)  # a normal of 2 (a tenth of 20), cut at 2


def test_a_correction_lies_in_what_is_wrong_and_says_which_way() -> None:
    wanted, found = blobs(), blobs()
    found[0] = wanted[0]
    for step in range(20):
        points, labels = corrections(wanted, found, seeded(1, step))
        for k, ((x, y), label) in enumerate(zip(points.long().tolist(), labels.tolist(), strict=True)):
            if k:
                assert bool(wanted[k, y, x]) != bool(found[k, y, x])
            assert bool(label) == bool(wanted[k, y, x])
    empty = torch.zeros(1, 8, 8, dtype=torch.bool)
    assert corrections(empty, empty, seeded(1, 0))[1].tolist() == [1]


def test_what_is_asked_for_is_seen_and_of_the_right_picture() -> None:
    owner = torch.zeros(2, 40, 40, dtype=torch.uint8)
    owner[0, :10], owner[0, 10, :2], owner[1, 20:], owner[1, :5] = 1, 2, 3, 5
    rows, masks = choose(owner, 30, seeded(0, 0))
    assert rows.tolist() == [0] * 30 + [1] * 30
    assert all(torch.equal(mask, owner[0] == 1) for mask in masks[:30]), "too little is seen of the second"
    assert {int(owner[1][mask].unique()) for mask in masks[30:]} == {3, 5}


def test_the_losses_agree_with_their_definitions() -> None:
    generator = seeded(3, 0)
    logits, truth = torch.randn(2, 3, 5, 5, generator=generator), torch.rand(2, 1, 5, 5, generator=generator)
    got, scores = mask_loss(logits, truth, 10.0), overlaps(logits, truth)
    for n in range(2):
        for m in range(3):
            focal = overlap = sizes = both = either = 0.0
            for z, t in zip(logits[n, m].flatten().tolist(), truth[n, 0].flatten().tolist(), strict=True):
                p = 1 / (1 + math.exp(-z))
                focal += (p - t) ** 2 * -(t * math.log(p) + (1 - t) * math.log(1 - p)) / 25
                overlap, sizes = overlap + p * t, sizes + p + t
                both, either = both + (p > 0.5 and t > 0.5), either + (p > 0.5 or t > 0.5)
            assert float(got[n, m]) == pytest.approx(10 * focal + 1 - (2 * overlap + 1) / (sizes + 1), rel=1e-4)
            assert float(scores[n, m]) == pytest.approx(both / either)


def test_features_that_tell_things_apart_cost_less() -> None:
    owner = torch.zeros(1, 16, 16, dtype=torch.uint8)
    owner[0, 2:8, 2:8], owner[0, 9:15, 9:15] = 1, 2
    good = F.one_hot(owner.long(), 3).permute(0, 3, 1, 2).float()
    same = torch.ones(1, 3, 16, 16)
    mixed = good.roll(5, 3)
    costs = [float(kinship([maps], owner, seeded(0, 0))) for maps in (good, mixed, same)]
    assert costs[0] < 0.05
    assert min(costs[1:]) > 1


def test_other_colours_are_still_the_same_picture() -> None:
    images = torch.rand(8, 3, 4, 4, generator=seeded(0, 0)) * 0.4 + 0.3
    out = varied(images, seeded(0, 1))
    assert out.shape == images.shape
    assert not torch.equal(out, images)
    for before, after in zip(images.flatten(2), out.flatten(2), strict=True):
        match = torch.corrcoef(torch.cat([before, after]))[:3, 3:]  # each new channel is one old one, stretched
        torch.testing.assert_close(match.amax(0), torch.ones(3))
        assert sorted(match.argmax(0).tolist()) == [0, 1, 2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("masks")
    main(dataclasses.replace(TINY, steps=3, rounds=3, assets=str(root / "assets"), runs=str(root / "runs")))
    return root


def test_three_steps_write_a_snapshot_that_the_app_loads(trained: Path) -> None:
    folder = trained / "assets" / "sam2"
    assert faults(folder, world.digest()) == []
    metrics = read_manifest(folder).metrics
    assert set(metrics) == {f"{kind}_{k}" for kind in ("click", "box") for k in range(3)}
    assert all(0 <= value <= 1 for value in metrics.values())
    assert all(math.isfinite(v) for _, v in torch.load(trained / "runs/sam2/state.pt", weights_only=True)["curve"])
    masker = Sam2Masker(Sam2.from_pretrained(str(folder)))
    image = RNG.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    masks, scores = masker.mask(masker.embed(image), [(30, 20)], [1])
    assert masks.shape == (3, 50, 70)
    assert np.isfinite(scores).all()


def test_the_app_sees_what_training_sees(trained: Path) -> None:
    """The same picture, click and correction through the recipe's own forward pass and through the app's masker."""
    config = dataclasses.replace(TINY, resume=True, assets=str(trained / "assets"))
    ours, masker = build(config).eval(), Sam2Masker(Sam2.from_pretrained(str(trained / "assets" / "sam2")))
    held = pictures(1, 64, seeded(0, 0), "held_out")
    image = held["image"][0].permute(1, 2, 0).contiguous().numpy()
    embedding = masker.embed(image)
    with torch.no_grad():
        maps = embed(ours, held["image"] / 255)
        for a, b in zip(maps, embedding.maps, strict=True):
            torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-4)
        talk = begin(maps, held["owner"], 1, True, seeded(0, 1))
        logits, expected = answer(ours, talk, True, False)
        click = tuple(talk.points[0, 0].tolist())
        theirs = masker.answer(embedding, [click], [1])
        best = expected[0].argsort(descending=True)
        torch.testing.assert_close(logits[0, best], theirs.logits, atol=1e-3, rtol=1e-3)
        talk.said = theirs.logits[None, :1]
        talk.points = torch.cat([talk.points, torch.tensor([[[5.0, 9.0]]])], 1)
        talk.labels = torch.tensor([[1, 0]])
        logits, _ = answer(ours, talk, False, True)
        theirs = masker.answer(embedding, [click, (5.0, 9.0)], [1, 0])
        torch.testing.assert_close(logits[0], theirs.logits, atol=1e-3, rtol=1e-3)


def test_a_snapshot_goes_on_at_another_size(trained: Path, tmp_path: Path) -> None:
    assets = str(trained / "assets")
    config = dataclasses.replace(TINY, size=128, steps=2, assets=assets, runs=str(tmp_path), resume=True)
    before = Sam2.from_pretrained(f"{assets}/sam2").state_dict()
    model = build(config)
    assert all(torch.equal(value.float(), model.state_dict()[name]) for name, value in before.items())
    with torch.no_grad():
        maps = embed(model, torch.rand(1, 3, 128, 128))
        talk = begin(maps, torch.ones(1, 128, 128, dtype=torch.uint8), 1, True, seeded(0, 0))
        assert answer(model, talk, True, False)[0].shape == (1, 3, 32, 32)


def test_a_dialogue_goes_from_click_to_corrections(trained: Path) -> None:
    model = build(TINY)
    held = pictures(2, 64, seeded(0, 0))
    talk: Talk = begin(embed(model, held["image"] / 255), held["owner"], 3, True, seeded(0, 1))
    assert talk.masks[torch.arange(6), talk.points[:, 0, 1].long(), talk.points[:, 0, 0].long()].all()
    torch.testing.assert_close(talk.truth, F.interpolate(talk.masks[:, None].float(), scale_factor=0.25, mode="area"))
    loss, reached = converse(model, talk, 3, 10.0, seeded(0, 2))
    loss.backward()
    assert reached.shape == (3,)
    assert talk.points.shape == (6, 3, 2)
    assert set(talk.labels[:, 0].tolist()) == {1}
    still = [n for n, p in model.named_parameters() if p.grad is None and "obj_score" not in n]
    assert all(n.startswith(("prompt_encoder.mask_embed", "prompt_encoder.no_mask_embed")) for n in still), still


@pytest.mark.slow
def test_a_few_things_are_learned_by_heart() -> None:
    model = build(dataclasses.replace(TINY, seed=1)).train()
    owner = torch.zeros(2, 64, 64, dtype=torch.uint8)
    owner[0, 8:40, 4:30], owner[0, 20:60, 36:62], owner[1, 4:30, 10:50], owner[1, 36:60, 6:40] = 1, 2, 1, 2
    colours = torch.tensor([[0.2, 0.2, 0.3], [0.9, 0.3, 0.2], [0.2, 0.8, 0.4]])
    images = colours[owner.long()].permute(0, 3, 1, 2)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    scores = []
    for step in range(200):
        maps = embed(model, images)
        talk = begin(maps, owner, 4, step % 2 == 0, seeded(0, step))
        loss, reached = converse(model, talk, 2, 10.0, seeded(1, step))
        optimizer.zero_grad()
        (loss + kinship(maps, owner, seeded(2, step))).backward()
        optimizer.step()
        scores.append(float(reached[0]))
    assert sum(scores[:20]) / 20 < 0.3
    assert sum(scores[-40:]) / 40 > 0.55
