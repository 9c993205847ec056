"""Face-diffuser at full size: what its two models train, what stays frozen, what both make of a batch of files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import AutoTokenizer, CLIPTextModel, CLIPVisionModelWithProjection

from models.contract import BadRequest
from models.diffusion import alphas_cumprod
from models.facediffuser import markers
from models.facediffuser.image_encoder import embed
from models.facediffuser.post_fuse import ABSENT, PostFuse
from models.facediffuser.published import SCENE_UNET, SUBJECT_UNET
from models.latents import encode
from models.tokens import token_ids
from training.face_data import MOST
from training.pool import Sample
from training.subjects import Subjects, Weighed, noise_error, subject_loss

LAYERS = 2  # of the image encoder, its last, are trained with the subject model


class Frozen:
    """What neither model trains: tokenizer, text encoder and autoencoder of the base; and the rows they make."""

    def __init__(self, base: str, device: torch.device, download: bool = False) -> None:
        where = {"local_files_only": not download}
        self.tokenizer = AutoTokenizer.from_pretrained(base, subfolder="tokenizer", **where)
        text = CLIPTextModel.from_pretrained(base, subfolder="text_encoder", dtype=torch.float32, **where)
        vae = AutoencoderKL.from_pretrained(base, subfolder="vae", torch_dtype=torch.float32, **where)
        self.text, self.vae = (model.to(device).eval().requires_grad_(False) for model in (text, vae))
        self.schedule, self.device = alphas_cumprod().to(device), device

    @torch.no_grad()
    def rows(self, batch: dict[str, Any]) -> Sample:
        """Of a batch of `FaceData` the latents "x" (N, C, h, w), the posterior's mode, as in the app; "text"
        (N, L, D), "slots" (N, 4), "references" (N, 4, 3, 224, 224) and "masks" (N, 4, S, S)."""
        told = [read_caption(self.tokenizer, caption) for caption in batch["caption"]]
        ids, slots = (torch.tensor(values, device=self.device) for values in zip(*told, strict=True))
        return {
            "x": encode(self.vae, batch["picture"].to(self.device)),
            "text": self.text(ids).last_hidden_state,
            "slots": slots,
            "references": batch["references"].to(self.device),
            "masks": batch["masks"].to(self.device),
        }


def read_caption(tokenizer: Any, caption: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Clean ids and `MOST` slots of a marked caption; of one that is too long for its markers the words alone."""
    length = int(tokenizer.model_max_length)
    try:
        found = markers.read(tokenizer, caption, length) if markers.MARKER in caption else None
    except BadRequest:
        found = None
    if found is None:
        return tuple(token_ids(tokenizer, markers.without(caption), length)[0].tolist()), (ABSENT,) * MOST
    return found.ids, (*found.slots, *(ABSENT,) * MOST)[:MOST]


class SubjectModel(nn.Module):
    """The SDM: U-Net, post-fuse module and the last layers of the image encoder, which sees the references."""

    def __init__(
        self, unet: UNet2DConditionModel, eyes: CLIPVisionModelWithProjection, frozen: Frozen, weighed: Weighed
    ) -> None:
        super().__init__()
        self.subjects, self.eyes = Subjects(unet, PostFuse(frozen.text.config.hidden_size)), eyes.requires_grad_(False)
        for layer in eyes.vision_model.encoder.layers[-LAYERS:]:
            layer.requires_grad_(True)
        self.schedule, self.weighed = frozen.schedule, weighed

    def forward(self, rows: Sample, generator: torch.Generator) -> Sample:
        """The loss of a batch and its parts (scalars)."""
        told = rows | {"vectors": embed(self.eyes, rows["references"])}
        parts = subject_loss(self.subjects, told, generator, self.weighed, self.schedule, "epsilon")
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}


class SceneModel(nn.Module):
    """The TDM: a U-Net that is told the captions alone."""

    def __init__(self, unet: UNet2DConditionModel, frozen: Frozen) -> None:
        super().__init__()
        self.unet, self.schedule = unet, frozen.schedule

    def forward(self, rows: Sample, generator: torch.Generator) -> Sample:
        """The loss of a batch (scalar)."""
        return {"loss": noise_error(self._predicted, rows["text"], rows["x"], generator, self.schedule, "epsilon")}

    def _predicted(self, noisy: Tensor, times: Tensor, text: Tensor) -> Tensor:
        out: Tensor = self.unet(noisy, times, text, return_dict=False)[0]
        return out


def write(module: SubjectModel | SceneModel, frozen: Frozen, folder: Path) -> None:
    """Write what was trained, and with the subject model the text encoder, as the app loads them."""
    found: Iterable[tuple[str, Any]] = [(SCENE_UNET, module.unet)] if isinstance(module, SceneModel) else []
    if isinstance(module, SubjectModel):
        subjects = module.subjects
        found = [(SUBJECT_UNET, subjects.unet), ("postfuse", subjects.postfuse), ("image_encoder", module.eyes)]
        found = [*found, ("text_encoder", frozen.text)]
    for name, model in found:
        model.save_pretrained(folder / name)


def trained(module: nn.Module) -> Sequence[nn.Parameter]:
    """The weights that move."""
    return [weight for weight in module.parameters() if weight.requires_grad]
