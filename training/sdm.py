"""People kept themselves: the subject model of Face-diffuser with its post-fuse module (arXiv 2311.10329).

python -m training.sdm --minutes 60                            on a GPU: --size 256 --batch 128 --minutes 4
It starts from the scene model, which on pocket is the Stable Diffusion U-Net of the same assets. Two folders are
exported, `sdm_unet` and `postfuse`, since each was trained beside the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from models.facediffuser.post_fuse import ABSENT, PostFuse
from models.latents import decode
from training.config import Config, read
from training.export import export, manifest_of, publish, warm, write_half
from training.loop import Moment, Run, Tick, pick_device, seeded
from training.pool import Pool, Sample
from training.sd_unet import shape
from training.subjects import Subjects, SubjectView, Weighed

POSTFUSE = "postfuse"
PARENTS = ("vae", "clip")


@dataclass(frozen=True)
class SubjectConfig(Config):
    """Trains the pocket subject model and its post-fuse module."""

    name: str = "sdm_unet"
    base: str = "sd_unet"  # the U-Net to start from, of the same assets; "" = a fresh one
    width: int = 64  # of a fresh one's first level
    minutes: float = 60.0
    learning_rate: float = 5e-4  # half of what its base began with
    ema: float = 0.998
    snapshot_minutes: float = 10.0
    prediction: str = "v_prediction"  # as its base has it; ours, "epsilon" is the paper's
    masked: float = 0.5  # of the batches are judged inside the people only, as published
    localisation: float = 1e-3  # as published
    reuse: float = 6.0
    held_out: int = 64
    sample_steps: int = 20


def build(config: SubjectConfig, channels: int, words: int) -> Subjects:
    """The committed snapshots when resuming, else the base's U-Net, or a fresh one, with a fresh post-fuse module."""
    assets = Path(config.assets)
    torch.manual_seed(config.seed)
    if config.resume and (assets / config.name).exists():
        unet = UNet2DConditionModel.from_pretrained(assets / config.name, torch_dtype=torch.float32)
        return Subjects(unet, PostFuse.from_pretrained(assets / POSTFUSE, torch_dtype=torch.float32))
    if config.base:
        unet = UNet2DConditionModel.from_pretrained(assets / config.base, torch_dtype=torch.float32)
    else:
        sizes = {"sample_size": config.size // 8, "in_channels": channels, "out_channels": channels}
        unet = UNet2DConditionModel(**sizes, **shape(config.width, words))
    return Subjects(unet, PostFuse(words))


def make_scheduler(config: SubjectConfig) -> DDIMScheduler:
    """What the U-Net was trained for, in the folder layout of Stable Diffusion."""
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1,
        set_alpha_to_one=False, prediction_type=config.prediction,
    )  # fmt: skip


def without(rows: Sample) -> Sample:
    """The same rows by their captions alone."""
    return rows | {"slots": torch.full_like(rows["slots"], ABSENT)}


def measure(view: SubjectView, model: Subjects, rows: Sample) -> dict[str, float]:
    """Squared errors on people never trained: with their references, by their captions alone, and with the references
    of the next row, which a model that looks at them likes least."""
    swapped = rows | {"vectors": rows["vectors"].roll(1, 0)}
    asked = {"mse": rows, "mse_caption": without(rows), "mse_swapped": swapped}
    return {name: round(view.score(model, found, seeded(1, 1)), 4) for name, found in asked.items()}


def sheet(view: SubjectView, model: Subjects, rows: Sample, steps: int) -> list[Tensor]:
    """Rows of eight: pictures, drawn with their references, and by the captions alone from the same noise."""
    eight = {name: value[:8] for name, value in rows.items()}
    drawn = [decode(view.vae, eight["x"])]
    for asked in (eight, without(eight)):
        seen = torch.ones(asked["text"].shape[:2], device=view.device)  # every token: CLIP's pads are seen too
        told = asked | {"text": model.augmented(asked), "mask": seen}
        drawn.append(view.sample(lambda noisy, times, both: model(noisy, times, both["text"]), told, steps))
    return drawn


def beside(config: SubjectConfig, run: Run, tick: Tick, model: Subjects) -> None:
    """Export the post-fuse module, which becomes a parent of the U-Net."""
    manifest = manifest_of(run, tick, POSTFUSE, PARENTS, {})
    export(config.assets, manifest, {"": write_half(model.postfuse)})


def main(config: SubjectConfig) -> None:
    """Train on drawn people, measure on people never trained, export both folders."""
    assets, device = Path(config.assets), pick_device(config.device)
    view = SubjectView(assets, device, config.prediction, config.pixels)
    model = build(config, view.vae.config.latent_channels, view.width)
    run = Run(config, model, *warm(assets / config.name, config.resume))
    weighed = Weighed(config.masked, config.localisation)
    pool = Pool(lambda generator: view.people(32, config.size, generator), 8192, config.reuse)

    def loss(moment: Moment) -> Tensor:
        return view.subject_loss(model, pool.batch(config.batch, moment.generator), moment.generator, weighed)

    unseen = view.people(config.held_out, config.size, seeded(config.seed + 1, 0), "held_out", untold=0.0, kept=1.0)
    for tick in run.ticks(loss):
        if tick.snapshot:
            with run.averaged():
                beside(config, run, tick, model)
                writers = {"": write_half(model.unet), "scheduler": make_scheduler(config).save_pretrained}
                pictures = sheet(view, model, unseen, config.sample_steps)
                metrics = measure(view, model, unseen)
                publish(run, tick, config.name, writers, [*PARENTS, POSTFUSE], metrics, pictures)


if __name__ == "__main__":
    main(read(SubjectConfig, "training.sdm"))
