"""The judge: a small classifier of crops that no method uses; it only says what a picture shows.

python -m training.judge --minutes 8
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from models.autoencoder import Residual
from training import world
from training.config import Config, read
from training.export import publish, warm, write_half
from training.loop import Moment, Run, seeded
from training.pool import Pool, Sample

PEOPLE = {
    "hair_style": len(world.HAIR_STYLES),
    "hair_colour": len(world.HAIR_COLOURS),
    "skin": len(world.SKINS),
    "facial_hair": len(world.BEARDS),
    "eyewear": len(world.EYEWEAR),
    "noun": len(world.NOUNS),
}
HEADS = {  # question -> number of answers; labels as in `world.CropBatch`, below zero = nothing to ask
    "object": len(world.nouns()) + 1,  # the last one: a person
    "colour": len(world.COLOUR_NAMES),
    "scene": len(world.SCENE_NAMES),
    "style": len(world.STYLE_NAMES),
    **PEOPLE,
}


@dataclass(frozen=True)
class JudgeConfig(Config):
    """Trains the judge."""

    name: str = "judge"
    minutes: float = 8.0
    batch: int = 64
    side: int = 64  # pixels of a crop
    learning_rate: float = 3e-3
    ema: float = 0.998
    reuse: float = 2.0
    held_out: int = 512


class Judge(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Crops (N, 3, 64, 64) in 0..1 -> features (N, 192) and logits per question."""

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 192), answers: dict[str, int] | None = None) -> None:
        super().__init__()
        stages: list[nn.Module] = [nn.Conv2d(3, widths[0], 5, stride=2, padding=2), Residual(widths[0])]
        for width, wider in zip(widths, widths[1:], strict=False):
            stages += [nn.Conv2d(width, wider, 3, stride=2, padding=1), Residual(wider)]
        self.stages = nn.Sequential(*stages)
        # Sorted as the configuration comes back from disk, so that a resumed optimiser finds its weights.
        self.heads = nn.ModuleDict({name: nn.Linear(widths[-1], n) for name, n in sorted((answers or HEADS).items())})

    def features(self, crops: Tensor) -> Tensor:
        """What the answers are read from (N, 192), also for distances between sets of crops."""
        out: Tensor = F.silu(self.stages(crops * 2 - 1)).mean((2, 3))
        return out

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """Logits (N, answers) by question."""
        features = self.features(crops)
        return {name: head(features) for name, head in self.heads.items()}


def labels(batch: world.CropBatch) -> Sample:
    """The right answers (N,) by question, -1 where there is nothing to ask."""
    people = dict(zip(PEOPLE, batch.people.unbind(1), strict=True))
    objects = torch.where(batch.objects == -1, HEADS["object"] - 1, batch.objects)
    return {"object": objects, "colour": batch.colours, "scene": batch.kinds, "style": batch.styles} | people


def questions(logits: Tensor, answer: Tensor) -> Tensor:
    """Cross entropy over the rows that have an answer; zero if none has."""
    total = F.cross_entropy(logits.float(), answer, ignore_index=-1, reduction="sum")
    return total / (answer >= 0).sum().clamp_min(1)


def main(config: JudgeConfig) -> None:
    """Train, measure accuracy on unseen combinations, export."""
    folder = Path(config.assets) / config.name
    torch.manual_seed(config.seed)
    committed = config.resume and folder.exists()
    model = Judge.from_pretrained(folder) if committed else Judge(answers=HEADS)
    run = Run(config, model, *warm(folder, config.resume))

    def draw(generator: torch.Generator, split: world.Split = "train", count: int = 128) -> Sample:
        batch = world.crops(count, config.side, generator, split, run.device)
        return labels(batch) | {"crops": batch.crops}

    def loss(moment: Moment) -> Tensor:
        rows = pool.batch(config.batch, moment.generator)
        flipped = torch.rand(config.batch, generator=moment.generator) < 0.5
        crops = torch.where(flipped.to(run.device)[:, None, None, None], rows["crops"].flip(3), rows["crops"])
        return torch.stack([questions(logits, rows[name]) for name, logits in model(crops).items()]).sum()

    pool = Pool(draw, 4096, config.reuse)
    unseen = {"combos": draw(seeded(config.seed + 1, 0), "combos", config.held_out)}
    unseen["people"] = draw(seeded(config.seed + 2, 0), "held_out", config.held_out)
    for tick in run.ticks(loss):
        if tick.snapshot:
            with run.averaged():
                metrics = accuracies(model, unseen["combos"], ("object", "colour", "scene", "style"))
                # A held-out object has no name in training; held-out people have every attribute.
                metrics |= accuracies(model, unseen["people"], tuple(PEOPLE))
                publish(run, tick, config.name, {"": write_half(model)}, [], metrics, [])


@torch.no_grad()
def accuracies(model: Judge, rows: Sample, names: tuple[str, ...]) -> dict[str, float]:
    """Share of right answers by question, over the rows that have one."""
    logits = model(rows["crops"])
    asked = {name: rows[name] >= 0 for name in names}
    right = {name: (logits[name].argmax(1) == rows[name])[asked[name]].float().mean() for name in names}
    return {name: round(float(value), 3) for name, value in right.items() if asked[name].any()}


if __name__ == "__main__":
    main(read(JudgeConfig, "training.judge"))
