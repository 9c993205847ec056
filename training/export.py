"""From a trained model to `assets/pocket/<name>`: fp16 files, a manifest with hashes and parents, pictures."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from training.loop import Run, Tick

MANIFEST = "MANIFEST.json"
SHARD = "9MB"  # every committed file stays under 10 MB
Writer = Callable[[Path], object]


@dataclass(frozen=True)
class Manifest:
    """Where a snapshot comes from. `files` and `parents` map to sha256; a parent is another folder of the same
    assets, or "world", and its digest is over that folder's own `files`."""

    name: str
    command: str
    seed: int
    minutes: float  # of all runs so far
    steps: int
    size: int  # pixels on a side it was trained at
    device: str
    parents: Mapping[str, str]
    metrics: Mapping[str, float]
    files: Mapping[str, str] = field(default_factory=dict)


def write_half(model: Any) -> Writer:
    """Writes a diffusers or transformers model in fp16 safetensors, in its ordinary folder layout."""

    def write(folder: Path) -> None:
        half = torch.nn.Module.half(copy.deepcopy(model).cpu())
        half.save_pretrained(folder, safe_serialization=True, max_shard_size=SHARD)

    return write


def save_all(model: Any, tokenizer: Any) -> Writer:
    """Writes a model in fp16 with its tokenizer beside it."""

    def write(folder: Path) -> None:
        write_half(model)(folder)
        tokenizer.save_pretrained(folder)

    return write


def export(assets: str, manifest: Manifest, writers: Mapping[str, Writer]) -> Path:
    """Write a snapshot folder and its manifest beside the old one, then swap them; `writers` by subfolder ("" =
    the folder itself)."""
    target = Path(assets) / manifest.name
    partial = target.with_name(f".{manifest.name}.part")
    old = target.with_name(f".{manifest.name}.old")
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir(parents=True)
    for subfolder, write in writers.items():
        (partial / subfolder).mkdir(parents=True, exist_ok=True)
        write(partial / subfolder)
    facts = asdict(manifest) | {"files": hash_files(partial)}
    (partial / MANIFEST).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    if target.exists():
        os.replace(target, old)
    os.replace(partial, target)
    shutil.rmtree(old, ignore_errors=True)
    return target


def hash_files(folder: Path) -> dict[str, str]:
    """sha256 of every file under `folder` but the manifest, by path relative to it."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a snapshot folder; FileNotFoundError where there is none."""
    return Manifest(**json.loads((folder / MANIFEST).read_text()))


def digest(folder: Path) -> str:
    """One sha256 for a snapshot: over the names and hashes that its manifest lists."""
    files = read_manifest(folder).files
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()


def faults(folder: Path, world: str) -> list[str]:
    """What is wrong with a snapshot: files missing, changed or unlisted, parents that are no longer those it was
    trained on. `world` is the digest of the world that the code draws."""
    manifest, found = read_manifest(folder), hash_files(folder)
    wrong = [f"{name}: missing" for name in manifest.files.keys() - found.keys()]
    wrong += [f"{name}: not in the manifest" for name in found.keys() - manifest.files.keys()]
    wrong += [f"{name}: changed" for name in found if manifest.files.get(name, found[name]) != found[name]]
    for parent, trained_on in manifest.parents.items():
        here = folder.parent / parent
        now = world if parent == "world" else digest(here) if (here / MANIFEST).exists() else "missing"
        if now != trained_on:
            wrong.append(f"parent {parent}: changed since {manifest.name} was trained on it")
    return sorted(wrong)


def manifest_of(run: Run, tick: Tick, name: str, parents: Sequence[str], metrics: Mapping[str, float]) -> Manifest:
    """The manifest of a run's snapshot as `name`, without its files yet; `parents` as for `publish`."""
    config = run.config
    digests = {parent: digest(Path(config.assets) / parent) for parent in parents}
    return Manifest(
        name=name,
        command=config.command,
        seed=config.seed,
        minutes=round(tick.minutes, 2),
        steps=tick.step,
        size=config.size,
        device=run.device.type,
        parents={"world": run.world, **digests},
        metrics=metrics,
    )


def publish(
    run: Run,
    tick: Tick,
    name: str,
    writers: Mapping[str, Writer],
    parents: Sequence[str],
    metrics: Mapping[str, float],
    rows: Sequence[Tensor],
) -> None:
    """Export a run's snapshot as `name`; its curve and a sheet of `rows` of pictures go to `runs/<name>`.

    `parents` name other folders of the same assets; the world is one of every model's.
    """
    config = run.config
    export(config.assets, manifest_of(run, tick, name, parents, metrics), writers)
    folder = Path(config.runs) / name
    save_curve(folder / "curve.png", run.curve, name)
    if rows:
        save_sheet(folder / "samples.png", rows)
    spent = f"{tick.minutes:.1f} min, {tick.rate:.2f} steps/s"
    print(f"{name}: step {tick.step}, {spent}, loss {tick.loss:.5f}, {dict(metrics)}", flush=True)


def warm(folder: Path, resume: bool) -> tuple[float, int]:
    """Minutes and steps already spent on a committed snapshot that a resumed run starts from."""
    if not resume or not (folder / MANIFEST).exists():
        return 0.0, 0
    manifest = read_manifest(folder)
    return manifest.minutes, manifest.steps


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal to noise ratio in dB, the mean over pictures (N, 3, H, W) in [-1, 1]."""
    error = ((a.clamp(-1, 1) - b) / 2).square().mean((1, 2, 3)).clamp_min(1e-10)
    return float(-10 * error.log10().mean())


def save_sheet(path: Path, rows: Sequence[Tensor]) -> None:
    """A PNG of rows of pictures; each row (N, 3, H, W) in [-1, 1]."""
    grid = torch.cat([torch.cat(list(row.detach().float().cpu()), 2) for row in rows], 1)
    pixels = ((grid.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def save_curve(path: Path, points: Sequence[tuple[float, float]], title: str) -> None:
    """A PNG of a loss curve: minutes across, loss up on a logarithmic scale, its ends labelled."""
    width, height, margin = 480, 240, 36
    canvas = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(canvas)
    minutes, loss = np.array(points, float).T
    low, high = np.log(loss.min()), np.log(loss.max())
    across = margin + (width - 2 * margin) * minutes / max(minutes.max(), 1e-6)
    down = height - margin - (height - 2 * margin) * (np.log(loss) - low) / max(high - low, 1e-6)
    draw.rectangle((margin, margin, width - margin, height - margin), outline=180)
    draw.line(list(zip(across.tolist(), down.tolist(), strict=True)), fill=0, width=2)
    draw.text((margin, 8), f"{title}: loss {loss[-1]:.4g} after {minutes[-1]:.1f} min", fill=0)
    draw.text((2, margin - 4), f"{loss.max():.3g}", fill=0)
    draw.text((2, height - margin - 4), f"{loss.min():.3g}", fill=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path)
