"""New rows of the text encoder: only they learn, each for itself, and a stopped run goes on exactly."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from models import diffusion
from models.collage.composing import compose
from models.collage.learning import Progress, Recipe, Subject, extended, learn, masked_loss
from models.collage.looks import TEMPLATES, captions, content_key, picture
from tests import tiny
from tests.methods.collage_parts import collage

KNOWN, LENGTH = 40, 7  # size of the table, tokens of a caption
RECIPE = Recipe(steps=5, batch=2, learning_rate=1e-2, at_once=100)
SQUARED = diffusion.alphas_cumprod()


def encoder() -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=KNOWN, hidden_size=12, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=LENGTH, bos_token_id=KNOWN - 2, eos_token_id=KNOWN - 1, pad_token_id=KNOWN - 1,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return CLIPTextModel(config).eval().requires_grad_(False)


def subject(number: int, token: int | None = None) -> Subject:
    """Random latents and captions with one token of its own, by default the one that a joint run gives it."""
    draw = torch.Generator().manual_seed(number)
    ids = torch.randint(KNOWN - 2, (6, LENGTH), generator=draw)
    ids[:, 2] = KNOWN + (number if token is None else token)
    mean, std, alpha = (torch.rand(n, 8, 8, generator=draw) for n in (4, 4, 1))
    return Subject(mean, std, alpha[0], ids, seed=number)


class Bench:
    """Tiny networks, with what they were before."""

    def __init__(self) -> None:
        self.encoder, self.unet = encoder(), tiny.unet()
        self.start = self.encoder.get_input_embeddings().weight[4]
        self.before = {k: v.clone() for k, v in self.encoder.state_dict().items()}

    def learned(self, subjects: Sequence[Subject], **changes: Any) -> list[Progress]:
        recipe = dataclasses.replace(RECIPE, **{k: v for k, v in changes.items() if k != "since"})
        network = lambda x, t, text: self.unet(x, t, text).sample  # noqa: E731
        return list(learn(self.encoder, network, subjects, self.start, recipe, SQUARED, since=changes.get("since")))


def test_joint_rows_are_those_of_separate_runs() -> None:
    bench = Bench()
    joint = bench.learned([subject(n) for n in range(3)])[-1]
    for n in range(3):
        alone = bench.learned([subject(n, token=0)])[-1]
        torch.testing.assert_close(joint.rows[n], alone.rows[0], atol=1e-6, rtol=0)
        torch.testing.assert_close(joint.losses[n], alone.losses[0], atol=1e-6, rtol=1e-5)
        assert (joint.rows[n] - bench.start).abs().max() > 1e-3


def test_only_the_new_rows_learn() -> None:
    bench = Bench()
    table = bench.encoder.get_input_embeddings()
    bench.learned([subject(0)])
    assert bench.encoder.get_input_embeddings() is table
    for name, weight in bench.encoder.state_dict().items():
        assert torch.equal(weight, bench.before[name]), name
    assert all(weight.grad is None for weight in itertools.chain(bench.encoder.parameters(), bench.unet.parameters()))


def test_gradients_are_those_of_the_loss_written_out() -> None:
    """One step of AdamW from a gradient that autograd finds for a table which really has one row more."""
    bench, one = Bench(), subject(0)
    progress = bench.learned([one], steps=1)[0]
    draw = torch.Generator().manual_seed(0)
    clean = one.mean + one.std * torch.randn(2, 4, 8, 8, generator=draw)
    noise = torch.randn(2, 4, 8, 8, generator=draw)
    t = torch.randint(1000, (2,), generator=draw)
    ids = one.captions[torch.randint(6, (2,), generator=draw)]
    grown = encoder()
    weight = torch.cat([bench.before["embeddings.token_embedding.weight"], bench.start[None]]).requires_grad_()
    grown.set_input_embeddings(torch.nn.Embedding(KNOWN + 1, 12, _weight=torch.nn.Parameter(weight.detach())))
    squared = SQUARED[t].view(2, 1, 1, 1)
    noisy = squared.sqrt() * clean + (1 - squared).sqrt() * noise
    output = bench.unet(noisy, t, grown(ids).last_hidden_state).sample
    loss = ((output - noise) ** 2 * one.alpha**2).mean()
    loss.backward()
    gradient = grown.get_input_embeddings().weight.grad[KNOWN]
    assert progress.losses[0] == pytest.approx(float(loss.detach()), rel=1e-5)
    torch.testing.assert_close(progress.moments[0, 0], 0.1 * gradient, atol=1e-7, rtol=1e-4)
    expected = bench.start * (1 - 1e-2 * 1e-2) - 1e-2 * gradient / (gradient.abs() + 1e-8)
    torch.testing.assert_close(progress.rows[0], expected, atol=1e-5, rtol=1e-4)


def test_half_precision_networks_give_the_same_gradient() -> None:
    """A small layer, whose gradients would partly vanish in half precision if the loss were not scaled."""
    small = dataclasses.replace(subject(0), alpha=subject(0).alpha * 2e-2)
    whole, half = Bench(), Bench()
    exact = whole.learned([small], steps=1)[0]
    half.encoder.half()
    half.unet.half()
    network = lambda x, t, text: half.unet(x.half(), t, text).sample  # noqa: E731
    recipe = dataclasses.replace(RECIPE, steps=1)
    rounded = next(learn(half.encoder, network, [small], whole.start, recipe, SQUARED))
    wanted, found = exact.moments[0, 0], rounded.moments[0, 0]
    assert torch.cosine_similarity(wanted, found, dim=0) > 0.999
    assert found.norm() == pytest.approx(float(wanted.norm()), rel=0.02)


def test_the_loss_is_a_mean_over_everything_not_over_the_layer() -> None:
    alpha = torch.zeros(1, 8, 8)
    alpha[:, :4, :4] = 1
    assert masked_loss(torch.ones(1, 4, 8, 8), torch.zeros(1, 4, 8, 8), alpha).tolist() == [0.25]
    assert masked_loss(torch.ones(1, 4, 8, 8), torch.ones(1, 4, 8, 8), alpha).tolist() == [0]


def test_every_step_and_every_layer_draws_anew() -> None:
    bench, twin = Bench(), dataclasses.replace(subject(0), seed=9)
    found = bench.learned([subject(0), twin], steps=3, learning_rate=0.0)
    assert len({float(loss) for progress in found for loss in progress.losses}) == 6


def test_long_gradients_are_cut_row_by_row() -> None:
    bench = Bench()
    pair = [subject(0), subject(1)]
    free, cut = (bench.learned(pair, steps=1, longest=longest)[0].moments[0] for longest in (1e9, 1e-4))
    norms = free.norm(dim=1, keepdim=True)
    torch.testing.assert_close(cut, free * (1e-4 / (norms / 0.1)), atol=1e-9, rtol=1e-3)


def test_smaller_calls_of_the_network_change_memory_only() -> None:
    bench, pair = Bench(), [subject(0), subject(1)]
    whole, parts = (bench.learned(pair, at_once=n)[-1] for n in (100, 3))
    torch.testing.assert_close(whole.rows, parts.rows, atol=1e-6, rtol=0)
    torch.testing.assert_close(whole.losses, parts.losses, atol=1e-6, rtol=0)


def test_a_stopped_run_goes_on_exactly() -> None:
    bench, pair = Bench(), [subject(0), subject(1)]
    whole = bench.learned(pair)
    rest = bench.learned(pair, since=whole[1])
    assert [progress.done for progress in rest] == [3, 4, 5]
    assert torch.equal(rest[-1].rows, whole[-1].rows)
    assert torch.equal(rest[-1].moments, whole[-1].moments)


def test_it_learns_where_gradients_are_off() -> None:
    """A run's thread is in inference mode all the time, and the latents that it was given were made there."""
    bench, expected = Bench(), Bench().learned([subject(0)])[-1]
    with torch.inference_mode():
        found = bench.learned([subject(0)])
        assert torch.equal(found[-1].rows, expected.rows)
        assert torch.equal(bench.learned([subject(0)], since=found[1])[-1].rows, expected.rows)


