"""SAM 2 on a picture: every number that goes in and comes out against a computation of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Sam2Model

from models.everything import boxes_of, everything, grid_points, stability, suppressed
from models.masks import Sam2Masker, pixel_values, scaled, turns
from tests import tiny


def picture(height: int = 90, width: int = 130, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (7, 9, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def model() -> Sam2Model:
    return tiny.sam2()


# --- in


def triangle(line: np.ndarray, length: int) -> np.ndarray:
    """One axis stretched with a triangle filter as wide as the shrinking asks for, written out from its definition."""
    scale = len(line) / length
    reach = max(scale, 1.0)
    out = []
    for place in range(length):
        centre = (place + 0.5) * scale
        weights = np.clip(1 - np.abs(np.arange(len(line)) + 0.5 - centre) / reach, 0, None)
        out.append(np.tensordot(weights / weights.sum(), line, axes=(0, 0)))
    return np.array(out)


@pytest.mark.parametrize("size", [(90, 130), (37, 51)])
def test_pictures_are_stretched_antialiased_and_normalised(size: tuple[int, int]) -> None:
    image = picture(*size)
    rows = triangle(image.astype(float), 64)
    square = triangle(rows.transpose(1, 0, 2), 64).transpose(1, 0, 2)
    want = (square / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    got = pixel_values(image, 64)
    assert got.shape == (1, 3, 64, 64)
    level = 1 / 255 / 0.224  # bytes are rounded after each axis
    np.testing.assert_allclose(got[0].permute(1, 2, 0), want, atol=level)
    levels = (got[0].permute(1, 2, 0).numpy() * [0.229, 0.224, 0.225] + [0.485, 0.456, 0.406]) * 255
    pillow = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR))
    assert np.abs(levels - pillow).max() < 1.01
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-3)


def test_points_follow_the_picture_and_the_model_adds_its_half(model: Sam2Model) -> None:
    """The authors' line, written out: x / width * side + 0.5 is where the point's code is taken."""
    points = scaled([(0, 0), (65, 45), (130, 90)], (90, 130), 64)
    np.testing.assert_allclose(points, [[0, 0], [32, 32], [64, 64]])
    code = model.prompt_encoder
    got = code._embed_points(points[None, None], torch.tensor([[[1, 1, 0]]]), pad=False)[0, 0]
    places = 2 * (torch.tensor([[0, 0], [65 / 130, 45 / 90], [1, 1]]) * 64 + 0.5) / 64 - 1
    turned = 2 * torch.pi * places @ code.shared_embedding.positional_embedding
    want = torch.cat([turned.sin(), turned.cos()], 1) + code.point_embed.weight[[1, 1, 0]]
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)


def test_a_box_is_the_models_own_box(model: Sam2Model) -> None:
    masker = Sam2Masker(model)
    embedding = masker.embed(picture())
    answer = masker.answer(embedding, box=(13, 9, 65, 45))
    corners = torch.tensor([[[13 * 64 / 130, 9 * 64 / 90, 65 * 64 / 130, 45 * 64 / 90]]])
    with torch.no_grad():
        told = model(pixel_values=pixel_values(picture(), 64), input_boxes=corners, multimask_output=False)
    torch.testing.assert_close(answer.logits, told.pred_masks[0, 0])
    torch.testing.assert_close(answer.scores, told.iou_scores[0, 0])


# --- out


def test_masks_are_the_logits_at_the_pictures_size_cut_at_zero(model: Sam2Model) -> None:
    """Bilinear between the cells' middles, written out pixel by pixel; and the published operation."""
    masker = Sam2Masker(model)
    embedding = masker.embed(picture(21, 33))
    found, scores = masker.mask(embedding, [(10, 8)], [1])
    assert (found.shape, found.dtype) == ((3, 21, 33), np.uint8)
    logits = masker.answer(embedding, [(10, 8)], [1]).logits.numpy()
    for mask, low in zip(found, logits, strict=True):
        for y in range(21):
            for x in range(33):
                row, column = (np.clip((v + 0.5) * 16 / n - 0.5, 0, 15) for v, n in ((y, 21), (x, 33)))
                top, left = int(row), int(column)
                bottom, right = min(top + 1, 15), min(left + 1, 15)
                upper = low[top, left] * (1 - column + left) + low[top, right] * (column - left)
                lower = low[bottom, left] * (1 - column + left) + low[bottom, right] * (column - left)
                value = upper * (1 - row + top) + lower * (row - top)
                assert abs(value) < 1e-3 or mask[y, x] == (255 if value > 0 else 0)
    upsampled = torch.nn.functional.interpolate(torch.tensor(logits)[None], (21, 33), mode="bilinear")[0]
    sure = upsampled.abs() > 1e-3
    np.testing.assert_array_equal(found[sure], (255 * (upsampled > 0).numpy())[sure])
    assert set(np.unique(found)) == {0, 255}, "the toy answers something and not everything"
    assert list(scores) == sorted(scores, reverse=True)


