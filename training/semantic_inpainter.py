"""Semantic pre-inpainting: from a picture with a hole and a text, CLIP's features of what the hole should hold.

python -m training.semantic_inpainter --minutes 20             on a GPU: --batch 512 --minutes 2
CLIP is frozen and every drawn hole is encoded once, so a step is only the small transformer's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from models.cat.losses import Region, distillation_loss
from models.cat.semantic_inpainter import SemanticInpainter
from training import world
from training.config import Config, read
from training.export import MANIFEST, publish, warm, write_half
from training.holes import Eyes, clip_pictures, gap_closed
from training.loop import Moment, Run, pick_device, seeded
from training.pool import Pool, Sample


@dataclass(frozen=True)
class InpainterConfig(Config):
    """Trains the pocket semantic inpainter (stage 1a)."""

    name: str = "semantic_inpainter"
    minutes: float = 20.0
    batch: int = 64
    learning_rate: float = 3e-3
    muon: bool = True
    ema: float = 0.998
    layers: int = 4
    masked_only: bool = False  # the error of masked tokens only, as the paper words it; else as released
    reuse: float = 6.0
    held_out: int = 256


def build(config: InpainterConfig, eyes: Eyes) -> SemanticInpainter:
    """The committed snapshot when resuming, else a fresh model, as wide as CLIP's vision tower."""
    folder = Path(config.assets) / config.name
    if config.resume and (folder / MANIFEST).exists():
        known: SemanticInpainter = SemanticInpainter.from_pretrained(folder, torch_dtype=torch.float32)
        return known
    torch.manual_seed(config.seed)
    vision, text = eyes.vision.config, eyes.text.config
    fresh: SemanticInpainter = SemanticInpainter(
        hidden_size=vision.hidden_size,
        intermediate_size=4 * vision.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=max(1, vision.hidden_size // 32),
        grid=eyes.grid,
        label_size=text.hidden_size,
        label_intermediate=4 * text.hidden_size,
    )
    return fresh


def ask(model: SemanticInpainter, rows: Sample) -> tuple[Tensor, Tensor]:
    """Predicted patch features (N, g * g, D) and the pooled one (N, 1, D)."""
    return model.predict(*(rows[name].float() for name in ("patches", "pooled", "word", "holes")))


def score(model: SemanticInpainter, unseen: Sample, trained: Sample) -> dict[str, float]:
    """Mean cosine to the truth over masked tokens of the prediction and of the masked picture's own features, and
    the gap that is closed between the latter and 1; plain, and with the mean of training pictures taken off."""
    found = ask(model, unseen)[0]
    centre = trained["truth"].float().mean((0, 1))
    numbers = gap_closed(found, unseen)
    numbers |= {f"{name}_centred": value for name, value in gap_closed(found, unseen, centre).items()}
    return {name: round(value, 4) for name, value in numbers.items()}


def sheet(model: SemanticInpainter, batch: world.HoleBatch, rows: Sample, side: int) -> list[Tensor]:
    """Rows of pictures, what CLIP sees of them, and how near its features and the predicted ones come to the truth:
    from black, a cosine of 0, to white."""
    pictures, truth = batch.image.cpu(), rows["truth"]
    seen = clip_pictures((batch.image * 255).round(), batch.mask * 255, side).cpu() / 255
    grid = rows["holes"].shape[-1]
    maps = []
    for found in (rows["patches"], ask(model, rows)[0]):
        near = F.cosine_similarity(found, truth, dim=-1).clamp_min(0).reshape(-1, 1, grid, grid)
        maps.append(F.interpolate(near, pictures.shape[2:]).expand(-1, 3, -1, -1).cpu())
    return [2 * x - 1 for x in (pictures, F.interpolate(seen, pictures.shape[2:]), *maps)]


def main(config: InpainterConfig) -> None:
    """Train, ask about unseen combinations, export."""
    assets, device = Path(config.assets), pick_device(config.device)
    eyes, size = Eyes(assets / "clip", device), (config.size, config.size)
    model = build(config, eyes)
    run = Run(config, model, *warm(assets / config.name, config.resume))

    def draw(generator: torch.Generator) -> Sample:
        rows = eyes.rows(world.holes(64, size, generator, "train", device))
        del rows["text"]  # only the U-Net reads more than the pooled word
        return {name: value.half() for name, value in rows.items()}  # 34 kB a row at width 128

    def loss(moment: Moment) -> Tensor:
        rows = {name: value.float() for name, value in pool.batch(config.batch, moment.generator).items()}
        region: Region = "masked" if config.masked_only else "all"
        pred, pooled = ask(model, rows)
        return distillation_loss(pred, rows["truth"], pooled, rows["truth_pooled"], rows["holes"], region)

    pool = Pool(draw, 4096, config.reuse)
    unseen = world.holes(config.held_out, size, seeded(config.seed + 1, 0), "combos", device)
    rows = eyes.rows(unseen)
    trained = eyes.rows(world.holes(config.held_out, size, seeded(config.seed + 2, 0), "train", device))
    for tick in run.ticks(loss):
        if tick.snapshot:
            with run.averaged():
                metrics = score(model, rows, trained)
                pictures = [row[:8] for row in sheet(model, unseen, rows, eyes.side)]
                publish(run, tick, config.name, {"": write_half(model)}, ["clip"], metrics, pictures)


if __name__ == "__main__":
    main(read(InpainterConfig, "training.semantic_inpainter"))
