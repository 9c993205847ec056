"""Face-diffuser at full size: the subject model (SDM), then the scene model (TDM), from Stable Diffusion 1.5.

accelerate launch -m training.face_full --model sdm --data ffhq_wild_files
accelerate launch -m training.face_full --model tdm --data ffhq_wild_files --batch 4

Neither waits for the other. Both write to one folder, which is then what the app loads as `full` (EASEL_FACE). The
defaults are the settings of the released scripts, on 4 devices.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from models.facediffuser.losses import LOCALISATION, MASKED
from training.checkpoints import Checkpoints
from training.config import Flags, read
from training.face_data import KEPT, UNTOLD, FaceData, read_ids
from training.face_parts import Frozen, SceneModel, SubjectModel, trained, write
from training.full_loop import batches, resumed, train
from training.loop import seeded
from training.subjects import Weighed

MODELS = ("sdm", "tdm")


@dataclass(frozen=True)
class FaceConfig(Flags):
    """Trains one of Face-diffuser's two models."""

    model: str = "sdm"  # or tdm
    base: str = "stable-diffusion-v1-5/stable-diffusion-v1-5"  # hub id or folder
    clip: str = "openai/clip-vit-large-patch14"  # hub id or folder; of it the vision tower
    data: str = "ffhq_wild_files"  # root of FFHQ-FastComposer
    ids: str = "train"  # image_ids_<ids>.txt; "" = image_ids.txt
    out: str = "runs/face_full"
    side: int = 512  # pixels of the target
    steps: int = 150_000  # of the optimizer
    batch: int = 8  # samples per device and forward pass; published for the TDM: 4
    accumulate: int = 1  # forward passes per step
    learning_rate: float = 1e-5  # constant; the scripts ask for a warm-up that their scheduler ignores
    weight_decay: float = 0.01
    clip_norm: float = 1.0  # of gradients
    masked: float = MASKED  # sdm: share of batches judged inside the people only
    localisation: float = LOCALISATION  # sdm: weight of the loss on where words attend
    untold: float = UNTOLD  # samples with neither caption nor subjects
    kept: float = KEPT  # sdm: people that are told by their picture too
    precision: str = "bf16"  # of the products; weights stay in float32
    save_every: int = 2000
    keep: int = 2  # checkpoints
    log_every: int = 20
    workers: int = 8  # processes that read pictures ahead
    seed: int = 42
    resume: bool = False  # from the model's newest checkpoint in `out`
    download: bool = False  # fetch from the hub what is not on this machine


def build(config: FaceConfig, frozen: Frozen) -> SubjectModel | SceneModel:
    """What is trained, from the base's weights and a fresh post-fuse module."""
    where = {"local_files_only": not config.download}
    unet = UNet2DConditionModel.from_pretrained(config.base, subfolder="unet", torch_dtype=torch.float32, **where)
    if config.model == "tdm":
        return SceneModel(unet.train(), frozen)
    eyes = CLIPVisionModelWithProjection.from_pretrained(config.clip, dtype=torch.float32, **where)
    return SubjectModel(unet.train(), eyes, frozen, Weighed(config.masked, config.localisation))


def main(config: FaceConfig) -> None:
    """Train a model, with checkpoints; it is written to `out` at the end."""
    if config.model not in MODELS:
        raise ValueError(f"Model {config.model!r}: choose one of {', '.join(MODELS)}.")
    accelerator = Accelerator(mixed_precision=config.precision, gradient_accumulation_steps=config.accumulate)
    set_seed(config.seed)
    root, kept = Path(config.data), config.kept if config.model == "sdm" else 0.0
    data = FaceData(root, read_ids(root, config.ids), config.seed, config.side, config.untold, kept)
    frozen = Frozen(config.base, accelerator.device, config.download)
    module = build(config, frozen)
    optimizer = torch.optim.AdamW(trained(module), config.learning_rate, weight_decay=config.weight_decay)
    model, optimizer = accelerator.prepare(module, optimizer)
    checkpoints = Checkpoints(accelerator, Path(config.out) / config.model, config.keep)

    def found(batch: Any, number: int) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = model(frozen.rows(batch), seeded(config.seed, number))
        return losses

    first = resumed(config, checkpoints)
    drawn = batches(config, accelerator, data, first)
    train(config, accelerator, model, optimizer, drawn, checkpoints, first, found)
    if accelerator.is_main_process:
        write(module, frozen, Path(config.out))
    accelerator.end_training()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(read(FaceConfig, "training.face_full"))
