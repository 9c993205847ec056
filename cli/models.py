"""`models list | download | verify | convert-cat | convert-face`: what is here, getting the rest, sound files."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from models import catalog, costs, fetching, inventory
from models.cat.location import weights_folder
from models.contract import BadRequest, MissingWeights
from models.facediffuser import location as face_location

HEAD = ("method", "preset", "state", "download", "memory", "seconds a picture", "licence")


def add(verbs: Any) -> None:
    """The `models` verb with its four actions."""
    parser = verbs.add_parser("models", help="list, download or verify weights", allow_abbrev=False)
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="every preset: ready, missing or gated, what it costs, its licence")
    listing.add_argument("--json", action="store_true", help="one line of JSON")
    listing.set_defaults(handler=show)
    download = actions.add_parser(
        "download", help="fetch, and where needed convert, the full weights of a method, after a yes"
    )
    download.add_argument("method", metavar="METHOD", help=", ".join(s.key for s in catalog.shelves()))
    download.add_argument("--preset", default="full", metavar="NAME")
    download.add_argument("--yes", action="store_true", help="do not ask")
    download.set_defaults(handler=fetch)
    verify = actions.add_parser("verify", help="compare files with what was published")
    verify.add_argument("name", nargs="?", default="", help="a method or a folder of assets/pocket; all without it")
    verify.set_defaults(handler=check)
    conversion = actions.add_parser("convert-cat", help="make the full weights of cat from a checkpoint of your own")
    conversion.add_argument("file", metavar="FILE", help="of the authors' layout, .safetensors or .ckpt")
    conversion.add_argument("--out", metavar="DIR", help=f"where to write five folders [{weights_folder()}]")
    conversion.set_defaults(handler=convert_cat)
    faces = actions.add_parser("convert-face", help="make the full weights of facediffuser from the published files")
    faces.add_argument("subject", metavar="SUBJECT", help="SDM/pytorch_model.bin, or FastComposer's file")
    faces.add_argument("scene", metavar="SCENE", nargs="?", help="TDM/pytorch_model.bin; without it: the base alone")
    faces.add_argument("--out", metavar="DIR", help=f"where to write five folders [{face_location.weights_folder()}]")
    faces.set_defaults(handler=convert_face)


def show(arguments: argparse.Namespace) -> int:
    """Print what every preset costs."""
    found = costs.table()
    if arguments.json:
        print(json.dumps([dataclasses.asdict(one) for one in found]))
        return 0
    rows = [HEAD, *(_row(one) for one in found)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(HEAD))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(one: costs.Cost) -> tuple[str, ...]:
    need = min(one.memory_gigabytes.values(), default=0.0)
    memory = f"from {costs.gigabytes(need)}" if need else "-"
    return one.method, one.preset, one.state, costs.download(one), memory, costs.seconds(one), one.licence or "-"


def fetch(arguments: argparse.Namespace) -> int:
    """State size and licence, ask, download, convert, check."""
    preset = inventory.find(arguments.method, arguments.preset)
    parts = fetching.to_fetch(preset)
    if not parts and not (preset.convert and fetching.unmade(preset)):
        print(f"{arguments.method} ({preset.name}) is already here.")
        return 0
    size = sum(part.gigabytes for part in parts)
    sources = ", ".join(dict.fromkeys(part.source for part in parts))
    print(f"{sources}: {size:.1f} GB to fetch, licence: {preset.licence or 'not stated'}.", file=sys.stderr)
    if not arguments.yes and not _agreed():
        raise BadRequest("Nothing was downloaded; answer y, or give --yes.")
    fetching.fetch(preset, notify=partial(print, file=sys.stderr, flush=True))
    _raise_for(list(inventory.full_damage(preset)))
    print(f"{arguments.method} ({preset.name}) is ready.")
    return 0


def _agreed() -> bool:
    print("Download? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def check(arguments: argparse.Namespace) -> int:
    """Check the shipped weights and whatever has been fetched; a name narrows that to a method or a folder."""
    name = arguments.name
    chosen = [shelf for shelf in catalog.shelves() if name in ("", shelf.key, shelf.verb)]
    folder = "" if chosen else name
    faults = list(inventory.pocket_damage(folder))
    checked = [f"assets/pocket/{folder}"]
    for shelf in chosen:
        for preset in shelf.presets.values():
            remote = [w for w in preset.components.values() if not w.local]
            if remote and len(inventory.missing(preset)) == len(remote):
                print(f"{shelf.key} ({preset.name}): not downloaded, nothing to check.", file=sys.stderr)
            elif remote:
                checked.append(f"{shelf.key} ({preset.name})")
                faults += inventory.full_damage(preset)
            if shelf.key == "masks" and not faults and not inventory.missing(preset):
                faults += inventory.mask_faults(preset)
    _raise_for(faults)
    print(f"{', '.join(checked)}: as published.")
    return 0


def convert_cat(arguments: argparse.Namespace) -> int:
    """Check a CAT-Diffusion checkpoint and write it as the folders that its full preset loads."""
    from models.cat import checkpoint

    out = Path(arguments.out).expanduser().absolute() if arguments.out else weights_folder()
    checkpoint.convert(Path(arguments.file), out, notify=partial(print, file=sys.stderr, flush=True))
    print(f"{out} holds CAT-Diffusion's weights; `python app.py inpaint --preset full` uses them.")
    if out != weights_folder():
        print(f"Set EASEL_CAT={out} for that.")
    return 0


def convert_face(arguments: argparse.Namespace) -> int:
    """Check the published files of Face-diffuser and write them as the folders that its full preset loads."""
    from models.facediffuser import published

    out = Path(arguments.out).expanduser().absolute() if arguments.out else face_location.weights_folder()
    scene = Path(arguments.scene) if arguments.scene else None
    published.convert(Path(arguments.subject), scene, out, notify=partial(print, file=sys.stderr, flush=True))
    base = "" if scene else " --scene-model base"
    print(f"{out} holds Face-diffuser's weights; `python app.py face --preset full{base}` uses them.")
    if absent := [w for w in inventory.missing(inventory.find("face")) if not w.own]:
        size = sum(w.gigabytes for w in absent)
        print(f"`python app.py models download face` fetches the rest ({size:.1f} GB).")
    if out != face_location.weights_folder():
        print(f"Set EASEL_FACE={out} for that.")
    return 0


def _raise_for(faults: list[str]) -> None:
    """All faults but the last on standard error; the last becomes the error."""
    if faults:
        print(*faults[:-1], sep=os.linesep, end=os.linesep if faults[1:] else "", file=sys.stderr)
        raise MissingWeights(faults[-1])
