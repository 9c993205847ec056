"""CAT-Diffusion at full size, in the published stages: Stable Diffusion 1.5 inpainting learns to see first.

accelerate launch -m training.cat_full --stage 1a --data OpenImages --objects train.txt

and then 1b, 2a, 2b: the semantic inpainter; U-Net and adapters; the inpainter again, through the U-Net; all of them.
All stages write to one folder, which after 1a and 1b holds what 2a begins with, and at any time what the app loads as
`full` (EASEL_CAT). The defaults are the settings of the released code, on 8 devices.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from training.cat_data import CatData, Sizes, read_list
from training.cat_stages import Denoised, Distilled, Frozen, fresh_inpainter, fresh_unet, groups, load, write
from training.checkpoints import Checkpoints
from training.config import Flags, read
from training.full_loop import batches, resumed, train
from training.hole_filling import Cat
from training.holes import Eyes
from training.loop import seeded

STAGES = ("1a", "1b", "2a", "2b")
VALIDATED = 16  # batches of each process


@dataclass(frozen=True)
class FullConfig(Flags):
    """Trains one stage of CAT-Diffusion."""

    stage: str = "1a"  # then 1b, 2a, 2b
    base: str = "stable-diffusion-v1-5/stable-diffusion-inpainting"  # hub id or folder with `unet` and `vae`
    clip: str = "openai/clip-vit-large-patch14"  # hub id or folder; the base's text encoder is its text tower
    data: str = "data"  # root of the picture files
    objects: str = ""  # list file of objects with masks
    captions: str = ""  # list file of captioned pictures, drawn one time in five; "" = none
    box_captions: str = ""  # folder of {image_id}_{box_id}.txt, read in place of one label in five; "" = none
    unseen: str = ""  # 1a: list file of objects to validate on, for its learning rate; "" = constant
    out: str = "runs/cat_full"
    side: int = 512  # pixels of the working square
    steps: int = 40_000  # of the optimizer
    batch: int = 16  # samples per device and forward pass
    accumulate: int = 1  # forward passes per step
    layers: int = 24  # 1a: of the semantic inpainter
    masked_only: bool = False  # 1a: the error of masked tokens only, as the paper words it; else as released
    zero_out: bool = False  # 1b: adapters that add nothing at first (ours)
    clip_norm: float = 0.0  # of gradients; 0 = unlimited, as published
    checkpointing: bool = False  # of the U-Net's activations, which are computed twice instead of kept
    precision: str = "no"  # as published; or "bf16"
    save_every: int = 2500
    keep: int = 2  # checkpoints
    log_every: int = 20
    workers: int = 8  # processes that read pictures ahead
    seed: int = 0
    resume: bool = False  # from the stage's newest checkpoint in `out`
    download: bool = False  # fetch from the hub what is not on this machine


def build(config: FullConfig, frozen: Frozen) -> Distilled | Denoised:
    """What the stage trains."""
    if config.stage == "1a":
        return Distilled(fresh_inpainter(frozen.eyes, config.layers), config.masked_only)
    if config.stage == "1b":
        width = frozen.eyes.vision.config.hidden_size
        unet = fresh_unet(config.base, width, config.seed, config.zero_out, config.download)
        cat = Cat("1b", unet, None)
    else:
        cat = load(config.stage, Path(config.out))
    if config.checkpointing:
        cat.unet.enable_gradient_checkpointing()
    return Denoised(cat, frozen.view)


def data_of(config: FullConfig, eyes: Eyes, objects: str) -> CatData:
    """The samples of a list file of objects and of the captioned pictures."""
    root = Path(config.data)
    told = Path(config.box_captions) if config.box_captions else None
    captioned = read_list(Path(config.captions), root) if config.captions else []
    sizes = Sizes(config.side, eyes.side, eyes.patch)
    return CatData(read_list(Path(objects), root, told), captioned, config.seed, sizes)


@torch.no_grad()
def validate(accelerator: Accelerator, model: nn.Module, frozen: Frozen, data: CatData, config: FullConfig) -> float:
    """The mean loss of stage 1a over samples that are the same each time, a share of them on each process."""
    count = VALIDATED * config.batch
    own = range(accelerator.process_index * count, (accelerator.process_index + 1) * count)
    losses = [model(frozen.rows(batch, Distilled.reads))["loss"] for batch in data.loader(own, config.batch, 0)]
    return float(accelerator.reduce(torch.stack(losses).mean(), "mean"))


def main(config: FullConfig) -> None:
    """Train a stage, with checkpoints; its models are written to `out` at the end."""
    if config.stage not in STAGES:
        raise ValueError(f"Stage {config.stage!r}: choose one of {', '.join(STAGES)}.")
    accelerator = Accelerator(mixed_precision=config.precision, gradient_accumulation_steps=config.accumulate)
    set_seed(config.seed)
    frozen = Frozen(config.base, config.clip, accelerator.device, config.download)
    data, module = data_of(config, frozen.eyes, config.objects), build(config, frozen)
    unseen = data_of(config, frozen.eyes, config.unseen) if config.unseen and config.stage == "1a" else None
    model, optimizer = accelerator.prepare(module, torch.optim.AdamW(groups(module)))
    plateau = ReduceLROnPlateau(optimizer.optimizer, factor=0.1, patience=2)
    accelerator.register_for_checkpointing(plateau)
    checkpoints = Checkpoints(accelerator, Path(config.out) / config.stage, config.keep)

    def found(batch: Any, number: int) -> dict[str, Tensor]:
        noise = () if isinstance(module, Distilled) else (seeded(config.seed, number),)
        losses: dict[str, Tensor] = model(frozen.rows(batch, module.reads), *noise)
        return losses

    def judged() -> None:
        if unseen is not None:
            plateau.step(validate(accelerator, model, frozen, unseen, config))

    first = resumed(config, checkpoints)
    drawn = batches(config, accelerator, data, first)
    train(config, accelerator, model, optimizer, drawn, checkpoints, first, found, judged)
    if accelerator.is_main_process:
        write(module, config.stage, frozen, Path(config.out))
    accelerator.end_training()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(read(FullConfig, "training.cat_full"))
