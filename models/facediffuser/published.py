"""The published files of Face-diffuser and FastComposer, checked key by key, into folders of safetensors.

A subject model's file (SDM, or FastComposer's) becomes four folders, a scene model's (TDM) a fifth. The image encoder
is the file's own: its last two layers were trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.checkpoint import Notify, State, fit, read, shown, silent, written
from models.contract import BadRequest, MissingWeights
from models.facediffuser.layout import PARTS, PUBLISHED, TOLERATED, WRAPPED, Kind, Part, Sizes

SUBJECT_UNET, SCENE_UNET = "sdm_unet", "tdm_unet"  # the folders of the two U-Nets; the others' are their parts' names
TITLES: Mapping[Kind, str] = {"subject": "subject model's (SDM)", "scene": "scene model's (TDM)"}


def convert(
    subject: Path,
    scene: Path | None,
    out: Path,
    sizes: Sizes = PUBLISHED,
    dtype: torch.dtype = torch.float16,
    notify: Notify = silent,
) -> None:
    """Write out/{sdm_unet,text_encoder,image_encoder,postfuse} of the file `subject`, and out/tdm_unet of `scene`.

    Without `scene` the U-Net of Stable Diffusion 1.5 takes its place, as with FastComposer's file. All are written in
    `dtype` but the post-fuse module, which stays as it is. The text encoder is the subject model's; where the scene
    model's differs, `notify` is told. Both files are checked before anything is written.
    Raises `BadRequest` for a file that is not there and for an `out` that is taken or cannot be written, and
    `MissingWeights` for a file that is not what it should be.
    """
    folders = [SUBJECT_UNET, SCENE_UNET, *(part.name for part in PARTS)]
    if any((out / folder).exists() for folder in folders):
        raise BadRequest(f"{out} already holds weights; please name another folder, or remove it.")
    notify(f"Reading {subject}")
    models = load(subject, "subject", sizes)
    models = {SUBJECT_UNET: models.pop("unet"), **models}
    if scene is not None:
        notify(f"Reading {scene}")
        others = load(scene, "scene", sizes)
        models[SCENE_UNET] = others["unet"]
        odd = differing(models["text_encoder"].state_dict(), others["text_encoder"].state_dict())
        if odd:
            notify(f"The two files' text encoders differ in {len(odd)} tensors; the {TITLES['subject']} is kept.")
    full = {part.name for part in PARTS if part.full}
    with written(out) as partial:
        for folder in list(models):
            notify(f"Writing {out / folder}")
            model = models.pop(folder)  # and with it what the cast takes
            _cast(model, folder, torch.float32 if folder in full else dtype).save_pretrained(partial / folder)


def load(path: Path, kind: Kind, sizes: Sizes = PUBLISHED) -> dict[str, Any]:
    """The networks of a file, by part, in the file's dtypes, over its pages on disk where it is a zipped pickle.

    Raises as `convert` does. The autoencoder, where there is one, is checked and left out.
    """
    groups = split(read(path), kind)
    models = {part.name: fitted(part, groups[part.name], sizes[part.name]) for part in PARTS if groups[part.name]}
    return {part.name: models[part.name] for part in PARTS if part.name in models and not part.checked}


def split(state: Mapping[str, Any], kind: Kind) -> dict[str, State]:
    """The entries by part, keys without a wrapper's prefix; raises `MissingWeights` for a file of another kind."""
    groups: dict[str, State] = {part.name: {} for part in PARTS}
    unknown = []
    for named, value in state.items():
        key = named.removeprefix(WRAPPED)
        part = next((p for p in PARTS if key.startswith(p.prefix)), None)
        if part is None or not isinstance(value, Tensor):
            unknown.append(key)
        elif not key.endswith(TOLERATED):
            groups[part.name][key] = value
    _refuse_other(groups, kind)
    if unknown:
        raise MissingWeights(f"The checkpoint has {len(unknown)} unknown keys: {shown(unknown)}.")
    return groups


def fitted(part: Part, entries: State, size: Mapping[str, Any]) -> Any:
    """The network with the file's own tensors in it; raises `MissingWeights` unless all keys and shapes fit."""
    with torch.device("meta"):
        model = part.build(size)
    state = part.state(entries)
    if len(state) < len(entries):
        raise MissingWeights(f"The {part.title} does not fit: it has weights under their old and new names.")
    fit(model, part.title, state)
    return model.eval()


def differing(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> list[str]:
    """Keys under which two states of the same network hold other numbers, whatever their dtypes."""
    return [key for key, value in first.items() if not torch.equal(value.float(), second[key].float())]


def _refuse_other(groups: Mapping[str, State], kind: Kind) -> None:
    """Tell a file of neither layout from one of the other kind."""
    found = {name for name, entries in groups.items() if entries}
    absent = [part for part in PARTS if kind in part.kinds and part.name not in found and not part.checked]
    extra = [part for part in PARTS if kind not in part.kinds and part.name in found]
    subject_only = {part.name for part in PARTS if part.kinds == ("subject",)}
    if absent and {part.name for part in absent} == subject_only:
        names = " nor ".join(part.title for part in absent)
        raise MissingWeights(
            f"This file has neither {names}, so it is the {TITLES['scene']}; please give the {TITLES['subject']}."
        )
    if absent:
        names = ", ".join(f"{part.title} (“{part.prefix}”)" for part in absent)
        raise MissingWeights(f"This is not a checkpoint of Face-diffuser or FastComposer; what it lacks: {names}.")
    if extra:
        names = " and ".join(part.title for part in extra)
        raise MissingWeights(
            f"This file has an {names}, so it is the {TITLES['subject']}; please give the {TITLES['scene']}."
        )


def _cast(model: Any, title: str, dtype: torch.dtype) -> Any:
    model = torch.nn.Module.to(model, dtype)  # diffusers' own warns of casts that it means to refuse elsewhere
    broken = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
    if broken:
        raise MissingWeights(f"{title} has numbers that are not finite in {dtype}: {shown(broken)}.")
    return model