def test_one_click_has_three_candidates_and_the_surest_is_first(model: Sam2Model) -> None:
    masker = Sam2Masker(model)
    embedding = masker.embed(picture())
    answer = masker.answer(embedding, [(60, 40)], [1])
    points = torch.tensor([[[[60 * 64 / 130, 40 * 64 / 90]]]])
    with torch.no_grad():
        told = model(
            pixel_values=pixel_values(picture(), 64), input_points=points, input_labels=torch.ones(1, 1, 1).int()
        )
    best = int(told.iou_scores[0, 0].argmax())
    torch.testing.assert_close(answer.logits[0], told.pred_masks[0, 0, best])
    torch.testing.assert_close(answer.scores, told.iou_scores[0, 0].sort(descending=True).values)


def test_more_points_ask_for_one_mask_and_go_on_from_the_last(model: Sam2Model) -> None:
    """Two calls of the model by hand: the best of the first click's masks is the second call's mask prompt."""
    masker = Sam2Masker(model)
    points, labels = [(10, 20), (60, 40), (100, 70)], [0, 1, 0]
    answer = masker.answer(masker.embed(picture()), points, labels)
    maps = model.get_image_embeddings(pixel_values(picture(), 64))
    order = scaled([points[1], points[0], points[2]], (90, 130), 64)[None, None]
    said = torch.tensor([[[1, 0, 0]]])
    before = None
    for count in (1, 2, 3):
        with torch.no_grad():
            told = model(
                image_embeddings=list(maps),
                input_points=order[:, :, :count],
                input_labels=said[:, :, :count],
                input_masks=before,
                multimask_output=count == 1,
            )
        best = int(told.iou_scores[0, 0].argmax())
        before = told.pred_masks[:, 0, best : best + 1]
    assert answer.logits.shape == (1, 16, 16)
    torch.testing.assert_close(answer.logits[0], before[0, 0])
    at_once = Sam2Masker(model, refine=False)
    assert not torch.equal(at_once.answer(at_once.embed(picture()), points, labels).logits, answer.logits)


def test_an_unstable_mask_gives_way_to_the_best_of_three(model: Sam2Model) -> None:
    """As the authors' decoder does: IoU of the mask cut at +0.05 and at -0.05 below 0.98 means token 0 is not used."""
    masker = Sam2Masker(model)
    embedding = masker.embed(picture())
    corners = scaled([(13, 9), (65, 45)], embedding.size, 64)[None]
    labels = torch.tensor([[2, 3]])
    three, scores = masker.decode(embedding, corners, labels, several=True)
    decoder = model.mask_decoder
    assert decoder.dynamic_multimask_via_stability
    before = decoder.dynamic_multimask_stability_thresh
    try:
        decoder.dynamic_multimask_stability_thresh = 1.01  # nothing is that stable
        single, score = masker.decode(embedding, corners, labels)
    finally:
        decoder.dynamic_multimask_stability_thresh = before
    assert (single.shape[:2], score.shape) == ((1, 1), (1, 1))
    best = int(scores[0].argmax())
    torch.testing.assert_close(single[0, 0], three[0, best])
    torch.testing.assert_close(score[0, 0], scores[0, best])


