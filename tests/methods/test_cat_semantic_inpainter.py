"""The semantic inpainter against its formula, and what becomes of its prediction."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from models.cat.semantic_inpainter import SemanticInpainter, mix, pool
from tests.methods import cat_tiny


def inputs(grid: int, width: int, label: int, seed: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    patches, pooled = (torch.randn(2, n, width, generator=draw) for n in (grid * grid, 1))
    text = torch.randn(2, 1, label, generator=draw)
    mask = torch.randint(0, 2, (2, 1, grid, grid), generator=draw)
    return patches, pooled, text, mask


def given(seed: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return inputs(cat_tiny.GRID, cat_tiny.WIDTH, cat_tiny.LABEL, seed)


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def by_hand(state: dict[str, Tensor], v: Tensor, g: Tensor, t: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    """The formula over a state dict: two heads, two layers, prediction and global token."""

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-5)

    def mlp(x: Tensor, name: str) -> Tensor:
        hidden = linear(x, f"{name}.fc1")
        return linear(hidden * torch.sigmoid(1.702 * hidden), f"{name}.fc2")

    hidden = m.reshape(2, -1)
    e = v + state["embeddings.position_embedding.weight"] + state["embeddings.mask_embedding.weight"][hidden]
    x = torch.cat([mlp(g, "global_mlp"), mlp(e, "spatial_mlp"), mlp(t, "label_mlp")], 1)
    for layer in ("encoder.layers.0", "encoder.layers.1"):
        y = norm(x, f"{layer}.layer_norm1")
        q, k, w = (linear(y, f"{layer}.self_attn.{n}_proj").view(2, -1, 2, 8).transpose(1, 2) for n in "qkv")
        y = ((q @ k.transpose(2, 3) / 8**0.5).softmax(-1) @ w).transpose(1, 2).reshape(x.shape)
        x = x + linear(y, f"{layer}.self_attn.out_proj")
        x = x + mlp(norm(x, f"{layer}.layer_norm2"), f"{layer}.mlp")
    return x[:, 1:17], norm(x[:, :1], "post_layernorm")


def test_prediction_is_the_formulas() -> None:
    model = cat_tiny.inpainter()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))))
    found = model.predict(*given())
    expected = by_hand(dict(model.state_dict()), *given())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_full_size_has_the_published_number_of_weights() -> None:
    with torch.device("meta"):
        model = SemanticInpainter()
    assert (len(model.state_dict()), count(model)) == (400, 324_872_192)
    assert count(model.encoder.layers[0]) == 12_596_224
    assert count(model.label_mlp) == 5_509_120
    assert count(model.spatial_mlp) == count(model.global_mlp) == 8_393_728
    assert model.encoder.config._attn_implementation == "sdpa"


def test_full_size_has_the_published_shapes() -> None:
    lengths: list[int] = []
    with torch.device("meta"):
        model = SemanticInpainter(num_hidden_layers=1).requires_grad_(False)
        model.encoder.register_forward_pre_hook(
            lambda _, __, named: lengths.append(named["inputs_embeds"].shape[1]), with_kwargs=True
        )
        patches, pooled, text = torch.empty(2, 256, 1024), torch.empty(2, 1, 1024), torch.empty(2, 1, 768)
        mask = torch.empty(2, 1, 16, 16, dtype=torch.long)
        pred, pred_global = model.predict(patches, pooled, text, mask)
        prompt = model.visual_prompt(patches, pooled, text, mask)
    assert lengths == [258, 258]
    assert (pred.shape, pred_global.shape, prompt.shape) == ((2, 256, 1024), (2, 1, 1024), (2, 64, 1024))


def test_pooling_averages_neighbours_of_the_grid() -> None:
    pooled = pool(torch.arange(256.0).view(1, 256, 1) + torch.tensor([0.0, 1000, 2000]), 16)
    assert pooled.shape == (1, 64, 3)
    first = [8.5, 10.5, 12.5, 14.5, 16.5, 18.5, 20.5, 22.5, 40.5]
    assert pooled[0, :9, 0].tolist() == first
    assert pooled[0, -1].tolist() == [246.5, 1246.5, 2246.5]


def test_visible_patches_are_taken_as_they_are() -> None:
    patches, pooled, text, mask = given()
    nothing = torch.zeros_like(mask)
    for seed in (0, 1):
        prompt = cat_tiny.inpainter(seed).visual_prompt(patches, pooled, text, nothing)
        assert torch.equal(prompt, pool(patches, cat_tiny.GRID))


def test_hidden_patches_are_predicted() -> None:
    patches, pooled, text, mask = given()
    model, whole = cat_tiny.inpainter(), torch.ones_like(mask)
    pred, _ = model.predict(patches, pooled, text, whole)
    assert torch.equal(mix(pred, patches, whole), pred)
    assert torch.equal(model.visual_prompt(patches, pooled, text, whole), pool(pred, cat_tiny.GRID))
    mixed = mix(pred, patches, mask)
    row, column = (int(i) for i in mask[0, 0].nonzero()[0])
    place = row * cat_tiny.GRID + column
    assert torch.equal(mixed[0, place], pred[0, place])
    assert torch.equal(mixed, pred * mask.view(2, -1, 1) + patches * (1 - mask.view(2, -1, 1)))


def test_a_mask_per_token_is_the_same_as_one_per_place() -> None:
    patches, pooled, text, mask = given()
    model = cat_tiny.inpainter()
    by_place = model.visual_prompt(patches, pooled, text, mask)
    assert torch.equal(model.visual_prompt(patches, pooled, text, mask.view(2, -1, 1).float()), by_place)


def test_a_saved_folder_loads_bit_for_bit(tmp_path: Path) -> None:
    model = cat_tiny.inpainter()
    model.save_pretrained(tmp_path)
    again = SemanticInpainter.from_pretrained(tmp_path)
    assert again.config["grid"] == cat_tiny.GRID
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())
    assert torch.equal(again.predict(*given())[0], model.predict(*given())[0])


def test_gradients_are_the_same_with_checkpointing() -> None:
    def gradients(checkpointing: bool) -> list[Tensor]:
        model = cat_tiny.inpainter().train().requires_grad_(True)
        if checkpointing:
            model.enable_gradient_checkpointing()
        pred, pred_global = model(*given())
        loss = pred.square().mean() + pred_global[..., 0].sum()
        return list(torch.autograd.grad(loss, list(model.parameters())))

    assert all(torch.equal(a, b) for a, b in zip(gradients(True), gradients(False), strict=True))
