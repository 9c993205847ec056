"""The published data's layout: list files are read and never run, holes and crops are as described."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training import cat_data
from training.cat_data import CatData, Entry, Sizes, cropped, hole, parsed, read_list

SIZES = Sizes(64, 32, 8)


def record(root: Path, name: str, size: tuple[int, int] = (80, 120), box: tuple[int, ...] = (30, 20, 70, 50)) -> Any:
    """Write a random picture and the mask of a box in pixels, right and bottom exclusive; returns its record."""
    picture = np.random.default_rng(sum(name.encode())).integers(0, 256, (*size, 3), dtype=np.uint8)
    mask = np.zeros(size, np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 255
    Image.fromarray(picture).save(root / f"{name}.png")
    Image.fromarray(mask).save(root / f"{name}_mask.png")
    shares = (box[0] / size[1], box[1] / size[0], (box[2] - box[0]) / size[1], (box[3] - box[1]) / size[0])
    ids = {"image_id": name, "box_id": "b7", "area": 0.1}
    return {"image": f"{name}.png", "mask_image": f"{name}_mask.png", "label": "Bus", "box": list(shares), **ids}


def write_list(root: Path, *lines: Any) -> Path:
    path = root / "list.txt"
    path.write_text("\n".join(map(str, lines)) + "\n", encoding="utf-8")
    return path


def test_lines_are_literals_inside_the_root(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = record(tmp_path, "a")
    ran = tmp_path / "ran"
    evil = f"{{'image': open({str(ran)!r}, 'w'), 'caption': ''}}"
    outside, absolute = good | {"image": "../a.png"}, good | {"mask_image": "/etc/passwd"}
    incomplete = {k: v for k, v in good.items() if k != "box"}
    told = {"image": "a.png", "caption": "A bus."}
    lines = (good, "", evil, outside, absolute, incomplete, "no literal", "[" * 500, told)
    entries = read_list(write_list(tmp_path, *lines), tmp_path)
    assert [e.text for e in entries] == ["Bus", "A bus."]
    assert entries[0].image == tmp_path / "a.png"
    assert entries[0].box == pytest.approx((0.25, 0.25, 70 / 120, 0.625))
    assert entries[1].mask is None
    assert not ran.exists()
    assert [f".txt, line {n}:" in caplog.text for n in range(1, 10)] == [False, False] + 6 * [True] + [False]
    with pytest.raises(ValueError, match="nothing to train on"):
        read_list(write_list(tmp_path, "broken"), tmp_path)


def test_a_hole_is_the_outline_grown_by_two_pixels_or_the_filled_box_with_its_ends() -> None:
    mask = np.zeros((512, 512), np.uint8)
    mask[200:210, 300:330] = 255
    grown = hole(mask, (0, 0, 1, 1), use_box=False)
    rows, columns = np.nonzero(grown)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (198, 211, 298, 331)
    box = (0.234375, 0.285417, 0.234375 + 0.765625, 0.285417 + 0.55)
    rows, columns = np.nonzero(hole(mask, box, use_box=True))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (146, 427, 120, 511)


@pytest.mark.parametrize(
    ("box", "patches", "cells"),
    [
        ((128, 128, 384, 384), 64, 1156),
        ((100, 140, 300, 333), 49, 650),
        ((0, 0, 512, 512), 256, 4096),
        ((120, 146, 512, 428), 130, 1800),
        ((255, 255, 257, 257), 0, 4),
    ],
)
def test_training_masks_count_any_masked_pixel(
    box: tuple[int, ...], patches: int, cells: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path, "a", (512, 512), box)
    entry = Entry(tmp_path / "a.png", "", tmp_path / "a_mask.png", (0, 0, 1, 1))
    monkeypatch.setattr(cat_data, "hole", lambda mask, box, use_box: mask)
    sample = CatData([entry], [], 0, Sizes())[0]
    assert int(sample["latent_mask"].sum()) == cells
    assert int(sample["patch_mask"].sum()) == patches


def test_a_crop_shows_the_hole_or_lies_in_it() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        height, width = rng.integers(64, 200, 2)
        short = min(height, width)
        top, left = rng.integers(0, short - 20, 2)
        mask = np.zeros((height, width), np.uint8)
        mask[top : top + 20, left : left + 20] = 255
        picture = np.repeat(mask[..., None], 3, 2)
        view, hidden = cropped(picture, mask, short, rng.random(2))
        assert view.shape == (short, short, 3)
        assert int((hidden > 0).sum()) == 400  # nothing was resized: all of it is there
        np.testing.assert_array_equal(view[..., 0], hidden)
        seen.add((int(np.argmax(hidden.any(1))), int(np.argmax(hidden.any(0)))))
    assert len(seen) > 20  # and not always at one place
    wide = np.full((64, 300), 255, np.uint8)
    wide[:, :3] = 0
    for chance in (0.0, 0.5, 0.999):
        assert cropped(np.zeros((64, 300, 3), np.uint8), wide, 64, (0.5, chance))[1].min() == 255
    # Without a hole any crop may come, from the first column to the last.
    ramp = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None].repeat(64, 0), 3, 2)
    nothing = np.zeros((64, 200), np.uint8)
    firsts = [int(cropped(ramp, nothing, 64, (0.5, chance))[0][0, 0, 0]) for chance in (0.0, 0.9999)]
    assert firsts == [0, 136]


def test_pictures_take_the_masks_frame_and_the_short_side_becomes_the_square(tmp_path: Path) -> None:
    entry = parsed(str(record(tmp_path, "a")), tmp_path)
    Image.fromarray(np.full((40, 60, 3), 255, np.uint8)).save(tmp_path / "a.png")  # half the mask's size
    for number in range(6):
        sample = CatData([entry], [], 0, SIZES)[number]
        assert sample["picture"].shape == (3, 64, 64)
        assert sample["picture"].eq(255).all()
        hidden = sample["vae_picture"].eq(-1).all(0)
        assert 0.15 < float(hidden.float().mean()) < 0.4  # 40x30 of 80x80, and a little more
        assert sample["clip_picture"].unique().numel() > 1
        assert sample["clip_truth"].eq(255).all()


def test_captioned_pictures_have_no_hole(tmp_path: Path) -> None:
    record(tmp_path, "a")
    objects = [parsed(str(record(tmp_path, "b")), tmp_path)]
    captioned = [Entry(tmp_path / "a.png", "A bus at night.")]
    data = CatData(objects, captioned, 0, SIZES, share=1.0)
    sample = data[3]
    assert sample["text"] == "A bus at night."
    assert sample["latent_mask"].sum() == sample["patch_mask"].sum() == 0
    assert sample["clip_picture"].equal(sample["clip_truth"])
    assert sample["vae_picture"].numpy() == pytest.approx(sample["picture"].numpy() / 127.5 - 1, abs=1e-6)
    texts = [CatData(objects, captioned, 0, SIZES)[n]["text"] for n in range(60)]
    assert 4 <= texts.count("A bus at night.") <= 22  # 12 expected, three standard errors
    assert "A bus at night." not in [CatData(objects, [], 0, SIZES, share=1.0)[n]["text"] for n in range(3)]


def test_a_boxs_own_caption_is_read_in_place_of_some_labels(tmp_path: Path) -> None:
    captions = tmp_path / "captions"
    captions.mkdir()
    line = str(record(tmp_path, "a"))
    (captions / "a_b7.txt").write_text("a red bus\n")
    entry = parsed(line, tmp_path, captions)
    assert CatData([entry], [], 0, SIZES, told=1.0)[0]["text"] == "a red bus"
    assert CatData([entry], [], 0, SIZES, told=0.0)[0]["text"] == "Bus"
    (captions / "a_b7.txt").unlink()
    assert CatData([entry], [], 0, SIZES, told=1.0)[0]["text"] == "Bus"


def test_what_cannot_be_read_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good, empty, gone = (parsed(str(record(tmp_path, name)), tmp_path) for name in "abc")
    Image.fromarray(np.zeros((80, 120), np.uint8)).save(tmp_path / "b_mask.png")
    (tmp_path / "c.png").unlink()
    data = CatData([good, empty, gone], [], 0, SIZES)
    samples = [data[n] for n in range(12)]
    assert all(s["patch_mask"].sum() > 0 for s in samples)
    with pytest.raises(ValueError, match="still there"):
        CatData([gone], [], 0, SIZES)[0]


def test_samples_follow_from_seed_and_number(tmp_path: Path) -> None:
    entries = [parsed(str(record(tmp_path, name)), tmp_path) for name in "abcd"]
    first, again, other = CatData(entries, [], 0, SIZES), CatData(entries, [], 0, SIZES), CatData(entries, [], 1, SIZES)
    assert all(first[n]["picture"].equal(again[n]["picture"]) for n in (5, 3))
    assert any(not first[n]["picture"].equal(other[n]["picture"]) for n in range(4))
    batches = list(first.loader(range(4, 8), 2, 0))
    assert batches[1]["picture"][0].equal(first[6]["picture"])
    assert batches[0]["text"] == ["Bus", "Bus"]
