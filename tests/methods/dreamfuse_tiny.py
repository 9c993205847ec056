"""Every component of DreamFuse at toy size with random weights, and the published way to position ids."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from models.autoencoder import PatchAutoencoder
from models.cache import ModelCache
from models.contract import Preset
from models.dreamfuse import method, placement
from models.dreamfuse.adapter import Adapter, begin, finish
from models.dreamfuse.conditions import Parts
from models.dreamfuse.spec import PRESETS, DreamFuseRequest
from tests.tiny import flux

CLIP_MERGES = Path(__file__).parents[1] / "data" / "clip" / "merges.txt.gz"
PRESET = dataclasses.replace(
    PRESETS["pocket"],
    size=128,
    steps=3,
    settings={"text_tokens": 8, "empty_prompt": "assets/pocket/dreamfuse/none.safetensors"},
)


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's own tokenizer: bytes, bytes that end a word, the published merges, two special tokens."""
    merges = [tuple(line.split()) for line in gzip.decompress(CLIP_MERGES.read_bytes()).decode().splitlines()]
    single = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*single, *(b + "</w>" for b in single), *("".join(pair) for pair in merges)]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def t5_tokenizer() -> PreTrainedTokenizerFast:
    """T5's special ids (pad 0, end 1, unknown 2) over a few words; its published vocabulary is not at hand."""
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    words += [("▁" + w, -1.0) for w in ["a", "red", "gold", "car", "teapot", "on", "the", "table"]]
    unigram = Tokenizer(models.Unigram(words, unk_id=2, byte_fallback=False))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    unigram.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=unigram, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def vae() -> PatchAutoencoder:
    """Random latents of scale 2 and shift 0.1, so that forgetting either shows."""
    model = PatchAutoencoder(8, (8, 8, 8, 8), layers_per_block=1, scaling_factor=0.5, shift_factor=0.1)
    return model.eval().requires_grad_(False)


def clip() -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=10, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    return CLIPTextModel(config).eval().requires_grad_(False)


def t5() -> T5EncoderModel:
    config = T5Config(vocab_size=12, d_model=12, d_kv=6, d_ff=16, num_layers=1, num_heads=2)
    return T5EncoderModel(config).eval().requires_grad_(False)


def adapter(transformer: Any) -> Adapter:
    """A random LoRA with non-zero B and random tags."""
    made = finish(transformer, begin(transformer, rank=2, alpha=4))
    draw = torch.Generator().manual_seed(4)
    lora = {k: 0.2 * torch.randn(v.shape, generator=draw) for k, v in made.lora.items()}
    return Adapter(lora, torch.randn(made.tags.shape, generator=draw), made.rank, made.alpha, made.targets)


def components() -> dict[str, Any]:
    """By the preset's names; the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return {
            "transformer": flux(in_channels=32),
            "adapter": adapter(flux(in_channels=32)),
            "vae": vae(),
            "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            "tokenizer": clip_tokenizer(),
            "text_encoder": clip(),
            "tokenizer_2": t5_tokenizer(),
            "text_encoder_2": t5(),
        }


@contextmanager
def parts(preset: Preset = PRESET, made: dict[str, Any] | None = None) -> Iterator[Parts]:
    """What the runtime would hand to `run`."""
    made = made or components()
    by_weights = {weights: made[name] for name, weights in preset.components.items()}
    with ModelCache(by_weights.__getitem__).lease(preset.components) as lease:
        yield method.load(lease, preset, "cpu")


def request(**changes: Any) -> DreamFuseRequest:
    """A striped 160x128 scene and a round red object at its lower left."""
    scene = np.zeros((128, 160, 3), np.uint8)
    scene[:, :, 1] = np.arange(160)
    scene[::8] = 200
    rows, columns = np.mgrid[:60, :80]
    inside = ((rows - 30) / 25) ** 2 + ((columns - 40) / 30) ** 2 < 1
    cut = np.dstack([np.full((60, 80), 220), columns, rows, 255 * inside]).astype(np.uint8)
    fields = {"background": scene, "foreground": cut, "x": 0.35, "y": 0.6, "scale": 0.3, "seed": 5}
    return DreamFuseRequest(**(fields | changes))


def sampled_ids(affine: placement.Affine, rows: int, columns: int) -> torch.Tensor:
    """`affine_ids` by `affine_grid` and `grid_sample`, the way the paper's weights were trained; a cross-check."""

    def line(scale: float, shift: float, count: int) -> tuple[float, float]:
        return scale, scale + 2 * (shift / placement.TOKEN) / (count - 1) - 1

    (a, tx), (e, ty) = line(affine.a, affine.tx, columns), line(affine.e, affine.ty, rows)
    theta = torch.tensor([[[a, 0, tx], [0, e, ty]]], dtype=torch.float32)
    where = torch.nn.functional.affine_grid(theta, [1, 3, rows, columns], align_corners=False)
    image = placement.grid_ids(rows, columns).T.reshape(1, 3, rows, columns)
    moved = torch.nn.functional.grid_sample(image, where, padding_mode="zeros", align_corners=True)
    return moved[0].flatten(1).T.contiguous()
