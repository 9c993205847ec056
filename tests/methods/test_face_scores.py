"""Scores and maps against CLIP's own forward pass and hand-made states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models import loading
from models.facediffuser.conditions import image_vectors, preview_basis, read_texts
from models.facediffuser.denoising import State
from models.facediffuser.maps import SIDE, Maps
from models.facediffuser.presets import PRESETS
from models.facediffuser.references import encoder_input
from models.facediffuser.scores import crops, scores
from models.latents import encode, preview, to_pixels
from tests.methods import face_tiny as tiny

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@pytest.fixture(scope="module")
def desk() -> tiny.Desk:
    torch.set_num_threads(1)
    return tiny.Desk()


def picture(seed: int, side: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


@torch.no_grad()
def test_the_prompts_score_is_clips_own_cosine(desk: tiny.Desk) -> None:
    made, (one, other) = desk.made, (picture(1), picture(2))
    with desk.parts(tiny.request()) as parts:
        texts = read_texts(parts, tiny.PROMPT, "")
        vectors = image_vectors(parts, [picture(3)], 224)
        found = scores(parts, [one, other], texts.marked.ids, vectors)
    pixels = torch.stack([torch.from_numpy(p.astype(np.float32) / 255).permute(2, 0, 1) for p in (one, other)])
    pixels = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    ids = made["tokenizer"](tiny.CAPTION, padding="max_length", max_length=77, return_tensors="pt").input_ids
    logits = made["clip"](input_ids=ids, pixel_values=pixels).logits_per_image[:, 0]
    cosines = logits / made["clip"].logit_scale.exp()
    assert [f["prompt"] for f in found] == pytest.approx(cosines.tolist(), abs=1e-4)
    assert abs(float(cosines[0] - cosines[1])) > 1e-3


@torch.no_grad()
def test_a_persons_score_is_the_best_of_the_squares(desk: tiny.Desk) -> None:
    """A reference pasted over one of them is found there."""
    scene, person, stranger = picture(5, 128), picture(6, 8).repeat(8, 0).repeat(8, 1), picture(9, 64)
    scene[32:96, 64:128] = person
    with desk.parts(tiny.request()) as parts:
        vectors = image_vectors(parts, [person, stranger], 224)
        (found,) = scores(parts, [scene], read_texts(parts, tiny.PROMPT, "").marked.ids, vectors)
    squares = [torch.from_numpy(encoder_input([square], 32, 32)[0]) for square in crops(scene)]
    pixels = (torch.stack(squares) - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    features = desk.made["clip"].get_image_features(pixels).pooler_output
    cosines = [torch.cosine_similarity(features, vector[None]) for vector in vectors[0]]
    assert found["people"] == pytest.approx([float(c.max()) for c in cosines], abs=1e-4)
    best = crops(scene)[int(cosines[0].argmax())]
    assert np.array_equal(best, person)
    assert found["people"][0] > found["people"][1]


def test_squares_cover_the_picture_and_overlap() -> None:
    assert len(crops(picture(1, 128))) == 14
    for height, width in ((128, 128), (64, 200), (97, 61)):
        image = np.stack(np.meshgrid(np.arange(width), np.arange(height), [0]), -1)[:, :, 0]
        found = crops(image)
        assert all(square.shape[0] == square.shape[1] for square in found)
        for share in (1.0, 0.75, 0.5):
            side = round(share * min(height, width))
            own = [s for s in found if len(s) == side]
            seen = np.zeros((height, width), int)
            for square in own:
                x, y = square[0, 0, :2]
                seen[y : y + side, x : x + side] += 1
            assert seen.min() >= 1
            lefts = sorted({int(s[0, 0, 0]) for s in own})
            assert max(np.diff(lefts), default=0) <= side / 2 + 1


def test_presets_without_both_towers_have_no_scores() -> None:
    desk = tiny.Desk(tiny.FULL)
    with desk.parts(tiny.request()) as parts:
        assert scores(parts, [picture(1)], (1, 2), torch.zeros(1, 1, 12)) == []


# ---- maps


def state(mask: Tensor | None, saliency_t: Tensor, saliency_s: Tensor, step: int = 3) -> State:
    height, width = saliency_t.shape[-2:]
    latents = torch.randn(1, 4, height, width, generator=torch.Generator().manual_seed(2))
    both = (saliency_t, saliency_s) if mask is not None else (None, None)
    return State(step, latents, latents, latents, "fused" if mask is not None else "scene", mask, *both, 4)


def basis() -> Tensor:
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(1)) * 0.3


def tiles(strip: np.ndarray) -> list[np.ndarray]:
    return list(strip.reshape(3, SIDE, -1, 3))


def test_rows_are_the_scenes_the_peoples_and_who_drew() -> None:
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[:, 2:5, 4:8] = True
    scene, people = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    scene[0, 0, 0], people[0, 7, 7] = 3.0, 2.0
    maps = Maps(basis())
    maps.add(state(None, scene, people, 2))
    assert maps.strip() is None
    maps.add(state(mask, scene, people))
    strip = maps.strip()
    assert strip is not None
    assert (strip.shape, strip.dtype) == ((3 * SIDE, SIDE, 3), np.uint8)
    top, middle, bottom = tiles(strip)
    cell = SIDE // 8
    assert [int(v) for v in np.unravel_index(top.sum(2).argmax(), (SIDE, SIDE))] == [0, 0]
    assert middle[-1, -1].sum() == middle.sum(2).max()
    assert middle[0, 0].sum() < top[0, 0].sum()  # on one scale
    own = np.zeros((SIDE, SIDE), bool)
    own[2 * cell : 5 * cell, 4 * cell :] = True
    estimate = preview(state(mask, scene, people).denoised, basis(), SIDE)
    large = np.asarray(estimate if estimate.shape[0] == SIDE else estimate.repeat(SIDE // len(estimate), 0))
    assert np.ptp(bottom[~own].astype(int), axis=1).max() == 0  # gray
    assert bottom[~own].max() <= round(0.35 * 255)
    assert np.ptp(bottom[own].astype(int), axis=1).max() > 0
    if large.shape == bottom.shape:
        assert np.array_equal(bottom[own], large[own])
    assert (maps.steps, maps.areas) == ([3], [round(12 / 64, 4)])


def test_maps_show_what_is_compared_and_not_its_height() -> None:
    """A softmax does not know a constant: maps that are equal but for one look the same."""
    found = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    maps = Maps(basis())
    maps.add(state(torch.ones(1, 8, 8, dtype=torch.bool), found, found + 5))
    top, middle, _ = tiles(maps.strip())  # type: ignore[arg-type]
    assert np.abs(top.astype(int) - middle).max() <= 4
    assert np.ptp(top) > 100


def test_pictures_that_are_not_square_stand_between_bars() -> None:
    maps, found = Maps(basis()), torch.rand(1, 8, 16, generator=torch.Generator().manual_seed(0))
    for step in (4, 5):
        maps.add(state(torch.ones(1, 8, 16, dtype=torch.bool), found, found.flip(1), step))
    strip = maps.strip()
    assert strip is not None
    assert strip.shape == (3 * SIDE, 2 * SIDE, 3)
    for tile in tiles(strip):
        assert not tile[: SIDE // 4].any()
        assert not tile[-SIDE // 4 :].any()
        assert tile[SIDE // 4 : -SIDE // 4].any(axis=2).mean() > 0.9


@torch.no_grad()
def test_previews_have_about_the_colours_of_the_picture() -> None:
    """The basis is fitted on a chart that no request has anything to do with."""
    vae: Any = loading.load_component(PRESETS["pocket"].components["vae"])
    desk = tiny.Desk(made={**tiny.components(), "vae": vae})
    with desk.parts(tiny.request()) as parts:
        found = preview_basis(parts)
    halves = np.full((64, 64, 3), (220, 60, 90), np.uint8)
    halves[:, 32:] = 30, 160, 70
    shown = preview(encode(vae, to_pixels(halves)), found)
    assert shown.shape == halves.shape
    assert np.abs(shown.astype(int) - halves).mean() < 25