def test_extra_rows_are_read_like_those_of_a_longer_table() -> None:
    model, rows = encoder(), torch.randn(2, 12, generator=torch.Generator().manual_seed(1))
    ids = torch.tensor([[38, KNOWN + 1, 3, 4, KNOWN, 5, 39]])
    plain = torch.tensor([[38, 2, 3, 4, 2, 5, 39]])
    stock = model(plain).last_hidden_state

    def read(tokens: Tensor) -> Tensor:
        with extended(model, rows) as first:
            assert first == KNOWN
            return model(tokens).last_hidden_state

    assert torch.equal(read(plain), stock)
    got = read(ids)
    weight = torch.cat([model.get_input_embeddings().weight, rows])
    model.set_input_embeddings(torch.nn.Embedding(KNOWN + 2, 12, _weight=weight))
    assert torch.equal(got, model(ids).last_hidden_state)


def test_the_table_is_back_after_an_error() -> None:
    model = encoder()
    table = model.get_input_embeddings()
    with pytest.raises(RuntimeError, match="stop"), extended(model, torch.zeros(1, 12)):
        raise RuntimeError("stop")
    assert model.get_input_embeddings() is table


def test_a_layer_is_learned_on_what_lies_below_it() -> None:
    whole = collage()
    stack = compose(whole)
    rgb, alpha = picture(whole, stack, 1)
    assert rgb[250, 200].tolist() == [200, 0, 0]  # the ball above it is away
    assert rgb[350, 300].tolist() == [10, 20, 30]
    assert (alpha == 255).sum() == 200 * 200
    np.testing.assert_array_equal(picture(whole, stack, 2)[0], stack.flat)


def test_captions_hold_the_token_and_the_words() -> None:
    found = captions("<a>", "red box")
    assert len(set(found)) == len(TEMPLATES)
    assert all("<a> red box" in caption for caption in found)


def test_a_learned_look_belongs_to_the_cut_out_and_not_to_its_place() -> None:
    one, other = collage().layers[1:]
    assert content_key(one) == content_key(one.replace(x=0.1, angle=3.0, locked=True))
    assert (
        len({content_key(one), content_key(other), content_key(one.replace(prompt="ball")), content_key(one, 7)}) == 4
    )
