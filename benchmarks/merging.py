"""What merging patches, pinning the source and keeping inversions save: steps and edits by a transformer of PixArt-XL's
shape with random weights, in turn.

`python -m benchmarks.merging` prints one JSON line; on a CPU with one block of 28, since only ratios count there. The
text encoder and the autoencoder take no part. A child of `speed`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import device as devices
from models.diffusion import alphas_cumprod
from models.dit4edit import method
from models.dit4edit.alignment import Alignment, align, words
from models.dit4edit.controller import PATCH, Controller
from models.dit4edit.cross import CrossControl
from models.dit4edit.editing import Course, edit
from models.dit4edit.merging import Merging, kept
from models.dit4edit.mutual import PRESETS
from models.dit4edit.rows import Rows, paired, pinned
from models.dpm_solver import Grid, grid
from models.inversion import invert

BLOCKS, WIDTH, HEADS, TEXT, CAPTION = 28, 1152, 16, 120, 4096  # PixArt-XL's
SIZES = ((512, 512), (1024, 1024), (1024, 2048))  # pixels, (height, width)
SETTINGS = ((0.2, 2), (0.5, 2), (0.75, 2), (0.8, 4))  # merge ratio and stride
PIXELS = 8 * PATCH  # along the side of a token
STEPS = 10  # of a whole edit
SCALE = 4.5
PROMPTS = ("a lion on grass", "a tiger on grass")

Size = tuple[int, int]


def block_flops(tokens: int, merged: int | None = None, stride: int = 2, sharing: int = 1) -> float:
    """FLOPs of one block for one row of `tokens` tokens, of which self-attention sees `merged`.

    Projections of self-attention 8 M d^2 and its map 4 M^2 d; projections of cross-attention 4 N d^2, its map 4 N L d;
    the MLP 16 N d^2. Merging adds the similarities of a matching, which `sharing` blocks have in common.
    """
    seen, cells = tokens if merged is None else merged, stride * stride
    own = 8 * seen * WIDTH**2 + 4 * seen**2 * WIDTH
    rest = 20 * tokens * WIDTH**2 + 4 * tokens * TEXT * WIDTH
    matching = 0.0 if merged is None else 2 * (1 - 1 / cells) / cells * tokens**2 * WIDTH / sharing
    return own + rest + matching


def bound(ratio: float, stride: int, size: Size, sharing: int = 1) -> float:
    """How many times fewer FLOPs a block takes with merging: no run can be faster by more through counting alone."""
    height, width = tokens_of(size)
    left = kept(ratio, stride, height, width)
    return block_flops(height * width) / block_flops(height * width, left, stride, sharing)


def tokens_of(size: Size) -> tuple[int, int]:
    """The grid of tokens of a picture in pixels."""
    return size[0] // PIXELS, size[1] // PIXELS


def transformer(depth: int, device: str, dtype: torch.dtype) -> Any:
    """PixArt-XL's blocks with random weights, `depth` of them, without micro-conditions."""
    from diffusers import PixArtTransformer2DModel

    with torch.device(device):
        torch.manual_seed(0)
        made = PixArtTransformer2DModel(
            num_attention_heads=HEADS,
            attention_head_dim=WIDTH // HEADS,
            in_channels=4,
            out_channels=8,
            num_layers=depth,
            cross_attention_dim=WIDTH,
            caption_channels=CAPTION,
            sample_size=64,
            use_additional_conditions=False,
        )
    made = made.eval().requires_grad_(False)
    return made if dtype == torch.float32 else made.to(dtype)


