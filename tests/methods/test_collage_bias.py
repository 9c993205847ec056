"""The bias of layers on cross-attention: numbers worked out by hand, the formula written out, the published masks."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.attention import QKV, attend, edited, sites
from models.collage.bias import CrossBias, Words, growth, pyramid
from models.collage.composing import compose
from tests import tiny
from tests.methods.collage_parts import collage

LOGITS = torch.tensor([[1, 0.5, 2, 0, 0.3], [1, 0.5, 1, 0.4, 0.3], [1, 0.5, 0.5, 1.5, 0.3], [1, 0.5, -1, 0.8, 0.3]])
WORDS = (Words((2,), 0.2, 0.5), Words((3,), 0.5, 1.0))
MASKS = torch.tensor([[[1, 0], [0, 0.5]], [[0, 0], [1, 0.25]]]).repeat_interleave(8, 1).repeat_interleave(8, 2)
SIGMA = 4.9988589


def two_layers(**changes: Any) -> CrossBias:
    bias = CrossBias(WORDS, MASKS, **({"guided": False, "antialias": False} | changes))
    bias.at(SIGMA)
    return bias


def queries(logits: Tensor) -> tuple[Tensor, Tensor]:
    """q and k of one head whose scaled products are these logits (places, tokens)."""
    return 2 * torch.eye(4)[None, None], logits.T.contiguous()[None, None]


@pytest.mark.parametrize(
    ("sigma", "f"),
    [(0, 0.00990), (0.0292, 0.03773), (0.1, 0.09927), (0.5, 0.34508), (1, 0.52953), (2, 0.74286), (5, 1.02727)]
    + [(10, 1.22342), (14.6146, 1.32145)],
)
def test_the_bias_grows_with_the_noise(sigma: float, f: float) -> None:
    assert growth(sigma) == pytest.approx(f, abs=1e-4)


def test_the_schedule_of_ediff_is_one_logarithm() -> None:
    assert growth(14.6146, "ediff") == pytest.approx(2.74885, abs=1e-4)


def test_a_worked_example() -> None:
    bias = two_layers().bias(*queries(LOGITS))[0, 0]
    assert bias[:, 2].tolist() == pytest.approx([0.410880, -1.027200, -1.027200, -0.308160], abs=2e-6)
    assert bias[:, 3].tolist() == pytest.approx([-1.540801, -1.540801, 0.770400, -0.963000], abs=2e-6)
    assert not bias[:, [0, 1, 4]].any()
    expected = [
        [0.159198, 0.096559, 0.652643, 0.012545, 0.079055],
        [0.387795, 0.235209, 0.138834, 0.045589, 0.192573],
        [0.169995, 0.103107, 0.036913, 0.605568, 0.084417],
        [0.397597, 0.241155, 0.039539, 0.124268, 0.197441],
    ]
    torch.testing.assert_close((LOGITS + bias).softmax(-1), torch.tensor(expected), atol=2e-6, rtol=0)


def test_words_that_nothing_asks_for_are_not_pushed_out_of_their_layer() -> None:
    """A largest logit below zero would turn the signs round; it counts as zero unless asked for."""
    q, k = queries(LOGITS - 3)
    assert not two_layers().bias(q, k).any()
    free = two_layers(held=False).bias(q, k)[0, 0, :, 2].tolist()
    assert free == pytest.approx([-0.205440, 0.513600, 0.513600, 0.154080], abs=1e-5)


def formula(q: Tensor, k: Tensor, v: Tensor, masks: Tensor, words: tuple[Words, ...], sigma: float) -> Tensor:
    """One picture, every probability written out: (heads, places, channels)."""
    logits = (q.double() @ k.double().mT) / math.sqrt(q.shape[-1])
    f = math.log(math.log(sigma + 1.01) + 1)
    biased = logits.clone()
    for one, mask in zip(words, masks.flatten(1).double(), strict=True):
        for token in one.tokens:
            largest = logits[..., token].max()
            biased[..., token] += f * largest * (one.positive * mask - one.negative * (1 - mask))
    return (biased.softmax(-1) @ v.double()).float()


def test_the_stock_kernel_with_the_bias_equals_the_formula() -> None:
    """Three pictures with guidance: the unconditional half is plain, and no picture counts in another's maxima."""
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(6, 4, n, 32, generator=draw) for n in (256, 77, 77))
    q[4] *= 3
    masks = torch.rand(2, 128, 128, generator=draw)
    words = (Words((2, 3, 4), 0.3, 0.7), Words((9,), 0.9, 0.2))
    bias = CrossBias(words, masks)
    bias.at(SIGMA)
    qkv = QKV(q, k, v)
    out = attend(qkv.plus_bias(bias.bias(q, k)))
    small = F.interpolate(masks[None], size=(16, 16), mode="bilinear", antialias=True)[0]
    expected = torch.stack([formula(*row, small, words, SIGMA) for row in zip(q[3:], k[3:], v[3:], strict=True)])
    torch.testing.assert_close(out[3:], expected, atol=5e-6, rtol=0)
    torch.testing.assert_close(out[:3], attend(QKV(q[:3], k[:3], v[:3])), atol=5e-6, rtol=0)
    assert (out[3:] - attend(qkv)[3:]).abs().max() > 1e-2