def test_boxes_at_once_are_the_boxes_one_by_one(model: Sam2Model) -> None:
    masker = Sam2Masker(model)
    embedding = masker.embed(picture())
    boxes = [(13, 9, 65, 45), (0, 0, 130, 90), (80, 50, 120, 85)]
    together, scores = masker.boxes(embedding, boxes)
    for box, mask, score in zip(boxes, together, scores, strict=True):
        alone, sure = masker.mask(embedding, box=box)
        np.testing.assert_array_equal(mask, alone[0])
        assert score == pytest.approx(sure[0], abs=1e-5)


def test_the_first_turn_is_the_box_or_an_included_point() -> None:
    a, b, c = (1.0, 2.0), (3.0, 4.0), (5.0, 6.0)
    assert list(turns([a, b, c], [0, 0, 1], None)) == [((c,), (1,)), ((c, a), (1, 0)), ((c, a, b), (1, 0, 0))]
    assert list(turns([a], [0], (1, 2, 3, 4))) == [
        (((1.0, 2.0), (3.0, 4.0)), (2, 3)),
        (((1.0, 2.0), (3.0, 4.0), a), (2, 3, 0)),
    ]


def test_nothing_is_computed_twice(model: Sam2Model) -> None:
    kept: dict[Any, Any] = {}
    computed = []

    def remember(key: tuple[Any, ...], compute: Any) -> Any:
        if key not in kept:
            computed.append(key)
            kept[key] = compute()
        return kept[key]

    masker = Sam2Masker(model, remember)
    clicks = [[(60, 40)], [(60, 40), (9, 9)], [(60, 40), (9, 9)], [(60, 40)], [(80, 60), (9, 9)]]
    for points in clicks:
        fresh = Sam2Masker(model)
        again = masker.answer(masker.embed(picture()), points, [1, 0][: len(points)])
        want = fresh.answer(fresh.embed(picture()), points, [1, 0][: len(points)])
        torch.testing.assert_close(again.logits, want.logits)
    assert len(computed) == 5, "one embedding, four turns"
    masker.embed(picture(seed=1))
    assert len(computed) == 6
    embedding = masker.embed(picture())
    assert embedding.nbytes == sum(m.numel() * 4 for m in embedding.maps) > 0


# --- everything


def test_non_maximum_suppression_agrees_with_the_definition() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 50, (60, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 40, (60, 2))], 1)
    scores = rng.random(60)

    def iou(a: np.ndarray, b: np.ndarray) -> float:
        wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared = max(wide, 0) * max(high, 0)
        return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)

    want: list[int] = []
    for k in sorted(range(60), key=lambda k: -scores[k]):
        if all(iou(boxes[k], boxes[other]) <= 0.4 for other in want):
            want.append(k)
    assert suppressed(boxes, scores, 0.4) == want
    assert 1 < len(want) < 60


def test_stability_and_boxes_are_counted_by_hand() -> None:
    logits = torch.full((2, 4, 5), -3.0)
    logits[0, 1:3, 2:4] = 2.0
    logits[0, 3, 2] = 0.5
    torch.testing.assert_close(stability(logits), torch.tensor([4 / 5, 1.0]))
    assert boxes_of(logits[:1] > 0).tolist() == [[2, 1, 4, 4]]
    assert grid_points(2, (40, 100)) == [(25, 10), (75, 10), (25, 30), (75, 30)]


def test_everything_is_what_single_clicks_find_without_doubles(model: Sam2Model) -> None:
    masker = Sam2Masker(model)
    embedding = masker.embed(picture())
    found, scores = everything(masker, embedding, grid=3, least_score=0.0, least_stability=0.0, overlap=1.0)
    assert found.shape[1:] == (90, 130)
    assert list(scores) == sorted(scores, reverse=True)
    clicked = [masker.mask(embedding, [p], [1])[0] for p in grid_points(3, (90, 130))]
    assert all(any(np.array_equal(mask, one) for many in clicked for one in many) for mask in found)
    answers = [masker.answer(embedding, [p], [1]).logits for p in grid_points(3, (90, 130))]
    assert len(found) == sum(int((low > 0).any()) for logits in answers for low in logits) > 9
    fewer, _ = everything(masker, embedding, grid=3, least_score=0.0, least_stability=0.0, overlap=0.3)
    assert 1 <= len(fewer) < len(found)
    none, scores = everything(masker, embedding, grid=2, least_score=1.1)
    assert (none.shape, scores.shape) == ((0, 90, 130), (0,))
