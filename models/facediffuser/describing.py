"""A request as the page tells of it before a run: slots, tokens, stages, cost. By the preset's own tokenizer. Plain.

The tokenizer's files are read without the model libraries, which take seconds to import.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from models import loading
from models.contract import Preset, Weights
from models.facediffuser import markers
from models.facediffuser.presets import PRESETS
from models.facediffuser.spec import SPEC, FaceRequest
from models.facediffuser.stages import counts, iterations

WHOLE, VOCABULARY, MERGES, SETTINGS = "tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"
# How CLIP's tokenizers split a text where their files hold the vocabulary only.
WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class Reader:
    """A tokenizer's files as `markers.read` calls them: a text to ids with their places, and the special ids."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._inner = _whole(files[WHOLE]) if WHOLE in files else _built(files[VOCABULARY], files[MERGES])
        settings = json.loads(files[SETTINGS].read_bytes())
        self.model_max_length = int(settings["model_max_length"])
        self.bos_token_id, self.eos_token_id, self.pad_token_id = (
            self._inner.token_to_id(_text(settings[f"{name}_token"])) for name in ("bos", "eos", "pad")
        )

    def __call__(self, text: str, **_: Any) -> dict[str, Any]:
        """Ids and (start, end) of each in the text; no special ones and no cut, as `markers.read` asks for."""
        found = self._inner.encode(text, add_special_tokens=False)
        return {"input_ids": found.ids, "offset_mapping": found.offsets}


def described(request: FaceRequest) -> dict[str, Any]:
    """The prompt's "slots", "nouns", "used" and "dropped" tokens of a "length", and the run's "bounds", "stages" and
    "evaluations" per picture where nothing is kept from an earlier run.

    "exact" is false where the preset's tokenizer is not on this disk, and the shipped one was asked instead.
    Raises `BadRequest` for a marker that is out of place.
    """
    from models import runtime

    preset = PRESETS[runtime.choose_preset(SPEC, request.preset)]
    steps = request.steps or preset.steps
    bounds, total = request.bounds(steps), iterations(request.sampler, steps)  # type: ignore[arg-type]
    stages = counts(bounds, total)
    reader, exact = _reader(preset)
    marked = markers.read(reader, request.prompt, reader.model_max_length)
    return {
        "slots": list(marked.slots),
        "nouns": list(marked.nouns),
        "used": marked.used,
        "length": reader.model_max_length,
        "dropped": marked.dropped,
        "bounds": [min(bounds.scene, total - 1), min(bounds.fused, total - 1)],
        "stages": stages.readout(),
        "evaluations": stages.evaluations,
        "exact": exact,
    }


def _reader(preset: Preset) -> tuple[Reader, bool]:
    files = _files(preset.components["tokenizer"])
    exact = files is not None
    files = files or _files(PRESETS["pocket"].components["tokenizer"])
    assert files is not None
    return _read(*files.items()), exact


@cache
def _read(*files: tuple[str, Path]) -> Reader:
    return Reader(dict(files))


def _files(weights: Weights) -> dict[str, Path] | None:
    """The files of a tokenizer by name, or None where they are not on this disk."""
    found = {name: path for name in (WHOLE, VOCABULARY, MERGES, SETTINGS) if (path := _path(weights, name))}
    return found if SETTINGS in found and (WHOLE in found or {VOCABULARY, MERGES} <= found.keys()) else None


def _path(weights: Weights, name: str) -> Path | None:
    if weights.local or weights.own:
        path = loading.folder(weights) / name
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache

    inside = f"{weights.subfolder}/{name}".lstrip("/")
    known = try_to_load_from_cache(weights.source, inside, revision=weights.revision or None)
    return Path(known) if isinstance(known, str) else None


def _whole(path: Path) -> Tokenizer:
    made = Tokenizer.from_file(str(path))
    made.no_truncation()
    made.no_padding()
    return made


def _built(vocabulary: Path, merges: Path) -> Tokenizer:
    """CLIP's tokenizer from its vocabulary and merges."""
    ends = {"continuing_subword_prefix": "", "end_of_word_suffix": "</w>", "unk_token": "<|endoftext|>"}
    made = Tokenizer(models.BPE.from_file(str(vocabulary), str(merges), fuse_unk=False, **ends))
    made.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(WORDS), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.add_special_tokens(["<|startoftext|>", "<|endoftext|>"])
    return made


def _text(token: Any) -> str:
    """A special token, which older files write as a record."""
    return str(token["content"] if isinstance(token, dict) else token)
