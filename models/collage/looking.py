"""Looks of layers: taken from the user's cache where they were learned before, learned together where they were not.

A look belongs to a cut-out, its words, the models and the size that is worked at. It belongs to no place, so a layer
can be moved afterwards. What is drawn while learning depends on the look alone: neither other layers nor the picture's
seed change it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from models import diffusion, latents, pixels, replay
from models.collage import learned
from models.collage.alignment import align, offsets, splice
from models.collage.composing import Stack
from models.collage.conditions import Parts
from models.collage.layers import Collage, Layer
from models.collage.learning import Progress, Recipe, Subject, learn
from models.collage.looks import captions, content_key, picture
from models.contract import BadRequest
from models.loading import cache_folder
from models.pixels import Size

SHORT = 16  # characters of a key in a file's name


@dataclass(frozen=True, eq=False)
class Looks:
    """Rows (L, D) float32 for the layers that are shown, and for people of each: words, key, steps, the row's sha256,
    and whether the layer has been moved since."""

    rows: Tensor
    facts: list[dict[str, Any]]


def look_at(
    parts: Parts, collage: Collage, stack: Stack, size: Size, steps: int
) -> Generator[tuple[int, int], None, Looks]:
    """Yield (steps done, steps in all) while looks are learned that are not there; closing it keeps what was done."""
    recipe, width = parts.recipe(steps), parts.components["text_encoder"].config.hidden_size
    shelf = [_Kept(parts, layer, recipe, width, size) for layer in collage.shown]
    missing = [n for n, kept in enumerate(shelf) if not kept.learned]
    started = {n: shelf[n].state() for n in missing}
    total = sum(recipe.steps - done for done in {since.done if since else 0 for since in started.values()})
    before = 0
    for done in sorted({since.done if since else 0 for since in started.values()}):
        group = [n for n in missing if (started[n].done if started[n] else 0) == done]  # type: ignore[union-attr]
        since = _joined([started[n] for n in group]) if done else None
        work = _learned(parts, [(n, shelf[n]) for n in group], collage, stack, size, recipe, since)
        for now in work:
            yield before + now - done, total
        before += recipe.steps - done
    found = [kept.row() for kept in shelf]
    facts = [kept.facts(row, told) for kept, (row, told) in zip(shelf, found, strict=True)]
    return Looks(torch.stack([row for row, _ in found]), facts)


class _Kept:
    """One layer's place in the cache: the look after the recipe's steps, and where its learning stood."""

    def __init__(self, parts: Parts, layer: Layer, recipe: Recipe, width: int, size: Size) -> None:
        base = [replay.identify(parts.preset.components[name])["sha256"] for name in ("text_encoder", "vae", "unet")]
        how = (recipe.batch, recipe.learning_rate, recipe.decay, recipe.longest)
        self.layer, self.width, self.steps = layer, width, recipe.steps
        self.key = content_key(layer, *base, *how, size)
        self.folder = cache_folder("looks")

    @property
    def file(self) -> Path:
        return self.after(self.steps)

    @property
    def learned(self) -> bool:
        """Whether the look is there and can be read; a damaged file is learned again."""
        try:
            self.row()
        except BadRequest:
            return False
        return True

    def after(self, steps: int) -> Path:
        return self.folder / f"{self.key[:SHORT]}-{steps}.safetensors"

    @property
    def _state(self) -> Path:
        return self.folder / f"{self.key[:SHORT]}.state.safetensors"

    @property
    def place(self) -> str:
        placed = self.layer.placed
        return repr((placed.x, placed.y, placed.scale, placed.angle, placed.flip))

    def state(self) -> Progress | None:
        """Where learning stood, if it is not beyond the steps that are asked for."""
        try:
            held = load_file(self._state)
            done, row, moments = int(held["done"]), held["row"], held["moments"]
        except (OSError, ValueError, KeyError, SafetensorError):  # absent or damaged
            return None
        return Progress(done, row, torch.zeros(1), moments) if done < self.steps else None

    def keep(self, progress: Progress, number: int, checkpoint: bool) -> None:
        """Write where learning stands; at a checkpoint also the look itself, which any program can read."""
        self.folder.mkdir(parents=True, exist_ok=True)
        row, moments = progress.rows[number], progress.moments[:, number : number + 1].contiguous()
        learned.write(
            self._state, {"row": row[None].contiguous(), "moments": moments, "done": torch.tensor(progress.done)}
        )
        if checkpoint:
            facts: dict[str, str | int | float] = {"text": self.layer.text, "layer": self.key, "steps": progress.done}
            facts["place"] = self.place
            learned.save(self.after(progress.done), row, facts)

    def row(self) -> tuple[Tensor, dict[str, Any]]:
        row, told = learned.load(self.file, self.width)
        return row, told

    def facts(self, row: Tensor, told: dict[str, Any]) -> dict[str, Any]:
        sha = hashlib.sha256(row.numpy().tobytes()).hexdigest()
        moved = told.get("place") != self.place
        return {"text": self.layer.text, "key": self.key, "steps": self.steps, "sha256": sha, "moved": moved}


def _joined(found: Sequence[Progress | None]) -> Progress:
    known = [one for one in found if one is not None]
    rows, moments = torch.cat([p.rows for p in known]), torch.cat([p.moments for p in known], dim=1)
    return Progress(known[0].done, rows, torch.zeros(len(rows)), moments)


def _learned(
    parts: Parts,
    group: Sequence[tuple[int, _Kept]],
    collage: Collage,
    stack: Stack,
    size: Size,
    recipe: Recipe,
    since: Progress | None,
) -> Iterator[int]:
    """Learn some layers' looks together, given with their numbers; yields the steps done."""
    encoder, unet = parts.components["text_encoder"], parts.components["unet"]
    progress, saved = since, 0
    with _frozen(encoder, unet):
        subjects = [
            _subject(parts, collage, stack, size, number, first, int(kept.key[:8], 16))
            for first, (number, kept) in enumerate(group)
        ]
        alpha_squared = diffusion.alphas_cumprod()
        work = learn(encoder, _denoiser(unet), subjects, _usual(parts), recipe, alpha_squared, parts.prediction, since)
        try:
            for progress in work:
                if progress.done % recipe.every == 0 or progress.done == recipe.steps:
                    _keep(group, progress, checkpoint=True)
                    saved = progress.done
                yield progress.done
        finally:  # also when it is stopped
            if progress is not None and progress.done > saved:
                _keep(group, progress, checkpoint=False)


