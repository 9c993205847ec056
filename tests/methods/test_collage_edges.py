"""Edges of a collage for a ControlNet: the strengths by place, and residuals multiplied by them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models.collage.composing import compose
from models.collage.control import EdgeControl
from models.collage.edges import canny, strength_map
from tests import tiny
from tests.methods.collage_parts import BOXES, collage

SIDE = 64  # pixels of the tiny U-Net's 8x8 latents
ROWS = 4  # two pictures with guidance


class Call:
    """Arguments of one guided call of the tiny networks."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(3)
        self.unet, self.controlnet = tiny.unet(), tiny.controlnet()
        half = torch.randn(ROWS // 2, 4, 8, 8, generator=draw)
        self.latents, self.timestep = torch.cat([half, half]), torch.tensor(400)
        self.text = torch.randn(ROWS, tiny.TEXT_TOKENS, 12, generator=draw)
        self.edges = (torch.rand(1, 1, SIDE, SIDE, generator=draw) > 0.8).float().expand(-1, 3, -1, -1)

    @torch.no_grad()
    def stock(self) -> tuple[list[Tensor], Tensor]:
        """diffusers' ControlNet with its condition repeated for every row, as its pipelines do."""
        edges = self.edges.expand(ROWS, -1, -1, -1)
        out = self.controlnet(self.latents, self.timestep, self.text, edges, conditioning_scale=1.0)
        return list(out.down_block_res_samples), out.mid_block_res_sample

    @torch.no_grad()
    def residuals(self, strength: Tensor) -> dict[str, object]:
        return EdgeControl(self.controlnet, self.edges, strength)(self.latents, self.timestep, self.text)

    @torch.no_grad()
    def predicted(self, **residuals: object) -> Tensor:
        return self.unet(self.latents, self.timestep, self.text, **residuals).sample


def test_residuals_are_multiplied_by_the_map_exactly() -> None:
    call = Call()
    strength = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
    found = call.residuals(strength)
    down, mid = call.stock()
    made = [*found["down_block_additional_residuals"], found["mid_block_additional_residual"]]  # type: ignore[misc]
    assert {residual.shape[-1] for residual in made} == {8, 4}
    assert len(made) == len(down) + 1
    for residual, plain in zip(made, [*down, mid], strict=True):
        step = SIDE // plain.shape[-1]  # a bilinear sample between pixels: the mean of the four in a cell's middle
        four = strength[..., step // 2 - 1 :: step, :] + strength[..., step // 2 :: step, :]
        small = (four[..., step // 2 - 1 :: step] + four[..., step // 2 :: step]) / 4
        torch.testing.assert_close(residual / plain, small.expand_as(plain), atol=1e-5, rtol=1e-5)


def test_a_map_of_ones_is_an_ordinary_controlnet() -> None:
    call = Call()
    down, mid = call.stock()
    ordinary = call.predicted(down_block_additional_residuals=down, mid_block_additional_residual=mid)
    mapped = call.predicted(**call.residuals(torch.ones(1, 1, SIDE, SIDE)))
    assert torch.equal(mapped, ordinary)
    assert (ordinary - call.predicted()).abs().max() > 1e-3


def test_a_map_of_zeros_is_no_controlnet() -> None:
    call = Call()
    control = EdgeControl(call.controlnet, call.edges, torch.zeros(1, 1, SIDE, SIDE))
    with torch.no_grad():
        assert control(call.latents, call.timestep, call.text) == {}  # not even run
        control.acts = True
        run = call.predicted(**control(call.latents, call.timestep, call.text))
    assert torch.equal(run, call.predicted())


def test_both_halves_of_a_guided_batch_heed_it_alike() -> None:
    call = Call()
    call.text = call.text[:1].expand(ROWS, -1, -1)
    mid = call.residuals(torch.full((1, 1, SIDE, SIDE), 0.5))["mid_block_additional_residual"]
    assert isinstance(mid, Tensor)
    torch.testing.assert_close(mid[: ROWS // 2], mid[ROWS // 2 :], atol=1e-6, rtol=1e-6)


def test_half_a_canvas_is_half_of_every_level() -> None:
    """A layer on the left half at strength 0.5, at the sizes of the residuals of a canvas of 512."""
    visible = np.zeros((1, 512, 512), np.float32)
    visible[0, :, :256] = 1
    strength = torch.from_numpy(strength_map(visible, [0.5]))[None, None]
    control = EdgeControl(tiny.controlnet(), torch.zeros(1, 3, 512, 512), strength)
    for side in (64, 32, 16, 8):
        level = control.map((side, side))[0, 0]
        assert level[:, : side // 2].unique().tolist() == [0.5]
        assert level[:, side // 2 :].unique().tolist() == [0]


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        EdgeControl(tiny.controlnet(), torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 32))


def test_strengths_follow_what_is_seen() -> None:
    """The published collage with a translucent top layer, each pixel's sum written out."""
    strengths = (0.25, 0.5, 1.0)
    found = strength_map(compose(collage(top_alpha=128)).visible, strengths)
    assert (found.dtype, found.shape) == (np.float32, (512, 512))
    top = 128 / 255
    assert found[0, 0] == pytest.approx(0.25)
    assert found[120, 60] == pytest.approx(0.5)
    assert found[250, 200] == pytest.approx(top * 1.0 + (1 - top) * 0.5, abs=1e-6)  # the lower one through the top
    assert found[350, 300] == pytest.approx(top * 1.0 + (1 - top) * 0.25, abs=1e-6)


def test_nothing_is_asked_of_the_canvas() -> None:
    visible = np.zeros((2, 8, 8), np.float32)
    visible[1, :4] = 0.5
    assert strength_map(visible, (1.0, 0.4)).tolist() == [[pytest.approx(0.2)] * 8] * 4 + [[0.0] * 8] * 4


def test_edges_are_the_outlines_of_what_lies_on_the_canvas() -> None:
    flat = compose(collage()).flat
    found = canny(flat)
    assert (found.dtype, found.shape) == (np.uint8, (512, 512))
    assert set(np.unique(found)) == {0, 255}
    rows, columns = np.nonzero(found)
    (top, _, left, _), (_, low, _, far) = BOXES[1], BOXES[2]
    limits = [rows.min(), columns.min(), rows.max(), columns.max()]
    assert limits == [pytest.approx(side, abs=1) for side in (top, left, low, far)]
    assert not found[110:190, 60:240].any()  # inside a layer there is none


def test_thresholds_decide_what_is_an_edge() -> None:
    flat = np.full((32, 32, 3), 100, np.uint8)
    flat[:, 16:] += 20  # a gradient of 80
    assert not canny(flat).any()
    assert canny(flat, 30, 60).any()
