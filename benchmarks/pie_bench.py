"""DiT4Edit on PIE-Bench (arXiv 2310.01506): `python -m benchmarks.pie_bench --data DIR --preset full --out FILE`

DIR is the user's own copy: `mapping_file.json` beside `annotation_images/`. Raw output, all controls at their defaults;
the masks only score. PSNR, MSE and SSIM of the background as the benchmark has them, with the edited part black in both
pictures and the whole frame counted, and beside them the PSNR of background pixels alone. Similarity to the prompts is
scored where CLIP's weights lie on this disk. Structure distance and LPIPS need weights that are not used here.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, tables
from benchmarks.pie_scores import ClipScore, Entry, decode_mask, mean, plain, scores
from models import runtime
from models.contract import BadRequest, Result
from models.dit4edit.spec import PRESETS, EditRequest
from models.pictures import decode, encode

IMAGES = "annotation_images"
CLIP = "openai/clip-vit-large-patch14"  # the benchmark's
KINDS = {
    "0": "random",
    "1": "change object",
    "2": "add object",
    "3": "delete object",
    "4": "change content",
    "5": "change pose",
    "6": "change colour",
    "7": "change material",
    "8": "change background",
    "9": "change style",
}
COLUMNS = {  # number -> heading, unit, digits
    "psnr": ("PSNR, as PIE-Bench", "dB", 2),
    "psnr_background": ("PSNR of the background", "dB", 2),
    "mse": ("MSE x 10^4", "", 2),
    "ssim": ("SSIM x 10^2", "", 2),
    "clip_whole": ("CLIP, whole", "", 2),
    "clip_edited": ("CLIP, edited", "", 2),
}


def entries(data: Path) -> Iterator[Entry]:
    """What `mapping_file.json` lists, in its order; raises ValueError where the folder is not PIE-Bench's."""
    listing = data / "mapping_file.json"
    if not listing.is_file():
        raise ValueError(f"{listing} is not there; --data is the folder that holds it and {IMAGES}/.")
    for key, one in json.loads(listing.read_text(encoding="utf-8")).items():
        path = data / IMAGES / one["image_path"]
        if not path.is_file():
            raise ValueError(f"{path} is not there, though entry {key} names it.")
        yield Entry(
            key,
            path,
            plain(one["original_prompt"]),
            plain(one["editing_prompt"]),
            str(one["editing_type_id"]),
            tuple(int(n) for n in one["mask"]),
        )


def edited(entry: Entry, source: np.ndarray, preset: str, seed: int) -> Result:
    """The method's raw result for an entry."""
    request = EditRequest(
        image=source,
        source_prompt=entry.source_prompt,
        target_prompt=entry.target_prompt,
        seed=seed,
        preset=preset,
        keep_detail="off",
        paste_back=False,
    )
    for event in runtime.run("dit4edit", request):
        if isinstance(event, Result):
            return event
    raise RuntimeError("The run ended without a picture.")


def measure(entry: Entry, preset: str, seed: int, clip: ClipScore | None, pictures: Path | None) -> dict[str, Any]:
    """Edit one picture and score it; numbers that an entry has nothing for are None. A request that the method refuses
    has no numbers and says why."""
    source = decode(entry.path, "rgb", entry.path.name)
    mask = decode_mask(entry.runs, (source.shape[0], source.shape[1]))
    case: dict[str, Any] = {"key": entry.key, "kind": entry.kind, "numbers": {}}
    try:
        result = edited(entry, source, preset, seed)
    except BadRequest as error:
        return case | {"refused": str(error)}
    picture = result.images[0]
    found = scores(source, picture, mask)
    if clip:
        inside = np.where(mask[..., None], picture, np.uint8(0))  # never empty: the frame is always there
        found |= {"clip_whole": clip(picture, entry.target_prompt), "clip_edited": clip(inside, entry.target_prompt)}
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
        (pictures / f"{Path(entry.key).name}.png").write_bytes(encode(picture))
    return case | {"seconds": result.facts["seconds"], "numbers": found}


def summary(cases: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Means over all cases and over those of each kind; a number that no case has is left out."""
    groups = {"all": list(cases)}
    for case in cases:
        groups.setdefault(KINDS.get(case["kind"], case["kind"]), []).append(case)
    return {
        name: {"cases": len(members)}
        | {key: value for key in COLUMNS if (value := mean([c["numbers"].get(key) for c in members])) is not None}
        for name, members in groups.items()
    }


def table(found: Mapping[str, Any]) -> str:
    """The summary as Markdown."""
    shown = [key for key in COLUMNS if key in found["summary"]["all"]]
    factor = {"mse": 1e4, "ssim": 1e2}
    lines = []
    for name, row in found["summary"].items():
        cells = [
            f"{row[key] * factor.get(key, 1):.{COLUMNS[key][2]}f} {COLUMNS[key][1]}".strip() if key in row else "-"
            for key in shown
        ]
        lines.append([name, str(row["cases"]), *cells])
    return tables.markdown(["kind", "cases", *[COLUMNS[key][0] for key in shown]], lines)


def report(given: argparse.Namespace, cases: Sequence[Mapping[str, Any]], clip: bool, seconds: float) -> dict[str, Any]:
    """Everything that goes into the JSON file."""
    return {
        "preset": given.preset,
        "seed": given.seed,
        "clip": given.clip if clip else None,
        "paste_back": False,
        "seconds": round(seconds, 1),
        "refused": sum("refused" in case for case in cases),
        "machine": machine.describe(given.threads),
        "weights": machine.weight_digests(PRESETS[given.preset]),
        "summary": summary(cases),
        "cases": list(cases),
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pie_bench", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help=f"the folder of mapping_file.json and {IMAGES}/")
    parser.add_argument("--preset", default="pocket", choices=sorted(PRESETS))
    parser.add_argument("--out", type=Path, required=True, help="JSON with every number")
    parser.add_argument("--pictures", type=Path, help="a folder for the edited pictures")
    parser.add_argument("--limit", type=int, help="only the first so many entries")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="torch threads on the CPU; 0 = the preset's")
    parser.add_argument("--clip", default=CLIP, help="a folder, or a hub id that was fetched before")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the file."""
    given = parse(arguments)
    try:
        listed = list(entries(given.data))[: given.limit]
        if not listed:
            raise ValueError(f"{given.data} lists no picture.")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    runtime.configure(threads=given.threads, preset=given.preset)
    clip, started, cases = ClipScore.found(given.clip), time.perf_counter(), []
    given.out.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for entry in listed:
        cases.append(measure(entry, given.preset, given.seed, clip, given.pictures))
        print(f"\r{len(cases)}/{len(listed)} {entry.key}", end="", file=sys.stderr, flush=True)
        found = report(given, cases, clip is not None, time.perf_counter() - started)
        given.out.write_text(json.dumps(found, indent=1) + "\n")  # a run of hours is worth keeping when it is stopped
    print(f"\n{table(found)}")
    if not clip:
        print(f"\nCLIP was not scored: {given.clip} is not on this disk.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