@dataclass(frozen=True, eq=False)
class Bench:
    """A transformer and where it works."""

    transformer: Any
    device: str
    dtype: torch.dtype

    @property
    def layers(self) -> int:
        return len(self.transformer.transformer_blocks)

    def network(self, batch: int) -> Callable[..., Tensor]:
        """The transformer told random texts, for `editing.edit` and `inversion.invert`."""
        text = torch.randn(batch, TEXT, CAPTION, device=self.device, dtype=self.dtype)
        added = {"resolution": None, "aspect_ratio": None}

        def call(latents: Tensor, timestep: Tensor, chosen: list[int] | None = None) -> Tensor:
            out: Tensor = self.transformer(
                latents.to(self.device, self.dtype),
                encoder_hidden_states=text[list(range(len(latents))) if chosen is None else chosen],
                timestep=timestep.to(self.device).expand(len(latents)),
                added_cond_kwargs=added,
                return_dict=False,
            )[0]
            return out[:, :4].float()

        return call

    def trajectory(self, size: Size, steps: int) -> tuple[Tensor, ...]:
        shape = (1, 4, size[0] // 8, size[1] // 8)
        return tuple(torch.randn(shape, device=self.device) for _ in range(steps + 1))

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def stops(steps: int) -> Grid:
    """The method's own timesteps."""
    return grid(alphas_cumprod("linear", **method.BETAS), steps)


def alignment() -> Alignment:
    """Of two prompts that differ by a word; each word is one token."""
    sides = []
    for prompt in PROMPTS:
        offsets, start = [], 0
        for word in prompt.split():
            offsets.append((start, start + len(word)))
            start += len(word) + 1
        sides.append(words(prompt, [*offsets, (0, 0)]))
    return align(sides[0], sides[1], TEXT)


def step(bench: Bench, size: Size, rows: Rows, merging: Merging | None = None) -> Callable[[], None]:
    """One step of an edit that controls all rows and layers, ready to be timed."""
    return _edit(
        bench,
        size,
        rows,
        1,
        cross=[CrossControl(alignment(), until=1.0)],
        rules=PRESETS["structure"](1, bench.layers, 1.0, 0),
        merging=merging,
    )


def whole(bench: Bench, size: Size, rows: Rows) -> Callable[[], None]:
    """A whole edit that swaps a word, as its defaults are: the source leaves once nothing needs it any more."""
    return _edit(
        bench,
        size,
        rows,
        STEPS,
        cross=[CrossControl(alignment(), until=0.6)],
        rules=PRESETS["rigid"](STEPS, bench.layers, 0.3, bench.layers // 2),
    )


def inversion(bench: Bench, size: Size) -> Callable[[], None]:
    """The inversion that a first edit begins with."""
    network, clean = bench.network(1), bench.trajectory(size, 0)[0]

    def go() -> None:
        for _ in invert(network, clean, stops(STEPS)):
            pass

    return go


def _edit(bench: Bench, size: Size, rows: Rows, steps: int, **options: Any) -> Callable[[], None]:
    network = bench.network(len(rows))
    course = Course(stops(steps), bench.trajectory(size, steps), SCALE, pinned=rows == pinned())

    def go() -> None:
        control = Controller(rows, bench.layers, tokens_of(size), steps, **options)  # a used one knows its matchings
        with control.installed(bench.transformer):
            for _ in edit(network, control, course):
                pass

    return go


@torch.inference_mode()
def in_turn(bench: Bench, things: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of each, all in turn, after one round that is thrown away."""
    found: dict[str, list[float]] = {name: [] for name in things}
    for _ in range(rounds + 1):
        for name, go in things.items():
            bench.wait()
            started = time.perf_counter()
            go()
            bench.wait()
            found[name].append(time.perf_counter() - started)
    return {name: float(np.median(values[1:])) for name, values in found.items()}


def merging_of(bench: Bench, size: Size, rounds: int) -> dict[str, Any]:
    """A step of three rows with and without merging, and of the four rows that a source without its inversion needs."""
    options = {f"{ratio} {stride}": Merging(ratio, stride) for ratio, stride in SETTINGS}
    things = {"plain": step(bench, size, pinned()), "paired": step(bench, size, paired())}
    things |= {name: step(bench, size, pinned(), merging) for name, merging in options.items()}
    seconds = in_turn(bench, things, rounds)
    sharing = min(bench.layers, Merging().group)
    height, width = tokens_of(size)
    settings = [
        {
            "ratio": merging.ratio,
            "stride": merging.stride,
            "kept": kept(merging.ratio, merging.stride, height, width) / (height * width),
            "step_s": seconds[name],
            "faster": seconds["plain"] / seconds[name],
            "bound": bound(merging.ratio, merging.stride, size, sharing),
        }
        for name, merging in options.items()
    ]
    return {
        "size": list(size),
        "step_s": seconds["plain"],
        "four_rows_s": seconds["paired"],
        "four_over_three": seconds["paired"] / seconds["plain"],
        "settings": settings,
    }


def edits_of(bench: Bench, size: Size, rounds: int) -> dict[str, Any]:
    """Whole edits: the first of a picture, one after its inversion is kept, and one in four rows."""
    things = {
        "inversion": inversion(bench, size),
        "three": whole(bench, size, pinned()),
        "four": whole(bench, size, paired()),
    }
    seconds = in_turn(bench, things, rounds)
    first = seconds["inversion"] + seconds["three"]
    return {
        "size": list(size),
        "steps": STEPS,
        "first_s": first,
        "second_s": seconds["three"],
        "second_of_first": seconds["three"] / first,
        "four_rows_s": seconds["four"],
        "four_over_three": seconds["four"] / seconds["three"],
    }


def measure(depth: int, device: str, dtype: str, sizes: Sequence[Size], rounds: int) -> dict[str, Any]:
    """The whole run."""
    bench = Bench(transformer(depth, device, getattr(torch, dtype)), device, getattr(torch, dtype))
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "dtype": dtype,
        "depth": depth,
        "of_blocks": BLOCKS,
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "merging": [merging_of(bench, size, rounds) for size in sizes],
        "edits": edits_of(bench, sizes[0], rounds),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.merging", description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--depth", type=int, help="blocks; default: 28 on a GPU, 1 on a CPU")
    parser.add_argument("--sizes", nargs="+", default=[f"{h}x{w}" for h, w in SIZES], help="height x width in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=devices.cores(), help="torch threads on a CPU")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    device = devices.pick(given.device)
    depth = given.depth or (1 if device == "cpu" else BLOCKS)
    sizes = [(int(height), int(width)) for height, width in (text.split("x") for text in given.sizes)]
    print(json.dumps(measure(depth, device, "float32" if device == "cpu" else "bfloat16", sizes, given.rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
