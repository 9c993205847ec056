"""Sizes, kinds of edit, weights of words, and what is done to the finished picture."""

from __future__ import annotations

import numpy as np
import pytest
from diffusers import PixArtAlphaPipeline
from diffusers.pipelines.pixart_alpha.pipeline_pixart_alpha import ASPECT_RATIO_512_BIN, ASPECT_RATIO_1024_BIN

from models.contract import BadRequest
from models.dit4edit.finishing import latent_mask, matched, psnr
from models.dit4edit.presets import KINDS, controls, kind_of
from models.dit4edit.sizes import BUCKET, WIDE, working_size
from models.dit4edit.weights import phrases, word_weights
from models.word_sheet import COLUMNS, HEAD, SIDE, word_sheet
from tests.methods import dit4edit_parts as toy


@pytest.mark.parametrize(
    ("picture", "expected"),
    [((512, 512), (512, 512)), ((600, 800), (448, 576)), ((100, 3000), (256, 1024)), ((3000, 100), (1024, 256))],
)
def test_the_working_size_keeps_shape_and_pixels_in_multiples_of_32(
    picture: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert working_size(picture, "auto", 512) == expected
    assert working_size(picture, "512", 128) == expected


def test_the_papers_largest_size_lies_along_the_picture() -> None:
    assert working_size((600, 800), WIDE, 1024) == (1024, 2048)
    assert working_size((800, 600), WIDE, 1024) == (2048, 1024)


@pytest.mark.parametrize("picture", [(1024, 2048), (2048, 1024), (768, 1024), (512, 512), (333, 777)])
@pytest.mark.parametrize(("side", "table"), [(512, ASPECT_RATIO_512_BIN), (1024, ASPECT_RATIO_1024_BIN)])
def test_trained_buckets_are_the_stock_pipelines(
    picture: tuple[int, int], side: int, table: dict[str, list[float]]
) -> None:
    stock = PixArtAlphaPipeline(None, None, None, None, None).image_processor.classify_height_width_bin(
        *picture, ratios=table
    )
    assert working_size(picture, BUCKET, side) == stock


@pytest.mark.parametrize(
    ("changes", "reweighted", "kind"),
    [
        (["equal", "replace", "equal"], False, "swap"),
        (["equal", "insert"], False, "add"),
        (["delete", "equal"], False, "remove"),
        (["delete", "equal", "insert"], False, "swap"),
        (["equal"], True, "restyle"),
        (["equal"], False, "swap"),
    ],
)
def test_the_kind_follows_from_the_words(changes: list[str], reweighted: bool, kind: str) -> None:
    assert kind_of(changes, reweighted) == kind


def test_strength_moves_all_controls_and_a_set_one_stays() -> None:
    usual = controls(toy.request(), ["replace"], 28)
    assert (usual.control, usual.control_until, usual.words_until, usual.from_layer) == (*KINDS["swap"], 14)
    free = controls(toy.request(strength=1.0), ["replace"], 28)
    assert (free.control_until, free.words_until, free.from_layer) == (0, 0, 28)
    tight = controls(toy.request(strength=0.0), ["replace"], 28)
    assert (tight.control_until, tight.words_until, tight.from_layer) == (0.6, 1.0, 0)
    chosen = controls(
        toy.request(kind="pose", control="union", words_until=0.0, from_layer=3, strength=0.9), ["replace"], 28
    )
    assert (chosen.kind, chosen.control, chosen.words_until, chosen.from_layer) == ("pose", "union", 0.0, 3)


def test_weights_are_read_as_people_write_them() -> None:
    assert word_weights("") == {}
    assert word_weights(" red: 1.5, old hat:-2,\n sky : 0") == {"red": 1.5, "old hat": -2.0, "sky": 0.0}
    assert phrases("cat, old dog\n") == ["cat", "old dog"]
    for wrong in ("red", "red: much", ": 2", "red: 4.1", "red: inf"):
        with pytest.raises(BadRequest, match="is no weight"):
            word_weights(wrong)


def test_large_scale_colours_come_back_and_the_edit_stays() -> None:
    slope = np.linspace(40, 200, 96)[None, :, None].repeat(96, 0).repeat(3, 2).astype(np.uint8)
    edited = slope + np.array([3, 0, 4], np.uint8)
    edited[30:60, 30:60] = [230, 30, 30]
    found = matched(edited, slope)
    outside = np.ones((96, 96), bool)
    outside[20:70, 20:70] = False
    assert np.abs(found[outside].astype(int) - slope[outside]).max() <= 1
    assert np.abs(found[35:55, 35:55].astype(int) - [230, 30, 30]).max() <= 6
    other = np.full_like(slope, 255)  # the whole picture is another
    assert np.array_equal(matched(other, slope), other)  # nothing is left to learn from


def test_psnr_is_the_formula() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    assert psnr(black, black) is None
    assert psnr(black, black + np.uint8(16)) == pytest.approx(20 * np.log10(255 / 16), abs=0.01)


def test_a_mask_for_latents_covers_every_cell_that_is_touched() -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[17:33, 25:26] = 255
    small = latent_mask(mask, (8, 12))
    assert small.shape == (1, 1, 8, 12)
    touched = small[0, 0].numpy() > 0
    assert touched[2:5, 3].all()
    assert not touched[:, 5:].any()
    assert not touched[6:].any()


def test_the_sheet_of_words_has_a_tile_for_each() -> None:
    picture = np.full((40, 80, 3), 90, np.uint8)
    hot = np.zeros((4, 8))
    hot[1:3, 1:3] = 1
    names = [(name, hot) for name in ("a", "red", "car", "on", "the", "table")]
    one, two = word_sheet(picture, [("Source", names[:COLUMNS])]), word_sheet(picture, [("Source", names)])
    assert one.shape[1] == two.shape[1]
    assert two.shape[0] - one.shape[0] == one.shape[0] - HEAD  # one more row of tiles under the title
    assert one.dtype == np.uint8
    tile = one[2 * HEAD :, :SIDE].astype(int)
    assert tile[40, 40].tolist() != tile[70, 140].tolist()  # where the word acts is coloured otherwise
