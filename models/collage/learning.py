"""Textual inversion of all layers at once (section 3): one new row of the text encoder's table for each.

Only these rows are trained. Every caption holds its own layer's token and no network mixes the pictures of a batch,
so one joint run gives what a run per layer would. Draws depend on seed and step alone, so a run can be taken up again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models import diffusion
from models.diffusion import TRAIN_STEPS, Prediction

HALF_SCALE = 4096.0  # of losses while half-precision networks are gone through backwards: their gradients are tiny
Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]  # (noisy (N, C, h, w), timesteps (N,), text (N, T, D)) -> output


@dataclass(frozen=True)
class Recipe:
    """How rows are trained; these are the values of the authors' published embeddings.

    batch: samples of each layer per step. every: steps between checkpoints. at_once: samples in one call of the
    network, which changes memory only.
    """

    steps: int = 1000
    batch: int = 2
    learning_rate: float = 1e-4
    every: int = 100
    decay: float = 1e-2
    longest: float = 1.0  # norm of a row's gradient, which is cut to it
    at_once: int = 8


WEB = Recipe(steps=250, batch=4, learning_rate=4e-4, every=50)  # of the authors' web app; steps times rate are equal


@dataclass(frozen=True, eq=False)
class Subject:
    """What one row is learned from.

    mean, std: (C, h, w), the autoencoder's posterior of its picture, normalised as latents are. alpha: (h, w) in 0..1,
    its own place. captions: (K, T) ids with this row's token in each. seed: of everything that is drawn for it.
    """

    mean: Tensor
    std: Tensor
    alpha: Tensor
    captions: Tensor
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Progress:
    """After `done` steps: rows (L, D) and losses (L,) of the last step, float32 on the CPU; `moments` (2, L, D) are
    the optimiser's. What `learn` needs to go on."""

    done: int
    rows: Tensor
    losses: Tensor
    moments: Tensor


class Extended(nn.Module):
    """A table of embeddings with rows of our own behind its last one; the table is not touched."""

    def __init__(self, table: nn.Embedding, rows: Tensor) -> None:
        super().__init__()
        self.table = table
        self._rows = (rows,)  # in a tuple, or it would become a parameter of the text encoder

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, tokens) -> (batch, tokens, width); ids from the table's size on are the rows."""
        size, (rows,) = self.table.num_embeddings, self._rows
        known = self.table(ids.clamp(max=size - 1))
        own = rows.to(known)[(ids - size).clamp(min=0)]
        return torch.where((ids >= size)[..., None], own, known)


@contextmanager
def extended(text_encoder: Any, rows: Tensor) -> Iterator[int]:
    """Let the encoder read `rows` (L, D) as well, inside the block; yields the id of the first of them."""
    table = text_encoder.get_input_embeddings()
    text_encoder.set_input_embeddings(Extended(table, rows))
    try:
        yield table.num_embeddings
    finally:
        text_encoder.set_input_embeddings(table)


def masked_loss(output: Tensor, target: Tensor, alpha: Tensor) -> Tensor:
    """Squared error of each sample (N,) where its layer is, as a mean over all places: small layers weigh little."""
    mask = alpha[:, None]
    return ((output * mask - target * mask) ** 2).flatten(1).mean(dim=1)


def learn(
    text_encoder: Any,
    denoiser: Denoiser,
    subjects: Sequence[Subject],
    start: Tensor,
    recipe: Recipe,
    alpha_squared: Tensor,
    prediction: Prediction = "epsilon",
    since: Progress | None = None,
) -> Iterator[Progress]:
    """Train a row per subject from `start` (D,), the embedding of "a"; yields after every step.

    `since` goes on from an earlier progress exactly as if it had not been interrupted. The encoder is changed during
    steps only, and no weight of any network gets a gradient that it keeps, if they are frozen.
    """
    with torch.inference_mode(False):
        rows, optimiser = _begin(start, len(subjects), recipe, since)
    for step in range(since.done if since else 0, recipe.steps):
        with torch.inference_mode(False), torch.enable_grad():
            drawn = [_drawn(subject, recipe.batch, step, alpha_squared, prediction) for subject in subjects]
            batch = [torch.cat(column).to(rows.device) for column in zip(*drawn, strict=True)]
            with extended(text_encoder, rows):
                losses = _losses(text_encoder, denoiser, rows, batch, recipe)
            _cut(rows, recipe.longest)
            optimiser.step()
            optimiser.zero_grad()
        state = optimiser.state[rows]
        moments = torch.stack([state["exp_avg"], state["exp_avg_sq"]]).cpu()
        yield Progress(step + 1, rows.detach().cpu().clone(), losses, moments)


def _begin(start: Tensor, count: int, recipe: Recipe, since: Progress | None) -> tuple[nn.Parameter, torch.optim.AdamW]:
    rows = nn.Parameter(start.detach().float().repeat(count, 1))
    optimiser = torch.optim.AdamW([rows], lr=recipe.learning_rate, weight_decay=recipe.decay)
    if since is not None:
        rows.data = since.rows.to(rows).clone()
        means, squares = since.moments.to(rows).clone()
        optimiser.state[rows] = {"step": torch.tensor(float(since.done)), "exp_avg": means, "exp_avg_sq": squares}
    return rows, optimiser


def _losses(
    text_encoder: Any, denoiser: Denoiser, rows: nn.Parameter, batch: Sequence[Tensor], recipe: Recipe
) -> Tensor:
    """Losses (L,) of one step, their sum's gradient added to the rows'."""
    owner = torch.arange(len(batch[0])) // recipe.batch
    losses, scale = torch.zeros(len(batch[0]) // recipe.batch), 1.0
    for first in range(0, len(batch[0]), recipe.at_once):
        part = slice(first, first + recipe.at_once)
        noisy, target, times, alpha, ids = (column[part] for column in batch)
        text = text_encoder(ids).last_hidden_state
        output = denoiser(noisy, times, text)
        each = masked_loss(output.float(), target, alpha) / recipe.batch
        scale = HALF_SCALE if output.dtype == torch.float16 else 1.0
        (scale * each.sum()).backward()  # type: ignore[no-untyped-call]
        losses.index_add_(0, owner[part], each.detach().cpu())
    if scale != 1:
        assert rows.grad is not None
        rows.grad /= scale
    return losses


def _cut(rows: nn.Parameter, longest: float) -> None:
    """Shorten each row's gradient by itself, so that no layer's is cut because of another's."""
    assert rows.grad is not None
    norms = rows.grad.norm(dim=1, keepdim=True)
    rows.grad *= (longest / (norms + 1e-6)).clamp(max=1)


def _drawn(
    subject: Subject, batch: int, step: int, alpha_squared: Tensor, prediction: Prediction
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Noisy latents, targets, timesteps, alphas and ids of one layer's samples in one step, on the CPU."""
    draw = torch.Generator().manual_seed((1_000_003 * subject.seed + step) % 2**32)
    shape = (batch, *subject.mean.shape)
    clean = subject.mean.cpu() + subject.std.cpu() * torch.randn(shape, generator=draw)
    noise = torch.randn(shape, generator=draw)
    times = torch.randint(TRAIN_STEPS, (batch,), generator=draw)
    caption = torch.randint(len(subject.captions), (batch,), generator=draw)
    alpha, sigma = alpha_squared[times].sqrt(), (1 - alpha_squared[times]).sqrt()
    noisy = diffusion.add_noise(clean, noise, alpha, sigma)
    target = diffusion.target(prediction, clean, noise, alpha, sigma)
    return noisy, target, times, subject.alpha.cpu().expand(batch, -1, -1), subject.captions.cpu()[caption]
