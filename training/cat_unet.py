"""Filling holes: a U-Net with reference adapters, after semantic pre-inpainting (arXiv 2409.08260).

python -m training.cat_unet --stage 1b --minutes 60            on a GPU: --size 256 --batch 256 --minutes 3
python -m training.cat_unet --stage 2a --minutes 10            the semantic inpainter alone, through the U-Net
python -m training.cat_unet --stage 2b --minutes 20            both
In 1b the visual prompt is CLIP's features of the whole picture, so this stage needs no semantic inpainter; in 2a and
2b it is what the inpainter imagines, and both models are exported, since each was trained beside the other.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from models.autoencoder import PatchAutoencoder
from models.cat.semantic_inpainter import SemanticInpainter
from models.cat.unet import CATUNet2DConditionModel
from training import world
from training.channels import channel_scale
from training.config import Config, read
from training.export import MANIFEST, digest, export, publish, read_manifest, warm, write_half
from training.hole_filling import Cat, HoleView, Withheld
from training.holes import Eyes
from training.loop import Moment, Run, Tick, pick_device, seeded
from training.pool import Pool, Sample
from training.sd_unet import shape
from training.semantic_inpainter import score

STAGES = ("1b", "2a", "2b")
INPAINTER = "semantic_inpainter"


@dataclass(frozen=True)
class CatConfig(Config):
    """Trains the pocket CAT-Diffusion."""

    name: str = "cat_unet"
    stage: str = "1b"  # or 2a, 2b
    base: str = ""  # 1b: a U-Net of the same assets to start from, such as sd_unet; its size is taken over
    minutes: float = 60.0
    learning_rate: float = 5e-3
    muon: bool = True
    convolutions: bool = True
    ema: float = 0.998
    snapshot_minutes: float = 10.0
    width: int = 48  # of the first of three levels; the others are twice and three times as wide
    prediction: str = "v_prediction"  # as the pocket preset has it; ours, "epsilon" is the paper's
    hole: float = 4.0  # weight of places in the hole over the others, where the answer is nearly given
    untold: float = 0.1  # samples with neither text nor visual prompt
    untold_batches: bool = False  # draw that for whole batches, as the released code does
    wordy: float = 0.1  # samples with the text alone
    reuse: float = 6.0
    held_out: int = 128
    sample_steps: int = 20  # of the preset


def build(config: CatConfig, channels: int, words: int, prompts: int) -> Cat:
    """The stage's models: the snapshots where the stage before left some or a run goes on, else a fresh U-Net."""
    if config.stage not in STAGES:
        raise ValueError(f"Stage {config.stage!r}: choose one of {', '.join(STAGES)}.")
    folder, inpainter = Path(config.assets) / config.name, None
    if config.stage == "1b" and not (config.resume and (folder / MANIFEST).exists()):
        return Cat(config.stage, fresh(config, channels, words, prompts), None)
    unet = CATUNet2DConditionModel.from_pretrained(folder, torch_dtype=torch.float32)
    if config.stage != "1b":
        inpainter = SemanticInpainter.from_pretrained(folder.parent / INPAINTER, torch_dtype=torch.float32)
    return Cat(config.stage, unet, inpainter)


def fresh(config: CatConfig, channels: int, words: int, prompts: int) -> CATUNet2DConditionModel:
    """A U-Net for latents of `channels` beside a mask and masked latents; `base` with new adapters, if there is one."""
    torch.manual_seed(config.seed)
    seen = 2 * channels + 1
    if config.base:
        stock = UNet2DConditionModel.from_pretrained(Path(config.assets) / config.base, torch_dtype=torch.float32)
        return CATUNet2DConditionModel.from_base(grown(stock, seen), prompts, config.seed)
    unet: CATUNet2DConditionModel = CATUNet2DConditionModel(
        ref_adapter_dim=prompts,
        sample_size=config.size // 8,
        in_channels=seen,
        out_channels=channels,
        **shape(config.width, words),
    )
    return unet


def grown(stock: UNet2DConditionModel, channels: int) -> UNet2DConditionModel:
    """The same U-Net with more input channels, which it ignores at first."""
    unet = UNet2DConditionModel.from_config({**stock.config, "in_channels": channels})
    state = stock.state_dict()
    known = state["conv_in.weight"]
    state["conv_in.weight"] = known.new_zeros(len(known), channels, *known.shape[2:])
    state["conv_in.weight"][:, : known.shape[1]] = known
    unet.load_state_dict(state)
    return unet