def test_without_guidance_every_row_is_biased() -> None:
    q, k = (torch.cat([x, x]) for x in queries(LOGITS))
    both = two_layers().bias(q, k)
    assert torch.equal(both[0], both[1])
    half = two_layers(guided=True).bias(q, k)
    assert not half[0].any()
    assert torch.equal(half[1], both[1])


def test_masks_without_antialiasing_are_the_published_ones() -> None:
    levels = pyramid(torch.from_numpy(compose(collage()).visible), antialias=False)
    means = [[round(float(levels[n * n][:, layer].mean()), 5) for n in (64, 32, 16, 8)] for layer in range(3)]
    assert means[0] == pytest.approx([0.73145, 0.72070, 0.74219, 0.78125], abs=1e-5)
    assert means[1] == pytest.approx([0.11597, 0.12061, 0.10547, 0.07812], abs=1e-5)
    assert means[2] == pytest.approx([0.15259, 0.15869, 0.15234, 0.14062], abs=1e-5)


@pytest.mark.parametrize(
    ("antialias", "edge", "stripe"),
    [
        (False, (0.5, 0, 0, 0), (0.5, 0, 0.5, 0)),
        (True, (0.5, 0.2812, 0.1953, 0.1582), (0.375, 0.156, 0.117, 0.049)),
    ],
)
def test_thin_layers_stay_where_masks_are_antialiased(
    antialias: bool, edge: tuple[float, ...], stripe: tuple[float, ...]
) -> None:
    masks = torch.zeros(2, 512, 512)
    masks[0, :, :260], masks[1, :, 300:304] = 1, 1
    levels = pyramid(masks, antialias=antialias)
    for n, on_edge, in_stripe in zip((64, 32, 16, 8), edge, stripe, strict=True):
        grid = levels[n * n].reshape(n, n, 2)
        assert float(grid[n // 2, 260 * n // 512, 0]) == pytest.approx(on_edge, abs=1e-4)
        assert float(grid[n // 2, :, 1].max()) == pytest.approx(in_stripe, abs=1e-3)


def test_every_level_of_a_wide_canvas_has_its_mask() -> None:
    """11x13 latents: the U-Net halves them rounded up, and so do the masks."""
    model = tiny.unet(down_block_types=("CrossAttnDownBlock2D",) * 2, up_block_types=("CrossAttnUpBlock2D",) * 2)
    bias = CrossBias((Words((2,), 0.5, 0.5),), torch.rand(1, 88, 104))
    bias.at(1)
    sample = torch.randn(2, 4, 11, 13, generator=torch.Generator().manual_seed(2))
    stock = tiny.output(model, sample=sample)
    with bias.installed(model):
        biased = tiny.output(model, sample=sample)
    assert (biased[1] - stock[1]).abs().max() > 1e-4
    with bias.installed(model), pytest.raises(ValueError, match="is no level of this canvas"):
        tiny.output(model, sample=torch.randn(2, 4, 10, 10))
    assert torch.equal(tiny.output(model, sample=sample), stock)


def test_zero_weights_are_stock_also_where_the_bias_is_installed() -> None:
    model, masks = tiny.unet(), torch.rand(1, 64, 64)
    stock = tiny.output(model)
    none, some = (CrossBias((Words((2, 3), w, w),), masks) for w in (0.0, 0.5))
    for bias in (none, some):
        bias.at(SIGMA)
    with edited(model, none.edit()) as chosen:
        assert len(chosen) == sum(site.kind == "cross" for site in sites(model))
        torch.testing.assert_close(tiny.output(model), stock, atol=1e-5, rtol=0)
    with none.installed(model):
        assert torch.equal(tiny.output(model), stock)
    with some.installed(model):
        assert (tiny.output(model)[1] - stock[1]).abs().max() > 1e-4
        torch.testing.assert_close(tiny.output(model)[0], stock[0], atol=1e-5, rtol=0)
    assert torch.equal(tiny.output(model), stock)


def test_layers_may_not_share_a_token() -> None:
    with pytest.raises(ValueError, match="share a token"):
        CrossBias((Words((2, 3), 1, 1), Words((3,), 1, 1)), torch.zeros(2, 64, 64))
    with pytest.raises(ValueError, match="2 layers have words and 1 have masks"):
        CrossBias(WORDS, torch.zeros(1, 64, 64))
