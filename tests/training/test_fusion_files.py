"""The published data set's layout: read as specified, nothing outside it opened, nothing left out in silence."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.dreamfuse.placement import affine_ids, grid_ids
from tests.training.fusion_samples import HEIGHT, OWN, WIDTH, picture, write_files, write_sample
from training import world
from training.fusion_draws import FusionDraws
from training.fusion_files import BrokenSample, FusionFiles, nearest_buckets, read
from training.loop import seeded
from training.make_fusion_files import FilesConfig, main as make_files

BUCKET = (144, 112)


def load(root: Path, **changes: Any) -> FusionFiles:
    return FusionFiles(root, **({"resolutions": (128,)} | changes))


def halved(picture: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels, of float64 values."""
    return picture.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, -1).astype(float).mean((1, 3))


def test_sample_is_read_like_computed_by_hand(tmp_path: Path) -> None:
    write_files(tmp_path, 1)
    files = load(tmp_path)
    assert {size: len(entries) for size, entries in files.buckets.items()} == {BUCKET: 1}  # not the record's 1:4
    fusion = read(files.buckets[BUCKET][0], BUCKET)
    alpha = np.zeros((HEIGHT, WIDTH, 1))
    alpha[OWN[1] : OWN[3], OWN[0] : OWN[2]] = 1
    alpha[:, OWN[2] - 10 : OWN[2]] *= 127 / 255
    seed = sum(b"s0")
    white = alpha * picture(seed) + 255 * (1 - alpha)
    for found, whole in ((fusion.foreground, white), (fusion.background, picture(seed + 1))):
        np.testing.assert_allclose(found, halved(whole), atol=1.01)
    np.testing.assert_allclose(fusion.fused, halved(picture(seed + 2)), atol=0.51)
    # Boxes at bucket size: (48, 30, 83, 70), without the faint part, goes to (20, 60, 40, 90).
    a, e = 20 / 35, 30 / 40
    assert dataclasses.astuple(fusion.affine) == pytest.approx((a, 20 - a * 48, e, 60 - e * 30))


def test_transparent_pixels_are_white_and_exif_turns_the_frame(tmp_path: Path) -> None:
    record = write_files(tmp_path, 1)[0]
    clear = np.dstack([picture(9), np.full((HEIGHT, WIDTH), 51, np.uint8)])
    Image.fromarray(clear).save(tmp_path / record["img_info"]["002"])
    fused = read(load(tmp_path).buckets[BUCKET][0], BUCKET).fused
    np.testing.assert_allclose(fused, halved(0.2 * picture(9) + 0.8 * 255), atol=1.01)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(picture(1)).save(tmp_path / "turned.jpg", exif=turned)
    record["img_info"]["001"] = "turned.jpg"
    (tmp_path / "data.json").write_text(json.dumps([record]))
    files = load(tmp_path)
    assert list(files.buckets) == [(112, 144)]
    with pytest.raises(BrokenSample, match="the placed mask has"):  # masks of the unturned frame
        read(files.buckets[112, 144][0], (112, 144))


@pytest.mark.parametrize(
    ("size", "bucket"),
    [
        ((1400, 1750), (448, 576)),
        ((1440, 2160), (384, 640)),
        ((1000, 1463), (448, 576)),  # nearer in h/w; in w/h, which serves a request, 384x640 is
        ((4000, 1000), (768, 256)),
        ((1000, 3290), (256, 768)),
        ((1000, 3301), None),  # 0.301 from 256x768
    ],
)
def test_bucket_is_the_nearest_in_height_over_width(size: tuple[int, int], bucket: tuple[int, int] | None) -> None:
    assert nearest_buckets(*size, (512,)) == ((bucket,) if bucket else ())
    doubled = ((bucket[0] * 2, bucket[1] * 2),) if bucket else ()
    assert nearest_buckets(*size, (512, 1024)) == ((bucket,) if bucket else ()) + doubled


HOSTILE = {
    "parent": "../secret.png",
    "absolute": "/etc/hostname",
    "link": "link.png",
    "null": "a\0b.png",
    "number": 7,
    "missing": "nothing.png",
    "folder": ".",
}


