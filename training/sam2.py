"""Masks from clicks and boxes: a small SAM 2 (arXiv 2408.00714), its picture part only, trained from scratch.

python -m training.sam2 --minutes 60                           on a GPU: --size 256 --batch 128 --minutes 4
python -m training.sam2 --size 256 --resume --minutes 60       goes on with larger pictures; the weights fit any size
The encoder is what costs, so every picture is asked about several times, in rounds of corrections as a user makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Sam2Config, Sam2Model

from models.masks import MEAN, STD
from training import world
from training.clicks import spots_in
from training.config import Config, read
from training.dialogues import answer, begin, converse
from training.export import publish, warm, write_half
from training.loop import Moment, Run, pick_device, seeded
from training.pool import Pool, Sample


@dataclass(frozen=True)
class MasksConfig(Config):
    """Trains the pocket SAM 2."""

    name: str = "sam2"
    minutes: float = 60.0
    batch: int = 8  # pictures
    prompts: int = 8  # things asked for in each picture, in every other step by a box instead of a click
    rounds: int = 3  # a first prompt, then corrections
    grow: int = 1000  # steps until there is another round
    width: int = 32  # of the encoder's first stage, doubled at each of the next
    decoder: int = 64  # width of the pyramid and the decoder
    learning_rate: float = 3e-3
    muon: bool = True
    ema: float = 0.998
    snapshot_minutes: float = 10.0
    reuse: float = 4.0
    focal: float = 10.0  # over dice, as published
    held_out: int = 96


def layout(config: MasksConfig) -> Sam2Config:
    """The model's configuration. Unlike the published ones, every level of the pyramid sees the coarser ones: the
    first stages are one block each and know little of what lies around."""
    size, width, decoder = config.size, config.width, config.decoder
    widths = [width * 2**k for k in range(4)]
    return Sam2Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": width,
                "image_size": [size, size],
                "blocks_per_stage": [1, 2, 4, 1],
                "embed_dim_per_stage": widths,
                "num_attention_heads_per_stage": [max(1, w // 32) for w in widths],
                "window_size_per_stage": [8, 8, 8, 8],
                "global_attention_blocks": [4, 5, 6],
            },
            "backbone_channel_list": widths[::-1],
            "backbone_feature_sizes": feature_sizes(size),
            "fpn_hidden_size": decoder,
            "fpn_top_down_levels": [0, 1, 2, 3],
        },
        prompt_encoder_config={"hidden_size": decoder, "image_size": size},
        mask_decoder_config={
            "hidden_size": decoder,
            "mlp_dim": 4 * decoder,
            "num_attention_heads": 4,
            "iou_head_hidden_dim": decoder,
            "dynamic_multimask_via_stability": False,
        },
    )


def feature_sizes(size: int) -> list[list[int]]:
    """Height and width of the three levels that the decoder sees."""
    return [[size // stride] * 2 for stride in (4, 8, 16)]


def build(config: MasksConfig) -> Sam2Model:
    """The committed snapshot at the asked size when resuming, else a fresh model."""
    folder = Path(config.assets) / config.name
    # Windows are small: written out, attention takes a core two thirds of the time of the fused kernel.
    attention = "eager" if pick_device(config.device).type == "cpu" else "sdpa"
    if config.resume and folder.exists():
        known = Sam2Config.from_pretrained(folder)
        known.vision_config.backbone_config.image_size = [config.size, config.size]
        known.vision_config.backbone_feature_sizes = feature_sizes(config.size)
        known.prompt_encoder_config.image_size = config.size
        model = Sam2Model.from_pretrained(folder, config=known, dtype=torch.float32, attn_implementation=attention)
    else:
        torch.manual_seed(config.seed)
        model = Sam2Model._from_config(layout(config), attn_implementation=attention)
        prepare(model)
    model.vision_encoder.neck.position_encoding = Nowhere()
    return model


class Nowhere(nn.Module):
    """In place of the pyramid's codes of place, which only films use and which take a tenth of the encoder's time."""

    def forward(self, shape: torch.Size, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Zeros of the pyramid's shape."""
        return torch.zeros((), device=device, dtype=dtype).expand(shape)


@torch.no_grad()
def prepare(model: Sam2Model) -> None:
    """Fresh weights from which so narrow a model learns: transformers' own are 0.02 wide whatever a layer's width."""
    for part in model.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    # A click finds its place by the same code that the picture's places have; drawn apart they mean nothing together.
    place = model.shared_image_embedding.positional_embedding
    model.prompt_encoder.shared_embedding.positional_embedding.copy_(place)
    # And it looks there from the start: queries are projected as keys are, so that like codes attend to each other.
    decoder = model.mask_decoder.transformer
    looks = [decoder.final_attn_token_to_image]
    for layer in decoder.layers:
        looks += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    for look in looks:
        torch.nn.init.orthogonal_(look.q_proj.weight, gain=2.0)
        look.k_proj.weight.copy_(look.q_proj.weight)


def pictures(
    count: int, size: int, generator: torch.Generator, split: world.Split = "train", device: torch.device | str = "cpu"
) -> Sample:
    """Scenes as uint8 (N, 3, size, size) and, for every pixel, whose it is: uint8 (N, size, size), 0 is nobody's."""
    scenes = world.scenes(count, (size, size), generator, split, device, counts=(1, 2, 2, 3, 3, 4))
    best, index = scenes.masks.max(1)
    owner = torch.where(best > 0.5, index + 1, 0).byte()
    return {"image": (scenes.image * 255).round().byte(), "owner": owner}


