"""Fusion samples as the transformer sees them, how it draws them, and what the pictures are worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, T5EncoderModel

from models import diffusion
from models.autoencoder import PatchAutoencoder
from models.dreamfuse.placement import TOKEN, affine_ids, from_boxes, grid_ids
from models.dreamfuse.transformer import Conditions, conditioned
from models.latents import decode, encode, pack, unpack
from training import world
from training.channels import channel_scale
from training.loop import seeded
from training.pool import Sample
from training.text import Text


class FusionView:
    """The frozen autoencoder and text encoders of a pocket FLUX, and its calls on rows of fusion samples."""

    def __init__(self, assets: Path, text_tokens: int, device: torch.device) -> None:
        self.device = device
        self.vae = PatchAutoencoder.from_pretrained(assets / "vae").to(device).requires_grad_(False)
        t5 = T5EncoderModel.from_pretrained(assets / "t5", dtype=torch.float32)
        self.t5 = t5.to(device).eval().requires_grad_(False)
        self.text = Text(str(assets), AutoTokenizer.from_pretrained(assets / "t5"), text_tokens, device)

    @torch.no_grad()
    def rows(self, batch: world.FusionBatch, direct: Tensor | None = None) -> Sample:
        """Packed latents (N, S, C) of the truth and (N, 2S, C) of what is seen, ids (N, 3S, 3), where the object
        goes (N, S), T5's tokens (N, L, D) and CLIP's pooled vectors (N, P).

        `direct` (N,) says which rows are told the place by direct transform, their object's pixels already there,
        instead of by the positional affine; None = no row.
        """
        direct = torch.zeros(len(batch.box), dtype=torch.bool) if direct is None else direct.cpu()
        alpha = batch.foreground[:, 3:]
        white = batch.foreground[:, :3] * alpha + 1 - alpha
        if direct.any():
            placed = world.paste(dataclasses.replace(batch, background=torch.ones_like(batch.background)))
            white = torch.where(direct.to(white.device)[:, None, None, None], placed, white)
        fused, *seen = (pack(encode(self.vae, x * 2 - 1)) for x in (batch.fused, white, batch.background))
        rows, columns = (side // TOKEN for side in batch.fused.shape[2:])
        plain = grid_ids(rows, columns)
        boxes = zip(batch.box.tolist(), batch.box_fg.tolist(), direct.tolist(), strict=True)
        affine = [plain if there else affine_ids(from_boxes(new, old), rows, columns) for new, old, there in boxes]
        ids = [torch.cat([plain, moved, plain]) for moved in affine]
        near = grown_boxes(batch.box / TOKEN, 1.5, rows, columns).flatten(1).float()
        found = {"fused": fused, "seen": torch.cat(seen, 1), "ids": torch.stack(ids), "near": near}
        return {name: value.to(self.device) for name, value in (found | self.words(batch.captions)).items()}

    def weights(self, near: Tensor, extra: float, pixels: float) -> Tensor:
        """The loss's weights (N, S, C), 1 on average: tokens that `near` (N, S) marks count `extra` times, and a
        latent channel by what it paints, to the power `pixels`; see `channel_scale`."""
        tokens = 1 + (extra - 1) * near
        scale = channel_scale(self.vae, pixels).flatten()
        channels = scale.square().repeat_interleave(4)  # a token is 2x2 latents, channel by channel
        return tokens[..., None] / tokens.mean() * channels

    @torch.no_grad()
    def words(self, captions: Sequence[str]) -> Sample:
        """T5's tokens and CLIP's pooled vectors; most captions are empty, and equal ones are encoded once."""
        different = list(dict.fromkeys(captions))
        encoded = self.text(different)
        rows = [different.index(caption) for caption in captions]
        return {"text": self.t5(encoded["ids"]).last_hidden_state[rows], "pooled": encoded["pooled"][rows]}

    def arguments(self, rows: Sample, tags: Tensor, guidance: Tensor) -> dict[str, Any]:
        """The transformer's call but for noisy tokens and time; `tags` (3, D), `guidance` (N,)."""
        return {
            "encoder_hidden_states": rows["text"],
            "pooled_projections": rows["pooled"],
            "img_ids": rows["ids"],
            "txt_ids": torch.zeros(rows["text"].shape[1], 3, device=self.device),
            "guidance": guidance.to(self.device),
            "conditions": Conditions(rows["seen"], tags),
        }

    @torch.no_grad()
    def sample(self, flux: nn.Module, tags: Tensor, rows: Sample, steps: int) -> Tensor:
        """Fused square pictures (N, 3, H, W), about [-1, 1], raw, from seeded noise by the app's sampler."""
        count, length = rows["fused"].shape[:2]
        arguments = self.arguments(rows, tags, torch.full((count,), 3.5))

        def flow(tokens: Tensor, timestep: Tensor) -> Tensor:
            time = (timestep / 1000).expand(count).to(self.device)
            with conditioned(flux) as model:
                out: Tensor = model(tokens, timestep=time, return_dict=False, **arguments)[0]
            return out

        tokens = torch.randn(rows["fused"].shape, generator=seeded(7, 0)).to(self.device)
        for state in diffusion.euler_flow(flow, tokens, diffusion.flow_sigmas(steps, diffusion.flux_mu(length))):
            tokens = state.latents
        side = 2 * int(length**0.5)
        return decode(self.vae, unpack(tokens, side, side))

    @torch.no_grad()
    def score(self, batch: world.FusionBatch, drawn: Tensor) -> dict[str, float]:
        """PSNR in dB: to the truth inside 1.5x the box, beside the raw paste's and the autoencoder's own, and to
        the clean plate outside 2x the box, beside the autoencoder's own."""
        fused, plate, pasted = (x * 2 - 1 for x in (batch.fused, batch.background, world.paste(batch)))
        height, width = fused.shape[2:]
        inside = grown_boxes(batch.box, 1.5, height, width)
        outside = ~grown_boxes(batch.box, 2.0, height, width)
        trips = [decode(self.vae, encode(self.vae, x)) for x in (fused, plate)]
        numbers = {
            "inside": masked_psnr(drawn, fused, inside),
            "inside_paste": masked_psnr(pasted, fused, inside),
            "inside_round_trip": masked_psnr(trips[0], fused, inside),
            "outside": masked_psnr(drawn, plate, outside),
            "outside_round_trip": masked_psnr(trips[1], plate, outside),
        }
        return {name: round(value, 2) for name, value in numbers.items()}


def grown_boxes(boxes: Tensor, factor: float, height: int, width: int) -> Tensor:
    """Booleans (N, height, width): cells whose centre lies in the boxes (N, 4), in cells, grown about their centres."""
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, factor * (boxes[:, 2:] - boxes[:, :2]) / 2
    across = (torch.arange(width, device=boxes.device) + 0.5 - centre[:, :1]).abs() <= half[:, :1]
    down = (torch.arange(height, device=boxes.device) + 0.5 - centre[:, 1:]).abs() <= half[:, 1:]
    return down[:, :, None] & across[:, None, :]


def masked_psnr(a: Tensor, b: Tensor, mask: Tensor) -> float:
    """Mean PSNR in dB over pictures (N, 3, H, W) in [-1, 1] where `mask` (N, H, W) is set; those without any are
    left out."""
    error = ((a.clamp(-1, 1) - b) / 2).square().mean(1)
    some = mask.flatten(1).any(1)
    mean = (error * mask).sum((1, 2))[some] / mask.sum((1, 2))[some]
    return float(-10 * mean.clamp_min(1e-10).log10().mean())