def _keep(group: Sequence[tuple[int, _Kept]], progress: Progress, checkpoint: bool) -> None:
    for n, (_, kept) in enumerate(group):
        kept.keep(progress, n, checkpoint)


@contextmanager
def _frozen(*models: nn.Module) -> Iterator[None]:
    """No gradients for the weights of these models inside the block."""
    asked = [p for model in models for p in model.parameters() if p.requires_grad]
    for parameter in asked:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)


def _denoiser(unet: Any) -> Any:
    def denoise(noisy: Tensor, times: Tensor, text: Tensor) -> Tensor:
        out: Tensor = unet(noisy.to(unet.dtype), times, text.to(unet.dtype), return_dict=False)[0]
        return out

    return denoise


def _usual(parts: Parts) -> Tensor:
    """Where every look starts: the embedding of "a"."""
    first = parts.components["tokenizer"]("a", add_special_tokens=False).input_ids[0]
    row: Tensor = parts.components["text_encoder"].get_input_embeddings().weight[first]
    return row


def _subject(parts: Parts, collage: Collage, stack: Stack, size: Size, number: int, row: int, seed: int) -> Subject:
    """Layer `number` of those shown, whose look is row `row` of those that are learned together."""
    shown, alpha = picture(collage, stack, number)
    vae = parts.components["vae"]
    with torch.no_grad():
        seen = latents.to_pixels(pixels.resize(shown, size)).to(parts.device, vae.dtype)
        posterior = vae.encode(seen).latent_dist
    shift, scale = float(getattr(vae.config, "shift_factor", None) or 0.0), float(vae.config.scaling_factor)
    mean, deviation = (posterior.mean.float() - shift) * scale, posterior.std.float() * scale
    place = pixels.resize(alpha.astype(np.float32) / 255, (mean.shape[2], mean.shape[3]))
    ids = _caption_ids(parts, collage.shown[number].text, row)
    with torch.inference_mode(False):  # what is learned from must be ordinary tensors
        return Subject(mean[0].clone(), deviation[0].clone(), torch.tensor(place), ids.clone(), seed)


def _caption_ids(parts: Parts, text: str, row: int) -> Tensor:
    """Every caption's ids (K, T) with the row's own id before the layer's words."""
    tokenizer, encoder = parts.components["tokenizer"], parts.components["text_encoder"]
    length, own = tokenizer.model_max_length, encoder.get_input_embeddings().num_embeddings + row
    found = []
    for caption in (" ".join(told.split()) for told in captions("", text)):
        tokens = align(caption, [text], offsets(tokenizer, caption), length)
        ids, _ = splice(tokenizer(caption, truncation=True, max_length=length).input_ids, tokens, [own], length)
        found.append([*ids, *[tokenizer.pad_token_id] * (length - len(ids))])
    return torch.tensor(found)