class Beside:
    """The semantic inpainter's own snapshot, which stage 2 writes before the U-Net's, whose parent it becomes."""

    def __init__(self, config: CatConfig, view: HoleView, model: SemanticInpainter, run: Run) -> None:
        """`run` has not begun: its minutes and steps are those before this call."""
        self.config, self.model, self.minutes, self.steps = config, model, run.minutes, run.step
        self.before = read_manifest(Path(config.assets) / INPAINTER)
        size = (config.size, config.size)
        batch = world.holes(config.held_out, size, seeded(config.seed + 2, 0), "train", view.device)
        self.trained = view.rows(batch, masked=False)

    def export(self, run: Run, tick: Tick, unseen: Sample) -> None:
        """Write it, with the time of this call on top of what it had."""
        assets = Path(self.config.assets)
        manifest = dataclasses.replace(
            self.before,
            command=self.config.command,
            minutes=round(self.before.minutes + tick.minutes - self.minutes, 2),
            steps=self.before.steps + tick.step - self.steps,
            parents={"world": run.world, **{name: digest(assets / name) for name in ("clip", "vae")}},
            metrics=score(self.model, unseen, self.trained),
        )
        export(self.config.assets, manifest, {"": write_half(self.model)})


def sheet(view: HoleView, model: Cat, batch: world.HoleBatch, rows: Sample, steps: int) -> list[Tensor]:
    """Rows of eight: pictures, what is seen of them, filled with the visual prompt, and by the text alone."""
    eight = {name: value[:8] for name, value in rows.items()}
    prompt = model.prompt(eight)
    filled = [view.sample(model.unet, eight, p, steps) for p in (prompt, torch.zeros_like(prompt))]
    image, mask = batch.image[:8].cpu(), batch.mask[:8].cpu()
    return [image * 2 - 1, image * 2 * (1 - mask) - 1, *(x.cpu() for x in filled)]


def make_scheduler(config: CatConfig) -> DDIMScheduler:
    """What the U-Net was trained for, in the folder layout of Stable Diffusion."""
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1,
        set_alpha_to_one=False, prediction_type=config.prediction,
    )  # fmt: skip


def main(config: CatConfig) -> None:
    """Train one stage, fill holes of unseen combinations, export."""
    assets, device, size = Path(config.assets), pick_device(config.device), (config.size, config.size)
    vae = PatchAutoencoder.from_pretrained(assets / "vae")
    scale = channel_scale(vae, config.pixels).to(device)
    view = HoleView(Eyes(assets / "clip", device), vae, config.prediction, config.hole, scale)
    text, vision = view.eyes.text.config, view.eyes.vision.config
    model = build(config, vae.config.latent_channels, text.hidden_size, vision.hidden_size)
    inpainter = model.inpainter
    named = dataclasses.replace(config, name=f"{config.name}/{config.stage}")  # each stage has a state of its own
    run = Run(named, model, *warm(assets / config.name, config.resume or inpainter is not None))
    withheld = Withheld(config.untold, config.untold_batches, config.wordy)

    def draw(generator: torch.Generator) -> Sample:
        rows = view.rows(world.holes(64, size, generator, "train", device), inpainter is not None)
        return {name: value.half() for name, value in rows.items() if name in model.reads}

    def loss(moment: Moment) -> Tensor:
        rows = {name: value.float() for name, value in kept.batch(config.batch, moment.generator).items()}
        loss: Tensor = model(view, rows, withheld, moment.generator)
        return loss

    kept = Pool(draw, 4096, config.reuse)
    unseen = world.holes(config.held_out, size, seeded(config.seed + 1, 0), "combos", device)
    rows = view.rows(unseen, inpainter is not None)
    beside = Beside(config, view, inpainter, run) if inpainter is not None else None
    for tick in run.ticks(loss):
        if tick.snapshot:
            with run.averaged():
                if beside is not None:
                    beside.export(run, tick, rows)
                prompt = model.prompt(rows)
                metrics = {
                    "noise_mse": round(view.score(model.unet, rows, prompt), 4),
                    "noise_mse_text_alone": round(view.score(model.unet, rows, torch.zeros_like(prompt)), 4),
                }
                writers = {"": write_half(model.unet), "scheduler": make_scheduler(config).save_pretrained}
                parents = ["vae", "clip"] + ([INPAINTER] if beside is not None else [])
                pictures = sheet(view, model, unseen, rows, config.sample_steps)
                publish(run, tick, config.name, writers, parents, metrics, pictures)


if __name__ == "__main__":
    main(read(CatConfig, "training.cat_unet"))
