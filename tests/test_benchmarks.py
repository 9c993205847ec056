"""What the benchmarks count with: PSNR, boxes, clustered intervals, the README's tables, the contact sheet."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import fidelity, machine, measures, readme, sheet, tables, taps
from benchmarks.contract import Measured, Row
from benchmarks.statistics import Interval, clustered_mean

RNG = np.random.default_rng(3)
PICTURE = RNG.integers(40, 200, (20, 30, 3), dtype=np.uint8)
ROW = Row("inside", "PSNR", "dB", "ours", 2.0, 5.0, against="paste", beside={"raw paste": "paste"})


def test_psnr_agrees_with_its_definition_and_counts_only_the_region() -> None:
    other = PICTURE + RNG.integers(0, 30, PICTURE.shape, dtype=np.uint8)
    region = measures.inside((5, 4, 15, 10), (20, 30))
    total, count = 0, 0
    for y in range(4, 10):
        for x in range(5, 15):
            for c in range(3):
                total, count = total + (int(PICTURE[y, x, c]) - int(other[y, x, c])) ** 2, count + 1
    assert measures.psnr(PICTURE, other, region) == pytest.approx(20 * math.log10(255 / math.sqrt(total / count)))
    assert measures.psnr(PICTURE, PICTURE + np.uint8(16)) == pytest.approx(24.0485, abs=1e-4)
    other[region] = PICTURE[region]
    assert measures.psnr(PICTURE, other, region) == measures.IDENTICAL
    with pytest.raises(ValueError, match="no pixel"):
        measures.psnr(PICTURE, other, np.zeros((20, 30), bool))


def test_psnr_agrees_with_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    other = np.roll(PICTURE, 1, axis=1)
    want = metrics.peak_signal_noise_ratio(PICTURE, other, data_range=255)
    assert measures.psnr(PICTURE, other) == pytest.approx(want)


def test_box_iou_agrees_with_counting_pixels() -> None:
    for _ in range(20):
        boxes = []
        for _ in range(2):
            left, top = RNG.integers(0, 15, 2)
            boxes.append((left, top, left + RNG.integers(1, 15), top + RNG.integers(1, 5)))
        a, b = (measures.inside(box, (20, 30)) for box in boxes)
        assert measures.box_iou(*boxes) == pytest.approx((a & b).sum() / (a | b).sum())
        assert measures.mask_box(a) == boxes[0]
    assert measures.box_iou((0, 0, 4, 4), None) == measures.box_iou((0, 0, 4, 4), (4, 0, 8, 4)) == 0
    assert measures.mask_box(np.zeros((4, 4), np.uint8)) is None


def test_a_grown_box_keeps_its_centre_and_is_cut_at_the_picture() -> None:
    assert measures.scaled((10, 20, 30, 60), 1.5) == (5, 10, 35, 70)
    assert measures.clipped((-5, 10, 35, 70), (40, 30)) == (0, 10, 30, 40)


def test_the_changed_box_is_the_new_object_without_its_shadow() -> None:
    rows, columns = np.mgrid[:120, :160]
    before = np.stack([150 + rows // 4, 140 + columns // 8, 120 + 0 * rows], axis=2).astype(np.uint8)
    after = before.astype(float)
    after[60:80, 30:150] *= 0.6  # a shadow, wider than the object that casts it
    after[20:70, 50:90] = (30, 60, 200)
    after += RNG.normal(0, 3, after.shape)
    found = measures.changed_box(before, np.clip(after, 0, 255).astype(np.uint8))
    assert found == pytest.approx((50, 20, 90, 70), abs=3)
    assert measures.changed_box(before, (before * 0.8).astype(np.uint8)) is None
    assert measures.changed_box(before, before) is None


def cluster_values(clusters: int = 60, each: int = 5) -> tuple[np.ndarray, list[str]]:
    names = [f"object {k}" for k in range(clusters) for _ in range(each)]
    return np.repeat(RNG.normal(3, 2, clusters), each) + RNG.normal(0, 0.5, clusters * each), names


def test_clustered_interval_agrees_with_the_sandwich_formula() -> None:
    values, names = cluster_values()
    found = clustered_mean(list(values), names)
    residuals = (values - values.mean()).reshape(60, 5).sum(axis=1)
    error = math.sqrt(60 / 59 * (residuals**2).sum()) / len(values)
    assert found.mean == pytest.approx(values.mean())
    assert (found.high - found.low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.06)
    assert (found.cases, found.clusters) == (300, 60)


def test_repeating_every_case_adds_no_evidence_and_ignoring_clusters_would() -> None:
    values, names = cluster_values()
    once, twice = clustered_mean(list(values), names), clustered_mean([*values, *values], names * 2)
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))
    alone = clustered_mean(list(values), range(len(values)))
    assert alone.high - alone.low < 0.6 * (once.high - once.low)


def test_one_object_proves_nothing_and_better_means_a_lower_bound_above_zero() -> None:
    assert clustered_mean([1.0, 2.0], ["a", "a"]).low == -np.inf
    assert clustered_mean([1.0, 1.2, 0.9, 1.1], "abcd").above_zero
    assert not clustered_mean([-1.0, 3.0, -1.5, 3.2], "abcd").above_zero
    with pytest.raises(ValueError, match="one name per value"):
        clustered_mean([], [])


def cases(gain: float) -> list[dict[str, object]]:
    numbers = [{"ours": 20 + gain + k % 3, "paste": 20 + k % 3 / 2} for k in range(12)]
    return [
        {"index": k, "cluster": f"object {k}", "groups": ["place" if k % 2 else "wear"], "numbers": n}
        for k, n in enumerate(numbers)
    ]


def test_a_case_without_a_number_is_left_out_of_all_columns_of_that_row_only() -> None:
    some = cases(1.0)
    some[0]["numbers"] = {"paste": 90.0}
    found = fidelity.summarise(ROW, some)
    assert found["judged"]["cases"] == 11
    assert found["columns"]["raw paste"]["mean"] < 30
    assert fidelity.by_group(ROW, some)["wear"]["cases"] == 5


def test_better_asks_for_more_than_a_tie_or_a_lucky_mean() -> None:
    row = dataclasses.replace(ROW, floor=0.0, aim=0.0, better=True)
    tied, lucky = cases(0.0), cases(0.0)
    for k, (same, now) in enumerate(zip(tied, lucky, strict=True)):
        same["numbers"] = {"ours": 20.0, "paste": 20.0}
        now["numbers"] = {"ours": 20.0 + (3.0 if k % 2 else -2.5), "paste": 20.0}
    assert [fidelity.summarise(row, found)["reached"] for found in (tied, lucky, cases(1.0))] == [
        "below the floor",
        "below the floor",
        "aim",
    ]


@pytest.mark.parametrize(("gain", "reached"), [(0.0, "below the floor"), (2.0, "floor"), (5.0, "aim")])
def test_a_row_is_judged_by_its_paired_difference(gain: float, reached: str) -> None:
    found = fidelity.summarise(ROW, cases(gain))
    assert found["reached"] == reached
    assert found["judged"]["mean"] == pytest.approx(gain + 0.5)
    assert found["columns"]["raw paste"]["mean"] == pytest.approx(20.5)
    assert found["better"] == (found["judged"]["low"] > 0)


def measured(count: int) -> list[Measured]:
    tile = np.kron(RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8), np.ones((3, 3, 1), np.uint8))  # hard to compress
    captions = {"ours": "24.1 dB"}
    return [Measured(f"o{k}", ("place",), {"ours": 1.0}, {"paste": tile, "ours": tile}, captions) for k in range(count)]


def test_the_contact_sheet_holds_every_case_and_stays_small(tmp_path: Path) -> None:
    size = sheet.write(measured(64), tmp_path / "sheet.webp")
    assert size == (tmp_path / "sheet.webp").stat().st_size <= sheet.LARGEST
    with Image.open(tmp_path / "sheet.webp") as picture:
        pixels = np.asarray(picture).astype(int)
    line, column = sheet.TILE + sheet.TEXT + sheet.GAP, pixels.shape[1] // sheet.COLUMNS
    for k in range(64):
        top, left = sheet.TEXT + sheet.GAP + k % 32 * line, k // 32 * column
        assert pixels[top : top + sheet.TILE, left : left + sheet.TILE].std() > 20, f"case {k} is missing"


def speed_results() -> dict[str, object]:
    click = {
        "threads": 1, "first_click_s": 9.0, "second_click_s": 4.0, "steps_per_second": 5.0,
        "stop": {"at_step": 3, "of_steps": 200, "steps_after": 0, "stopped_s": 0.2, "lock_free_s": 0.2,
                 "patches_gone": False, "patched_components": ["transformer"]},
        "second_visitor": {"waited": True, "first_step_s": 0.4, "same_pixels": True, "patched_while_running": []},
        "cache": {"hit_s": 0.0, "miss_s": 0.9}, "resident_bytes": {"cpu": 3_000_000}, "peak_rss_bytes": 10**9,
    }  # fmt: skip
    page = {"import_gradio_s": 2.0, "http_s": 2.5, "label_s": 5.4, "ratio": 2.7, "allowed_s": 5.0, "within": False,
            "torch_before_label": False, "rounds": []}  # fmt: skip
    return {"machine": machine.describe(2), "method": "dreamfuse", "preset": "pocket", "steps": 20, "weights": {},
            "page": page, "http": {"first_click_s": 8.0, "second_click_s": 4.0}, "clicks": [click]}  # fmt: skip


def test_masks_stand_in_the_speed_table_beside_grabcut_and_a_run() -> None:
    one = {"embed_s": 0.4, "click_s": 0.11, "further_click_s": 0.12, "box_s": 0.13}
    taps = {"first_click_s": 5.0, "idle": one, "beside_a_run": {**one, "click_s": 0.21, "run_going_on": False}}
    table = tables.speed(speed_results() | {"masks": {**taps, "grabcut": {**one, "click_s": 0.8}}})
    assert "| mask: a first click | 0.11 s | 0.21 s during a run that ENDED EARLY; GrabCut 0.80 s |" in table
    assert "mask" not in tables.speed(speed_results() | {"masks": None})


def test_the_pictures_that_are_clicked_on_differ_and_the_click_is_on_the_ball() -> None:
    first, second = taps.picture(1), taps.picture(9)  # the same place
    assert not np.array_equal(first[0], second[0])
    (x, y), (left, top, right, bottom) = first[1], first[2]
    red, green, _ = first[0][round(y), round(x)].astype(int)
    assert red > 2 * green
    assert left < x < right
    assert top < y < bottom


def test_the_speed_table_hides_no_failure() -> None:
    table = tables.speed(speed_results())
    assert "OVER 1.5 x `import gradio` + 2 s = 5.00 s" in table
    assert "PATCHES LEFT" in table
    assert "PIXELS DIFFER" not in table
    assert all(line.count("|") == 4 for line in table.splitlines() if line.startswith("|"))


def test_a_readme_block_is_replaced_alone_and_a_missing_one_is_named() -> None:
    text = "a\n<!-- begin: speed -->\nold\n<!-- end: speed -->\nb\n"
    new = readme.replace_block(text, "speed", r"| \1 new |")
    assert new == "a\n<!-- begin: speed -->\n| \\1 new |\n<!-- end: speed -->\nb\n"
    assert readme.replace_block(new, "speed", r"| \1 new |") == new
    with pytest.raises(readme.MissingBlock, match="“fidelity” is missing"):
        readme.replace_block(text, "fidelity", "")


def test_the_readme_tables_are_made_from_the_committed_results() -> None:
    assert readme.main(["--check"]) == 0


def test_a_stale_readme_and_a_missing_block_fail_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    assert readme.main(["--check"]) == 1
    for name in readme.BLOCKS:
        with readme.README.open("a") as file:
            file.write(f"<!-- begin: {name} -->\n<!-- end: {name} -->\n")
    assert readme.main(["--check"]) == 1
    assert "stale" in capsys.readouterr().err
    assert readme.main([]) == 0
    assert readme.main(["--check"]) == 0
    readme.README.write_text(readme.README.read_text().replace("end: speed", "end: nothing"))
    assert readme.main([]) == 1
    assert "“speed” is missing" in capsys.readouterr().err


def test_results_make_the_blocks_they_belong_to(tmp_path: Path) -> None:
    assert readme.fidelity_block(tmp_path) == readme.speed_block(tmp_path) == "Not measured yet."
    found = {
        "method": "dreamfuse", "preset": "pocket", "size": 256, "steps": 20, "seed": 0, "sprites": "held out",
        "note": "Note.", "machine": machine.describe(1), "rows": fidelity.summaries([ROW], cases(5.0)),
    }  # fmt: skip
    (tmp_path / "fidelity-dreamfuse.json").write_text(json.dumps(found))
    (tmp_path / "speed-here.json").write_text(json.dumps(speed_results()))
    assert "| PSNR | 26.0 dB [" in readme.fidelity_block(tmp_path)
    assert "| +5.5 dB [5.2, 5.7] | +2 dB | +5 dB | aim |" in readme.fidelity_block(tmp_path)
    assert "| wear | +5.5 dB [5.2, 5.8] (6) |" in tables.groups(found)
    assert "first click to picture (1 thread)" in readme.speed_block(tmp_path)


def test_a_run_with_other_sprites_or_few_cases_leaves_the_committed_files_alone() -> None:
    given: argparse.Namespace = fidelity.parse(["--method", "dreamfuse", "--cases", "8"])
    assert given.json is None
    assert given.sheet is None
    assert fidelity.parse(["--method", "dreamfuse", "--sprites", "here"]).json is None
    assert fidelity.parse(["--method", "dreamfuse"]).json == fidelity.results_path("dreamfuse")


def test_intervals_survive_the_results_file() -> None:
    found = clustered_mean([1.0, 2.0, 4.0], "aab")
    for one in (found, clustered_mean([1.0, 2.0], "aa")):
        assert Interval.read(json.loads(json.dumps(one.fields(), allow_nan=False))) == one
