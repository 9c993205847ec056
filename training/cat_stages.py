"""CAT-Diffusion's stages at full size: what each trains, what stays frozen, and what both make of a batch of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

from models.cat.losses import distillation_loss
from models.cat.semantic_inpainter import SemanticInpainter
from models.cat.unet import CATUNet2DConditionModel
from models.latents import encode
from training.hole_filling import Cat, HoleView, Withheld
from training.holes import Eyes, nearness
from training.pool import Sample

UNTOLD = Withheld(both=0.1, batches=True, prompt=0.0)  # as published
FRESH, KNOWN = 1e-4, 1e-5  # learning rates of what the method adds and of the U-Net that it starts from


class Frozen:
    """What no stage trains, and what it makes of a batch of files."""

    def __init__(self, base: str, clip: str, device: torch.device, download: bool = False) -> None:
        self.eyes = Eyes(clip, device, download)
        vae = AutoencoderKL.from_pretrained(base, subfolder="vae", **_options(download))
        self.view = HoleView(self.eyes, vae)

    @torch.no_grad()
    def rows(self, batch: dict[str, Any], reads: set[str]) -> Sample:
        """The rows of a batch, those of `reads`; see `HoleView.rows`. Latents are the posterior's mode, as in the
        app; the authors sample it."""
        eyes, device = self.eyes, self.eyes.device
        rows = {"holes": batch["patch_mask"].to(device)}
        rows["text"], rows["word"] = eyes.words(batch["text"])
        if "patches" in reads:
            rows["patches"], rows["pooled"] = eyes.features(batch["clip_picture"])
        if "truth" in reads:
            rows["truth"], rows["truth_pooled"] = eyes.features(batch["clip_truth"])
        if "x" in reads:
            vae = self.view.vae
            hidden = encode(vae, batch["vae_picture"].to(device))
            rows["around"] = torch.cat([batch["latent_mask"].to(device), hidden], 1)
            rows["x"] = encode(vae, batch["picture"].to(device) / 127.5 - 1)
        return rows


class Distilled(nn.Module):
    """Stage 1a: the semantic inpainter learns from CLIP's features of the whole picture."""

    reads = {"patches", "pooled", "word", "holes", "truth", "truth_pooled"}

    def __init__(self, inpainter: SemanticInpainter, masked_only: bool) -> None:
        super().__init__()
        self.inpainter, self.masked_only = inpainter, masked_only

    def forward(self, rows: Sample) -> dict[str, Tensor]:
        """The loss, and how near the features in the holes come to the truth, beside the masked picture's own."""
        pred, pooled = self.inpainter.predict(*(rows[k] for k in ("patches", "pooled", "word", "holes")))
        region: Any = "masked" if self.masked_only else "all"
        loss = distillation_loss(pred, rows["truth"], pooled, rows["truth_pooled"], rows["holes"], region)
        some = rows["holes"].flatten(1).any(1)
        near = {"cosine": pred, "cosine_masked": rows["patches"]}
        means = {k: nearness(v, rows["truth"], rows["holes"])[some].mean() for k, v in near.items() if some.any()}
        return {"loss": loss, **means}


class Denoised(nn.Module):
    """Stages 1b to 2b: the error of the predicted noise, unweighted."""

    def __init__(self, cat: Cat, view: HoleView) -> None:
        super().__init__()
        self.cat, self.view, self.reads = cat, view, cat.reads

    def forward(self, rows: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss of a batch."""
        loss: Tensor = self.cat(self.view, rows, UNTOLD, generator)
        return {"loss": loss}


def fresh_inpainter(eyes: Eyes, layers: int) -> SemanticInpainter:
    """The semantic inpainter of the paper for a CLIP: as wide as its vision tower."""
    vision, text = eyes.vision.config, eyes.text.config
    made: SemanticInpainter = SemanticInpainter(
        hidden_size=vision.hidden_size,
        intermediate_size=vision.intermediate_size,
        num_hidden_layers=layers,
        num_attention_heads=vision.num_attention_heads,
        grid=eyes.grid,
        label_size=text.hidden_size,
        label_intermediate=4 * text.hidden_size,
    )
    return made


def _options(download: bool) -> dict[str, Any]:
    return {"torch_dtype": torch.float32, "local_files_only": not download}


def fresh_unet(
    base: str, width: int, seed: int, zero_out: bool = False, download: bool = False
) -> CATUNet2DConditionModel:
    """The base's U-Net with new adapters for visual prompts of `width`."""
    stock = UNet2DConditionModel.from_pretrained(base, subfolder="unet", **_options(download))
    return CATUNet2DConditionModel.from_base(stock, width, seed, zero_out)


def load(stage: str, folder: Path) -> Cat:
    """Both models for stage 2a or 2b, as the stages before left them in `folder`."""
    unet = CATUNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
    inpainter = SemanticInpainter.from_pretrained(folder / "semantic_inpainter", torch_dtype=torch.float32)
    return Cat(stage, unet, inpainter)


def groups(module: nn.Module) -> list[dict[str, Any]]:
    """What is trained, with its learning rate: the U-Net that was known before moves ten times slower."""
    named = [(name, weight) for name, weight in module.named_parameters() if weight.requires_grad]
    known = [weight for name, weight in named if ".unet." in f".{name}" and ".fuser." not in name]
    fresh = [weight for name, weight in named if ".unet." not in f".{name}" or ".fuser." in name]
    return [{"params": weights, "lr": rate} for weights, rate in ((fresh, FRESH), (known, KNOWN)) if weights]


def write(module: Distilled | Denoised, stage: str, frozen: Frozen, folder: Path) -> None:
    """Write what the stage trained and what is frozen, each to its own folder of the layout that the app loads."""
    inpainter = module.inpainter if isinstance(module, Distilled) else module.cat.inpainter
    if isinstance(module, Denoised) and stage != "2a":
        module.cat.unet.save_pretrained(folder / "unet")
    if inpainter is not None:
        inpainter.save_pretrained(folder / "semantic_inpainter")
    parts = {"vae": frozen.view.vae, "text_encoder": frozen.eyes.text, "clip_vision": frozen.eyes.vision}
    for name, part in parts.items():
        if not (folder / name).exists():
            part.save_pretrained(folder / name)
