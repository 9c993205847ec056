"""From a component's data to the loaded object, and what is known of it without loading. Plain at import."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError

from models.contract import GatedWeights, MissingWeights, Weights

ROOT = Path(__file__).resolve().parent.parent
POCKET = ROOT / "assets" / "pocket"
# Two threads at once break the model libraries: names are filled in when asked for ("cannot import name"), and empty
# models are made by a patch of every module ("device meta is not on the expected device").
alone = threading.RLock()
_imported: set[Callable[[], Any]] = set()
T = TypeVar("T")
TENSOR_FILES = (".safetensors", ".bin")
SETTINGS_FILES = (".json", ".txt", ".model")  # all that tokenizers and schedulers have


def first_alone(importing: Callable[[], T]) -> T:
    """What a function returns that imports model libraries; no other thread loads meanwhile, the first time."""
    if importing in _imported:
        return importing()
    with alone:
        result = importing()
        _imported.add(importing)
        return result


def cache_folder(name: str) -> Path:
    """Where a method keeps what it computed or was given, below $EASEL_CACHE or ~/.cache/easel; it may not exist."""
    return Path(os.environ.get("EASEL_CACHE", Path.home() / ".cache" / "easel")).absolute() / name


def folder(weights: Weights) -> Path:
    """Where the files of a shipped component lie."""
    return ROOT / weights.source / weights.subfolder


def load_component(weights: Weights, local_files_only: bool = True) -> Any:
    """Build a component on the CPU through its class's `from_pretrained`.

    Raises `MissingWeights` or `GatedWeights` with the one thing to do; nothing is downloaded unless
    `local_files_only` is False. Shipped files are compared with their sha256 first.
    """
    if weights.local:
        verify_folder(folder(weights))
    elif local_files_only and not present(weights):  # said before a model library is imported
        raise gated(weights.source) if weights.gated else absent(weights)
    where: dict[str, Any] = {
        "subfolder": weights.subfolder,
        "local_files_only": local_files_only or weights.local,
    }
    if weights.revision:
        where["revision"] = weights.revision
    source = str(ROOT / weights.source) if weights.local else weights.source
    try:
        with _alone(weights):
            thing = _class(weights.class_name).from_pretrained(source, **where, **_dtype(weights))
    except (OSError, ValueError, SafetensorError) as error:
        raise _explained(weights, error) from error
    return _quantised(thing.eval() if hasattr(thing, "eval") else thing, weights)


@contextlib.contextmanager
def _alone(weights: Weights) -> Iterator[None]:
    """No other thread builds a model meanwhile, and those that compute do not feel that this one does."""
    if not present(weights):  # a download may take an hour
        yield
        return
    with alone, contextlib.ExitStack() as undo:
        if weights.dtype:
            from models.default_dtype import confined

            undo.enter_context(confined())
        yield


def present(weights: Weights) -> bool:
    """Whether the files are on this disk, asked without importing a model library."""
    return found(weights) is not None


def found(weights: Weights) -> Path | None:
    """The folder that holds the files, or None if they are not on this disk or a download broke off."""
    if weights.local or weights.own:
        return folder(weights) if any(folder(weights).glob("*.json")) else None
    for snapshot in snapshots(weights.source, weights.revision):
        where = snapshot / weights.subfolder
        files = {path.name: path for path in where.glob("*") if path.is_file()}  # a link to nothing is no file
        if _whole(files, bool(weights.dtype)):
            return where
    return None


def snapshots(source: str, revision: str = "") -> list[Path]:
    """The folders of the hub's cache with commits of a repository; without `revision` the one last fetched first.

    Looked at directly: the client takes a repository of which only some folders were fetched for a broken one.
    """
    main = repository(source) / "refs" / "main"
    named = revision or (main.read_text(encoding="utf-8").strip() if main.is_file() else "")
    found = sorted((repository(source) / "snapshots").glob("*"), key=lambda path: (path.name != named, path.name))
    return [path for path in found if not revision or path.name == named]


def repository(source: str) -> Path:
    """Where the hub's client keeps what it fetched of a repository; it may not exist."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE, "models--" + source.replace("/", "--"))