def varied(images: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures (N, 3, H, W) in 0..1 with other colours: channels change places, contrast and brightness shift."""
    count, device = len(images), images.device
    order = torch.rand(count, 3, generator=generator).argsort(1)
    kept = torch.rand(count, 1, generator=generator) < 0.5
    order = torch.where(kept, torch.arange(3), order).to(device)
    gain = 0.7 + 0.6 * torch.rand(count, 3, 1, 1, generator=generator).to(device)
    shift = 0.2 * torch.rand(count, 1, 1, 1, generator=generator).to(device) - 0.1
    return (images.gather(1, order[:, :, None, None].expand_as(images)) * gain + shift).clamp(0, 1)


def embed(model: Sam2Model, images: Tensor) -> list[Tensor]:
    """What the decoder sees of pictures (N, 3, H, W) in 0..1: three maps (N, C, h, w), from fine to coarse."""
    mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (MEAN, STD))
    pixels = (images - mean) / std
    maps = list(model.get_image_features(pixels, return_dict=True).fpn_hidden_states)
    maps[-1] = maps[-1] + model.no_memory_embedding
    sizes = model.backbone_feature_sizes
    return [m.permute(1, 2, 0).reshape(len(images), -1, *s) for m, s in zip(maps, sizes, strict=True)]


def kinship(maps: list[Tensor], owner: Tensor, generator: torch.Generator, count: int = 64) -> Tensor:
    """How badly features tell things apart: pixels of one thing should look alike and others not, cosine for cosine.

    It needs no prompt, so it teaches the encoder what a thing is long before the decoder asks for one.
    """
    size, device = owner.shape[-1], owner.device
    solid = (owner > 0).float()
    weight = solid / solid.sum((1, 2), keepdim=True).clamp_min(1) + 1 / size**2  # half the pixels on things
    spots = spots_in(weight, count, generator)
    who = owner.flatten(1).gather(1, spots)
    same = (who[:, :, None] == who[:, None]).float()
    asked = ((who[:, :, None] > 0) | (who[:, None] > 0)).float() * (1 - torch.eye(count, device=device))
    x, y = spots % size, spots // size
    losses = []
    for features in maps:
        side = features.shape[-1]
        cells = (y * side // size) * side + x * side // size
        found = F.normalize(features.flatten(2).gather(2, cells[:, None].expand(-1, features.shape[1], -1)), dim=1)
        logits = 8 * (torch.einsum("bci,bcj->bij", found, found) - 0.5)
        for pairs, sign in ((asked * same, -1), (asked * (1 - same), 1)):
            losses.append((F.softplus(sign * logits) * pairs).sum() / pairs.sum().clamp_min(1))
    return torch.stack(losses).mean()


@torch.no_grad()
def measure(model: Sam2Model, held: Sample, config: MasksConfig) -> tuple[dict[str, float], list[Tensor]]:
    """IoU of one click and of a box with one and two corrections each, at the masks' own resolution, on unseen things
    and people; and a sheet of pictures and one click's masks."""
    generator = seeded(config.seed + 2, 0)
    rounds: dict[str, list[Tensor]] = {"click": [], "box": []}
    sheet: list[Tensor] = []
    for image, owner in zip(*(torch.split(held[k], 16) for k in ("image", "owner")), strict=True):
        images = image / 255
        maps = embed(model, images)
        for name in rounds:
            talk = begin(maps, owner, 4, name == "click", generator)
            rounds[name].append(converse(model, talk, 3, config.focal, generator)[1])
        if not sheet:
            talk = begin(maps, owner, 1, True, generator)
            logits, expected = answer(model, talk, True, False)
            full = F.interpolate(logits, images.shape[-2:], mode="bilinear")
            found = full[torch.arange(len(full)), expected.argmax(1)] > 0
            sheet = [
                2 * x[:8] - 1 for x in (images, *(images * (0.25 + 0.75 * m[:, None]) for m in (talk.masks, found)))
            ]
    table = {name: torch.stack(values).mean(0).tolist() for name, values in rounds.items()}
    return {f"{name}_{k}": round(v, 4) for name, values in table.items() for k, v in enumerate(values)}, sheet


def main(config: MasksConfig) -> None:
    """Train, ask about held-out things, export."""
    model = build(config)
    for head in (model.mask_decoder.pred_obj_score_head, model.mask_decoder.obj_score_token):
        head.requires_grad_(False)  # whether a thing is in sight at all is asked of films only
    run = Run(config, model, *warm(Path(config.assets) / config.name, config.resume))

    def draw(generator: torch.Generator) -> Sample:
        return pictures(32, config.size, generator, "train", run.device)

    def loss(moment: Moment) -> Tensor:
        generator = moment.generator
        batch = pool.batch(config.batch, generator)
        flip = (torch.rand(config.batch, generator=generator) < 0.5).to(run.device)
        owner = torch.where(flip[:, None, None], batch["owner"].flip(2), batch["owner"])
        images = torch.where(flip[:, None, None, None], batch["image"].flip(3), batch["image"]) / 255
        images = varied(images, generator)
        maps = embed(model, images)
        talk = begin(maps, owner, config.prompts, moment.step % 2 == 0, generator)
        rounds = min(config.rounds, 1 + moment.step // config.grow)  # corrections of nonsense teach little
        likeness = kinship(maps, owner, generator) / (1 + moment.step / config.grow)
        return converse(model, talk, rounds, config.focal, generator)[0] + likeness

    pool = Pool(draw, 768, config.reuse)
    held = pictures(config.held_out, config.size, seeded(config.seed + 1, 0), "held_out", run.device)
    for tick in run.ticks(loss):
        if tick.snapshot:
            with run.averaged():
                metrics, rows = measure(model, held, config)
                publish(run, tick, config.name, {"": write_half(model)}, [], metrics, rows)


if __name__ == "__main__":
    main(read(MasksConfig, "training.sam2"))
