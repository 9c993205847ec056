"""Post-fuse against its formula and the published counts; what it leaves alone; one vector per picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from models.facediffuser.image_encoder import embed
from models.facediffuser.post_fuse import ABSENT, PostFuse

WIDTH = 12


@pytest.fixture
def module() -> PostFuse:
    return drawn()


def drawn() -> PostFuse:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        made = PostFuse(WIDTH)
        for parameter in made.requires_grad_(False).parameters():
            parameter.normal_(0, 0.5)
    return made


def given(batch: int = 2, subjects: int = 2) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(batch, 9, WIDTH, generator=draw), torch.randn(batch, subjects, WIDTH, generator=draw)


def by_hand(state: dict[str, Tensor], text: Tensor, image: Tensor) -> Tensor:
    """The formula over a state dict, in float64."""

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * state[f"{name}.weight"].double() + state[f"{name}.bias"].double()

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[f"{name}.weight"].double().T + state[f"{name}.bias"].double()

    def mlp(x: Tensor, name: str) -> Tensor:
        hidden = linear(norm(x, f"{name}.layernorm"), f"{name}.fc1")
        hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
        return linear(hidden, f"{name}.fc2")

    text, image = text.double(), image.double()
    fused = mlp(torch.cat([text, image], -1), "mlp1") + text
    return norm(mlp(fused, "mlp2") + fused, "layer_norm")


def test_it_has_the_published_tensors() -> None:
    with torch.device("meta"):
        state = PostFuse().state_dict()
    assert sum(value.numel() for value in state.values()) == 2_958_336
    parts = [f"{mlp}.{layer}" for mlp in ("mlp1", "mlp2") for layer in ("layernorm", "fc1", "fc2")]
    assert set(state) == {f"{part}.{kind}" for part in [*parts, "layer_norm"] for kind in ("weight", "bias")}
    assert len(state) == 14
    assert state["mlp1.fc1.weight"].shape == (768, 1536)


def test_the_worked_example_of_width_four() -> None:
    module = PostFuse(4).double().requires_grad_(False)
    for name, value in module.named_parameters():
        if ".fc" in name:
            k = torch.arange(value.numel(), dtype=torch.float64).reshape(value.shape)
            value.copy_(0.3 * torch.sin(k + 1) if name.endswith("weight") else 0.1 * torch.cos(k))
    text = torch.tensor([[0.5, -1, 2, 0.25]], dtype=torch.float64)
    image = torch.tensor([[1, 0, -0.5, 0.75]], dtype=torch.float64)
    for arguments, expected in (
        ((text, image), (0.243849, -1.317023, 1.439385, -0.366211)),
        ((image, text), (1.374773, -0.537404, -1.276161, 0.438791)),
    ):
        assert module(*arguments)[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_it_is_the_formula(module: PostFuse) -> None:
    text, image = given()[0][0, :5], given()[0][1, :5]
    expected = by_hand(module.state_dict(), text, image).float()
    torch.testing.assert_close(module(text, image), expected, rtol=1e-4, atol=1e-5)


def test_without_its_second_layers_only_the_normed_text_is_left(module: PostFuse) -> None:
    for mlp in (module.mlp1, module.mlp2):
        mlp.fc2.weight.zero_()
        mlp.fc2.bias.zero_()
    module.layer_norm.reset_parameters()
    text, image = given()[0][0, :5], given()[0][1, :5]
    torch.testing.assert_close(module(text, image), F.layer_norm(text, (WIDTH,)))
    assert torch.equal(module(text, image), module(text, -image))


def test_only_the_slots_change_and_each_takes_its_own_vector(module: PostFuse) -> None:
    states, vectors = given()
    before, slots = states.clone(), [[2, 5], [7, ABSENT]]
    augmented = module.augment(states, slots, vectors)
    assert torch.equal(states, before)
    for row, tokens in enumerate(slots):
        for subject, token in enumerate(tokens):
            if token != ABSENT:
                expected = module(states[row, token][None], vectors[row, subject][None])[0]
                torch.testing.assert_close(augmented[row, token], expected)
        others = [k for k in range(9) if k not in tokens]
        assert torch.equal(augmented[row, others], states[row, others])
    assert not torch.equal(augmented[0, 2], states[0, 2])


def test_vectors_of_absent_subjects_are_not_looked_at(module: PostFuse) -> None:
    states, vectors = given()
    spoilt = vectors.clone()
    spoilt[1, 1] = torch.nan
    slots = torch.tensor([[2, 5], [7, ABSENT]])
    assert torch.equal(module.augment(states, slots, spoilt), module.augment(states, slots, vectors))
    nobody = torch.full((2, 2), ABSENT)
    assert torch.equal(module.augment(states, nobody, vectors), states)


def test_half_precision_states_stay_half_beside_a_module_in_full(module: PostFuse) -> None:
    states, vectors = given()
    augmented = module.augment(states.half(), [[2, 5], [3, 4]], vectors.half())
    assert augmented.dtype == torch.float16
    expected = module.augment(states.half().float(), [[2, 5], [3, 4]], vectors.half().float())
    assert torch.equal(augmented, expected.half())


@pytest.mark.parametrize(
    ("slots", "sentence"),
    [
        ([[0, 2], [1, 2]], "one of the tokens 1..8"),
        ([[1, 9], [1, 2]], "one of the tokens 1..8"),
        ([[-2, 2], [1, 2]], "one of the tokens 1..8"),
        ([[1, 2], [4, 4]], "same slot"),
        ([[1], [2]], "do not go with"),
    ],
)
def test_slots_that_do_not_fit_are_an_error(module: PostFuse, slots: list[list[int]], sentence: str) -> None:
    states, vectors = given()
    with pytest.raises(ValueError, match=sentence):
        module.augment(states, slots, vectors)


def test_it_is_saved_and_loaded_whole(module: PostFuse, tmp_path: Path) -> None:
    module.save_pretrained(tmp_path)
    again = PostFuse.from_pretrained(tmp_path)
    assert again.config["width"] == WIDTH
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in module.state_dict().items())


# ---- image vectors


def tower() -> CLIPVisionModelWithProjection:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = CLIPVisionConfig(
            hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=16,
            patch_size=4, projection_dim=WIDTH,
        )  # fmt: skip
        return CLIPVisionModelWithProjection(config).eval().requires_grad_(False)


def test_an_image_vector_is_the_projected_pooled_output_at_its_own_length() -> None:
    encoder = tower()
    pictures = torch.rand(2, 3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    vectors = embed(encoder, pictures)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    pooled = encoder.vision_model(pixel_values=(pictures[1, 2][None] - mean) / std).pooler_output
    torch.testing.assert_close(vectors[1, 2], pooled[0] @ encoder.visual_projection.weight.T)
    assert vectors.shape == (2, 3, WIDTH)
    assert float((vectors.norm(dim=-1) - 1).abs().min()) > 0.01


def seen_by(encoder: CLIPVisionModelWithProjection, pictures: Tensor) -> Tensor:
    """What reaches the tower."""
    seen: list[Tensor] = []
    hook = encoder.register_forward_pre_hook(lambda _, args, kw: seen.append(kw["pixel_values"]), with_kwargs=True)
    embed(encoder, pictures)
    hook.remove()
    return seen[0]


def test_black_padding_is_black_before_it_is_normalised() -> None:
    seen = seen_by(tower(), torch.zeros(1, 1, 3, 16, 16))
    assert seen[0, :, 0, 0].tolist() == pytest.approx([-1.79226, -1.75210, -1.48022], abs=1e-5)


def test_other_sizes_are_brought_to_the_towers_own_by_the_antialiased_filter() -> None:
    pictures = torch.rand(1, 1, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    planes = [Image.fromarray(plane.numpy()).resize((16, 16), Image.Resampling.BILINEAR) for plane in pictures[0, 0]]
    small = torch.stack([torch.tensor(np.asarray(plane)) for plane in planes])[None, None]
    torch.testing.assert_close(seen_by(tower(), pictures), seen_by(tower(), small), rtol=1e-4, atol=1e-5)
