"""The subject model's losses against sums by hand, and the maps that the second one reads against the formula."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor

from models.facediffuser.losses import localisation_loss, middle, noise_loss, watched
from tests import tiny

ROOMY = {
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
}


def test_the_published_example_of_localisation() -> None:
    found = torch.tensor([0.9, 0.1, 0.2, 0.4]).view(1, 1, 4, 1)
    mask = torch.tensor([1.0, 0, 0, 1]).view(1, 1, 2, 2)
    assert float(localisation_loss([found], mask, torch.ones(1, 1))) == pytest.approx(-0.4999974, abs=2e-7)


def test_localisation_is_the_mean_over_subjects_heads_pictures_and_layers() -> None:
    draw = torch.Generator().manual_seed(0)
    layers = [torch.rand(2, 3, places, 2, generator=draw) for places in (24, 6)]
    masks = torch.zeros(2, 2, 4, 6)
    masks[0, 0, :2, :2] = masks[0, 1, :, 4:] = masks[1, 0, 2:, :] = 1
    present = torch.tensor([[True, True], [True, False]])
    total = 0.0
    for found in layers:
        for picture in range(2):
            for head in range(3):
                subjects = []
                for k in range(int(present[picture].sum())):
                    # The small layer has one place for 2 x 2 of the mask's.
                    inside = masks[picture, k] if found.shape[2] == 24 else blocks(masks[picture, k])
                    inside, values = inside.flatten().double(), found[picture, head, :, k].double()
                    own = float((values * inside).sum() / inside.sum())
                    around = float((values * (1 - inside)).sum() / (1 - inside).sum())
                    subjects.append(around - own)
                total += sum(subjects) / len(subjects) / (2 * 3 * 2)
    assert float(localisation_loss(layers, masks, present)) == pytest.approx(total, abs=1e-4)
    exact = float(localisation_loss(layers[:1], masks, present))
    spoilt = layers[0].clone()
    spoilt[1, :, :, 1] = 9  # of a subject that is not there
    assert float(localisation_loss([spoilt], masks, present)) == exact
    assert float(localisation_loss(layers, masks, torch.zeros(2, 2))) == 0


def blocks(mask: Tensor) -> Tensor:
    """By the antialiased filter, which reaches a little beyond a block."""
    return F.interpolate(mask[None, None], scale_factor=0.5, mode="bilinear", antialias=True)[0, 0]


def test_a_layer_that_is_no_grid_of_the_masks_is_an_error() -> None:
    with pytest.raises(ValueError, match="7 places does not go with masks"):
        localisation_loss([torch.zeros(1, 1, 7, 1)], torch.zeros(1, 1, 4, 4), torch.ones(1, 1))


def test_masked_noise_counts_people_only_over_all_places() -> None:
    wanted, found = torch.zeros(1, 2, 2, 2), torch.ones(1, 2, 2, 2)
    found[..., 0, 0] = 3
    masks = torch.zeros(1, 2, 16, 16)
    assert float(noise_loss(found, wanted)) == pytest.approx((9 + 3) / 4)
    assert float(noise_loss(found, wanted, masks)) == 0
    assert float(noise_loss(found + 7, wanted + 7, masks)) == 0  # what is wanted elsewhere does not count either
    masks[0, 0, :8, :8] = 1
    assert float(noise_loss(found, wanted, masks)) == pytest.approx(9 / 4)
    masks[0, 1, 8:, :] = 1  # another person below: the union counts, not the sum
    masks[0, 0, 8:, :] = 1
    assert float(noise_loss(found, wanted, masks)) == pytest.approx((9 + 2) / 4)
    soft = torch.full((1, 1, 16, 16), 0.5)
    assert float(noise_loss(found, wanted, soft)) == pytest.approx((9 + 3) / 4 / 4)


def test_the_middle_of_stable_diffusion_has_eleven_sites() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768)
    groups: dict[str, int] = {}
    for site in middle(unet):
        group = ".".join(site.name.split(".")[: 1 if site.name.startswith("mid") else 2])
        groups[group] = groups.get(group, 0) + 1
        assert site.name.endswith("attn2")
    expected = {"down_blocks.1": 2, "down_blocks.2": 2, "mid_block": 1, "up_blocks.1": 3, "up_blocks.2": 3}
    assert groups == expected


def test_watching_gives_the_probabilities_of_the_subjects_tokens_and_changes_nothing() -> None:
    unet = tiny.unet(**ROOMY)
    draw = torch.Generator().manual_seed(0)
    noisy, text = torch.randn(2, 4, 8, 8, generator=draw), torch.randn(2, 7, 12, generator=draw)
    slots = torch.tensor([[2, 5], [3, -1]])
    seen: dict[str, list[Tensor]] = {}
    hooks = []
    for site in middle(unet):
        attn = unet.get_submodule(site.name)
        for name in ("to_q", "to_k"):
            note = seen.setdefault(f"{site.name}.{name}", [])
            keep = lambda _, __, out, note=note: note.append(out)  # noqa: E731
            hooks.append(attn.get_submodule(name).register_forward_hook(keep))
    with torch.no_grad(), watched(unet, slots) as maps:
        found = unet(noisy, 10, text).sample
    assert len(maps) == len(middle(unet)) == 4
    for site, layer in zip(middle(unet), maps, strict=True):
        heads = unet.get_submodule(site.name).heads
        (q,), (k,) = seen[f"{site.name}.to_q"], seen[f"{site.name}.to_k"]
        for head in range(heads):
            part = slice(head * q.shape[2] // heads, (head + 1) * q.shape[2] // heads)
            weights = torch.exp(q[..., part] @ k[..., part].transpose(1, 2) / (q.shape[2] / heads) ** 0.5)
            expected = weights / weights.sum(2, keepdim=True)
            torch.testing.assert_close(layer[0, head, :, 0], expected[0, :, 2])
            torch.testing.assert_close(layer[0, head, :, 1], expected[0, :, 5])
            torch.testing.assert_close(layer[1, head, :, 0], expected[1, :, 3])
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        torch.testing.assert_close(found, unet(noisy, 10, text).sample)


def test_localisation_moves_what_a_word_is_seen_by() -> None:
    unet = tiny.unet(**ROOMY).requires_grad_(True)
    text = torch.randn(1, 7, 12, generator=torch.Generator().manual_seed(0), requires_grad=True)
    masks = torch.zeros(1, 1, 8, 8)
    masks[..., :4] = 1
    with watched(unet, torch.tensor([[3]])) as maps:
        unet(torch.randn(1, 4, 8, 8), 10, text)
    localisation_loss(maps, masks, torch.ones(1, 1)).backward()
    sites = middle(unet)
    for site in sites:
        gradient = unet.get_submodule(f"{site.name}.to_k").weight.grad
        assert gradient is not None
        assert float(gradient.abs().max()) > 0
    assert text.grad is not None
    assert float(text.grad[0, 3].abs().max()) > 0