def _whole(files: Mapping[str, Path], tensors: bool) -> bool:
    """Whether a download came to its end: small files come first, so tensors need theirs and every listed shard."""
    if not tensors:
        return any(name.endswith(SETTINGS_FILES) for name in files)
    lists = [json.loads(path.read_bytes()) for name, path in files.items() if name.endswith(".safetensors.index.json")]
    shards = {shard for each in lists for shard in each["weight_map"].values()}
    return any(name.endswith(TENSOR_FILES) for name in files) and shards <= files.keys()


def manifest(name: str) -> dict[str, Any]:
    """What `assets/pocket/<name>` says of itself: files with sha256, parents, command, metrics; {} if nothing."""
    path = POCKET / name / "MANIFEST.json"
    return dict(json.loads(path.read_bytes())) if path.exists() else {}


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(path: Path) -> str:
    """The same, read once for as long as the file stays as it is."""
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@cache
def _digest(path: Path, _size: int, _mtime: int) -> str:
    return sha256(path)


def verify_folder(path: Path) -> None:
    """Compare a shipped folder with its MANIFEST; raises `MissingWeights` naming the first file that differs."""
    model = path if (path / "MANIFEST.json").exists() else path.parent
    if not (model / "MANIFEST.json").exists():
        raise MissingWeights(f"{path.relative_to(ROOT)} is not there; fetch the repository again with its assets.")
    for name, expected in json.loads((model / "MANIFEST.json").read_bytes())["files"].items():
        file = model / name
        if not file.exists():
            raise MissingWeights(f"{file.relative_to(ROOT)} is missing; fetch the repository's assets again.")
        if digest(file) != expected:
            raise MissingWeights(
                f"{file.relative_to(ROOT)} is damaged (its sha256 differs); fetch the repository's assets again."
            )


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    with alone:
        library = importlib.import_module(module)
        if module == "transformers":  # its report on towers that a checkpoint shares is noise: keys have tests
            library.logging.set_verbosity_error()
            library.logging.disable_progress_bar()
        return getattr(library, name)


def _dtype(weights: Weights) -> dict[str, Any]:
    """The dtype argument under the name that this library uses; tokenizers and schedulers take none."""
    if not weights.dtype:
        return {}
    import torch

    dtype = getattr(torch, weights.dtype)
    arguments: dict[str, Any] = {"dtype" if weights.class_name.startswith("transformers.") else "torch_dtype": dtype}
    if weights.quantisation == "4bit":
        library = importlib.import_module(weights.class_name.split(".")[0])
        arguments["quantization_config"] = library.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
    return arguments


def _quantised(thing: Any, weights: Weights) -> Any:
    if weights.quantisation == "fp8":
        import torch

        thing.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=getattr(torch, weights.dtype))
    return thing


def _explained(weights: Weights, error: Exception) -> MissingWeights:
    """The one thing to do about weights that did not load."""
    name = f"{weights.source}/{weights.subfolder}".rstrip("/")
    text = str(error)
    if not weights.local and any(code in text for code in ("401", "403", "gated")):
        return gated(weights.source)
    if weights.local or present(weights):
        said = " ".join(text.split())[:120]
        return MissingWeights(f"{name} could not be read ({said}); `python app.py models verify` names damaged files.")
    return absent(weights)


def absent(weights: Weights) -> MissingWeights:
    """How to get weights that are not here."""
    if weights.own:
        return MissingWeights(
            f"{folder(weights)} is not there; `python app.py {weights.made_by}` writes it from files that you have, "
            "or choose the pocket preset."
        )
    return MissingWeights(
        f"{weights.source} is not on this machine; fetch it with `python app.py models download`, "
        "or choose the pocket preset."
    )


def gated(source: str) -> GatedWeights:
    """The three steps to a hub repository whose licence has to be accepted first."""
    return GatedWeights(
        f"{source} is gated: accept its licence at https://huggingface.co/{source}, "
        "set HF_TOKEN to a token of yours, and run `python app.py models download`; or choose the pocket preset."
    )
