"""Picture arithmetic against independent computations: Pillow, closed forms, plain numpy loops."""

import cmath
import math

import numpy as np
import pytest
from PIL import Image

from models import pixels, regions

RNG = np.random.default_rng(7)
SCENE = RNG.integers(0, 256, (90, 120, 3), dtype=np.uint8)
OBJECT = np.zeros((40, 60, 4), np.uint8)  # opaque noise in the box (10, 5, 50, 35)
OBJECT[5:35, 10:50] = np.dstack([RNG.integers(0, 256, (30, 40, 3)), np.full((30, 40), 255)])
OBJECT_BOX = (10, 5, 50, 35)


def smooth_picture(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(float)
    waves = [np.sin(x / 17 + k) * 50 + np.cos(y / (11 + 3 * k)) * 40 + 120 for k in range(3)]
    return pixels.to_bytes(np.stack(waves, axis=2))


def test_alpha_box_matches_pillow_and_ignores_faint_specks() -> None:
    alpha = OBJECT[..., 3].copy()
    assert pixels.alpha_box(alpha) == Image.fromarray(alpha).getbbox() == OBJECT_BOX
    alpha[0, 0] = 20
    assert pixels.alpha_box(alpha) == OBJECT_BOX
    assert pixels.alpha_box(np.minimum(alpha, 20)) == (0, 0, 50, 35), "nothing reaches 128, so all of it counts"
    assert pixels.alpha_box(np.zeros_like(alpha)) is None


def test_flatten_matches_pillow_on_any_colour() -> None:
    rgba = RNG.integers(0, 256, (20, 30, 4), dtype=np.uint8)
    for colour in ((255, 255, 255), (10, 200, 90)):
        plain = Image.new("RGBA", (30, 20), (*colour, 255))
        want = np.asarray(Image.alpha_composite(plain, Image.fromarray(rgba)))[..., :3].astype(int)
        assert np.abs(pixels.flatten(rgba, colour) - want).max() <= 1
    assert abs(int(pixels.flatten(np.array([[[0, 0, 0, 128]]], np.uint8))[0, 0, 0]) - 127) <= 1
    assert (pixels.flatten(np.array([[[9, 9, 9, 0]]], np.uint8)) == 255).all()


@pytest.mark.parametrize("flip", [False, True])
def test_placement_matrix_is_scale_turn_and_shift_about_the_box_centre(flip: bool) -> None:
    x, y, scale, angle = 0.3, 0.7, 0.5, 30.0
    matrix = pixels.placement_matrix(OBJECT_BOX, (90, 120), x, y, scale, angle, flip)
    for px, py in ((10, 5), (50, 5), (33.5, 12.25), (0, 40)):
        offset = complex(px - 30, py - 20) * (scale * 120 / 40)
        offset = complex(-offset.real, offset.imag) if flip else offset
        # With y down, multiplying by e^(i angle) turns clockwise on screen.
        want = complex(x * 120, y * 90) + offset * cmath.exp(1j * math.radians(angle))
        got = matrix @ [px, py, 1]
        assert got == pytest.approx([want.real, want.imag])


def test_positive_angle_turns_clockwise_on_screen() -> None:
    bar = np.full((40, 40, 4), 255, np.uint8)
    bar[:20, :, :3] = 0  # dark half on top
    matrix = pixels.placement_matrix((0, 0, 40, 40), (80, 80), 0.5, 0.5, 0.5, 90)
    pasted, _ = pixels.paste(np.full((80, 80, 3), 128, np.uint8), bar, matrix)
    assert (pasted[40, 50] == 0).all(), "the top points right after a quarter turn"
    assert (pasted[40, 30] == 255).all()


def test_paste_moves_whole_pixels_exactly() -> None:
    pasted, mask = pixels.paste(SCENE, OBJECT, np.array([[1, 0, 7], [0, 1, 9]], float))
    want = SCENE.copy()
    want[14:44, 17:57] = OBJECT[5:35, 10:50, :3]
    np.testing.assert_array_equal(pasted, want)
    assert pixels.alpha_box(mask) == (17, 14, 57, 44)
    assert set(np.unique(mask)) == {0, 255}


def test_warp_mirrors_and_turns_by_quarters_exactly() -> None:
    """Edges map onto edges: a mirror about the middle moves no pixel by half."""
    height, width = OBJECT.shape[:2]
    mirrored = pixels.warp(OBJECT, (height, width), np.array([[-1, 0, width], [0, 1, 0]], float))
    np.testing.assert_array_equal(mirrored, OBJECT[:, ::-1])
    turned = pixels.warp(OBJECT, (width, height), np.array([[0, -1, height], [1, 0, 0]], float))
    np.testing.assert_array_equal(turned, np.rot90(OBJECT, -1))


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_warp_to_one_nth_is_the_block_mean(factor: int) -> None:
    noise = np.dstack([RNG.integers(0, 256, (48, 96, 3)), np.full((48, 96), 255)]).astype(np.uint8)
    small = pixels.warp(noise, (48 // factor, 96 // factor), np.array([[1, 0, 0], [0, 1, 0]]) / factor)
    blocks = noise.reshape(48 // factor, factor, 96 // factor, factor, 4).mean(axis=(1, 3))
    inner = (slice(1, -1), slice(1, -1))
    # Sub-samples fall on pixel centres for these factors, but their bicubic weights are not exactly zero or one.
    assert np.abs(small[inner] - blocks[inner]).max() <= 12
    assert np.abs(small[inner] - blocks[inner]).mean() <= 2


def test_warp_does_not_alias_when_it_shrinks() -> None:
    stripes = np.full((400, 400, 4), 255, np.uint8)
    stripes[:, ::2, :3] = 0
    for angle in (0, 20, 45):
        matrix = pixels.placement_matrix((0, 0, 400, 400), (100, 100), 0.5, 0.5, 0.61, angle)
        middle = pixels.warp(stripes, (100, 100), matrix)[35:65, 35:65, 0].astype(int)
        # A box over 6.6 stripes leaves at most 1 / (pi / 2 * 6.6) of their fundamental, 4 / pi * 127.5.
        assert np.abs(middle - 127.5).max() <= 16


def test_paste_keeps_the_objects_area_at_any_size_and_angle() -> None:
    white = np.full((40, 60, 4), 255, np.uint8)
    for scale in (0.06, 0.2, 0.45):
        for angle in (0, 17, 90, 200):
            matrix = pixels.placement_matrix((0, 0, 60, 40), (90, 120), 0.5, 0.5, scale, angle)
            _, mask = pixels.paste(SCENE, white, matrix)
            area = (scale * 120) ** 2 * 40 / 60
            assert mask.sum() / 255 == pytest.approx(area, rel=0.02)


def test_hidden_colour_under_transparent_pixels_never_shows() -> None:
    hidden = OBJECT.copy()
    hidden[hidden[..., 3] == 0, :3] = (255, 0, 0)
    hidden[hidden[..., 3] == 255, :3] = 40
    for scale in (0.1, 0.33, 0.9):
        matrix = pixels.placement_matrix(OBJECT_BOX, (90, 120), 0.5, 0.5, scale, 33)
        pasted, _ = pixels.paste(np.full((90, 120, 3), 40, np.uint8), hidden, matrix)
        assert np.abs(pasted.astype(int) - 40).max() <= 1
    assert pixels.resize(hidden, (17, 23))[..., 0].max() <= 41


def test_paste_over_the_border_is_the_crop_of_a_larger_scene() -> None:
    matrix = pixels.placement_matrix(OBJECT_BOX, (90, 120), 0.02, 0.97, 0.5, 25)
    pasted, mask = pixels.paste(SCENE, OBJECT, matrix)
    wide = np.pad(SCENE, ((60, 60), (60, 60), (0, 0)))
    moved, wide_mask = pixels.paste(wide, OBJECT, matrix + [[0, 0, 60], [0, 0, 60]])
    assert np.abs(pasted.astype(int) - moved[60:-60, 60:-60]).max() <= 1
    assert np.abs(mask.astype(int) - wide_mask[60:-60, 60:-60]).max() <= 1
    outside = pixels.paste(SCENE, OBJECT, matrix + [[0, 0, 500], [0, 0, 0]])
    np.testing.assert_array_equal(outside[0], SCENE)
    assert not outside[1].any()


@pytest.mark.parametrize(("x", "y"), [(0.5, 0.5), (0.05, 0.5), (0.9, 0.98)])
def test_poisson_gives_a_plain_object_the_backgrounds_colour(x: float, y: float) -> None:
    """The membrane through a constant border is that constant, whatever the object's own plain colour."""
    plain = np.full((40, 40, 4), 255, np.uint8)
    plain[..., :3] = (20, 60, 220)
    scene = np.full((90, 120, 3), (90, 140, 60), np.uint8)
    picture, solved = pixels.poisson(scene, plain, pixels.placement_matrix((0, 0, 40, 40), (90, 120), x, y, 0.3))
    assert solved
    assert np.abs(picture.astype(int) - scene).max() <= 2


def test_poisson_keeps_the_objects_place_and_texture() -> None:
    scene = np.full((90, 120, 3), 100, np.uint8)
    spot = np.full((40, 40, 4), 255, np.uint8)
    spot[..., :3] = 30
    spot[10:16, 20:26, :3] = 110
    picture, solved = pixels.poisson(scene, spot, np.array([[1, 0, 33], [0, 1, 21]], float))
    assert solved
    rows, columns = np.nonzero(picture[..., 0] > 150)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (31, 37, 53, 59)


def test_poisson_says_when_it_fell_back_to_the_raw_paste() -> None:
    for x, scale in ((5.0, 0.3), (0.5, 0.005)):
        matrix = pixels.placement_matrix(OBJECT_BOX, (90, 120), x, 0.5, scale)
        picture, solved = pixels.poisson(SCENE, OBJECT, matrix)
        assert not solved
        np.testing.assert_array_equal(picture, pixels.paste(SCENE, OBJECT, matrix)[0])


def test_resize_chooses_its_filter_by_direction() -> None:
    blocks = SCENE.reshape(30, 3, 40, 3, 3).mean(axis=(1, 3))
    assert np.abs(pixels.resize(SCENE, (30, 40)) - blocks).max() <= 1
    large = pixels.resize(smooth_picture(60, 80), (150, 200))
    pillow = Image.fromarray(smooth_picture(60, 80)).resize((200, 150), Image.Resampling.BICUBIC)
    assert np.abs(large.astype(int) - np.asarray(pillow))[4:-4, 4:-4].max() <= 2
    assert pixels.resize(SCENE, (30, 240)).shape == (30, 240, 3)
    assert pixels.resize(SCENE[..., 0], (100, 7)).shape == (100, 7)


@pytest.mark.parametrize(
    ("size", "limit", "want"),
    [((300, 400), 200, (150, 200)), ((30, 40), 200, (30, 40)), ((5000, 2), 100, (100, 1))],
)
def test_fit_within_shrinks_only(size: tuple[int, int], limit: int, want: tuple[int, int]) -> None:
    assert pixels.fit_within(size, limit) == want


def test_context_box_covers_the_mask_and_stays_inside() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        height, width = (int(n) for n in rng.integers(20, 300, 2))
        left, top = int(rng.integers(0, width - 1)), int(rng.integers(0, height - 1))
        right, bottom = int(rng.integers(left + 1, width + 1)), int(rng.integers(top + 1, height + 1))
        a, b, c, d = pixels.context_box((left, top, right, bottom), (height, width), 12, 16)
        assert 0 <= a <= left < right <= c <= width
        assert 0 <= b <= top < bottom <= d <= height
        assert (c - a) % 16 == 0 or c - a == width
        assert (d - b) % 16 == 0 or d - b == height
    assert pixels.context_box((40, 40, 56, 56), (200, 200), 8, 16) == (32, 32, 64, 64)


def test_stitch_changes_only_masked_pixels_of_the_crop() -> None:
    mask = np.zeros((90, 120), np.uint8)
    mask[30:60, 40:80] = 255
    mask[0:5, 0:5] = 255  # outside the crop
    box = pixels.context_box((40, 30, 80, 60), (90, 120), 8, 16)
    left, top, right, bottom = box
    np.testing.assert_array_equal(pixels.stitch(SCENE, SCENE[top:bottom, left:right], box, mask), SCENE)
    out = pixels.stitch(SCENE, np.full((32, 32, 3), 77, np.uint8), box, mask)
    want = SCENE.copy()
    want[30:60, 40:80] = 77
    np.testing.assert_array_equal(out, want)
    black, everywhere = np.zeros_like(SCENE), np.full((90, 120), 255, np.uint8)
    soft = pixels.stitch(black, np.full((32, 32, 3), 255, np.uint8), box, everywhere, feather=4)
    assert soft[45, left, 0] == 51, "the crop's own border is a seam too: 1 / 5"
    assert soft[45, 60, 0] == 255


def test_paste_back_feathers_inward_and_keeps_the_rest_exactly() -> None:
    mask = np.zeros((90, 120), np.uint8)
    mask[20:70, 30:120] = 255  # touches the right border, which is no edge
    black, white = np.zeros_like(SCENE), np.full_like(SCENE, 255)
    out = pixels.paste_back(black, white, mask, feather=8)[..., 0].astype(int)
    assert (out[mask == 0] == 0).all()
    ramp = out[45, 28:45]
    assert (np.diff(ramp) >= 0).all()
    assert (ramp[0], ramp[2], ramp[-1]) == (0, round(255 / 9), 255)
    assert (out[40:50, 60:] == 255).all()
    noisy = pixels.paste_back(SCENE, white, mask, feather=3)
    assert pixels.changed_pixels(SCENE, noisy, mask) == 0
    assert (pixels.paste_back(SCENE, white, mask)[mask == 255] == 255).all()


def test_changed_pixels_counts_kept_pixels_that_differ() -> None:
    result = SCENE.copy()
    result[0, :5, 1] ^= 1
    result[50, 50] ^= 1
    mask = np.zeros((90, 120), np.uint8)
    mask[50, 50] = 1
    assert pixels.changed_pixels(SCENE, result, mask) == 5


def test_changed_region_finds_the_object_under_reconstruction_noise() -> None:
    rng = np.random.default_rng(3)
    before = smooth_picture(240, 320)
    y, x = np.mgrid[:240, :320]
    truth = (x - 200) ** 2 + (y - 110) ** 2 < 45**2
    after = before.astype(float) + 12 + rng.normal(0, 9, before.shape)  # a decoder's tint and its noise
    after[truth] = (200, 60, 40) + rng.normal(0, 9, (int(truth.sum()), 3))
    found = pixels.changed_region(before, pixels.to_bytes(after)) > 0
    assert (found & truth).sum() / (found | truth).sum() >= 0.85
    box = pixels.alpha_box(found.astype(np.uint8))
    assert np.abs(np.subtract(box, (155, 65, 246, 156))).max() <= 5, "two sigma of 2.4 pixels"
    wider = pixels.changed_region(before, pixels.to_bytes(after), margin=6) > 0
    np.testing.assert_array_equal(wider, regions.grow(found.astype(np.uint8), 6) > 0)
    hole = (x - 200) ** 2 + (y - 110) ** 2 < 15**2
    after[hole] = before[hole] + 12
    assert (pixels.changed_region(before, pixels.to_bytes(after)) > 0)[truth].mean() >= 0.99, "holes are filled"
    after[truth] = before[truth] + 12 + rng.normal(0, 9, (int(truth.sum()), 3))
    assert not pixels.changed_region(before, pixels.to_bytes(after)).any()


def test_keep_detail_carries_the_change_and_nothing_else() -> None:
    original = RNG.integers(60, 180, (96, 128, 3)).astype(np.uint8)
    small = pixels.resize(original, (24, 32))
    np.testing.assert_array_equal(pixels.keep_detail(original, small, small), original)
    np.testing.assert_array_equal(pixels.keep_detail(original, small, small.astype(np.float32) + 20), original + 20)
    local = small.astype(np.float32)
    local[10:14, 10:14] += 30
    out = pixels.keep_detail(original, small, local).astype(int) - original
    assert (out[46:50, 46:50] >= 25).all()
    assert not out[:28].any(), "bicubic reaches two model pixels, no further"


def test_keep_object_detail_gives_the_object_its_own_pixels_and_the_rest_the_scenes() -> None:
    original = RNG.integers(60, 180, (96, 128, 3)).astype(np.uint8)
    pasted, mask = pixels.paste(original, OBJECT, np.array([[1, 0, 30], [0, 1, 20]], float))
    decoded_original, decoded_pasted = pixels.resize(original, (24, 32)), pixels.resize(pasted, (24, 32))
    out = pixels.keep_object_detail(original, decoded_original, decoded_pasted, pasted, decoded_pasted, mask)
    np.testing.assert_array_equal(out[mask == 255], pasted[mask == 255])
    shaded = decoded_pasted.astype(np.float32) * 0.5
    out = pixels.keep_object_detail(original, decoded_original, shaded, pasted, decoded_pasted, mask)
    inside, raw = out[30:50, 45:75].astype(float), pasted[30:50, 45:75].astype(float)
    assert inside.mean() < raw.mean() - 40
    assert np.corrcoef(inside.ravel(), raw.ravel())[0, 1] > 0.8, "full-resolution texture survives"
