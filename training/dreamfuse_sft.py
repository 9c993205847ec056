"""Fusion at full size: FLUX learns to fuse from the published data set (section 4), through a LoRA and three tags.

accelerate launch -m training.dreamfuse_sft --data DreamFuse80K                     FLUX.1-dev, on all GPUs
python -m training.dreamfuse_sft --base pocket --data runs/files --resolutions 128  the same recipe on a CPU
A checkpoint is the adapter in its published layout, with what a resumed run needs beside it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn

from models.dreamfuse.adapter import Adapter, finish
from models.dreamfuse.transformer import conditioned
from models.loading import load_component
from training.checkpoints import AdapterCheckpoints
from training.config import Flags, read
from training.flux_parts import encode_prompts, flux_parts
from training.full_loop import passes, resumed, train
from training.fuser import Fuser, call
from training.fusion_draws import FusionDraws
from training.fusion_files import FusionFiles
from training.progress import Log


@dataclass(frozen=True)
class SftConfig(Flags):
    """Fine-tunes FLUX to fuse; the defaults are the settings of the published adapter, on 8 devices."""

    base: str = "full"  # "pocket", "full", or a folder or hub id in diffusers' FLUX layout
    data: str = "data"  # root of the picture files
    meta: str = ""  # JSON file, or folder of them; "" = those in `data`
    out: str = "runs/dreamfuse_sft"
    resolutions: str = "512"  # bucket lists, separated by commas: a sample enters one bucket of each
    start: str = ""  # folder or hub id of an adapter to go on from, such as LL3RD/DreamFuse
    steps: int = 10_000  # of the optimizer
    batch: int = 1  # samples per device and forward pass
    accumulate: int = 1  # forward passes per step
    rank: int = 16  # of the LoRA; its alpha is the same, so its scale is 1
    prompt_ratio: float = 0.01  # how often the caption is shown; else the prompt is empty
    guidance_scale: float = 1.0  # as embedded while training; the app's default is 3.5
    optimizer: str = "prodigy"  # or "adamw"
    learning_rate: float = 0.0  # 0 = 1 for Prodigy, which finds its own, and 1e-4 (ours) for AdamW
    weight_decay: float = 1e-4
    clip: float = 1000.0  # gradient norm: off but for accidents
    checkpointing: bool = True  # of activations, which are computed twice instead of kept
    precision: str = ""  # "bf16" or "no"; "" = bf16 on CUDA
    save_every: int = 1000
    keep: int = 5  # checkpoints
    log_every: int = 10
    workers: int = 4  # processes that read pictures ahead
    seed: int = 0
    resume: bool = False  # from the newest checkpoint in `out`
    download: bool = False  # fetch from the hub what is not on this machine

    @property
    def clip_norm(self) -> float:
        """`clip`, as the loop calls it."""
        return self.clip

    def files(self) -> FusionFiles:
        """The data set, in buckets."""
        resolutions = tuple(int(word) for word in self.resolutions.split(","))
        return FusionFiles(Path(self.data), Path(self.meta) if self.meta else None, resolutions)


def make_optimizer(config: SftConfig, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Prodigy as published (arXiv 2306.06101), or AdamW; the learning rate stays constant."""
    if config.optimizer == "adamw":
        return torch.optim.AdamW(weights, lr=config.learning_rate or 1e-4, weight_decay=config.weight_decay)
    from prodigyopt import Prodigy

    options: dict[str, Any] = {"decouple": True, "use_bias_correction": True, "safeguard_warmup": True}
    rates = {"lr": config.learning_rate or 1.0, "weight_decay": config.weight_decay}
    return Prodigy(weights, **rates, **options)  # type: ignore[no-any-return]


def main(config: SftConfig) -> Adapter:
    """Train, with checkpoints; the adapter is written to `out`/adapter and returned."""
    precision = config.precision or ("bf16" if torch.cuda.is_available() else "no")
    accelerator = Accelerator(mixed_precision=precision, gradient_accumulation_steps=config.accumulate)
    device = accelerator.device
    set_seed(config.seed)
    load = partial(load_component, local_files_only=not config.download)
    parts, files = flux_parts(config.base, precision), config.files()
    draws = FusionDraws(files, config.batch, config.seed, config.prompt_ratio)
    checkpoints = AdapterCheckpoints(accelerator, Path(config.out), config.keep, config.base)
    first = resumed(config, checkpoints)
    numbers = passes(config, accelerator, first)

    prompts = encode_prompts(parts, draws.captions(numbers), device, load)
    vae = load(parts.components["vae"]).to(device).requires_grad_(False)
    start = Adapter.from_pretrained(config.start, local_files_only=not config.download) if config.start else None
    fuser = Fuser(load(parts.components["transformer"]), config.rank, start, config.checkpointing)
    weights = [weight for weight in fuser.parameters() if weight.requires_grad]
    model, optimizer = accelerator.prepare(fuser, make_optimizer(config, weights))

    def found(batch: Any, number: int) -> dict[str, Tensor]:
        for name, reason in batch.faults:
            files.leave_out(name, reason)
        return {"loss": model(**call(batch, vae, prompts, config.guidance_scale, draws.noise(number), device))}

    def told(log: Log) -> str:
        return f"{log.skipped} steps skipped, {len(files.broken)} samples broken"

    drawn = zip(numbers, draws.loader(numbers, config.workers), strict=True)
    with conditioned(fuser.flux):  # around the backward pass too, which computes blocks again
        train(config, accelerator, model, optimizer, drawn, checkpoints, first, found, told=told)
    trained = finish(fuser.flux, fuser.tags)
    if accelerator.is_main_process:
        trained.save(Path(config.out) / "adapter", base=config.base)
    accelerator.end_training()
    return trained


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(read(SftConfig, "training.dreamfuse_sft"))
