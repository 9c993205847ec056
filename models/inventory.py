"""Which components are on this machine, and whether the files are what they should be. Plain at import."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from models import catalog, loading
from models.contract import BadRequest, MissingWeights, Preset, Weights

LEAST_OVERLAP = 0.5  # of a disc with its mask: far below any trained model, far above chance
SHA256 = 64  # hex digits: what the hub's client names the files by that it knows the sha256 of


def missing(preset: Preset) -> list[Weights]:
    """The components that are not on this disk."""
    return [w for w in preset.components.values() if not loading.present(w)]


def find(name: str, preset: str = "full") -> Preset:
    """The preset of a method (or "masks") given by key or verb; raises `BadRequest` with the names there are."""
    shelves = catalog.shelves()
    for shelf in shelves:
        if name in (shelf.key, shelf.verb):
            if preset in shelf.presets:
                return shelf.presets[preset]
            raise BadRequest(f"{shelf.key} has no preset “{preset:.40}”; choose one of {', '.join(shelf.presets)}.")
    raise BadRequest(f"There is no method “{name:.40}”; choose one of {', '.join(s.key for s in shelves)}.")


# --- whether the files are what they should be


def pocket_damage(name: str = "") -> Iterator[str]:
    """One sentence per fault of the shipped weights (of one folder, or of all): files, sha256 and parents."""
    shipped = {w.source for s in catalog.shelves() for p in s.presets.values() for w in missing(p) if w.local}
    wanted = {f"assets/pocket/{name}"} if name else shipped
    for source in sorted(wanted):
        if not (loading.ROOT / source / "MANIFEST.json").exists():
            yield f"{source} is not there; fetch the repository again with its assets."
    for path in sorted(loading.POCKET.glob(f"{name or '*'}/MANIFEST.json")):
        try:
            loading.verify_folder(path.parent)
        except MissingWeights as error:
            yield str(error)
        yield from _orphaned(path)


def _orphaned(path: Path) -> Iterator[str]:
    """Parents that are not the ones these weights were trained on; "world" is code, and no user's concern."""
    child = path.parent.name
    for parent, trained_on in json.loads(path.read_bytes()).get("parents", {}).items():
        if parent != "world" and snapshot_digest(parent) != trained_on:
            yield f"assets/pocket/{child} was trained on another assets/pocket/{parent}; train it again."


def snapshot_digest(name: str) -> str:
    """One sha256 for a shipped folder: over the names and hashes that its manifest lists."""
    files = loading.manifest(name).get("files", {})
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def full_damage(preset: Preset) -> Iterator[str]:
    """One sentence per component of a hub preset that is absent, or whose files are not as they were published."""
    for weights in preset.components.values():
        if weights.local:
            continue
        name = f"{weights.source}/{weights.subfolder}".rstrip("/")
        where = loading.found(weights)
        if where is None:
            yield f"{name} is not on this machine."
            continue
        for path in sorted(where.glob("*.safetensors")):
            if not whole_safetensors(path):
                yield f"{name}: {path.name} is cut short; delete it and get it again."
            elif _differs(path):
                yield f"{name}: {path.name} is damaged (its sha256 differs); delete it and get it again."


def _differs(path: Path) -> bool:
    """Whether a file of the hub's cache holds something else than the sha256 says that it is kept under."""
    kept = path.resolve()
    return path.is_symlink() and len(kept.name) == SHA256 and loading.digest(kept) != kept.name


def whole_safetensors(path: Path) -> bool:
    """Whether a file is as long as its own header says: 8 bytes, the header, then the tensors."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                return False
            header = json.loads(file.read(length))
    except (OSError, ValueError):
        return False
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return bool(path.stat().st_size == 8 + length + max(ends, default=0))


def mask_faults(preset: Preset) -> Iterator[str]:
    """One sentence if mask weights that are here do not load, or miss a bright disc on a dark ground when clicked."""
    (weights,) = preset.components.values()
    if weights.local and not (loading.folder(weights) / "MANIFEST.json").exists():
        return  # not here: `pocket_damage` says so
    try:
        model = loading.load_component(weights)
    except MissingWeights as error:
        yield str(error)
        return
    from models.masks import overlap_on_a_disc

    if (found := overlap_on_a_disc(model)) < LEAST_OVERLAP:
        yield f"{weights.source} finds a disc with an IoU of {found:.2f}; its weights are not what they should be."


def check(method: str, preset: Preset) -> tuple[str, list[str]]:
    """What of a preset was looked at, in words, and one sentence for each fault."""
    shipped = sorted({w.source.split("/")[2] for w in preset.components.values() if w.local})
    fetched = [w for w in preset.components.values() if not w.local]
    faults = [fault for name in shipped for fault in pocket_damage(name)]
    looked = []
    if shipped:
        looked.append(f"the sha256 of every file in {', '.join(f'assets/pocket/{name}' for name in shipped)}")
    if fetched:
        faults += full_damage(preset)
        sources = ", ".join(dict.fromkeys(Path(w.source).name if w.own else w.source for w in fetched))
        looked.append(f"length and, where the hub named it, sha256 of every tensor file of {sources}")
    if method == "masks" and not faults:
        faults += mask_faults(preset)
        looked.append("a click on a disc")
    return " and ".join(looked), faults
