"""Fusion: FLUX learns to put the foreground where its position ids say.

python -m training.dreamfuse --minutes 60                      on a GPU: --size 256 --batch 128
On so small a base the whole transformer is trained and shipped, with the image tags beside it. `--lora` trains
what the published adapter trains and writes that alone, in the published layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from models.dreamfuse import adapter
from models.dreamfuse.loss import fusion_loss
from models.dreamfuse.text import Prompt
from models.dreamfuse.transformer import conditioned
from training import world
from training.config import Config, read
from training.export import MANIFEST, Writer, publish, warm, write_half
from training.flow import draw_guidance, draw_sigmas
from training.fusion import FusionView
from training.loop import Moment, Run, pick_device, seeded
from training.pool import Pool, Sample
from training.widen import twice, widened
from training.windows import window


@dataclass(frozen=True)
class FuseConfig(Config):
    """Trains the pocket DreamFuse on top of the pocket FLUX."""

    name: str = "dreamfuse"
    minutes: float = 60.0
    learning_rate: float = 5e-3
    muon: bool = True
    ema: float = 0.998
    snapshot_minutes: float = 10.0
    lora: bool = False
    rank: int = 16
    widen: bool = False  # resume at twice the width of the snapshot; into a new `runs`, since no state fits
    text_tokens: int = 32  # what the pocket preset asks for
    large: float = 0.3  # first fraction of the run with large placements only: copying is learned sooner there
    sigma_mean: float = 1.0  # the answer is nearly determined by what is seen: its light and colours at high noise
    near: float = 4.0  # weight of tokens about the object over the others, which mostly copy the background
    window: int = 0  # tokens on a side of the window about the object that most steps see; 0 = the whole picture
    windows: float = 0.75  # of the steps see a window
    window_batch: int = 24  # costs about what 8 whole pictures do
    direct: float = 0.7  # of the samples are told the place by direct transform, which is pocket's own way
    reuse: float = 6.0
    held_out: int = 32
    sample_steps: int = 8  # of the preset


class Fuser(nn.Module):
    """The transformer and the tags (3, D): DreamFuse's snapshot when resuming, else FLUX's and zeros."""

    def __init__(self, config: FuseConfig) -> None:
        super().__init__()
        folder = Path(config.assets) / config.name
        committed = config.resume and (folder / MANIFEST).exists() and not config.lora
        source = folder / "transformer" if committed else folder.parent / "flux"
        self.flux = FluxTransformer2DModel.from_pretrained(source)
        tags = adapter.Adapter.from_pretrained(folder).tags if committed else torch.zeros(3, self.flux.inner_dim)
        if config.widen:
            tags = twice(tags.T, self.flux.inner_dim).T.contiguous()
            self.flux = widened(self.flux, seeded(config.seed, 0))
        self.tags = adapter.begin(self.flux, config.rank, config.rank) if config.lora else nn.Parameter(tags.float())
        self.lora = config.lora

    def writers(self, empty: Prompt) -> dict[str, Writer]:
        """The adapter's files (its rank is 0 where the transformer itself was trained) and the empty prompt's."""
        tags = self.tags.detach()
        kept = adapter.finish(self.flux, tags) if self.lora else adapter.Adapter({}, tags, 0, 0.0)

        def write(folder: Path) -> None:
            kept.save(folder, base="assets/pocket/flux")
            empty.save(folder / "empty_prompt.safetensors")

        return {"": write} if self.lora else {"": write, "transformer": write_half(self.flux)}


def main(config: FuseConfig) -> None:
    """Train, fuse held-out objects, export."""
    assets, device = Path(config.assets), pick_device(config.device)
    view, model = FusionView(assets, config.text_tokens, device), Fuser(config)
    run = Run(config, model, *warm(assets / config.name, config.resume))
    size, done = (config.size, config.size), 0.0

    def draw(generator: torch.Generator, direct: float = config.direct) -> Sample:
        batch = world.fusion(32, size, generator, "train", device, large=done < config.large)
        return view.rows(batch, torch.rand(32, generator=generator) < direct)

    def chosen(generator: torch.Generator) -> Sample:
        if config.window and float(torch.rand(1, generator=generator)) < config.windows:
            return window(near.batch(config.window_batch, generator), config.window, generator)
        return pool.batch(config.batch, generator)

    def loss(moment: Moment) -> Tensor:
        nonlocal done
        done, generator = moment.done, moment.generator
        rows = chosen(generator)
        count = len(rows["fused"])
        noise = torch.randn(rows["fused"].shape, generator=generator).to(device)
        sigmas = draw_sigmas(count, config.sigma_mean, generator).to(device)
        weights = view.weights(rows["near"], config.near, config.pixels)
        arguments = view.arguments(rows, model.tags, draw_guidance(count, generator))
        with conditioned(model.flux) as flux:
            losses = fusion_loss(flux, rows["fused"], noise, sigmas, weights=weights, **arguments)
        return losses.total

    pool = Pool(draw, 4096, config.reuse)
    near = Pool(lambda generator: draw(generator, 1.0), 2048, config.reuse)  # a window needs the place to be plain
    unseen = world.fusion(config.held_out, size, seeded(config.seed + 1, 0), "held_out", device)
    rows = view.rows(unseen, torch.full((config.held_out,), config.direct > 0))
    nothing = view.words([""])
    empty = Prompt(nothing["text"], nothing["pooled"])
    for tick in run.ticks(loss):
        if tick.snapshot:
            with run.averaged():
                drawn = view.sample(model.flux, model.tags, rows, config.sample_steps)
                metrics = view.score(unseen, drawn)
                parents = ["vae", "clip", "t5", "flux"]
                pictures = [unseen.foreground[:, :3], unseen.background, world.paste(unseen), unseen.fused]
                sheet = [x[:8] * 2 - 1 for x in pictures] + [drawn[:8]]
                publish(run, tick, config.name, model.writers(empty), parents, metrics, sheet)


if __name__ == "__main__":
    main(read(FuseConfig, "training.dreamfuse"))
