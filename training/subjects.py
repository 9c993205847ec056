"""Described people with their references as the subject model sees them: rows, loss, samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPVisionModelWithProjection

from models import diffusion
from models.facediffuser import losses, markers
from models.facediffuser.image_encoder import embed
from models.facediffuser.post_fuse import ABSENT, PostFuse
from models.latents import encode
from training import world
from training.pool import Sample
from training.scenes import UNTOLD, SceneView

KEPT = 0.9  # of the subjects are told by their picture too, each for itself


@dataclass(frozen=True)
class Weighed:
    """How the loss is put together: the share of batches judged inside the people only, the weight of localisation."""

    masked: float = losses.MASKED
    localisation: float = losses.LOCALISATION


class Subjects(nn.Module):
    """What is trained: the U-Net and the post-fuse module."""

    def __init__(self, unet: UNet2DConditionModel, postfuse: PostFuse) -> None:
        super().__init__()
        self.unet, self.postfuse = unet, postfuse

    def augmented(self, rows: Sample) -> Tensor:
        """The words (N, L, D) of the rows, with those of their subjects fused."""
        return self.postfuse.augment(rows["text"], rows["slots"], rows["vectors"])

    def forward(self, noisy: Tensor, times: Tensor, text: Tensor) -> Tensor:
        """Noisy latents (N, C, h, w) at timesteps (N,) with words (N, L, D) -> prediction (N, C, h, w)."""
        out: Tensor = self.unet(noisy, times, text, return_dict=False)[0]
        return out


class SubjectView(SceneView):
    """`SceneView` with the image encoder, frozen here as it serves other methods too, and two subjects a picture."""

    def __init__(self, assets: Path, device: torch.device, prediction: str, pixels: float = 0.0) -> None:
        clip = CLIPTextModel.from_pretrained(assets / "clip", dtype=torch.float32)
        super().__init__(assets, clip, "clip", None, diffusion.alphas_cumprod(), device, prediction, pixels)
        eyes = CLIPVisionModelWithProjection.from_pretrained(assets / "clip", dtype=torch.float32)
        self.eyes = eyes.to(device).eval().requires_grad_(False)
        self.width = int(clip.config.hidden_size)

    @torch.no_grad()
    def told(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Hidden states (N, L, D) of marked prompts without their markers, and the slots (N, 2)."""
        read = [markers.read(self.tokenizer, prompt, self.length) for prompt in prompts]
        slots = [(*found.slots, ABSENT, ABSENT)[:2] for found in read]
        ids = torch.tensor([found.ids for found in read], device=self.device)
        return self.encoder(ids).last_hidden_state, torch.tensor(slots, device=self.device)

    @torch.no_grad()
    def people(
        self,
        count: int,
        size: int,
        generator: torch.Generator,
        split: world.Split = "train",
        untold: float = UNTOLD,
        kept: float = KEPT,
    ) -> Sample:
        """Drawn people: latents "x" (N, C, h, w), "text" (N, L, D), "slots" (N, 2), "vectors" (N, 2, D), the people's
        "masks" (N, 2, h, w) at the latents' size. A share `untold` has neither caption nor subjects, and of the
        others each subject is left with its word alone with probability 1 - `kept`."""
        side = int(self.eyes.config.image_size)
        batch = world.faces(count, (size, size), generator, split, self.device, reference_side=side)
        text, slots = self.told(batch.prompts)
        silent = (torch.rand(count, generator=generator) < untold).to(self.device)
        left = (torch.rand(count, 2, generator=generator) >= kept).to(self.device)
        text = torch.where(silent[:, None, None], self.words([""])["text"], text)
        latents = encode(self.vae, batch.image * 2 - 1)
        return {
            "x": latents,
            "text": text,
            "slots": slots.masked_fill(left | silent[:, None], ABSENT),
            "vectors": embed(self.eyes, batch.references),
            "masks": F.interpolate(batch.masks, latents.shape[-2:], mode="bilinear", antialias=True),
        }

    def subject_loss(self, model: Subjects, rows: Sample, generator: torch.Generator, weighed: Weighed) -> Tensor:
        """See the function of this name; the sum."""
        found = subject_loss(model, rows, generator, weighed, self.schedule, self.prediction, self.scale)
        return torch.stack(list(found.values())).sum()

    @torch.no_grad()
    def score(self, model: Subjects, rows: Sample, seed: torch.Generator) -> float:
        """The mean squared error of rows at seeded noise, all places alike."""
        return float(noise_error(model, model.augmented(rows), rows["x"], seed, self.schedule, self.prediction))


def subject_loss(
    model: Subjects,
    rows: Sample,
    generator: torch.Generator,
    weighed: Weighed,
    schedule: Tensor,
    prediction: diffusion.Prediction,
    scale: Tensor | float = 1.0,
) -> Sample:
    """What is added up (scalars): "noise", with one coin for the batch whether on the people only, and "located".

    rows: "x" (N, C, h, w), "text" (N, L, D), "slots" (N, K), "vectors" (N, K, D), "masks" (N, K, H, W). `scale`
    (1, C, 1, 1): see `channel_scale`; ours.
    """
    masked = float(torch.rand((), generator=generator)) < weighed.masked
    there = rows["slots"] != ABSENT
    people = rows["masks"] * there[..., None, None] if masked else None

    def noise() -> Tensor:
        return noise_error(model, model.augmented(rows), rows["x"], generator, schedule, prediction, people, scale)

    if not weighed.localisation:
        return {"noise": noise()}
    with losses.watched(model.unet, rows["slots"]) as maps:
        found = noise()
    return {"noise": found, "located": weighed.localisation * losses.localisation_loss(maps, rows["masks"], there)}


def noise_error(
    network: Callable[[Tensor, Tensor, Tensor], Tensor],
    text: Tensor,
    clean: Tensor,
    generator: torch.Generator,
    schedule: Tensor,
    prediction: diffusion.Prediction,
    masks: Tensor | None = None,
    scale: Tensor | float = 1.0,
) -> Tensor:
    """`losses.noise_loss` of a network (noisy, timesteps, words) on clean latents (N, C, h, w) told `text` (N, L, D),
    at timesteps drawn evenly; `schedule` is alpha^2 at all of them."""
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    times = torch.randint(len(schedule), (len(clean),), generator=generator).to(clean.device)
    alpha, sigma = schedule[times].sqrt(), (1 - schedule[times]).sqrt()
    predicted = network(diffusion.add_noise(clean, noise, alpha, sigma), times, text)
    wanted = diffusion.target(prediction, clean, noise, alpha, sigma)
    return losses.noise_loss(scale * predicted, scale * wanted, masks)
