"""The pocket world: splits, determinism, geometry and words, checked against plain arithmetic."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from training import hold_out, world
from training.world import compose
from training.world.assets import FOLDER, identity_rows, prop_index, sprite_rows
from training.world.plan import Plan, Thing

SMALL = (32, 32)
WIDE = (96, 160)


def every_plan(split: world.Split, count: int = 64) -> Iterator[Plan]:
    """The plans behind many samples of every kind, drawn tiny."""
    for seed in range(2):
        yield from world.scenes(count, SMALL, seed, split).plans
        yield from world.fusion(count, SMALL, seed, split).plans
        yield from world.faces(count // 4, SMALL, seed, split, reference_side=32).plans
        yield from world.holes(count // 4, SMALL, seed, split).scenes.plans
        pair = world.edits(count // 2, SMALL, seed, split)
        yield from (*pair.source.plans, *pair.target.plans)


def drawn_objects(plans: list[Plan]) -> set[int]:
    """Sprite indices of the objects, without the scenes' own props."""
    first_prop = prop_index("mug")
    return {t.sprite for p in plans for t in p.things if t.look is None and t.sprite < first_prop}


def drawn_people(plans: list[Plan]) -> set[int]:
    return {t.look.identity for p in plans for t in p.things if t.look is not None}


def test_the_held_out_list_follows_its_rule() -> None:
    table = json.loads((FOLDER / "held_out.json").read_text())
    assert table["families"] == hold_out.held_out_families()
    assert list(identity_rows()) == hold_out.identities()
    keys = [" ".join(person.values()) for person in identity_rows()]
    order = sorted(range(len(keys)), key=lambda i: hold_out.rank(keys[i]))
    assert table["people"] == sorted(order[: len(keys) // 5])
    share = sum(row["family"] in table["families"] for row in sprite_rows()) / len(sprite_rows())
    assert 0.17 < share < 0.23


def test_training_draws_nothing_that_is_held_out() -> None:
    families, people = world.held_out()
    plans = list(every_plan("train"))
    names = {sprite_rows()[i]["family"] for i in drawn_objects(plans)}
    assert len(names) > 60
    assert not names & families
    assert not drawn_people(plans) & people
    for plan in plans:
        for thing in plan.things:
            if thing.colour and thing.sprite < prop_index("mug"):
                noun = sprite_rows()[thing.sprite]["noun"]
                assert not world.is_held_out_combination(noun, thing.colour, plan.scene.kind)


def test_held_out_draws_nothing_that_was_trained() -> None:
    families, people = world.held_out()
    plans = list(every_plan("held_out", 48))
    assert {sprite_rows()[i]["family"] for i in drawn_objects(plans)} <= families
    assert drawn_people(plans) <= people


def test_combos_show_trained_objects_in_combinations_never_trained() -> None:
    for plan in world.scenes(64, SMALL, 1, "combos").plans:
        pairs = [(sprite_rows()[t.sprite], t.colour) for t in plan.things if t.colour]
        assert any(world.is_held_out_combination(row["noun"], colour or "", plan.scene.kind) for row, colour in pairs)
        assert not {sprite_rows()[t.sprite]["family"] for t in plan.things} & world.held_out()[0]


def test_the_same_seed_draws_the_same_pixels() -> None:
    for draw in (world.scenes, world.fusion, world.faces):
        first, again, other = draw(6, WIDE, 5), draw(6, WIDE, 5), draw(6, WIDE, 6)
        picture = "fused" if isinstance(first, world.FusionBatch) else "image"
        assert torch.equal(getattr(first, picture), getattr(again, picture))
        assert not torch.equal(getattr(first, picture), getattr(other, picture))
        assert first.captions == again.captions


def test_a_generator_is_advanced() -> None:
    generator = torch.Generator().manual_seed(3)
    first, second = world.scenes(2, SMALL, generator), world.scenes(2, SMALL, generator)
    assert not torch.equal(first.image, second.image)


@pytest.mark.parametrize("size", [(128, 128), (192, 320), (320, 192), (224, 288)])
def test_sizes_and_ranges(size: world.Size) -> None:
    scenes, fusion = world.scenes(3, size, 2), world.fusion(3, size, 2)
    assert scenes.image.shape == scenes.plate.shape == fusion.fused.shape == (3, 3, *size)
    assert fusion.foreground.shape == (3, 4, *size)
    for picture in (scenes.image, scenes.masks, fusion.foreground, fusion.background, fusion.mask):
        assert picture.dtype == torch.float32
        assert 0 <= float(picture.min()) <= float(picture.max()) <= 1 + 1e-6


def test_visible_masks_agree_with_stacking_the_layers_by_hand() -> None:
    batch = world.scenes(12, WIDE, 11, counts=(4,))
    layers = world.layer_canvases(batch)[:, :, 3].double().numpy()
    front = batch.front.double().numpy()
    for b, plan in enumerate(batch.plans):
        uncovered = 1 - front[b]
        for k in reversed(range(len(plan.things))):
            np.testing.assert_allclose(batch.masks[b, k].numpy(), layers[b, k] * uncovered, atol=1e-5)
            uncovered = uncovered * (1 - layers[b, k])
        assert float(batch.masks[b, len(plan.things) :].sum()) == 0
    total = batch.masks.sum(1) + batch.front
    assert float(total.max()) <= 1 + 1e-5


def raster_box(alpha: np.ndarray) -> tuple[int, int, int, int]:
    """Tight box of the pixels above 4 %, right and bottom exclusive."""
    rows, columns = np.nonzero((alpha > 0.04).any(1))[0], np.nonzero((alpha > 0.04).any(0))[0]
    return (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


@pytest.mark.parametrize("angle", [0, 34, 90, 250])
@pytest.mark.parametrize("flip", [False, True])
def test_boxes_are_tight_under_rotation_and_flip(angle: int, flip: bool) -> None:
    for sprite in (0, 60, 150):
        thing = Thing(sprite=sprite, x=0.45, y=0.55, width=0.5, angle=angle, flip=flip)
        alpha = compose.draw_unlit([thing], (256, 256), torch.device("cpu"))[0, 3].numpy()
        np.testing.assert_allclose(raster_box(alpha), compose.thing_box(thing, (256, 256)), atol=2.5)


def test_foreground_box_and_placement_give_the_box_in_the_scene() -> None:
    height, width = WIDE
    batch = world.fusion(24, WIDE, 4, kinds=("place",))
    for b in range(24):
        x, y, scale, angle = batch.placement[b].tolist()
        x0, y0, x1, y1 = batch.box_fg[b].tolist()
        np.testing.assert_allclose(raster_box(batch.foreground[b, 3].numpy()), (x0, y0, x1, y1), atol=2.5)
        wide = scale * width
        tall = wide * (y1 - y0) / (x1 - x0)
        expected = [x * width - wide / 2, y * height - tall / 2, x * width + wide / 2, y * height + tall / 2]
        np.testing.assert_allclose(batch.box[b].tolist(), expected, atol=1e-2)
        assert angle == 0


def test_far_from_the_object_the_fusion_is_the_background() -> None:
    batch = world.fusion(48, (128, 128), 9)
    x = torch.arange(128) + 0.5
    for b in range(48):
        x0, y0, x1, y1 = batch.box[b].tolist()
        reach = 0.6 * max(x1 - x0, y1 - y0) + 4  # the longest shadow
        near = ((x > x0 - reach) & (x < x1 + reach))[None] & ((x > y0 - reach) & (x < y1 + reach))[:, None]
        difference = (batch.fused[b] - batch.background[b]).abs().amax(0)
        assert float(difference[~near].sum()) < 1e-4
        assert float(difference.max()) > 0.05


def test_the_raw_paste_is_near_the_truth_but_not_there() -> None:
    batch = world.fusion(96, (128, 128), 1, kinds=("place",))
    pasted, scores = world.paste(batch), []
    for b, box in enumerate(batch.box.tolist()):
        if int(batch.colours[b]) >= 0:
            continue  # painted by its caption, which no paste can know
        cx, cy, wide, tall = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]
        left, right = max(0, int(cx - 0.75 * wide)), min(128, int(cx + 0.75 * wide) + 1)
        top, bottom = max(0, int(cy - 0.75 * tall)), min(128, int(cy + 0.75 * tall) + 1)
        error = (pasted[b] - batch.fused[b])[:, top:bottom, left:right].square().mean()
        scores.append(-10 * float(torch.log10(error + 1e-9)))
    assert 20.5 < float(np.mean(scores)) < 24


def test_edits_change_what_they_say() -> None:
    batch = world.edits(48, (64, 64), 3)
    for b, kind in enumerate(batch.kinds.tolist()):
        name = world.EDIT_KINDS[kind]
        source, target = batch.source.captions[b], batch.target.captions[b]
        assert source != target
        assert bool(batch.changed[b].any())
        inside = float((batch.region[b] * batch.changed[b]).sum() / batch.changed[b].sum())
        assert inside > 0.25, name
        if name in ("restyle", "recolour", "swap", "background"):
            assert batch.source.plans[b].scene.light == batch.target.plans[b].scene.light


def test_faces_keep_who_it_is_and_change_the_rest() -> None:
    batch = world.faces(24, SMALL, 2, pairs=0.5, reference_side=32)
    for b, count in enumerate(batch.subjects.tolist()):
        assert batch.prompts[b].count(world.MARKER) == count
        assert world.MARKER not in batch.captions[b]
        assert (batch.identities[b] >= 0).tolist() == [k < count for k in range(2)]
        assert float(batch.masks[b, count:].sum()) == 0
        for word in batch.prompts[b].split(f" {world.MARKER}")[:-1]:
            assert word.split()[-1] in world.NOUNS


def test_captions_use_known_words_and_spans_point_at_texts() -> None:
    words = set(world.vocabulary())
    spoken = [*world.faces(64, SMALL, 1, reference_side=32).prompts, *world.fusion(128, SMALL, 1).captions]
    for split in ("train", "held_out", "combos"):
        spoken += world.captions(400, 1, split)
    for batch in (world.edits(48, SMALL, 1).source, world.edits(48, SMALL, 1).target, world.scenes(128, SMALL, 1)):
        spoken += batch.captions
        for caption, texts, spans in zip(batch.captions, batch.texts, batch.spans, strict=True):
            assert tuple(caption[a:b] for a, b in spans) == texts
    assert {word for caption in spoken for word in world.split_words(caption)} <= words


def test_holes_cover_their_object() -> None:
    batch = world.holes(24, (64, 64), 5)
    rows = torch.arange(24)
    visible = batch.scenes.masks[rows, batch.slots][:, None] > 0.5
    assert not bool((visible & (batch.mask == 0)).any())
    assert set(batch.mask.unique().tolist()) <= {0.0, 1.0}
    assert bool((batch.mask.mean((1, 2, 3)) < 0.95).all())


def test_the_world_is_frozen() -> None:
    frozen = json.loads((FOLDER / "WORLD.json").read_text())
    assert frozen == {"version": world.VERSION, "digest": world.digest()}
