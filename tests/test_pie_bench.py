"""PIE-Bench's format, its measures against other implementations, and the runner on a drawn set in that format."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import pie_bench, pie_scores
from models import catalog, loading, runtime
from models.cache import ModelCache
from models.dit4edit.spec import SPEC
from tests.methods import dit4edit_parts as toy

RNG = np.random.default_rng(5)
PICTURE = RNG.integers(60, 180, (48, 64, 3), dtype=np.uint8)


def runs_of(mask: np.ndarray) -> list[int]:
    """(start, length) pairs of a mask, pixel by pixel."""
    found: list[int] = []
    for place, inside in enumerate(mask.flatten()):
        if inside and found and found[-2] + found[-1] == place:
            found[-1] += 1
        elif inside:
            found += [place, 1]
    return found


def test_a_mask_is_its_runs_and_a_frame_of_one_pixel() -> None:
    mask = RNG.random((7, 9)) < 0.4
    found = pie_scores.decode_mask(runs_of(mask), (7, 9))
    assert np.array_equal(found[1:-1, 1:-1], mask[1:-1, 1:-1])
    assert found[[0, -1]].all()
    assert found[:, [0, -1]].all()
    assert pie_scores.decode_mask([], (7, 9)).sum() == 2 * 9 + 2 * 5
    # 3 pixels from the last of row 1 on
    assert pie_scores.decode_mask([17, 3], (7, 9))[2, 1]
    assert not pie_scores.decode_mask([17, 2], (7, 9))[2, 1]
    for wrong in ([1], [60, 9], [-1, 2]):
        with pytest.raises(ValueError, match="pairs|leaves"):
            pie_scores.decode_mask(wrong, (7, 9))


def test_half_edited_and_off_by_a_tenth_is_23_dB_there_and_20_in_truth() -> None:
    grey = np.full((64, 64, 3), 100.0)
    mask = np.zeros((64, 64), bool)
    mask[:, :32] = True
    source, picture = grey.copy(), grey + 25.5
    picture[mask] = 0
    found = pie_scores.scores(source, picture, mask)
    assert found["psnr"] == pytest.approx(23.01, abs=0.005)
    assert found["psnr_background"] == pytest.approx(20.00, abs=0.005)
    assert found["mse"] == pytest.approx(0.005)


def test_nothing_is_measured_without_a_background_and_equal_pictures_are_bounded() -> None:
    nothing = pie_scores.scores(PICTURE, PICTURE, np.ones((48, 64), bool))
    assert set(nothing.values()) == {None}
    same = pie_scores.scores(PICTURE, PICTURE, np.zeros((48, 64), bool))
    assert same == {"psnr": 100.0, "mse": 0.0, "ssim": pytest.approx(1), "psnr_background": 100.0}
    assert pie_scores.mean([None, 2.0, math.nan, 4.0, math.inf]) == 3.0
    assert pie_scores.mean([None]) is None


def test_ssim_agrees_with_scikit_image_and_what_is_edited_does_not_count() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    other = np.clip(PICTURE + RNG.normal(0, 12, PICTURE.shape), 0, 255).astype(np.uint8)
    mask = pie_scores.decode_mask([200, 700], (48, 64))
    black = [np.where(mask[..., None], 0, p / 255) for p in (PICTURE, other)]
    want = metrics.structural_similarity(
        *black, data_range=1, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    found = pie_scores.scores(PICTURE, other, mask)
    assert found["ssim"] == pytest.approx(want, abs=1e-6)
    assert found["psnr"] == pytest.approx(metrics.peak_signal_noise_ratio(*black, data_range=1))
    painted = np.where(mask[..., None], np.uint8(7), other)
    assert pie_scores.scores(PICTURE, painted, mask) == found
    with pytest.raises(ValueError, match="11 pixels"):
        pie_scores.ssim(black[0][:8], black[1][:8])


def test_brackets_are_marks_and_no_words() -> None:
    assert pie_scores.plain("a [red]  cat on the [sofa] ") == "a red cat on the sofa"


def drawn_set(folder: Path) -> Path:
    """Three entries in PIE-Bench's format; the last one's mask is the whole picture."""
    half = np.zeros((64, 64), bool)
    half[20:50, 10:40] = True
    listed = {}
    for number, (kind, mask) in enumerate((("1", half), ("9", half), ("1", np.ones((64, 64), bool)))):
        name = f"{kind}_kind/{number}.png"
        path = folder / pie_bench.IMAGES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(toy.picture(64, 64) + np.uint8(number)).save(path)
        listed[f"00{number}"] = {
            "image_path": name,
            "original_prompt": "a [red] car on the table",
            "editing_prompt": "a [gold] car on the table",
            "editing_instruction": "make it gold",
            "editing_type_id": kind,
            "blended_word": "red gold",
            "mask": runs_of(mask),
        }
    (folder / "mapping_file.json").write_text(json.dumps(listed))
    return folder


@pytest.fixture
def toy_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue's pocket preset at toy size behind the real runtime."""
    torch.set_num_threads(1)
    made = toy.components()
    load = {weights: made[name] for name, weights in toy.POCKET.components.items()}.__getitem__
    monkeypatch.setitem(catalog.SPECS, "dit4edit", dataclasses.replace(SPEC, presets={"pocket": toy.POCKET}))
    monkeypatch.setattr(loading, "load_component", load)
    monkeypatch.setattr(runtime, "cache", ModelCache(load))
    monkeypatch.setattr(runtime, "settings", runtime.Settings())


