"""The autoencoder: principal components of patches in closed form, then the refiner by gradient descent.

python -m training.vae --minutes 5                             on a GPU: --batch 64 --minutes 2
python -m training.vae --minutes 5 --width 8 --layers 1        what two CPU cores can train
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from models.autoencoder import PatchAutoencoder, patch_basis
from models.latents import decode, encode
from training import world
from training.config import Config, read
from training.export import psnr, publish, warm, write_half
from training.loop import Moment, Run, seeded
from training.pool import Pool, Sample


@dataclass(frozen=True)
class VaeConfig(Config):
    """Trains the pocket autoencoder."""

    name: str = "vae"
    channels: int = 8  # per 8x8 patch, for every pocket model
    width: int = 16  # of the refiner at full resolution, doubled at each halving; 0.8 M weights
    layers: int = 2  # residual blocks per resolution
    learning_rate: float = 2e-3
    batch: int = 8
    fit: int = 400  # scenes of each kind for the basis; 100k patches estimate 192 dimensions well
    reuse: float = 2.0  # a convolutional step costs much more than drawing
    ema: float = 0.998
    held_out: int = 64
    photos: str = ""  # a folder of photographs to measure on


def pictures(count: int, size: int, generator: torch.Generator) -> Tensor:
    """What the models look at, in [-1, 1]: scenes and, half as many, things on white as foregrounds are."""
    scenes = world.scenes(count, (size, size), generator)
    cut = world.layer_canvases(scenes)[: count // 2, 0]
    white = cut[:, :3] * cut[:, 3:] + 1 - cut[:, 3:]
    return torch.cat([scenes.image, white]) * 2 - 1


def noise_textures(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Coloured noise with a 1/f spectrum, as photographs have: (N, 3, size, size) in [-1, 1]."""
    frequency = torch.fft.fftfreq(size)[:, None].hypot(torch.fft.rfftfreq(size)[None])
    spectrum = torch.fft.rfft2(torch.randn(count, 3, size, size, generator=generator))
    slope = 0.8 + 0.7 * torch.rand(count, 1, 1, 1, generator=generator)
    waves = torch.fft.irfft2(spectrum / frequency.clamp_min(1 / size) ** slope, s=(size, size))
    waves = waves / waves.std((1, 2, 3), keepdim=True)
    mix = torch.randn(count, 3, 3, generator=generator) * 0.6  # channels of a photograph go together
    coloured = torch.einsum("nij,njhw->nihw", mix, waves) + waves.mean(1, keepdim=True)
    return torch.tanh(coloured + torch.randn(count, 3, 1, 1, generator=generator))


def build(config: VaeConfig) -> PatchAutoencoder:
    """The committed snapshot when resuming, else a fresh model on a freshly fitted basis; only the refiner learns.

    Latents so mean the same however long the refiner has been trained: the other models need not wait for it.
    """
    folder = Path(config.assets) / config.name
    if config.resume and folder.exists():
        model: PatchAutoencoder = PatchAutoencoder.from_pretrained(folder)
    else:
        torch.manual_seed(config.seed)
        widths = tuple(config.width * 2**k for k in range(4))
        model = PatchAutoencoder(config.channels, widths, config.layers)
        generator = seeded(config.seed, 0)
        # One basis serves both sizes that the models work at; pictures are laid side by side as strips.
        strips = [as_strip(pictures(config.fit // k**2, config.size * k, generator)) for k in (1, 2)]
        model.set_basis(patch_basis(torch.cat(strips, 3), config.channels))
    model.requires_grad_(False)
    model.refiner.requires_grad_(True)
    return model


def as_strip(images: Tensor) -> Tensor:
    """(N, 3, H, W) -> (1, 3, 8, N * H/8 * W): the same 8x8 patches in one row."""
    count, _, height, width = images.shape
    rows = images.reshape(count, 3, height // 8, 8, width).permute(1, 3, 0, 2, 4)  # (3, 8, N, H/8, W)
    return rows.reshape(1, 3, 8, -1)


@torch.no_grad()
def measure(model: PatchAutoencoder, config: VaeConfig) -> tuple[dict[str, float], list[Tensor]]:
    """PSNR in dB of the round trip on held-out scenes at both sizes and on photographs, with the basis alone
    (`linear_*`) beside it; and rows for the sample sheet."""
    sets: dict[str, Tensor] = {}
    for size in (config.size, 2 * config.size):
        held = world.scenes(config.held_out, (size, size), seeded(config.seed + 1, size), "held_out")
        sets[str(size)] = held.image * 2 - 1
    if config.photos:
        sets["photos_256"] = load_photos(Path(config.photos), 256)
    metrics: dict[str, float] = {}
    rows: list[Tensor] = []
    for name, images in sets.items():
        images = images.to(model.device)
        latents = encode(model, images)
        # A few at a time: the refiner is wide at full resolution.
        full = torch.cat([decode(model, z) for z in torch.split(latents, 16)])
        linear = model.decode_linear(latents)
        metrics |= {f"psnr_{name}": round(psnr(full, images), 2), f"linear_{name}": round(psnr(linear, images), 2)}
        rows += [torch.nn.functional.interpolate(x[:8].clamp(-1, 1), (128, 128)) for x in (images, full)]
    return metrics, rows


def load_photos(folder: Path, size: int) -> Tensor:
    """Photographs of a folder, centre-cropped to squares of `size`: (N, 3, size, size) in [-1, 1]."""
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    squares = [ImageOps.fit(Image.open(p).convert("RGB"), (size, size), Image.Resampling.LANCZOS) for p in files]
    return torch.stack([torch.from_numpy(np.array(s)).permute(2, 0, 1) / 127.5 - 1 for s in squares])


def main(config: VaeConfig) -> None:
    """Fit, refine, measure and export until the time is over."""
    folder = Path(config.assets) / config.name
    model = build(config)
    run = Run(config, model, *warm(folder, config.resume))

    def draw(generator: torch.Generator) -> Sample:
        # A basis fitted to textures serves scenes less well, so only the refiner sees them.
        textures = noise_textures(8, config.size, generator)
        return {"x": torch.cat([pictures(32, config.size, generator), textures])}

    pool = Pool(draw, 1024, config.reuse)

    def loss(moment: Moment) -> Tensor:
        x = pool.batch(config.batch, moment.generator)["x"].to(run.device)
        return torch.nn.functional.mse_loss(decode(model, encode(model, x)), x)

    for tick in run.ticks(loss):
        if not tick.snapshot:
            continue
        with run.averaged():
            metrics, rows = measure(model, config)
            publish(run, tick, config.name, {"": write_half(model)}, [], metrics, rows)


if __name__ == "__main__":
    main(read(VaeConfig, "training.vae"))