@pytest.mark.parametrize("path", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("field", ["img_info", "img_mask_info"])
def test_no_path_leaves_the_data_root(tmp_path: Path, caplog: Any, path: Any, field: str) -> None:
    root = tmp_path / "data"
    records = write_files(root, 2)
    Image.fromarray(picture(0)).save(tmp_path / "secret.png")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    records[0][field]["000"] = path
    (root / "data.json").write_text(json.dumps(records))
    files = load(root)
    assert [entry.name for entry in files.buckets[BUCKET]] == ["data.json:1"]
    assert list(files.broken) == ["data.json:0"]
    assert [record.getMessage() for record in caplog.records if "Left out 'data.json:0'" in record.getMessage()]


INCOMPLETE = {
    "no mask": lambda record: record["img_mask_info"].pop("000_mask_scale"),
    "two keys": lambda record: record["sorted_keys"].pop(),
    "no pictures": lambda record: record.pop("img_info"),
    "captions are numbers": lambda record: record["caption_info"].update({"002": 3}),
    "captions are a list": lambda record: record.update(caption_info=[]),
}


@pytest.mark.parametrize("spoil", INCOMPLETE.values(), ids=INCOMPLETE.keys())
def test_incomplete_record_is_counted(tmp_path: Path, spoil: Any) -> None:
    records = write_files(tmp_path, 2)
    spoil(records[0])
    (tmp_path / "data.json").write_text(json.dumps([*records, "no record", None]))
    files = load(tmp_path)
    assert set(files.broken) == {"data.json:0", "data.json:2", "data.json:3"}
    assert len(files.buckets[BUCKET]) == 1


def test_lists_dicts_and_folders_of_them_are_read_alike(tmp_path: Path) -> None:
    records = write_files(tmp_path / "data", 3)
    meta = tmp_path / "meta"
    meta.mkdir()
    (meta / "a.json").write_text(json.dumps(records[:1]))
    (meta / "b.json").write_text(json.dumps({"x": records[1], "y": records[2]}))
    plain, parts = load(tmp_path / "data"), load(tmp_path / "data", meta=meta)
    assert [e.name for e in parts.buckets[BUCKET]] == ["a.json:0", "b.json:x", "b.json:y"]
    assert [dataclasses.replace(e, name="") for e in parts.buckets[BUCKET]] == [
        dataclasses.replace(e, name="") for e in plain.buckets[BUCKET]
    ]
    (meta / "c.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="c.json is not readable JSON"):
        load(tmp_path / "data", meta=meta)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


SPOILED = {
    "cut short": ("000", cut_short, "damaged or cut short"),
    "empty mask": ("000_mask", lambda p: Image.new("L", (WIDTH, HEIGHT)).save(p), "a mask is empty"),
    "other frame": ("002", lambda p: Image.fromarray(picture(0, 200, 200)).save(p), "the fused picture has"),
}


@pytest.mark.parametrize(("part", "spoil", "why"), SPOILED.values(), ids=SPOILED.keys())
def test_sample_that_breaks_when_read_is_passed_over_and_named(tmp_path: Path, part: str, spoil: Any, why: str) -> None:
    write_files(tmp_path, 2)
    spoil(tmp_path / f"s0_{part}.png")
    draws = FusionDraws(load(tmp_path), 1, seed=0, prompt_ratio=1.0)
    for number in range(8):
        batch, (row,) = draws[number], draws.plan(number).rows
        assert np.abs(batch.fused[0] - halved(picture(sum(b"s1") + 2))).max() <= 0.5
        assert batch.captions == (("gold car",) if row else ("",))  # a stand-in has no caption
        assert [name for name, _ in batch.faults] == ([] if row else ["data.json:0"])
        assert all(why in reason for _, reason in batch.faults)
    spoil(tmp_path / f"s1_{part}.png")
    with pytest.raises(ValueError, match="can be read"):
        draws[0]


def test_nothing_to_train_on_is_an_error(tmp_path: Path) -> None:
    record = write_sample(tmp_path, "long", size=(40, 400))
    (tmp_path / "data.json").write_text(json.dumps([record, {}]))
    with pytest.raises(ValueError, match="0 samples in 0 buckets, 1 broken, 1 too long"):
        load(tmp_path)


def test_draws_follow_from_their_number_and_buckets_from_their_size(tmp_path: Path) -> None:
    records = write_files(tmp_path, 3) + [write_sample(tmp_path, "tall", size=(200, 260))]
    (tmp_path / "data.json").write_text(json.dumps(records))
    draws = FusionDraws(load(tmp_path), 2, seed=3, prompt_ratio=0.25)
    plans = [draws.plan(number) for number in range(2000)]
    assert plans[:50] == [draws.plan(number) for number in range(50)]
    found = Counter(plan.bucket for plan in plans)
    assert found[BUCKET] / 2000 == pytest.approx(0.75, abs=0.03)
    rows = Counter(row for plan in plans if plan.bucket == BUCKET for row in plan.rows)
    assert [rows[i] / found[BUCKET] / 2 for i in range(3)] == pytest.approx([1 / 3] * 3, abs=0.03)
    assert sum(told for plan in plans for told in plan.told) / 4000 == pytest.approx(0.25, abs=0.02)
    assert draws.captions(range(2000)) == {"", "red teapot on the table", "gold car"}
    one, again = draws[5], next(iter(draws.loader([5], workers=0)))
    assert one.captions == again.captions
    assert torch.equal(one.ids, again.ids)


def test_ids_are_grid_placement_grid(tmp_path: Path) -> None:
    write_files(tmp_path, 1)
    draws = FusionDraws(load(tmp_path), 1, seed=0, prompt_ratio=0.0)
    plain = grid_ids(7, 9)
    placed = affine_ids(read(draws.files.buckets[BUCKET][0], BUCKET).affine, 7, 9)
    assert torch.equal(draws[0].ids, torch.cat([plain, placed, plain])[None])


def test_drawn_fusions_are_written_in_the_layout_with_their_true_placement(tmp_path: Path) -> None:
    make_files(FilesConfig(out=str(tmp_path), count=3, side=96))
    files = load(tmp_path)
    assert files.broken == {}
    assert sum(map(len, files.buckets.values())) == 3
    batch = world.fusion(3, (96, 96), seeded(0, 0))
    whole = (batch.box.clamp(0, 96) == batch.box).all(1)
    for entry, new, old in zip(files.buckets[128, 128], batch.box[whole], batch.box_fg[whole], strict=False):
        affine = read(entry, (128, 128)).affine
        scale = (new[2:] - new[:2]) / (old[2:] - old[:2])
        shift = (new[:2] - scale * old[:2]) * 128 / 96
        pixel = 3 / float((old[2:] - old[:2]).min())  # the files' boxes are of whole pixels
        assert (affine.a, affine.e) == pytest.approx(tuple(scale.tolist()), abs=pixel)
        assert (affine.tx, affine.ty) == pytest.approx(tuple(shift.tolist()), abs=128 * pixel)