def test_the_runner_edits_and_scores_every_entry(
    toy_preset: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = drawn_set(tmp_path / "pie"), tmp_path / "out" / "pie.json"
    arguments = ["--data", str(data), "--out", str(out), "--pictures", str(tmp_path / "made"), "--threads", "1"]
    assert pie_bench.main([*arguments, "--clip", str(tmp_path / "none")]) == 0
    found = json.loads(out.read_text())
    assert [c["key"] for c in found["cases"]] == ["000", "001", "002"]
    entry = next(pie_bench.entries(data))
    assert (entry.source_prompt, entry.target_prompt) == ("a red car on the table", "a gold car on the table")
    mask = pie_scores.decode_mask(entry.runs, (64, 64))
    with Image.open(entry.path) as before, Image.open(tmp_path / "made" / "000.png") as after:
        want: dict[str, Any] = pie_scores.scores(np.asarray(before), np.asarray(after), mask)
    assert found["cases"][0]["numbers"] == pytest.approx(want)
    assert found["cases"][2]["numbers"] == dict.fromkeys(want)
    rows = found["summary"]
    assert {name: row["cases"] for name, row in rows.items()} == {"all": 3, "change object": 2, "change style": 1}
    both = [found["cases"][n]["numbers"]["psnr"] for n in (0, 1)]
    assert rows["all"]["psnr"] == pytest.approx(np.mean(both))
    assert rows["change object"]["psnr"] == pytest.approx(both[0])
    told = capsys.readouterr().out
    assert "CLIP was not scored" in told
    assert f"| all | 3 | {np.mean(both):.2f} dB |" in told


def test_what_is_no_copy_of_the_benchmark_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pie.json"
    assert pie_bench.main(["--data", str(tmp_path), "--out", str(out)]) == 1
    assert "mapping_file.json is not there" in capsys.readouterr().err
    data = drawn_set(tmp_path / "pie")
    next((data / pie_bench.IMAGES).rglob("1.png")).unlink()
    assert pie_bench.main(["--data", str(data), "--out", str(out)]) == 1
    assert "entry 001 names it" in capsys.readouterr().err
    assert not out.exists()


def test_a_refused_request_stands_in_the_file_and_in_no_mean(
    toy_preset: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise pie_bench.BadRequest("Please give a picture.")

    monkeypatch.setattr(pie_bench, "edited", refuse)
    case = pie_bench.measure(next(pie_bench.entries(drawn_set(tmp_path))), "pocket", 0, None, None)
    assert case == {"key": "000", "kind": "1", "numbers": {}, "refused": "Please give a picture."}
    assert pie_bench.summary([case])["all"] == {"cases": 1}


def test_clip_is_scored_with_weights_on_disk_and_only_then() -> None:
    folder = loading.POCKET / "clip"
    score = pie_scores.ClipScore.found(str(folder))
    assert score is not None
    assert pie_scores.ClipScore.found("nobody/has-this-model") is None
    side = score.model.config.vision_config.image_size
    picture = np.zeros((side, side, 3), np.uint8)
    picture[: side // 2, :, 0], picture[side // 2 :, ::3, 2] = 220, 250
    value = score(picture, "a red wall")
    told = score.tokenizer("a red wall", return_tensors="pt")
    mean, deviation = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    flat = (torch.from_numpy(picture) / 255 - torch.tensor(mean)) / torch.tensor(deviation)
    with torch.inference_mode():
        out = score.model(pixel_values=flat.permute(2, 0, 1)[None].to(score.model.dtype), **told)
        want = 100 * float((out.image_embeds * out.text_embeds).sum())
    assert value == pytest.approx(want, abs=0.02)
    assert value > 5
    margin = np.full((10, side, 3), 255, np.uint8)
    assert score(np.concatenate([margin, picture, margin]), "a red wall") == value  # the middle is looked at
