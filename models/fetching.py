"""Getting weights from the hub: what is to be fetched, how large that is, and the conversion after it. Plain."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import inventory, loading
from models.contract import MissingWeights, Preset, Published, Weights

Notify = Callable[[str], None]


def silent(_: str) -> None:
    """For callers that do not want to hear of progress."""


@dataclass(frozen=True)
class Part:
    """Some files of a hub repository: a component's folder, or a file that a conversion reads."""

    source: str
    revision: str
    only: str | None  # the pattern of their names; None = those of the outermost folder
    gated: bool
    gigabytes: float

    @property
    def chosen(self) -> dict[str, Any]:
        """What the hub's client is told of them."""
        which = {"allow_patterns": self.only} if self.only else {"ignore_patterns": ["*/*", "*.pt"]}
        return {"repo_id": self.source, "revision": self.revision or None, **which}


def to_fetch(preset: Preset) -> list[Part]:
    """What is missing and can be had from the hub.

    Raises `MissingWeights` for shipped files, and if components are made from a file that nobody publishes and that is
    not converted yet. Of these some may stay away: a run that does not need them is no worse for it.
    """
    absent = inventory.missing(preset)
    if lost := next((w for w in absent if w.local), None):
        raise MissingWeights(f"{lost.source} ships with Easel; fetch the repository again with its assets.")
    parts = [_component(weights) for weights in absent if not weights.own]
    if unmade(preset):
        if not preset.files:
            raise loading.absent(next(w for w in absent if w.own))
        parts += [_file(file) for file in preset.files if not local(file)]
    return parts


def unmade(preset: Preset) -> bool:
    """Whether components are the user's own and none of them has been made yet."""
    own = [w for w in preset.components.values() if w.own]
    return bool(own) and not any(map(loading.present, own))


def local(file: Published) -> Path | None:
    """Where a published file lies, if it has been fetched."""
    places = (snapshot / file.path for snapshot in loading.snapshots(file.source))
    return next((place for place in places if place.is_file()), None)


def fetch(preset: Preset, token: str | None = None, notify: Notify = silent) -> None:
    """Download what is missing into the hub's cache, whose `refs` then hold the commit that was resolved, and convert
    published files where the preset has some. `token` counts instead of the one that is set.

    Raises `GatedWeights` with the three steps, or `MissingWeights` when the hub cannot be reached, refuses the token,
    or the disk has no room.
    """
    for part in to_fetch(preset):
        notify(f"Downloading {part.source}")
        _asked(part, token)
    if preset.convert and unmade(preset):
        paths = [path for file in preset.files if (path := local(file))]
        preset.convert(paths, notify)


def size(preset: Preset, token: str | None = None) -> int:
    """Bytes that a download would bring, by the hub's own list; raises what `fetch` raises."""
    found = {f"{p.source}/{f.filename}": f for p in to_fetch(preset) for f in _asked(p, token, dry_run=True)}
    return sum(int(one.file_size or 0) for one in found.values() if not one.is_cached)


def check_room(preset: Preset, wanted: int) -> None:
    """Raise `MissingWeights` if the disk of the hub's cache has no room for `wanted` bytes and a conversion."""
    free, folder = free_bytes()
    wanted += round(1e9 * sum(file.gigabytes for file in preset.files)) if unmade(preset) else 0
    if free < wanted:
        raise MissingWeights(
            f"The disk is too small: {wanted / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free in {folder}; "
            "make room, or set HF_HOME to a folder on a larger disk."
        )


def free_bytes() -> tuple[int, Path]:
    """How much room the disk of the hub's cache has, and the folder of that cache."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE).expanduser().absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free, folder


def has_token() -> bool:
    """Whether a token of the hub's is set, in HF_TOKEN or by `hf auth login`; the token itself goes nowhere."""
    from huggingface_hub import get_token

    return bool(get_token())


def _component(weights: Weights) -> Part:
    only = f"{weights.subfolder}/*" if weights.subfolder else None
    return Part(weights.source, weights.revision, only, weights.gated, weights.gigabytes)


def _file(file: Published) -> Part:
    return Part(file.source, "", file.path, False, file.gigabytes)


def _asked(part: Part, token: str | None, **more: Any) -> Any:
    """The answer of the hub's client; what goes wrong as one sentence."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        DryRunError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    failed = f"{part.source} cannot be fetched"
    try:
        return snapshot_download(**part.chosen, token=token, **more)
    except GatedRepoError as error:
        raise loading.gated(part.source) from error
    except (DryRunError, OfflineModeIsEnabled, LocalEntryNotFoundError, HfHubHTTPError) as error:
        code = next(_codes(error), 0)
        if code in (401, 403) and part.gated:
            raise loading.gated(part.source) from error
        if code in (401, 403):
            raise MissingWeights(f"{failed}: the hub refuses the token; please set HF_TOKEN to a valid one.") from error
        if code:
            raise MissingWeights(f"{failed}: the hub answers with error {code}; please try again later.") from error
        raise MissingWeights(f"{failed}: the hub cannot be reached from here.") from error
    except OSError as error:
        why = "the disk is full" if error.errno == errno.ENOSPC else "the hub cannot be reached from here"
        raise MissingWeights(f"{failed}: {why}.") from error


def _codes(error: BaseException | None) -> Iterator[int]:
    """The HTTP codes of an error and of what it came of."""
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None:
            yield int(response.status_code)
        error = error.__cause__
