"""A small CLIP of its own: scenes with their captions and crops of things with theirs, contrastively.

python -m training.clip --minutes 10
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from training import world
from training.config import Config, read
from training.export import publish, save_all, warm
from training.loop import Moment, Run, seeded
from training.pool import Pool, Sample
from training.tokenizers import clip_tokenizer

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]  # of the published models,
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]  # so that their processors serve


@dataclass(frozen=True)
class ClipConfig(Config):
    """Trains the pocket CLIP and its tokenizer."""

    name: str = "clip"
    minutes: float = 10.0
    batch: int = 48  # contrast needs company
    learning_rate: float = 8e-4
    width: int = 256
    text_layers: int = 4
    vision_layers: int = 6
    pictures: int = 128  # pixels on a side: 64 tokens of 16x16
    reuse: float = 3.0
    held_out: int = 64


def build(config: ClipConfig) -> tuple[CLIPModel, CLIPTokenizer]:
    """The committed snapshot when resuming, else a fresh model and a tokenizer of every word of the world."""
    folder = Path(config.assets) / config.name
    if config.resume and folder.exists():
        return CLIPModel.from_pretrained(folder, dtype=torch.float32), CLIPTokenizer.from_pretrained(folder)
    torch.manual_seed(config.seed)
    tokenizer = clip_tokenizer(world.vocabulary())
    tower = {
        "hidden_size": config.width,
        "intermediate_size": 4 * config.width,
        "num_attention_heads": config.width // 64,
        "projection_dim": config.width,  # in both, so that either tower loads alone
    }
    text = CLIPTextConfig(
        **tower,
        num_hidden_layers=config.text_layers,
        vocab_size=len(tokenizer),
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = CLIPVisionConfig(
        **tower, num_hidden_layers=config.vision_layers, image_size=config.pictures, patch_size=16
    )
    whole = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=config.width)
    return CLIPModel(whole), tokenizer


def pairs(count: int, side: int, generator: torch.Generator, split: world.Split = "train") -> tuple[Tensor, list[str]]:
    """Pictures (2 count, 3, side, side) in 0..1 with their texts: whole scenes, then crops around one thing each,
    every other one of them on white."""
    scenes = world.scenes(count, (side, side), generator, split)
    crops = world.crop(scenes.image, scenes.boxes[:, 0], side)
    alone = world.layer_crops(scenes, side)[::2, 0]
    crops[::2] = alone[:, :3] * alone[:, 3:] + 1 - alone[:, 3:]
    return torch.cat([scenes.image, crops]), [*scenes.captions, *(layers[0] for layers in scenes.texts)]


def contrast(image_embeds: Tensor, text_embeds: Tensor, scale: Tensor, ids: Tensor) -> Tensor:
    """CLIP's symmetric cross entropy (arXiv 2103.00020, figure 3); equal texts (rows of `ids`) share the target."""
    same = (ids[:, None] == ids[None]).all(2).float()
    target = same / same.sum(1, keepdim=True)
    logits = scale.exp().clamp(max=100) * F.normalize(text_embeds, dim=-1) @ F.normalize(image_embeds, dim=-1).T
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def embed(model: CLIPModel, images: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Projected embeddings of pictures (N, 3, H, W) in 0..1 and of token ids (N, L); unnormalised (N, width)."""
    pixels = (images - MEAN.to(images.device)) / STD.to(images.device)
    seen = model.vision_model(pixel_values=pixels).pooler_output
    # Attention is causal and the pooled token the first end token: what only pads need not be computed.
    length = int((ids != model.config.text_config.eos_token_id).sum(1).max()) + 1
    told = model.text_model(input_ids=ids[:, :length]).pooler_output
    return model.visual_projection(seen), model.text_projection(told)


def tokens(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Token ids (N, L), padded and truncated to the model's length."""
    ids: Tensor = tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt").input_ids
    return ids


def main(config: ClipConfig) -> None:
    """Train, measure retrieval among unseen combinations, export."""
    model, tokenizer = build(config)
    run = Run(config, model, *warm(Path(config.assets) / config.name, config.resume))

    def draw(generator: torch.Generator) -> Sample:
        images, texts = pairs(32, config.pictures, generator)
        return {"image": (images * 255).byte(), "ids": tokens(tokenizer, texts)}

    pool = Pool(draw, 2048, config.reuse)

    def loss(moment: Moment) -> Tensor:
        rows = pool.batch(config.batch, moment.generator)
        image, ids = rows["image"].to(run.device) / 255, rows["ids"].to(run.device)
        return contrast(*embed(model, image, ids), model.logit_scale, ids)

    images, texts = pairs(config.held_out, config.pictures, seeded(config.seed + 1, 0), "combos")
    ids = tokens(tokenizer, texts)
    for tick in run.ticks(loss):
        if tick.snapshot:
            with run.averaged():
                seen, told = embed(model, images.to(run.device), ids.to(run.device))
                best = (F.normalize(told, dim=-1) @ F.normalize(seen, dim=-1).T).argmax(1).cpu()
                right = (ids[best] == ids).all(1).float()
                halves = {"scene_top1": right[: config.held_out], "crop_top1": right[config.held_out :]}
                metrics = {k: round(float(v.mean()), 3) for k, v in halves.items()} | {"among": float(len(ids))}
                writers = {"": save_all(model, tokenizer)}
                publish(run, tick, config.name, writers, [], metrics, [images[:8] * 2 - 1, images[-8:] * 2 - 1])


if __name__ == "__main__":
    main(read(ClipConfig, "training.clip"))
