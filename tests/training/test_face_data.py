"""FFHQ-FastComposer's layout: boxes the right way round, words with their people, targets and references."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from training import face_views
from training.face_data import BrokenSample, FaceData, chosen, marked, read_ids, read_record
from training.face_views import augmented, cut_out, squared

CAPTION = "a man and a woman with a dog"
SIZE = (60, 100)
# (number in the map, box as left, top, right, bottom, class, end of the words)
SEGMENTS = [(7, (50, 10, 90, 55), "person", 17), (3, (5, 20, 30, 60), "person", 5), (4, (0, 0, 9, 9), "dog", 28)]
COLOURS = {7: (200, 30, 30), 3: (30, 30, 200), 4: (0, 150, 0), 0: (90, 90, 90)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two photographs of flat colours, in a lossless file under the layout's name; and an id that is not there."""
    for name in ("0123456789", "9876543210"):
        folder = tmp_path / name[:5]
        folder.mkdir()
        numbers = np.zeros(SIZE, np.int32)
        for number, (left, top, right, bottom), _, _ in SEGMENTS:
            cv2.ellipse(numbers, ((left + right) // 2, (top + bottom) // 2), ((right - left) // 2 - 1,) * 2, 0, 0, 360,
                        number, -1)  # fmt: skip
        picture = np.zeros((*SIZE, 3), np.uint8)
        for number, colour in COLOURS.items():
            picture[numbers == number] = colour
        Image.fromarray(picture).save(folder / f"{name}.jpg", format="PNG")
        np.save(folder / f"{name}.npy", numbers)
        keys = ("id", "bbox", "coco_label", "end")
        held = {"caption": CAPTION, "segments": [dict(zip(keys, row, strict=True)) for row in SEGMENTS]}
        (folder / f"{name}.json").write_text(json.dumps(held))
    (tmp_path / "image_ids_train.txt").write_text("0123456789\n\n9876543210\n../secret\n5555500000\n")
    return tmp_path


def sample(root: Path, number: int = 0, ids: Any = ("0123456789",), **changes: Any) -> dict[str, Any]:
    return FaceData(root, ids, 0, 32, **({"untold": 0.0, "kept": 1.0} | changes))[number]


def test_ids_are_read_and_paths_among_them_left_out(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_ids(root) == ["0123456789", "9876543210", "5555500000"]
    assert "Left out 1 lines" in caplog.text
    (root / "image_ids.txt").write_text("\n../x\n")
    with pytest.raises(ValueError, match="nothing to train on"):
        read_ids(root, "")


def test_segments_come_in_the_order_of_their_words(root: Path) -> None:
    record = read_record(root / "01234" / "0123456789.json")
    assert [segment.number for segment in record.segments] == [3, 7, 4]
    assert record.segments[0].box == (5, 20, 30, 60)


def test_markers_stand_after_the_words_of_people() -> None:
    assert marked(CAPTION, [5, 17]) == "a man <|image|> and a woman <|image|> with a dog"
    assert marked(CAPTION, []) == CAPTION


def test_a_sample_tells_people_by_word_mask_and_picture(root: Path) -> None:
    for number in range(12):
        found = sample(root, number)
        assert found["caption"] == "a man <|image|> and a woman <|image|> with a dog"
        assert found["subjects"] == 2
        picture = ((found["picture"] + 1) * 127.5).round()
        for k, colour in enumerate((COLOURS[3], COLOURS[7])):
            inside = found["masks"][k] > 0
            # Away from the blurred outline the mask holds the person's colour, flipped or not.
            core = cv2.erode(inside.numpy().astype(np.uint8), np.ones((5, 5))) > 0
            assert core.sum() >= 5
            assert torch.equal(picture[:, core].unique(dim=1)[:, 0], torch.tensor(colour).float())
        assert not found["masks"][2:].any()
        assert not found["references"][2:].any()


def test_without_augmentation_a_reference_is_the_person_before_noise(root: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("training.face_data.augmented", lambda picture, rng: np.resize(picture, (224, 224, 3)))
    seen = []
    monkeypatch.setattr("training.face_data.cut_out", lambda *given: seen.append(given[2]) or cut_out(*given))
    sample(root)
    assert seen == [(5, 20, 30, 60), (50, 10, 90, 55)]
    picture = np.full((60, 100, 3), 255, np.uint8)
    segment = np.zeros(SIZE, bool)
    segment[25:40, 10:20] = True
    cut = cut_out(picture, segment, seen[0], np.random.default_rng(0))
    assert cut.shape == (40, 25, 3)
    assert (cut[5:20, 5:15] == 255).all()
    around = np.delete(cut.reshape(-1, 3), np.flatnonzero(segment[20:60, 5:30]), 0)
    assert around.max() == 254  # a whole byte less one, as published
    assert len(np.unique(around)) > 200


def test_a_tenth_is_untold_and_a_tenth_of_people_has_no_picture(root: Path) -> None:
    segments = read_record(root / "01234" / "0123456789.json").segments
    draws = [chosen(segments, np.random.default_rng(k), 0.1, 0.9) for k in range(4000)]
    told = [people for people in draws if people is not None]
    assert 1 - len(told) / 4000 == pytest.approx(0.1, abs=0.015)
    assert sum(map(len, told)) / (2 * len(told)) == pytest.approx(0.9, abs=0.015)
    assert {person.label for people in told for person in people} == {"person"}
    nothing = sample(root, untold=1.0)
    assert (nothing["caption"], nothing["subjects"], bool(nothing["masks"].any())) == ("", 0, False)
    words = sample(root, kept=0.0)
    assert (words["caption"], words["subjects"]) == (CAPTION, 0)


def test_four_people_at_most_and_one_for_a_word(root: Path) -> None:
    from training.face_data import Segment

    crowd = [Segment(k, (0, 0, 9, 9), "person", 3 * k + 3) for k in range(7)]
    seen = set()
    for seed in range(50):
        people = chosen(crowd, np.random.default_rng(seed), 0.0, 1.0)
        assert people is not None
        ends = [person.end for person in people]
        assert len(ends) == 4
        assert ends == sorted(ends)
        seen |= set(ends)
    assert len(seen) == 7
    twins = [Segment(1, (0, 0, 9, 9), "person", 5), Segment(2, (0, 0, 9, 9), "person", 5)]
    found = chosen(twins, np.random.default_rng(0), 0.0, 1.0)
    assert found == twins[:1]


def test_a_number_gives_the_same_sample_and_another_one_another(root: Path) -> None:
    first, again, other = sample(root, 3), sample(root, 3), sample(root, 4)
    assert all(torch.equal(first[name], again[name]) for name in ("picture", "references", "masks"))
    assert not torch.equal(first["references"], other["references"])
    batch = next(iter(FaceData(root, ("0123456789",), 0, 32).loader([3, 4], 2, 0)))
    assert batch["picture"].shape == (2, 3, 32, 32)
    assert batch["references"].shape == (2, 4, 3, 224, 224)


# ---- targets


def rows(picture: np.ndarray, side: int, flip: bool = False) -> tuple[np.ndarray, np.ndarray]:
    return squared(picture, (picture[..., 0] > 127)[None], side, flip)


def test_wide_pictures_lose_their_ends_and_tall_ones_get_bars() -> None:
    wide = np.zeros((20, 40, 3), np.uint8)
    wide[:, 10:30] = 255
    square, mask = rows(wide, 40)
    assert square.min() >= 100  # the middle half is white up to its edges
    assert mask.all()
    tall = np.full((80, 40, 3), 255, np.uint8)
    square, mask = rows(tall, 40)
    assert square.shape == (40, 40, 3)
    assert (square[:, 11:29] == 255).all()
    assert not square[:, :9].any()
    assert not square[:, 31:].any()
    assert mask[0, :, 10:30].all()
    assert not mask[0, :, :10].any()


def test_picture_and_masks_are_flipped_together() -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[4:12, 2:9] = 255
    for flip in (False, True):
        square, mask = rows(picture, 32, flip)
        assert np.array_equal(square[..., 0] > 127, mask[0])
        assert bool(mask[0, 5, 3]) is not flip


# ---- references


def test_augmented_references_are_squares_that_differ_and_keep_black_bars_black() -> None:
    picture = np.full((90, 40, 3), 200, np.uint8)
    drawn = [augmented(picture, np.random.default_rng(k)) for k in range(40)]
    assert {found.shape for found in drawn} == {(224, 224, 3)}
    assert {found.dtype for found in drawn} == {np.dtype(np.uint8)}
    assert len({found.tobytes() for found in drawn}) > 30
    assert any(found[:, :40].max() == 0 for found in drawn)  # not zoomed, not turned


class Fixed:
    """A generator whose every number is `value` of the way."""

    def __init__(self, value: float, order: tuple[int, ...] = ()) -> None:
        self.value, self.order = value, order

    def uniform(self, low: float, high: float) -> float:
        return low + self.value * (high - low)

    def permutation(self, _: int) -> tuple[int, ...]:
        return self.order


@pytest.mark.parametrize("kind", ["brightness", "contrast", "saturation", "hue"])
def test_recolouring_is_its_formula(kind: str) -> None:
    picture = np.array([[(200, 40, 60), (20, 120, 90)]], np.uint8)
    order = ("brightness", "contrast", "saturation", "hue").index(kind)
    found = face_views.recoloured(picture, Fixed(0.25, (order,))).astype(float)  # a factor of 0.75
    values = picture.astype(float)
    grey = values @ [0.299, 0.587, 0.114]
    if kind == "hue":
        turned = [hue_turned(tuple(pixel), -0.25) for pixel in picture[0].tolist()]
        assert found[0] == pytest.approx(np.array(turned), abs=1.5)
        return
    middle = {"brightness": 0.0, "contrast": grey.mean(), "saturation": grey[..., None]}[kind]
    assert found == pytest.approx(0.75 * values + 0.25 * middle, abs=0.51)


def hue_turned(pixel: tuple[int, ...], share: float) -> tuple[float, ...]:
    import colorsys

    hue, saturation, value = colorsys.rgb_to_hsv(*(v / 255 for v in pixel))
    return tuple(255 * v for v in colorsys.hsv_to_rgb((hue + share) % 1, saturation, value))


def test_bending_moves_places_by_some_pixels_and_no_more() -> None:
    ramp = np.repeat(np.arange(224, dtype=np.uint8)[None], 224, 0)
    moved = face_views.bent(np.repeat(ramp[..., None], 3, 2), np.random.default_rng(0)).astype(int)[40:-40, 40:-40, 0]
    shift = np.abs(moved - ramp[40:-40, 40:-40].astype(int))
    assert 0.5 < shift.mean() < 4
    assert shift.max() <= 25


# ---- files that cannot be used


BROKEN = {
    "no json": lambda folder, name: (folder / f"{name}.json").unlink(),
    "text": lambda folder, name: (folder / f"{name}.json").write_text("{"),
    "no caption": lambda folder, name: (folder / f"{name}.json").write_text('{"segments": []}'),
    "end past caption": lambda folder, name: (folder / f"{name}.json").write_text(
        '{"caption": "a", "segments": [{"id": 1, "bbox": [0, 0, 1, 1], "coco_label": "person", "end": 9}]}'
    ),
    "empty box": lambda folder, name: (folder / f"{name}.json").write_text(
        '{"caption": "a", "segments": [{"id": 1, "bbox": [200, 0, 300, 9], "coco_label": "person", "end": 1}]}'
    ),
    "other size": lambda folder, name: np.save(folder / f"{name}.npy", np.zeros((4, 4), np.int32)),
    "objects": lambda folder, name: np.save(folder / f"{name}.npy", np.full(SIZE, None, object), allow_pickle=True),
    "no picture": lambda folder, name: (folder / f"{name}.jpg").write_text("no picture"),
}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN.keys())
def test_what_cannot_be_used_is_passed_over(root: Path, damage: Any, caplog: pytest.LogCaptureFixture) -> None:
    damage(root / "01234", "0123456789")
    found = sample(root, 0, ("0123456789", "9876543210"))
    assert found["subjects"] == 2
    with pytest.raises(ValueError, match="is the data still there"):
        sample(root, 0, ("0123456789",))
    assert "Passed over 0123456789" in caplog.text


def test_the_sentence_says_what_is_wrong(root: Path) -> None:
    with pytest.raises(BrokenSample, match="description cannot be read"):
        read_record(root / "none.json")
